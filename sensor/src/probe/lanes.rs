//! The lanes from the kernel, and the sleep of who reads them.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use aya::maps::{Array, MapData};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sensor_ebpf::record::Record;

use super::mapping::Mapped;
use super::merge::Merge;

/// All lanes of one probe. Used by one thread.
pub struct Lanes {
    merge: Merge<Mapped>,
    asleep: Array<MapData, u32>,
}

impl Lanes {
    pub(super) fn new(merge: Merge<Mapped>, asleep: Array<MapData, u32>) -> Self {
        Self { merge, asleep }
    }

    /// Hands at most `limit` records to `each`, oldest first. Returns how many it took.
    pub fn drain(&mut self, limit: usize, each: impl FnMut(Record<'_>)) -> usize {
        self.merge.drain(limit, each)
    }

    /// Bytes that wait in all lanes.
    pub fn backlog(&self) -> usize {
        self.merge.backlog()
    }

    /// Records that made no sense; the kernel side never writes one.
    pub fn malformed(&self) -> u64 {
        self.merge.malformed()
    }

    /// Sleeps until a record arrives, one of `others` is readable, or `timeout` passes.
    ///
    /// The kernel wakes nobody who is awake. A record that slips in between the look at the lanes and the sleep is found when the
    /// timeout ends, so keep it short.
    pub fn wait(&mut self, timeout: Duration, others: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.asleep.set(0, 1, 0).map_err(io::Error::other)?;
        if self.backlog() == 0 {
            let rings = self.merge.rings().map(|ring| ring.memory().as_fd());
            let mut fds: Vec<PollFd<'_>> = rings
                .chain(others.iter().copied())
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            let timeout = Timespec::try_from(timeout).ok();
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.asleep.set(0, 0, 0).map_err(io::Error::other)
    }
}
