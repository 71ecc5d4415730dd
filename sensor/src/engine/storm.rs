//! Storms: one process in a loop can trip a rule a hundred thousand times a second, and each alert costs JSON, ancestors, a trace
//! and a place in the alert log. So each rule has a token bucket per container (and one for the host). What is beyond is left
//! out before anything is built, counted, and told by an alert of the sensor's own with samples: nothing vanishes uncounted.
//!
//! Buckets run on the time of the events, so the same events leave out the same alerts. The table of buckets is bounded: one that
//! is as good as new makes room, and when there is none, the containers that find no place share one bucket per rule. A bucket
//! with something to tell is never thrown out.

use foldhash::{HashMap, HashMapExt as _};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::internal;
use super::live::Live;
use crate::alert::Alert;
use crate::rules::{Priority, Rule};
use crate::state::{Bucket, Rate};

/// Name of the alert's rule.
pub const RULE: &str = "Falconet internal: alert storm";
/// Least time between two such alerts, ns. The next one covers what is left out meanwhile.
const INTERVAL: u64 = 10_000_000_000;
/// Buckets of containers and the host, of all rules.
const MAX_BUCKETS: usize = 4096;
/// How often room is looked for in a full table, ns: it takes a look at all buckets.
const SWEEP_EVERY: u64 = 1_000_000_000;
/// Outputs that are kept of what one bucket leaves out, and their bytes.
const SAMPLES: usize = 3;
const SAMPLE_MAX: usize = 512;
/// Rules and containers that one alert tells one by one, and those in its text.
const TOLD: usize = 20;
const IN_TEXT: usize = 3;
/// Stands for containers that share a bucket.
const OTHERS: &str = "(other containers)";

/// The configuration's `storms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Alerts of one rule from one container in a second, in the long run; 0: all.
    pub rate: u32,
    /// How many at once.
    pub burst: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { rate: 100, burst: 1000 }
    }
}

/// The buckets. By default none: every alert is raised.
#[derive(Default)]
pub struct Storms {
    /// `None`: off.
    rate: Option<Rate>,
    rules: HashMap<Box<str>, Buckets>,
    /// Buckets of containers.
    count: usize,
    swept: u64,
    /// Left out since the last report, and when that was.
    left_out: u64,
    reported: Option<u64>,
}

/// Those of one rule.
struct Buckets {
    priority: Priority,
    /// By full id of the container; `""` is the host.
    places: HashMap<Box<str>, Place>,
    others: Option<Place>,
}

/// One rule in one container.
struct Place {
    name: Box<str>,
    bucket: Bucket,
    /// Since the last report.
    left_out: u64,
    samples: Vec<String>,
}

impl Place {
    fn new(name: &str, rate: Rate, now: u64) -> Self {
        Self { name: name.into(), bucket: Bucket::new(rate, now), left_out: 0, samples: Vec::new() }
    }
}

impl Storms {
    pub fn new(options: Options) -> Self {
        let rate = (options.rate > 0).then(|| Rate::new(options.rate, options.burst));
        Self { rate, ..Self::default() }
    }

    /// Whether an alert of the rule is to be raised; otherwise it is counted here and with the rule.
    pub fn admits(&mut self, rule: &Rule, event: &Live<'_>) -> bool {
        let (id, name) = match event.container {
            None => ("", "the host"),
            Some(container) if container.name.is_empty() => (&*container.full_id, &*container.id),
            Some(container) => (&*container.full_id, &*container.name),
        };
        let sample = || {
            let mut output = String::new();
            rule.output.render(event, &mut output);
            output
        };
        let admits = self.takes(&rule.name, rule.priority, (id, name), event.boot, sample);
        if !admits {
            rule.counters().leave_out();
        }
        admits
    }

    fn takes(
        &mut self,
        rule: &str,
        priority: Priority,
        (id, name): (&str, &str),
        now: u64,
        sample: impl FnOnce() -> String,
    ) -> bool {
        let Some(rate) = self.rate else { return true };
        if !self.rules.get(rule).is_some_and(|buckets| buckets.places.contains_key(id)) {
            self.enter(rule, priority, (id, name), rate, now);
        }
        let Some(buckets) = self.rules.get_mut(rule) else { return true };
        // After a reload it may be another.
        buckets.priority = priority;
        let Buckets { places, others, .. } = buckets;
        let place = places.get_mut(id).or(others.as_mut());
        let Some(place) = place else { return true };
        if place.bucket.take(rate, now) {
            return true;
        }
        place.left_out += 1;
        self.left_out += 1;
        if place.samples.len() < SAMPLES {
            let mut sample = sample();
            sample.truncate(sample.floor_char_boundary(SAMPLE_MAX));
            place.samples.push(sample);
        }
        false
    }

    /// A place for a rule and a container: an own one if there is room.
    fn enter(&mut self, rule: &str, priority: Priority, (id, name): (&str, &str), rate: Rate, now: u64) {
        if self.count >= MAX_BUCKETS && now.saturating_sub(self.swept) >= SWEEP_EVERY {
            self.sweep(rate, now);
        }
        let buckets = self.rules.entry(rule.into()).or_insert_with(|| Buckets {
            priority,
            places: HashMap::new(),
            others: None,
        });
        if self.count < MAX_BUCKETS {
            self.count += 1;
            buckets.places.insert(id.into(), Place::new(name, rate, now));
        } else {
            buckets.others.get_or_insert_with(|| Place::new(OTHERS, rate, now));
        }
    }

    /// Forgets what is as good as new.
    fn sweep(&mut self, rate: Rate, now: u64) {
        self.swept = now;
        let idle = |place: &mut Place| place.left_out == 0 && place.bucket.is_full(rate, now);
        self.rules.retain(|_, buckets| {
            buckets.places.retain(|_, place| !idle(place));
            if buckets.others.as_mut().is_some_and(idle) {
                buckets.others = None;
            }
            !buckets.places.is_empty() || buckets.others.is_some()
        });
        self.count = self.rules.values().map(|buckets| buckets.places.len()).sum();
    }

    /// What was left out since the last report, if it is time for one. `now`: `CLOCK_BOOTTIME` ns.
    pub fn report(&mut self, now: u64) -> Option<Report> {
        let due = self.reported.is_none_or(|last| now.saturating_sub(last) >= INTERVAL);
        if due { self.rest(now) } else { None }
    }

    /// What was left out since the last report.
    pub fn rest(&mut self, now: u64) -> Option<Report> {
        let total = std::mem::take(&mut self.left_out);
        if total == 0 {
            return None;
        }
        self.reported = Some(now);
        let mut priority = Priority::Debug;
        let mut left_out = Vec::new();
        for (rule, buckets) in &mut self.rules {
            let places = buckets.places.values_mut().chain(&mut buckets.others);
            for place in places.filter(|place| place.left_out > 0) {
                priority = priority.min(buckets.priority);
                left_out.push(LeftOut {
                    rule: rule.clone(),
                    container: place.name.clone(),
                    count: std::mem::take(&mut place.left_out),
                    samples: std::mem::take(&mut place.samples),
                });
            }
        }
        left_out
            .sort_unstable_by(|a, b| (b.count, &a.rule, &a.container).cmp(&(a.count, &b.rule, &b.container)));
        Some(Report { total, priority, left_out })
    }
}

/// What was left out, the most first.
#[derive(Debug)]
pub struct Report {
    total: u64,
    /// That of the most severe rule.
    priority: Priority,
    left_out: Vec<LeftOut>,
}

/// Of one rule in one container.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    rule: Box<str>,
    container: Box<str>,
    count: u64,
    samples: Vec<String>,
}

impl Report {
    /// The alert that tells it: as severe as the most severe rule that it is about, so that it goes where that one's alerts go.
    pub fn alert(&self, hostname: &str) -> Alert {
        let first: Vec<String> = self
            .left_out
            .iter()
            .take(IN_TEXT)
            .map(|of| format!("{} of {:?} from {}", of.count, of.rule, of.container))
            .collect();
        let more = match self.left_out.len().saturating_sub(IN_TEXT) {
            0 => String::new(),
            more => format!(" and of {more} more"),
        };
        let sample = self.left_out.first().and_then(|of| of.samples.first());
        let fields: Map<String, Json> = [
            ("n_left_out".to_owned(), json!(self.total.to_string())),
            ("sample".to_owned(), json!(sample.map_or("", String::as_str))),
        ]
        .into_iter()
        .collect();
        let message = format!("{RULE}. {} alerts left out: {}{more}.", self.total, first.join(", "));
        let mut alert = internal::alert(RULE, self.priority, &message, fields, hostname);
        alert.context = Some(self.context());
        alert
    }

    fn context(&self) -> Json {
        let (told, others) = self.left_out.split_at(self.left_out.len().min(TOLD));
        let told: Vec<Json> = told
            .iter()
            .map(|of| json!({"rule": of.rule, "container": of.container, "count": of.count, "samples": of.samples}))
            .collect();
        json!({"left_out": told, "others": others.iter().map(|of| of.count).sum::<u64>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn storms() -> Storms {
        Storms::new(Options { rate: 10, burst: 100 })
    }

    /// How many of `n` alerts are raised.
    fn raised(storms: &mut Storms, rule: &str, container: &str, n: usize, now: u64) -> usize {
        let mut take =
            |i| storms.takes(rule, Priority::Notice, (container, container), now, || format!("{rule} {i}"));
        (0..n).filter(|i| take(*i)).count()
    }

    #[test]
    fn what_is_raised_and_what_is_left_out_add_up() {
        let mut storms = storms();
        assert_eq!(raised(&mut storms, "a", "web", 50_000, SECOND), 100);
        assert_eq!(raised(&mut storms, "a", "web", 50, 2 * SECOND), 10);
        assert_eq!(raised(&mut storms, "a", "", 50, 2 * SECOND), 50, "the host has its own");
        assert_eq!(raised(&mut storms, "b", "web", 101, 2 * SECOND), 100, "and so has each rule");
        let report = storms.report(2 * SECOND).unwrap();
        assert_eq!(report.total, 50_050 - 110 + 1);
        let counts: Vec<_> = report.left_out.iter().map(|of| (&*of.rule, &*of.container, of.count)).collect();
        assert_eq!(counts, [("a", "web", 49_940), ("b", "web", 1)]);
        assert_eq!(report.left_out[0].samples, ["a 100", "a 101", "a 102"]);
        assert!(storms.rest(2 * SECOND).is_none(), "told once");
    }

    #[test]
    fn it_is_told_at_once_then_now_and_then_and_at_the_end() {
        let mut storms = storms();
        assert!(storms.report(SECOND).is_none());
        raised(&mut storms, "a", "", 101, SECOND);
        assert_eq!(storms.report(SECOND).unwrap().total, 1);
        raised(&mut storms, "a", "", 5, SECOND);
        assert!(storms.report(10 * SECOND).is_none(), "too soon");
        assert_eq!(storms.report(11 * SECOND).unwrap().total, 5);
        raised(&mut storms, "a", "", 200, 11 * SECOND);
        assert_eq!(storms.rest(12 * SECOND).unwrap().total, 100);
    }

    #[test]
    fn off_is_off() {
        for mut storms in [Storms::default(), Storms::new(Options { rate: 0, burst: 1 })] {
            assert_eq!(raised(&mut storms, "a", "", 10_000, SECOND), 10_000);
            assert!(storms.rest(SECOND).is_none());
            assert!(storms.rules.is_empty());
        }
    }

    #[test]
    fn many_containers_share_what_there_is_and_nothing_is_lost() {
        let mut storms = storms();
        let (mut all, mut out) = (0, 0);
        for n in 0..2 * MAX_BUCKETS {
            all += 101;
            out += 101 - raised(&mut storms, "a", &n.to_string(), 101, SECOND);
        }
        assert_eq!(storms.count, MAX_BUCKETS);
        assert_eq!(all - out, MAX_BUCKETS * 100 + 100, "the others share one");
        let report = storms.rest(SECOND).unwrap();
        assert_eq!(report.total, out as u64);
        assert_eq!(report.left_out.iter().map(|of| of.count).sum::<u64>(), out as u64);
        assert_eq!(&*report.left_out[0].container, OTHERS);
        let context = report.context();
        let told: u64 =
            context["left_out"].as_array().unwrap().iter().filter_map(|of| of["count"].as_u64()).sum();
        assert_eq!(told + context["others"].as_u64().unwrap(), out as u64);
        // Told and quiet for long: there is room again.
        assert_eq!(raised(&mut storms, "a", "new", 100, 100 * SECOND), 100);
        assert_eq!(storms.count, 1);
    }

    #[test]
    fn what_is_not_told_yet_keeps_its_place() {
        let mut storms = storms();
        for n in 0..MAX_BUCKETS {
            raised(&mut storms, "a", &n.to_string(), 101, SECOND);
        }
        raised(&mut storms, "a", "new", 1, 100 * SECOND);
        assert_eq!(storms.rest(100 * SECOND).unwrap().total, MAX_BUCKETS as u64);
    }

    #[test]
    fn the_alert_tells_how_many_of_what_with_samples() {
        let mut storms = storms();
        for (n, rule) in ["a", "b", "c", "d"].into_iter().enumerate() {
            raised(&mut storms, rule, "web", 200 - n, SECOND);
        }
        storms.takes("b", Priority::Critical, ("web", "web"), SECOND, String::new);
        let alert = storms.rest(SECOND).unwrap().alert("h");
        let says = "Falconet internal: alert storm. 395 alerts left out: 100 of \"a\" from web, 100 of \"b\" from web, \
            98 of \"c\" from web and of 1 more.";
        assert!(alert.output.contains(says), "{}", alert.output);
        assert_eq!((alert.priority, &*alert.source), (Priority::Critical, "internal"));
        assert_eq!(alert.output_fields["n_left_out"], "395");
        assert_eq!(alert.output_fields["sample"], "a 100");
        let context = alert.context.unwrap();
        assert_eq!(context["left_out"][2]["samples"], json!(["c 100", "c 101", "c 102"]));
    }

    #[test]
    fn long_samples_are_cut() {
        let mut storms = Storms::new(Options { rate: 1, burst: 1 });
        for _ in 0..2 {
            storms.takes("a", Priority::Notice, ("", ""), SECOND, || "é".repeat(SAMPLE_MAX));
        }
        let report = storms.rest(SECOND).unwrap();
        assert_eq!(report.left_out[0].samples[0].len(), SAMPLE_MAX);
    }
}
