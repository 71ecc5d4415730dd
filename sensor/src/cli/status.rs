//! What the process tells of itself: to the web app and to the metrics end.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::in_use::{InUse, Now};
use crate::alert::json::utc;
use crate::engine::{Stats, stats::read};
use crate::hub::{Collect, Exposition, Kind};
use crate::outputs::State;
use crate::outputs::status::Board;
use crate::probe::Counted;
use crate::ui::status::{
    Loss, OutputStatus, RuleDetail, Rules, SensorStatus, Status, StatusSource, Watching,
};

/// The sensor half of a process.
pub struct Sensor {
    pub counters: Arc<Counted>,
    pub stats: Arc<Stats>,
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
}

impl Overview {
    pub fn new(hostname: String, rules: Option<Arc<InUse>>) -> Self {
        let now = jiff::Timestamp::now().as_nanosecond();
        Self {
            hostname,
            started: i64::try_from(now).unwrap_or_default(),
            rules,
            sensor: OnceLock::new(),
            board: OnceLock::new(),
            intake: OnceLock::new(),
        }
    }

    /// Each of these is told once; a second time changes nothing.
    pub fn set_sensor(&self, sensor: Sensor) {
        let _ = self.sensor.set(sensor);
    }

    pub fn set_board(&self, board: Board) {
        let _ = self.board.set(board);
    }

    pub fn set_intake(&self, address: SocketAddr) {
        let _ = self.intake.set(address);
    }
}

impl StatusSource for Overview {
    fn status(&self) -> Status {
        let rules = self.rules.as_ref().map(|in_use| in_use.now().rules);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: self.hostname.clone(),
            kernel: self
                .sensor
                .get()
                .map(|_| rustix::system::uname().release().to_string_lossy().into_owned()),
            started: Some(utc(self.started)),
            watching: Watching {
                rules: rules.iter().flat_map(|set| set.rules()).filter(|rule| rule.status.fires()).count()
                    as u64,
                event_types: rules.iter().flat_map(|set| set.event_types()).map(str::to_owned).collect(),
                intake: self.intake.get().map(ToString::to_string),
            },
            sensor: self.sensor.get().map(Sensor::status),
            outputs: self.board.get().map_or_else(Vec::new, outputs),
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
        let labels = [("rule_name", rule.name.as_str())];
        let help = "Events of the types that the rule looks at.";
        out.family("falconet_rule_evaluated_total", Kind::Counter, help).sample(&labels, counts.evaluated);
        let help = "Time spent on the rule, estimated from samples.";
        out.family("falconet_rule_seconds_total", Kind::Counter, help).sample(&labels, counts.seconds());
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
            last_event: match read(&self.stats.last_event) {
                0 => None,
                time => i64::try_from(time).ok().map(utc),
            },
        }
    }
}

fn outputs(board: &Board) -> Vec<OutputStatus> {
    let status = board.status();
    status
        .into_iter()
        .map(|o| OutputStatus {
            failing_since: matches!(o.state, State::Retrying | State::Failing | State::Stopped)
                .then(|| utc(o.since)),
            name: o.name,
            delivered: o.delivered,
            waiting: o.waiting,
            oldest_waiting: o.oldest_waiting.map(utc),
            failed: o.failed_tries,
            dead: o.dead,
            last_error: o.last_error,
        })
        .collect()
}

impl Collect for Overview {
    fn collect(&self, out: &mut Exposition) {
        if let Some(sensor) = self.sensor.get() {
            sensor.collect(out);
        }
        if let Some(in_use) = &self.rules {
            collect_rules(&in_use.now(), out);
        }
        for output in self.board.get().map_or_else(Vec::new, Board::status) {
            collect_output(&output, out);
        }
    }
}

impl Sensor {
    fn collect(&self, out: &mut Exposition) {
        for (event, counted) in self.counters.read() {
            let label = [("event", event.program)];
            let help = "Records that the eBPF programs handed to user space.";
            out.family("falconet_probe_events_total", Kind::Counter, help).sample(&label, counted.seen);
            let help = "Events that the eBPF programs dropped because nothing wants them.";
            out.family("falconet_probe_filtered_total", Kind::Counter, help).sample(&label, counted.filtered);
            let lost = out.family(
                "falconet_probe_lost_total",
                Kind::Counter,
                "Events lost in the kernel, by reason.",
            );
            for (reason, count) in [("full", counted.lost_full), ("build", counted.lost_build)] {
                lost.sample(&[("event", event.program), ("reason", reason)], count);
            }
        }
        let stats = &self.stats;
        let counters = [
            ("records", "Records taken from the lanes.", &stats.records),
            ("judged", "Events that rules were asked about.", &stats.judged),
            ("held", "Events that waited for their container's metadata.", &stats.held),
            (
                "hold_full",
                "Containers whose wait was ended because too many events waited.",
                &stats.hold_full,
            ),
            ("alerts", "Alerts raised.", &stats.alerts),
            ("alerts_lost", "Alerts lost because the alert log could not keep up.", &stats.alerts_lost),
            ("malformed", "Records that made no sense.", &stats.malformed),
            ("incomplete", "Containers that went out without metadata.", &stats.incomplete),
        ];
        for (name, help, counter) in counters {
            out.counter(&format!("falconet_engine_{name}_total"), help, read(counter));
        }
        out.gauge("falconet_processes", "Processes known.", read(&stats.processes));
        out.gauge("falconet_containers", "Containers known.", read(&stats.containers));
    }
}

fn collect_output(output: &crate::outputs::OutputStatus, out: &mut Exposition) {
    let label = [("destination", output.name.as_str())];
    let counters = [
        ("delivered", "Alerts that the destination took.", output.delivered),
        ("filtered", "Alerts below the output's minimum priority.", output.filtered),
        ("dead", "Alerts given up, now in the dead-letter list.", output.dead),
        ("lost", "Alerts that the log's limits removed before they could be sent.", output.lost),
        ("failed_tries", "Requests that failed.", output.failed_tries),
    ];
    for (name, help, count) in counters {
        let family = out.family(&format!("falconet_output_{name}_total"), Kind::Counter, help);
        family.sample(&label, count);
    }
    let help = "Alerts that the output has not dealt with.";
    out.family("falconet_output_waiting", Kind::Gauge, help).sample(&label, output.waiting);
    let help = "1 while the output works.";
    let healthy = u8::from(output.state == State::Healthy);
    out.family("falconet_output_healthy", Kind::Gauge, help).sample(&label, healthy);
}
