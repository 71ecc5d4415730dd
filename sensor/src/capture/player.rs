//! Gives a capture to a judge: the same engine as the sensor's, with a state that is sealed against this machine.

use std::sync::{Arc, Mutex, PoisonError};

use sensor_ebpf::events::Event;

use super::format::{ContainerFrame, Frame, Happened, Header};
use crate::alert::Alert;
use crate::engine::clock::Clock;
use crate::engine::judge::Observer;
use crate::engine::raise::TextOptions;
use crate::engine::stats::read;
use crate::engine::{Judge, Stats};
use crate::rules::RuleSet;
use crate::state::{ContainerEvent, ContainerKey, Containers, Processes, Users, processes};

/// A judge that is fed with frames.
pub struct Player {
    judge: Judge,
    /// Number of the newest event: its place among all events of the capture.
    number: u64,
    /// From boot time to the time of day; never negative, so that differences of times fit.
    offset: i64,
    raised: Raised,
    stats: Arc<Stats>,
}

/// Which alerts are wanted; what is empty, does not choose.
#[derive(Debug, Clone, Default)]
pub struct Only {
    /// Names of rules.
    pub rules: Vec<String>,
    /// Names of containers, or beginnings of their ids.
    pub containers: Vec<String>,
}

impl Only {
    pub fn rule(&self, name: &str) -> bool {
        self.rules.is_empty() || self.rules.iter().any(|rule| rule == name)
    }

    fn alert(&self, alert: &Alert) -> bool {
        let container = || {
            let of = alert.context.as_ref()?.get("container")?;
            let (name, id) = (of.get("name")?.as_str()?, of.get("id")?.as_str()?);
            let is = |wanted: &String| {
                name == wanted
                    || id.starts_with(wanted.as_str())
                    || (!id.is_empty() && wanted.starts_with(id))
            };
            Some(self.containers.iter().any(is))
        };
        self.rule(&alert.rule) && (self.containers.is_empty() || container().unwrap_or(false))
    }
}

/// Alerts that were not taken yet.
#[derive(Clone, Default)]
struct Raised(Arc<Mutex<Vec<Alert>>>);

impl Raised {
    fn take(&self) -> Vec<Alert> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Player {
    /// Gives the alerts that are wanted; of a capture of some containers those of these.
    pub fn new(header: &Header, rules: Arc<RuleSet>, text: TextOptions, mut only: Only) -> Self {
        if only.containers.is_empty() {
            only.containers.clone_from(&header.containers);
        }
        let raised = Raised::default();
        let stats = Arc::new(Stats::default());
        let sink = raised.clone();
        let boot = i64::try_from(header.boot).unwrap_or(0);
        let offset = header.started.saturating_sub(boot).max(0);
        let mut judge = Judge::new(
            Processes::sealed(processes::Options::default()),
            Users::sealed(header.host_mntns),
            Containers::sealed(),
            rules,
            header.hostname.clone(),
            text,
            Box::new(move |alert| {
                if only.alert(&alert) {
                    sink.0.lock().unwrap_or_else(PoisonError::into_inner).push(alert);
                }
                true
            }),
            stats.clone(),
        );
        judge.clock = Clock::standing(offset, header.boot);
        Self { judge, number: 0, offset, raised, stats }
    }

    /// `observer` sees every event that is judged, before its alerts are taken.
    pub fn observe(&mut self, observer: Observer) {
        self.judge.observer = Some(observer);
    }

    /// Takes in one frame.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        match frame {
            Frame::Record(record) => {
                if Event::of_kind(record.header().kind).is_some_and(|event| event.info.rules.is_some()) {
                    self.next_number();
                }
                self.judge.record(record);
            }
            Frame::Process(process) => self.judge.processes.insert(process.clone()),
            Frame::Cgroup(f) => {
                let key = ContainerKey(f.container);
                let outer = f.outer.map(ContainerKey);
                self.judge.containers.assign(f.cgroup, key, f.candidate.clone(), outer);
            }
            Frame::Member(f) => {
                let key = ContainerKey(f.container);
                self.judge.containers.admit(f.process, key, f.candidate.clone());
            }
            Frame::Container(frame) => self.container(frame),
            Frame::Names(listing) => self.judge.users.insert(listing.clone()),
            Frame::Clock(clock) => {
                self.offset = clock.offset.max(0);
                self.judge.clock = Clock::standing(self.offset, clock.time);
            }
            Frame::Lost(_) | Frame::End(_) | Frame::Unknown => {}
        }
    }

    fn container(&mut self, frame: &ContainerFrame) {
        let key = ContainerKey(frame.container);
        let event = match (frame.happened, frame.metadata.clone().map(Arc::from)) {
            (Happened::Ready, metadata) => ContainerEvent::Ready(key, metadata),
            (Happened::Updated, Some(metadata)) => ContainerEvent::Updated(key, metadata),
            (Happened::Removed, Some(metadata)) => ContainerEvent::Removed(key, metadata),
            (Happened::Updated | Happened::Removed, None) => return,
        };
        if !matches!(event, ContainerEvent::Updated(..) | ContainerEvent::Ready(_, None)) {
            self.next_number();
        }
        self.judge.clock = Clock::standing(self.offset, frame.time);
        self.judge.containers.settle(event);
        self.judge.poll();
    }

    fn next_number(&mut self) {
        self.number += 1;
        self.judge.number_next(self.number);
    }

    /// The alerts since the last call.
    pub fn take(&mut self) -> Vec<Alert> {
        self.raised.take()
    }

    /// Events in the capture so far, and those that rules were asked about.
    pub fn events(&self) -> u64 {
        self.number
    }

    pub fn judged(&self) -> u64 {
        read(&self.stats.judged)
    }
}

/// Number of the event that an alert of a player is about: its place in the capture.
pub fn number(alert: &Alert) -> Option<u64> {
    alert.context.as_ref()?.get("event")?.get("number")?.as_u64()
}
