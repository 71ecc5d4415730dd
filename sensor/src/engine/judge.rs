//! What happens to each record, in order: state, process, container, names, rules, alert.
//!
//! The process, the metadata of its container and the names of its users may have to be asked for. The event then waits in
//! [`Hold`], and goes on from where it was when the answer is there, or with what is known when there is none in time.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bumpalo::Bump;
use sensor_ebpf::events::{self, Change, EVENTS, Event, ParamType, View};
use sensor_ebpf::record::Record;

use super::clock::Clock;
use super::hold::{Facts, Held, Hold, Missing, Waits};
use super::live::{Known, Live, What};
use super::raise::{self, TextOptions};
use super::sights::{Watch, Watching};
use super::stats::{self, Stats, Tables};
use super::storm::{self, Storms};
use crate::alert::Alert;
use crate::rules::registry::event_types;
use crate::rules::{EventType, Field, RuleSet, Scratch};
use crate::state::{Container, ContainerEvent, Containers, Found, Process, Processes, Users, Where};

/// Where alerts go: the alert log, or a test's list. False when it had no room.
pub type Sink = Box<dyn FnMut(Alert) -> bool + Send>;

/// Sees each event, in all its readings, after the rules were asked about it: replay makes test cases of some.
pub type Observer = Box<dyn FnMut(&[Live<'_>]) + Send>;

/// What the judge makes of one event kind.
#[derive(Clone, Copy)]
struct Interest {
    view: &'static View,
    ty: EventType,
    /// Some rule shows or asks for names of users and groups.
    names: bool,
}

/// An event that is ready to be judged.
#[derive(Clone, Copy)]
struct Subject<'a> {
    what: What<'a>,
    ty: EventType,
    name: &'static str,
    /// `CLOCK_BOOTTIME` ns.
    boot: u64,
    container: Option<&'a Container>,
    number: u64,
    missing: Missing,
}

/// Waits of one event, one after the other, that the end goes through.
const MOST_WAITS: usize = 16;

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
    /// More waits than there is room for: [`Judge::poll`] is due.
    full: bool,
    storms: Storms,
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
    /// A judge with its (seeded) state. It raises every alert: see [`Judge::limit`].
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
            full: false,
            storms: Storms::default(),
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

    /// Leaves out alerts of a storm from now on. Not for a replay: it is to show everything on which the rules fire.
    pub fn limit(&mut self, options: storm::Options) {
        self.storms = Storms::new(options);
    }

    /// Reads the host's users and groups if a rule wants names, and waits for it: before events are judged.
    pub fn seed_names(&mut self) {
        if self.interests.iter().flatten().any(|interest| interest.names) {
            self.users.seed(self.clock.now());
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
        let ends = matches!(events::change(record), Some(Change::Exited { .. }));
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
        self.settle(record, interest, self.number, Facts::default());
        if self.full {
            self.poll();
        }
    }

    /// Judges the event, or has it wait for what is not known yet.
    fn settle(&mut self, record: &Record<'_>, interest: Interest, number: u64, mut facts: Facts) {
        let header = record.header();
        let process = match facts.process.take() {
            Some(process) => process,
            None => match self.processes.find(header.exec_id, header.tgid, header.time) {
                Found::Known(process) => process,
                Found::Unknown(process) => {
                    facts.missing.process = true;
                    process
                }
                Found::Pending { key, process } => {
                    facts.process = process;
                    return self.keep(Waits::Process(key), record, number, facts);
                }
            },
        };
        let place = match facts.place.take() {
            Some(place) => place,
            None => match self.containers.of(header) {
                Where::Host => None,
                Where::Container(container) => Some(container.clone()),
                Where::Pending(key) => {
                    facts.process = Some(process);
                    return self.keep(Waits::Container(key), record, number, facts);
                }
            },
        };
        if interest.names {
            let others = self.processes.neighbours(&process, header.time);
            if !facts.names
                && let Some(mntns) = self.users.prepare(&process, others, header.time)
            {
                let facts = Facts { process: Some(process), place: Some(place), names: true, ..facts };
                return self.keep(Waits::Names(mntns), record, number, facts);
            }
            facts.missing.names = !self.users.knows(&process);
        }
        self.evaluate(Subject {
            what: What::Syscall { record: *record, view: interest.view, process: &process },
            ty: interest.ty,
            name: interest.view.name,
            boot: header.time,
            container: place.as_deref(),
            number,
            missing: facts.missing,
        });
    }

    fn keep(&mut self, waits: Waits, record: &Record<'_>, number: u64, facts: Facts) {
        stats::count(self.stats.held(waits));
        if let Some(full) = self.hold.push(waits, record, number, facts) {
            stats::count(&self.stats.hold_full);
            self.give_up(full);
            self.full = true;
        }
    }

    /// Ends a wait; the next poll releases what waited.
    fn give_up(&mut self, waits: Waits) {
        match waits {
            Waits::Process(key) => self.processes.give_up(key),
            Waits::Container(key) => self.containers.give_up(key),
            Waits::Names(mntns) => self.users.give_up(mntns),
        }
    }

    fn evaluate(&mut self, subject: Subject<'_>) {
        stats::count(&self.stats.judged);
        let known = Known {
            processes: &self.processes,
            users: &self.users,
            clock: &self.clock,
            hostname: &self.hostname,
            hosts: &**self.rules.names(),
        };
        let Subject { what, ty, name, boot, container, number, missing } = subject;
        let time = self.clock.wall(boot);
        self.last = time;
        let (sink, stats, text, rules) = (&mut self.sink, &self.stats, self.text, &self.rules);
        let (known, reading, bump) = (&known, rules.readings().first(), &self.bump);
        let live = Live { what, ty, name, time, boot, number, container, known, reading, bump };
        let several = live.readings(rules);
        let readings = several.as_deref().unwrap_or(std::slice::from_ref(&live));
        let storms = &mut self.storms;
        rules.evaluate_readings(&mut self.scratch, readings, |rule, live| {
            if !storms.admits(rule, live) {
                stats::count(&stats.alerts_left_out);
                return;
            }
            stats::count(&stats.alerts);
            if !sink(raise::alert(rules, rule, live, missing, text)) {
                stats::count(&stats.alerts_lost);
            }
        });
        if let Some(observer) = &mut self.observer {
            observer(readings);
        }
        for watching in &mut self.watched {
            watching.look(&self.rules, readings);
        }
        drop(several);
        self.bump.reset();
    }

    /// Takes in what became known and judges what waited for it. Call it often: it is cheap when nothing did.
    pub fn poll(&mut self) {
        loop {
            self.full = false;
            for settled in self.processes.poll() {
                for mut held in self.hold.release(Waits::Process(settled.key)) {
                    self.identify(&mut held, settled.told.as_ref());
                    self.resume(held);
                }
            }
            for event in self.containers.poll() {
                self.container(event);
            }
            for settled in self.users.poll() {
                for held in self.hold.release(Waits::Names(settled.mntns)) {
                    self.resume(held);
                }
            }
            // Those that go on may have to wait for something else. Each time round the largest wait is over.
            if !self.full {
                return;
            }
        }
    }

    /// Fills in the process of an event that waited for it.
    fn identify(&self, held: &mut Held, told: Option<&Arc<Process>>) {
        let (None, Some(record)) = (&held.facts.process, held.record()) else { return };
        let header = record.header();
        let found = match told {
            Some(process) => Found::Known(process.clone()),
            // A record may have told meanwhile.
            None => self.processes.known(header.exec_id, header.tgid),
        };
        if let Found::Known(process) | Found::Unknown(process) = &found {
            held.facts.process = Some(process.clone());
        }
        held.facts.missing.process = !matches!(found, Found::Known(_));
    }

    fn container(&mut self, event: ContainerEvent) {
        match event {
            ContainerEvent::Ready(key, container) => {
                if let Some(container) =
                    container.as_ref().filter(|container| self.containers.is_news(container))
                {
                    self.meta_event(self.meta.added, "container", container);
                }
                for mut held in self.hold.release(Waits::Container(key)) {
                    // Without one, what is around it is asked for.
                    held.facts.place = container.clone().map(Some);
                    self.resume(held);
                }
            }
            ContainerEvent::Updated(..) => {}
            ContainerEvent::Removed(_, container) => {
                self.meta_event(self.meta.removed, "container_removed", &container);
            }
        }
    }

    /// Goes on with an event that waited.
    fn resume(&mut self, mut held: Held) {
        let facts = std::mem::take(&mut held.facts);
        let Some(record) = held.record() else { return };
        if let Some(Some(interest)) = self.interests.get(usize::from(record.header().kind)).copied() {
            self.settle(&record, interest, held.number, facts);
        }
    }

    fn meta_event(&mut self, ty: Option<EventType>, name: &'static str, container: &Container) {
        self.number += 1;
        if let Some(ty) = ty {
            self.evaluate(Subject {
                what: What::Meta,
                ty,
                name,
                boot: self.clock.now(),
                container: Some(container),
                number: self.number,
                missing: Missing::default(),
            });
        }
    }

    /// The end: what waits goes out with what is known, and an alert says what a storm left out.
    pub fn finish(&mut self) {
        // An event that stops waiting may begin to wait for the next thing: the process, containers one in another, names.
        for _ in 0..MOST_WAITS {
            for waits in self.hold.waits() {
                self.give_up(waits);
            }
            self.poll();
        }
        let now = self.clock.now();
        if let Some(report) = self.storms.rest(now) {
            self.tell(|_, hostname| Some(report.alert(hostname)));
        }
        self.tick();
    }

    /// Descriptors that are readable when [`Judge::poll`] has something to do.
    pub fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        let (processes, containers) = (self.processes.wake_fd(), self.containers.wake_fd());
        processes.into_iter().chain(containers).chain(self.users.wake_fds()).collect()
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

    /// Once a second or so: the wall clock may have been set, and the sizes of the tables go to the statistics.
    pub fn tick(&mut self) {
        use std::sync::atomic::Ordering::Relaxed;
        self.clock = Clock::sample();
        self.stats.last_event.store(u64::try_from(self.last).unwrap_or(0), Relaxed);
        self.stats.note(Tables {
            processes: self.processes.stats(),
            containers: self.containers.stats(),
            users: self.users.stats(),
        });
        if let Some(report) = self.storms.report(self.clock.now()) {
            self.tell(|_, hostname| Some(report.alert(hostname)));
        }
        if self.watched.iter().any(Watching::is_over) {
            self.watched.retain(|watching| !watching.is_over());
            (self.interests, self.meta) = interests(&self.rules, &self.watched);
        }
    }
}

/// What rules and watching clients want to see: by event kind, and of the two events without a record.
fn interests(rules: &RuleSet, watched: &[Watching]) -> (Vec<Option<Interest>>, Meta) {
    let mut wanted = rules.event_types();
    let types = watched.iter().flat_map(Watching::types);
    wanted.extend(types.filter_map(|event| event_types::info(*event)).map(|info| info.name));
    let interest = |event: &'static Event| {
        let view = event.info.rules.as_ref().filter(|view| wanted.contains(view.name))?;
        let ty = event_types::by_name(view.name)?;
        Some(Interest { view, ty, names: wants_names(rules, ty, view) })
    };
    // Kind 0 is no event.
    let interests = std::iter::once(None).chain(EVENTS.iter().map(interest)).collect();
    let meta = |name| wanted.contains(name).then(|| event_types::by_name(name)).flatten();
    (interests, Meta { added: meta("container"), removed: meta("container_removed") })
}

/// Whether some rule shows or asks for a name from `passwd` or `group` when it sees such an event.
fn wants_names(rules: &RuleSet, ty: EventType, view: &View) -> bool {
    const NAMES: [Field; 5] =
        [Field::UserName, Field::UserHomedir, Field::UserShell, Field::UserLoginname, Field::GroupName];
    // Arguments are shown with what their ids mean.
    const ARGUMENTS: [Field; 3] = [Field::EvtArg, Field::EvtArgs, Field::EvtInfo];
    let reads = |fields: &[Field]| fields.iter().any(|field| rules.reads(ty, *field));
    let ids = view.params.iter().any(|param| matches!(param.ty, ParamType::Uid | ParamType::Gid));
    reads(&NAMES) || (ids && reads(&ARGUMENTS))
}
