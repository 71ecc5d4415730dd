//! What the process tells of itself: to the web app and to the metrics end.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::hooks;
use super::in_use::{InUse, Now};
use crate::alert::json::utc;
use crate::alert::now;
use crate::engine::Stats;
use crate::engine::stats::read;
use crate::net;
use crate::outputs::status::Board;
use crate::probe::Counted;
use crate::probe::trial::Trial;
use crate::rules::status::Tally;
use crate::telemetry::status::{
    DeadHook, Loss, RuleDetail, Rules, SensorStatus, Status, StatusSource, Watching,
};
use crate::telemetry::{Collect, Exposition, Kind, metrics};

/// The sensor half of a process.
pub struct Sensor {
    pub counters: Arc<Counted>,
    pub stats: Arc<Stats>,
    pub trial: Trial,
}

/// All that there is to tell.
pub struct Overview {
    hostname: String,
    started: i64,
    /// Without a sensor there are none.
    rules: Option<Arc<InUse>>,
    sensor: OnceLock<Sensor>,
    board: OnceLock<Board>,
    intake: OnceLock<SocketAddr>,
    web: OnceLock<Arc<net::Counters>>,
}

impl Overview {
    pub fn new(hostname: String, rules: Option<Arc<InUse>>) -> Self {
        Self {
            hostname,
            started: now(),
            rules,
            sensor: OnceLock::new(),
            board: OnceLock::new(),
            intake: OnceLock::new(),
            web: OnceLock::new(),
        }
    }

    /// Each of these is set once; a second time changes nothing.
    pub fn set_sensor(&self, sensor: Sensor) {
        let _ = self.sensor.set(sensor);
    }

    pub fn set_board(&self, board: Board) {
        let _ = self.board.set(board);
    }

    pub fn set_web(&self, counters: Arc<net::Counters>) {
        let _ = self.web.set(counters);
    }

    pub fn set_intake(&self, address: SocketAddr) {
        let _ = self.intake.set(address);
    }
}

impl StatusSource for Overview {
    fn status(&self) -> Status {
        let rules = self.rules.as_ref().map(|in_use| in_use.now().rules);
        let tally = rules.as_ref().map(|set| set.tally()).unwrap_or_default();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: self.hostname.clone(),
            kernel: self
                .sensor
                .get()
                .map(|_| rustix::system::uname().release().to_string_lossy().into_owned()),
            started: Some(utc(self.started)),
            watching: Watching {
                rules: tally.fire as u64,
                limited: tally.limited as u64,
                inactive: tally.inactive as u64,
                event_types: rules.iter().flat_map(|set| set.event_types()).map(str::to_owned).collect(),
                intake: self.intake.get().map(ToString::to_string),
            },
            sensor: self
                .sensor
                .get()
                .map(|sensor| SensorStatus { dead_hooks: self.dead_hooks(), ..sensor.status() }),
            outputs: self.board.get().map_or_else(Vec::new, Board::status),
        }
    }

    fn rules(&self) -> Option<Rules> {
        self.rules.as_ref().map(|in_use| in_use.now().rules())
    }

    fn rule(&self, name: &str) -> Option<RuleDetail> {
        self.rules.as_ref()?.now().rule(name)
    }
}

/// What rules have counted, and how loading them went. Under Falco's names where it has them.
fn collect_rules(now: &Now, out: &mut Exposition) {
    for rule in now.rules.rules().iter().filter(|rule| rule.status.fires()) {
        let counts = now.counts(rule);
        let priority = (rule.priority as u8).to_string();
        let tags: Vec<String> = rule.tags.iter().map(|tag| format!("tag_{}", label(tag))).collect();
        let mut labels =
            vec![("priority", priority.as_str()), ("rule_name", &rule.name), ("source", &rule.source)];
        labels.extend(tags.iter().map(|tag| (tag.as_str(), "true")));
        out.family(
            "falcosecurity_falco_rules_matches_total",
            Kind::Counter,
            "Events on which the rule fired.",
        )
        .sample(&labels, counts.matched);
        let help = "Events on which the rule fired that raised no alert because there were too many.";
        out.family("falconet_rule_left_out_total", Kind::Counter, help)
            .sample(&[("rule_name", &rule.name)], counts.left_out);
        let labels = [("rule_name", rule.name.as_str())];
        let help = "Events of the types that the rule looks at.";
        out.family("falconet_rule_evaluated_total", Kind::Counter, help).sample(&labels, counts.evaluated);
        let help = "Time spent on the rule, estimated from samples.";
        out.family("falconet_rule_seconds_total", Kind::Counter, help).sample(&labels, counts.seconds());
    }
    let Tally { fire, limited, inactive, disabled } = now.rules.tally();
    let help = "Rules by what they can do here: fire, fire in part only, not fire, or not meant to.";
    out.family("falconet_rules", Kind::Gauge, help)
        .sample(&[("status", "active")], fire - limited)
        .sample(&[("status", "limited")], limited)
        .sample(&[("status", "inactive")], inactive)
        .sample(&[("status", "disabled")], disabled);
    for (rule, reason) in now.rules.hampered() {
        let (status, _) = rule.status.told();
        let labels = [("rule_name", rule.name.as_str()), ("status", status), ("what", reason.lack.as_str())];
        let help = "1 for each rule that cannot fire as it is meant to, with what it lacks: a field, an event, or any match.";
        out.family("falconet_rule_lacks", Kind::Gauge, help).sample(&labels, 1);
    }
    out.counter("falconet_rules_loads_total", "Times that rules were taken, the start included.", now.loads);
    out.counter("falconet_rules_failures_total", "Times that rules were not taken.", now.failures);
    let help = "1 while what is in the rule files is not in use because it does not load.";
    out.gauge("falconet_rules_failing", help, u8::from(now.failed.is_some()));
}

/// A tag as a part of a label's name.
fn label(tag: &str) -> String {
    tag.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

impl Sensor {
    fn status(&self) -> SensorStatus {
        let counters = self.counters.read();
        let mut losses = Vec::new();
        for (event, counted) in &counters {
            for (reason, count) in [("full", counted.lost_full), ("build", counted.lost_build)] {
                if count > 0 {
                    losses.push(Loss { event: event.program.to_owned(), reason: reason.to_owned(), count });
                }
            }
        }
        SensorStatus {
            state: "running".to_owned(),
            seen: counters.iter().map(|(_, c)| c.seen).sum(),
            filtered: counters.iter().map(|(_, c)| c.filtered).sum(),
            lost: losses.iter().map(|loss| loss.count).sum(),
            losses,
            dead_hooks: Vec::new(),
            last_event: match read(&self.stats.last_event) {
                0 => None,
                time => i64::try_from(time).ok().map(utc),
            },
        }
    }
}

impl Collect for Overview {
    fn dead_hooks(&self) -> Vec<DeadHook> {
        let now = self.rules.as_ref().map(|in_use| in_use.now().rules);
        let dead = |sensor: &Sensor| Some(hooks::dead(&sensor.trial, now.as_ref()?));
        self.sensor.get().and_then(dead).unwrap_or_default()
    }

    fn collect(&self, out: &mut Exposition) {
        if let Some(sensor) = self.sensor.get() {
            for (event, counters) in sensor.counters.read() {
                metrics::sensor::probe(event.program, counters, out);
            }
            metrics::sensor::probe_itself(&sensor.counters, out);
            metrics::sensor::engine(&sensor.stats, out);
            metrics::sensor::hooks(&sensor.trial, out);
        }
        if let Some(in_use) = &self.rules {
            collect_rules(&in_use.now(), out);
        }
        if let Some(web) = self.web.get() {
            metrics::http::collect("web app", web, out);
        }
        for output in self.board.get().map_or_else(Vec::new, Board::status) {
            metrics::outputs::collect(&output, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Options, Source, load};

    #[test]
    fn rules_that_cannot_fire_are_metrics_and_status() {
        let rule = |name: &str, condition: &str| {
            format!("- {{rule: {name}, desc: d, output: o, priority: INFO, condition: {condition}}}\n")
        };
        let text = rule("sees", "evt.type = open") + &rule("never", "evt.type = open and evt.num = 0");
        let rules = load(&[Source::new("f", text)], &Options::default()).rules.unwrap();
        let overview = Overview::new("h".into(), Some(Arc::new(InUse::new(Arc::new(rules), String::new()))));
        let mut out = Exposition::default();
        overview.collect(&mut out);
        let text = out.text();
        for line in [
            r#"falconet_rules{status="active"} 1"#,
            r#"falconet_rules{status="inactive"} 1"#,
            r#"falconet_rule_lacks{rule_name="never",status="inactive",what="match"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        let Watching { rules, limited, inactive, .. } = overview.status().watching;
        assert_eq!((rules, limited, inactive), (1, 0, 1));
    }
}
