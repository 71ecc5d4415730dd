//! What happens to each record, in order: state, container, rules, alert.

use std::sync::Arc;

use bumpalo::Bump;
use sensor_ebpf::events::{self, Change, EVENTS, Event, View};
use sensor_ebpf::record::Record;

use super::clock::Clock;
use super::hold::{Held, Hold};
use super::live::{Known, Live, What};
use super::raise::{self, TextOptions};
use super::sights::{Watch, Watching};
use super::stats::{self, Stats, Tables};
use crate::alert::Alert;
use crate::rules::registry::event_types;
use crate::rules::{EventType, RuleSet, Scratch};
use crate::state::{Container, ContainerEvent, Containers, Process, Processes, Users, Where};

/// Where alerts go: the alert log, or a test's list. False when it had no room.
pub type Sink = Box<dyn FnMut(Alert) -> bool + Send>;

/// Sees each event after the rules were asked about it: replay makes test cases of some.
pub type Observer = Box<dyn FnMut(&Live<'_>) + Send>;

/// What the judge makes of one event kind.
#[derive(Clone, Copy)]
struct Interest {
    view: &'static View,
    ty: EventType,
}

/// The two events that no record carries.
struct Meta {
    added: Option<EventType>,
    removed: Option<EventType>,
}

/// The state and the rules; fed with records by one thread.
pub struct Judge {
    pub processes: Processes,
    pub users: Users,
    pub containers: Containers,
    rules: Arc<RuleSet>,
    scratch: Scratch,
    /// By event kind: what rules want to see.
    interests: Vec<Option<Interest>>,
    meta: Meta,
    hold: Hold,
    /// Replay sets it to the time of the capture.
    pub clock: Clock,
    bump: Bump,
    number: u64,
    /// Time of the newest event judged.
    last: i64,
    hostname: String,
    text: TextOptions,
    sink: Sink,
    pub observer: Option<Observer>,
    /// Rules that somebody watches.
    watched: Vec<Watching>,
    stats: Arc<Stats>,
}

/// Takes into the state what a record changes in it.
pub fn apply(processes: &mut Processes, containers: &mut Containers, record: &Record<'_>) {
    if Event::of_kind(record.header().kind).is_some_and(|event| event.info.feeds_state()) {
        processes.apply(record);
        containers.apply(record);
    }
}

impl Judge {
    /// A judge with its (seeded) state.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a judge, each named at the one place that makes one"
    )]
    pub fn new(
        processes: Processes,
        users: Users,
        containers: Containers,
        rules: Arc<RuleSet>,
        hostname: String,
        text: TextOptions,
        sink: Sink,
        stats: Arc<Stats>,
    ) -> Self {
        let (interests, meta) = interests(&rules, &[]);
        Self {
            processes,
            users,
            containers,
            scratch: Scratch::default(),
            interests,
            meta,
            rules,
            hold: Hold::new(),
            clock: Clock::sample(),
            bump: Bump::new(),
            number: 0,
            last: 0,
            hostname,
            text,
            sink,
            observer: None,
            watched: Vec::new(),
            stats,
        }
    }

    /// Takes other rules, and returns those that were used so far: each record is judged by the one set or the other. What is held
    /// is judged by the rules of the time when it is released.
    pub fn exchange(&mut self, rules: Arc<RuleSet>) -> Arc<RuleSet> {
        for watching in &mut self.watched {
            watching.find(&rules);
        }
        (self.interests, self.meta) = interests(&rules, &self.watched);
        std::mem::replace(&mut self.rules, rules)
    }

    /// Reports what happens around a rule, until nobody takes the reports any more.
    pub fn watch(&mut self, watch: Watch) {
        self.watched.push(Watching::new(watch, &self.rules));
        (self.interests, self.meta) = interests(&self.rules, &self.watched);
    }

    /// Takes in one record.
    pub fn record(&mut self, record: &Record<'_>) {
        stats::count(&self.stats.records);
        let kind = record.header().kind;
        if record.header().flags != 0 {
            self.stats.cut.count(kind, record.header().flags);
        }
        // The end of a process is judged while it is still there; everything else after the state has changed.
        let ends = matches!(events::change(record), Some(Change::Exited(_)));
        if !ends {
            apply(&mut self.processes, &mut self.containers, record);
        }
        if let Some(Some(interest)) = self.interests.get(usize::from(kind)).copied() {
            self.event(record, interest);
        }
        if ends {
            apply(&mut self.processes, &mut self.containers, record);
        }
    }

    /// The next event gets this number (`evt.num`): replay numbers events by their place in the capture, so that every rule set
    /// speaks of the same ones.
    pub fn number_next(&mut self, number: u64) {
        self.number = number.saturating_sub(1);
    }

    fn event(&mut self, record: &Record<'_>, interest: Interest) {
        self.number += 1;
        let header = record.header();
        let process = self.processes.get_or_heal(header.exec_id, header.tgid);
        let container = match self.containers.of_cgroup(header.cgroup) {
            Where::Host => None,
            Where::Container(container) => Some(container.clone()),
            Where::Pending(key) => {
                stats::count(&self.stats.held);
                if let Some(full) = self.hold.push(key, record, process, self.number) {
                    stats::count(&self.stats.hold_full);
                    self.containers.give_up(full);
                    self.poll();
                }
                return;
            }
        };
        self.judge(record, interest, &process, container.as_deref(), self.number);
    }

    fn judge(
        &mut self,
        record: &Record<'_>,
        interest: Interest,
        process: &Arc<Process>,
        container: Option<&Container>,
        number: u64,
    ) {
        let boot = record.header().time;
        self.users.prepare(process, boot);
        self.evaluate(
            What::Syscall { record: *record, view: interest.view, process },
            interest.ty,
            interest.view.name,
            boot,
            container,
            number,
        );
    }

    fn evaluate(
        &mut self,
        what: What<'_>,
        ty: EventType,
        name: &'static str,
        boot: u64,
        container: Option<&Container>,
        number: u64,
    ) {
        stats::count(&self.stats.judged);
        let known = Known {
            processes: &self.processes,
            users: &self.users,
            clock: &self.clock,
            hostname: &self.hostname,
        };
        let time = self.clock.wall(boot);
        self.last = time;
        let live = Live { what, ty, name, time, boot, number, container, known: &known, bump: &self.bump };
        let (sink, stats, text, rules) = (&mut self.sink, &self.stats, self.text, &self.rules);
        rules.evaluate(&mut self.scratch, &live, |rule| {
            stats::count(&stats.alerts);
            if !sink(raise::alert(rules, rule, &live, text)) {
                stats::count(&stats.alerts_lost);
            }
        });
        if let Some(observer) = &mut self.observer {
            observer(&live);
        }
        for watching in &mut self.watched {
            watching.look(&self.rules, &live);
        }
        self.bump.reset();
    }

    /// Takes in what became known of containers and judges what waited for it. Call it often: it is cheap when nothing did.
    pub fn poll(&mut self) {
        for event in self.containers.poll() {
            match event {
                ContainerEvent::Ready(key, container) => {
                    if let Some(container) = &container {
                        self.meta_event(self.meta.added, "container", container);
                    }
                    for held in self.hold.release(key) {
                        self.release(&held, container.as_deref());
                    }
                }
                ContainerEvent::Updated(..) => {}
                ContainerEvent::Removed(_, container) => {
                    self.meta_event(self.meta.removed, "container_removed", &container);
                }
            }
        }
    }

    fn release(&mut self, held: &Held, container: Option<&Container>) {
        let Some(record) = held.record() else { return };
        if let Some(Some(interest)) = self.interests.get(usize::from(record.header().kind)).copied() {
            self.judge(&record, interest, &held.process, container, held.number);
        }
    }

    fn meta_event(&mut self, ty: Option<EventType>, name: &'static str, container: &Container) {
        self.number += 1;
        if let Some(ty) = ty {
            self.evaluate(What::Meta, ty, name, self.clock.now(), Some(container), self.number);
        }
    }

    /// Raises an alert of the sensor's own, if there is one.
    pub fn tell(&mut self, alert: impl FnOnce(&Processes, &str) -> Option<Alert>) {
        if let Some(alert) = alert(&self.processes, &self.hostname) {
            stats::count(&self.stats.alerts);
            if !(self.sink)(alert) {
                stats::count(&self.stats.alerts_lost);
            }
        }
    }

    /// Once a second or so: the wall clock may have been set, and the sizes of the tables are told.
    pub fn tick(&mut self) {
        use std::sync::atomic::Ordering::Relaxed;
        self.clock = Clock::sample();
        self.stats.last_event.store(u64::try_from(self.last).unwrap_or(0), Relaxed);
        self.stats.note(Tables { processes: self.processes.stats(), containers: self.containers.stats() });
        if self.watched.iter().any(Watching::is_over) {
            self.watched.retain(|watching| !watching.is_over());
            (self.interests, self.meta) = interests(&self.rules, &self.watched);
        }
    }
}

/// What rules and those who watch them want to see: by event kind, and of the two events without a record.
fn interests(rules: &RuleSet, watched: &[Watching]) -> (Vec<Option<Interest>>, Meta) {
    let mut wanted = rules.event_types();
    let types = watched.iter().flat_map(Watching::types);
    wanted.extend(types.filter_map(|event| event_types::info(*event)).map(|info| info.name));
    let interest = |event: &'static Event| {
        let view = event.info.rules.as_ref().filter(|view| wanted.contains(view.name))?;
        Some(Interest { view, ty: event_types::by_name(view.name)? })
    };
    // Kind 0 is no event.
    let interests = std::iter::once(None).chain(EVENTS.iter().map(interest)).collect();
    let meta = |name| wanted.contains(name).then(|| event_types::by_name(name)).flatten();
    (interests, Meta { added: meta("container"), removed: meta("container_removed") })
}
