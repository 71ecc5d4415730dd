//! Records that are not all there: counted by event and part, and said by an alert when a path is concerned.
//!
//! A path that lost its beginning evades every rule that asks where a file lies, so whoever makes one is worth a look whatever
//! the rules say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sensor_ebpf::events::{EVENTS, Event};
use sensor_ebpf::record::{CUT_HEAD, CUT_MIDDLE, CUTS, Record};
use serde_json::{Map, json};

use super::internal;
use super::pace::Pace;
use crate::alert::Alert;
use crate::rules::Priority;
use crate::state::Processes;

/// Name of the rule.
pub const RULE: &str = "Falconet internal: path cut";
const EVERY: Duration = Duration::from_secs(30);

/// Records by event and by what they lacked.
#[derive(Debug)]
pub struct CutCounters(Vec<[AtomicU64; CUTS.len()]>);

impl Default for CutCounters {
    fn default() -> Self {
        Self(EVENTS.iter().map(|_| Default::default()).collect())
    }
}

impl CutCounters {
    /// Counts a record of that kind with these flags of its header.
    pub(super) fn count(&self, kind: u16, flags: u16) {
        let Some(of_event) = usize::from(kind).checked_sub(1).and_then(|i| self.0.get(i)) else { return };
        for (counter, (flag, _)) in of_event.iter().zip(CUTS) {
            if flags & flag != 0 {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Program of the event, name of the part and count of all that are not 0.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        EVENTS.iter().zip(&self.0).flat_map(|(event, counters)| {
            counters.iter().zip(CUTS).filter_map(|(counter, (_, part))| {
                let count = counter.load(Ordering::Relaxed);
                (count > 0).then_some((event.program, part, count))
            })
        })
    }
}

/// Says that paths were cut.
pub struct Cuts {
    pace: Pace,
    /// Since the last alert.
    head: u64,
    middle: u64,
    first: Option<Sample>,
}

/// The first record since the last alert.
struct Sample {
    event: &'static str,
    pid: u32,
    name: String,
    exepath: String,
    path: String,
}

impl Cuts {
    pub fn new(now: Instant) -> Self {
        Self { pace: Pace::new(EVERY, now), head: 0, middle: 0, first: None }
    }

    /// Looks at a record that has just been judged.
    pub fn note(&mut self, record: &Record<'_>, processes: &Processes) {
        let header = record.header();
        if header.flags & (CUT_HEAD | CUT_MIDDLE) == 0 {
            return;
        }
        self.head += u64::from(header.flags & CUT_HEAD != 0);
        self.middle += u64::from(header.flags & CUT_MIDDLE != 0);
        if self.first.is_none() {
            self.first = Sample::of(record, processes);
        }
    }

    /// The alert that is due; call it once a second.
    pub fn check(&mut self, now: Instant, hostname: &str) -> Option<Alert> {
        if self.head + self.middle == 0 || !self.pace.take(now) {
            return None;
        }
        let (head, middle, first) =
            (std::mem::take(&mut self.head), std::mem::take(&mut self.middle), self.first.take());
        let mut fields: Map<_, _> = [("n_head", head), ("n_middle", middle)]
            .into_iter()
            .map(|(name, n)| (name.to_owned(), json!(n.to_string())))
            .collect();
        let by = match first {
            Some(Sample { event, pid, name, exepath, path }) => {
                let by = format!(", the first by {name} ({pid})");
                fields.extend([
                    ("evt.type".to_owned(), json!(event)),
                    ("proc.pid".to_owned(), json!(pid)),
                    ("proc.name".to_owned(), json!(name)),
                    ("proc.exepath".to_owned(), json!(exepath)),
                    ("fd.name".to_owned(), json!(path)),
                ]);
                by
            }
            None => String::new(),
        };
        let message = format!(
            "{RULE}. Paths too deep to be read whole: {head} without their beginning, {middle} without their middle{by}."
        );
        Some(internal::alert(RULE, Priority::Warning, &message, fields, hostname))
    }
}

impl Sample {
    fn of(record: &Record<'_>, processes: &Processes) -> Option<Self> {
        let header = record.header();
        let event = Event::of_kind(header.kind)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let process = processes.get(header.exec_id);
        let view = event.info.rules.and_then(|view| view.descriptor(record));
        Some(Self {
            event: event.info.name().unwrap_or(event.program),
            pid: header.tgid,
            name: process.map(|p| text(p.comm())).unwrap_or_default(),
            exepath: process.map(|p| text(&p.image.exepath)).unwrap_or_default(),
            path: view.map(|view| text(view.path)).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::events::Kind;
    use sensor_ebpf::record::{CUT_ENV, Header};
    use zerocopy::FromZeros as _;

    use super::*;
    use crate::state::processes::Options;
    use crate::state::testing::{self, Made};

    fn record(flags: u16) -> Made {
        let header = Header { time: 1, exec_id: 2, tgid: 77, tid: 77, flags, ..Header::new_zeroed() };
        testing::record(Kind::Open, header, &[], |_| [0u8; 16])
    }

    #[test]
    fn cut_paths_are_said_and_added_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let processes = Processes::sealed(Options::default());
        let mut cuts = Cuts::new(start);
        let note = |cuts: &mut Cuts, flags| cuts.note(&record(flags).record(), &processes);
        note(&mut cuts, CUT_ENV);
        assert!(cuts.check(at(1), "h").is_none(), "an environment is no path");
        note(&mut cuts, CUT_HEAD);
        note(&mut cuts, CUT_MIDDLE | CUT_ENV);
        let alert = cuts.check(at(2), "h").unwrap();
        assert_eq!(
            (&alert.output_fields["n_head"], &alert.output_fields["n_middle"]),
            (&json!("1"), &json!("1"))
        );
        assert_eq!(alert.output_fields["proc.pid"], 77);
        assert_eq!(alert.output_fields["evt.type"], "open");
        // Too soon: kept for later.
        note(&mut cuts, CUT_HEAD);
        assert!(cuts.check(at(3), "h").is_none());
        assert_eq!(cuts.check(at(40), "h").unwrap().output_fields["n_head"], "1");
        assert!(cuts.check(at(90), "h").is_none());
    }

    #[test]
    fn parts_are_counted_by_event() {
        let counters = CutCounters::default();
        counters.count(Kind::Open as u16, CUT_HEAD | CUT_ENV);
        counters.count(Kind::Open as u16, CUT_HEAD);
        counters.count(Kind::Exec as u16, CUT_ENV);
        counters.count(0, CUT_HEAD);
        counters.count(u16::MAX, CUT_HEAD);
        let counted: Vec<_> = counters.read().collect();
        assert_eq!(counted, [("exec", "env", 1), ("open", "path_head", 2), ("open", "env", 1)]);
    }
}
