//! The programs' own counters: what each event type saw, filtered and lost.

use aya::maps::{MapData, MapError, PerCpuArray};
use sensor_ebpf::config::Counters;
use sensor_ebpf::events::{EVENTS, Event};

/// The kernel's counters fit aya's idea of plain data.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
struct Raw(Counters);

// SAFETY: `Counters` is `repr(C)` and consists of `u64`s.
unsafe impl aya::Pod for Raw {}

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
        self.lost_full + self.lost_build
    }
}

/// Reader of the counters; may be shared with the metrics end.
pub struct Counted {
    map: PerCpuArray<MapData, Raw>,
}

impl Counted {
    pub(super) fn new(map: aya::maps::Map) -> Result<Self, MapError> {
        Ok(Self { map: PerCpuArray::try_from(map)? })
    }

    /// Counters of every event type, summed over CPUs.
    pub fn read(&self) -> Vec<(&'static Event, EventCounters)> {
        EVENTS
            .iter()
            .map(|event| {
                let mut sum = EventCounters::default();
                if let Ok(values) = self.map.get(&u32::from(event.kind as u16), 0) {
                    for Raw(c) in values.iter() {
                        sum.seen += c.seen;
                        sum.filtered += c.filtered;
                        sum.lost_full += c.lost_full;
                        sum.lost_build += c.lost_build;
                    }
                }
                (event, sum)
            })
            .collect()
    }

    /// The sum over all event types.
    pub fn total(&self) -> EventCounters {
        self.read().into_iter().fold(EventCounters::default(), |mut all, (_, c)| {
            all.seen += c.seen;
            all.filtered += c.filtered;
            all.lost_full += c.lost_full;
            all.lost_build += c.lost_build;
            all
        })
    }
}
