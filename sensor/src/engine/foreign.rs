//! System calls through an interface that the probe has no table for: 32-bit calls on arm64, and those that x32 alone has. No
//! rule sees them, so that they happened is said by an alert.

use std::time::{Duration, Instant};

use sensor_ebpf::config::ForeignCalls;
use serde_json::{Map, json};

use super::internal;
use super::pace::Pace;
use crate::alert::Alert;
use crate::rules::Priority;
use crate::state::Processes;

/// Name of the rule.
pub const RULE: &str = "Falconet internal: unseen system calls";
/// A host that runs 32-bit programs has such calls all the time.
const EVERY: Duration = Duration::from_mins(10);

/// Says that there were some.
pub struct Foreign {
    pace: Pace,
    /// By CPU, as they were at the last alert.
    before: Vec<ForeignCalls>,
}

/// Calls of one interface.
#[derive(Default)]
struct Made {
    calls: u64,
    /// Who made one of them.
    by: Option<u32>,
}

impl Made {
    fn add(&mut self, before: u64, now: u64, tgid: u32) {
        let more = now.saturating_sub(before);
        if more > 0 {
            self.calls += more;
            self.by = Some(tgid);
        }
    }
}

impl Foreign {
    pub fn new(now: Instant) -> Self {
        Self { pace: Pace::new(EVERY, now), before: Vec::new() }
    }

    /// The alert that is due, given the counters of now by CPU; call it once a second.
    pub fn check(
        &mut self,
        counted: Option<Vec<ForeignCalls>>,
        processes: &Processes,
        now: Instant,
        hostname: &str,
    ) -> Option<Alert> {
        let counted = counted?;
        let (mut compat, mut x32) = (Made::default(), Made::default());
        for (i, calls) in counted.iter().enumerate() {
            let before = self.before.get(i).copied().unwrap_or_default();
            compat.add(before.compat, calls.compat, calls.compat_tgid);
            x32.add(before.x32, calls.x32, calls.x32_tgid);
        }
        if compat.calls + x32.calls == 0 || !self.pace.take(now) {
            return None;
        }
        self.before = counted;
        let mut fields: Map<_, _> = [("n_32_bit", compat.calls), ("n_x32", x32.calls)]
            .into_iter()
            .map(|(name, n)| (name.to_owned(), json!(n.to_string())))
            .collect();
        let mut by = String::new();
        if let Some(pid) = compat.by.or(x32.by) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let process = processes.by_pid(pid);
            let name = process.map(|p| text(p.comm())).unwrap_or_default();
            by = format!(", some by {name} ({pid})");
            fields.extend([
                ("proc.pid".to_owned(), json!(pid)),
                ("proc.name".to_owned(), json!(name)),
                (
                    "proc.exepath".to_owned(),
                    json!(process.map(|p| text(&p.image.exepath)).unwrap_or_default()),
                ),
            ]);
        }
        let message = format!(
            "{RULE}. {} 32-bit and {} x32 system calls, which no rule sees{by}.",
            compat.calls, x32.calls
        );
        Some(internal::alert(RULE, Priority::Warning, &message, fields, hostname))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::processes::Options;

    #[test]
    fn unseen_calls_are_said_once_in_a_while_with_who_made_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let processes = Processes::sealed(Options::default());
        let calls = |compat, x32| ForeignCalls { compat, x32, compat_tgid: 5, x32_tgid: 6 };
        let mut foreign = Foreign::new(start);
        let mut check =
            |counted, seconds| foreign.check(counted, &processes, at(seconds), "h").map(|a| a.output_fields);
        assert!(check(Some(vec![calls(0, 0), calls(0, 0)]), 1).is_none());
        let fields = check(Some(vec![calls(0, 0), calls(0, 2)]), 2).unwrap();
        assert_eq!((&fields["n_32_bit"], &fields["n_x32"]), (&json!("0"), &json!("2")));
        assert_eq!(fields["proc.pid"], 6);
        // Too soon; unreadable; then all that came since.
        assert!(check(Some(vec![calls(1, 0), calls(0, 2)]), 3).is_none());
        assert!(check(None, 700).is_none());
        let fields = check(Some(vec![calls(4, 0), calls(1, 2)]), 701).unwrap();
        assert_eq!((&fields["n_32_bit"], &fields["n_x32"]), (&json!("5"), &json!("0")));
        assert_eq!(fields["proc.pid"], 5);
        assert!(check(Some(vec![calls(4, 0), calls(1, 2)]), 5000).is_none());
    }
}
