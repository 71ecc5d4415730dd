//! The lanes from the kernel, merged into one sequence in the order of time.
//!
//! What happened to a process in one lane must be seen before or after its records of the other lane as it was:
//! an exec of the lifecycle lane may neither overtake an earlier open nor come late for a later one. Records of one process are
//! written one after the other, so whichever is visible tells that all earlier ones are: it suffices to take the oldest head, and to
//! look at the lifecycle lane again after a bulk head was chosen.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use aya::maps::{Array, MapData};
use sensor_ebpf::record::Record;

use super::ring::Ring;

/// How many records are taken before the kernel gets its room back.
const BATCH: usize = 256;

/// All lanes of one probe. Used by one thread.
pub struct Lanes {
    lifecycle: Ring,
    bulk: Vec<Ring>,
    asleep: Array<MapData, u32>,
    /// Records of a length or header that makes no sense; the kernel side never writes one.
    pub malformed: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Source {
    Lifecycle,
    Bulk(usize),
}

/// What a lane has next.
enum Next {
    At(u64),
    BeingWritten,
    Nothing,
}

impl Lanes {
    pub(super) fn new(lifecycle: Ring, bulk: Vec<Ring>, asleep: Array<MapData, u32>) -> Self {
        Self { lifecycle, bulk, asleep, malformed: 0 }
    }

    /// Hands at most `limit` records to `each`, oldest first. Returns how many.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(Record<'_>)) -> usize {
        let mut taken = 0;
        while taken < limit {
            let Some(source) = self.oldest() else { break };
            let ring = match source {
                Source::Lifecycle => &mut self.lifecycle,
                Source::Bulk(i) => &mut self.bulk[i],
            };
            let Some(bytes) = ring.peek() else { break };
            match Record::parse(bytes) {
                Some(record) => each(record),
                None => self.malformed += 1,
            }
            ring.advance();
            taken += 1;
            if taken % BATCH == 0 {
                self.publish();
            }
        }
        self.publish();
        taken
    }

    /// The lane whose next record is the oldest.
    fn oldest(&mut self) -> Option<Source> {
        let mut best = time(&mut self.lifecycle).map(|t| (t, Source::Lifecycle));
        for (i, ring) in self.bulk.iter_mut().enumerate() {
            if let Some(t) = time(ring)
                && best.is_none_or(|(b, _)| t < b)
            {
                best = Some((t, Source::Bulk(i)));
            }
        }
        // A lifecycle record may have become visible together with the bulk record that was chosen.
        if let Some((t, Source::Bulk(_))) = best {
            match self.next_lifecycle() {
                Next::At(l) if l <= t => best = Some((l, Source::Lifecycle)),
                Next::BeingWritten => return None,
                Next::At(_) | Next::Nothing => {}
            }
        }
        best.map(|(_, source)| source)
    }

    /// The lifecycle lane's next record. One that is still being written hides those behind it, which may be older than a bulk record
    /// that is there already: then it has to be waited for.
    fn next_lifecycle(&mut self) -> Next {
        /// A record is copied within microseconds.
        const LOOKS: usize = 1000;
        for _ in 0..LOOKS {
            if let Some(time) = time(&mut self.lifecycle) {
                return Next::At(time);
            }
            if self.lifecycle.backlog() == 0 {
                return Next::Nothing;
            }
            std::hint::spin_loop();
        }
        Next::BeingWritten
    }

    fn publish(&mut self) {
        self.lifecycle.publish();
        self.bulk.iter_mut().for_each(Ring::publish);
    }

    /// Bytes that wait in all lanes.
    pub fn backlog(&self) -> usize {
        self.lifecycle.backlog() + self.bulk.iter().map(Ring::backlog).sum::<usize>()
    }

    /// Sleeps until a record arrives, one of `others` is readable, or `timeout` passes.
    ///
    /// The kernel wakes nobody who is awake. A record that slips in between the look at the lanes and the sleep is found when the
    /// timeout ends, so keep it short.
    pub fn wait(&mut self, timeout: Duration, others: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.asleep.set(0, 1, 0).map_err(io::Error::other)?;
        if self.backlog() == 0 {
            let mut fds: Vec<libc::pollfd> = std::iter::once(&self.lifecycle)
                .chain(&self.bulk)
                .map(AsRawFd::as_raw_fd)
                .chain(others.iter().map(AsRawFd::as_raw_fd))
                .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 })
                .collect();
            let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
            // SAFETY: the array is valid for the call.
            if unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, ms) } < 0 {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
        self.asleep.set(0, 0, 0).map_err(io::Error::other)
    }
}

/// Time of a ring's next record; a malformed one counts as oldest, so that it is taken out.
fn time(ring: &mut Ring) -> Option<u64> {
    ring.peek().map(|bytes| Record::parse(bytes).map_or(0, |r| r.header().time))
}
