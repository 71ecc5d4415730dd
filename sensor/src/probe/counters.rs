//! The programs' own counters: what each event type saw, filtered and lost, and the calls that no program understands.
//!
//! They only grow. A read that fails gives what the last good one gave and is counted, so that nobody takes it for a fall to zero.

use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::{MapData, MapError, PerCpuArray};
use sensor_ebpf::config::{Counters, ForeignCalls};
use sensor_ebpf::events::{EVENTS, Event};

/// [`Counters`] and [`ForeignCalls`] as aya gives them.
type RawCounters = [u64; size_of::<Counters>() / 8];
type RawForeign = [u64; size_of::<ForeignCalls>() / 8];

/// Totals of one event type since load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCounters {
    /// Records handed to a lane.
    pub seen: u64,
    /// Dropped in the kernel because nothing wants them.
    pub filtered: u64,
    /// Lost because the lane was full.
    pub lost_full: u64,
    /// Lost because the record could not be built.
    pub lost_build: u64,
}

impl EventCounters {
    /// All losses.
    pub fn lost(&self) -> u64 {
        self.lost_full.saturating_add(self.lost_build)
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            seen: self.seen.saturating_sub(before.seen),
            filtered: self.filtered.saturating_sub(before.filtered),
            lost_full: self.lost_full.saturating_sub(before.lost_full),
            lost_build: self.lost_build.saturating_sub(before.lost_build),
        }
    }

    fn add(&mut self, more: &Self) {
        self.seen = self.seen.saturating_add(more.seen);
        self.filtered = self.filtered.saturating_add(more.filtered);
        self.lost_full = self.lost_full.saturating_add(more.lost_full);
        self.lost_build = self.lost_build.saturating_add(more.lost_build);
    }
}

/// The last good totals of one event type. Without a lock: the event thread reads them, too.
#[derive(Debug, Default)]
struct Totals([AtomicU64; 4]);

impl Totals {
    /// Takes what was read, if anything was, and returns what holds now.
    fn take(&self, read: Option<EventCounters>) -> EventCounters {
        let EventCounters { seen, filtered, lost_full, lost_build } = read.unwrap_or_default();
        let [of_seen, of_filtered, of_full, of_build] = &self.0;
        let larger = |kept: &AtomicU64, read: u64| kept.fetch_max(read, Ordering::Relaxed).max(read);
        EventCounters {
            seen: larger(of_seen, seen),
            filtered: larger(of_filtered, filtered),
            lost_full: larger(of_full, lost_full),
            lost_build: larger(of_build, lost_build),
        }
    }
}

/// Reader of the counters; may be shared with the metrics end.
pub struct Counted {
    map: PerCpuArray<MapData, RawCounters>,
    foreign: PerCpuArray<MapData, RawForeign>,
    /// In the order of the registry.
    totals: Vec<Totals>,
    failures: AtomicU64,
}

impl Counted {
    pub(super) fn new(map: aya::maps::Map, foreign: aya::maps::Map) -> Result<Self, MapError> {
        Ok(Self {
            map: PerCpuArray::try_from(map)?,
            foreign: PerCpuArray::try_from(foreign)?,
            totals: EVENTS.iter().map(|_| Totals::default()).collect(),
            failures: AtomicU64::new(0),
        })
    }

    /// Counters of every event type, summed over CPUs.
    pub fn read(&self) -> Vec<(&'static Event, EventCounters)> {
        EVENTS.iter().zip(&self.totals).map(|(event, totals)| (event, totals.take(self.sum(event)))).collect()
    }

    /// The sum over all event types.
    pub fn total(&self) -> EventCounters {
        self.read().iter().fold(EventCounters::default(), |mut all, (_, counters)| {
            all.add(counters);
            all
        })
    }

    fn sum(&self, event: &Event) -> Option<EventCounters> {
        let values = self.good(self.map.get(&u32::from(event.kind as u16), 0))?;
        Some(values.iter().fold(EventCounters::default(), |mut sum, one: &RawCounters| {
            let Counters { seen, filtered, lost_full, lost_build } = zerocopy::transmute!(*one);
            sum.add(&EventCounters { seen, filtered, lost_full, lost_build });
            sum
        }))
    }

    /// Calls through another interface than the native one, by CPU; `None` when they cannot be read.
    pub fn foreign(&self) -> Option<Vec<ForeignCalls>> {
        let values = self.good(self.foreign.get(&0, 0))?;
        Some(values.iter().map(|calls: &RawForeign| zerocopy::transmute!(*calls)).collect())
    }

    /// Reads that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn good<T>(&self, read: Result<T, MapError>) -> Option<T> {
        read.inspect_err(|error| {
            if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!(%error, "cannot read the counters of the eBPF programs; the last ones hold");
            }
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_is_no_fall_to_zero() {
        let totals = Totals::default();
        let read = EventCounters { seen: 10, filtered: 3, lost_full: 2, lost_build: 1 };
        assert_eq!(totals.take(None), EventCounters::default());
        assert_eq!(totals.take(Some(read)), read);
        assert_eq!(totals.take(None), read);
        // A slower reader's older numbers take nothing back.
        let older = EventCounters { seen: 9, lost_full: 4, ..read };
        assert_eq!(totals.take(Some(older)), EventCounters { lost_full: 4, ..read });
    }

    #[test]
    fn a_difference_never_underflows() {
        let (less, more) = (
            EventCounters { seen: 1, ..EventCounters::default() },
            EventCounters { seen: 3, lost_full: 1, ..EventCounters::default() },
        );
        assert_eq!(more.since(&less).seen, 2);
        assert_eq!(less.since(&more), EventCounters::default());
        assert_eq!(EventCounters { lost_full: u64::MAX, lost_build: 1, ..less }.lost(), u64::MAX);
    }
}
