//! Rings merged into one sequence in the order of time.
//!
//! What happened to a process must be seen in order, whichever lane its records took:
//! an exec of the lifecycle lane may neither overtake an earlier open nor come late for a later one. Records of one process are
//! written one after the other, so whichever is visible tells that all earlier ones are: it suffices to take the oldest head, and to
//! look at the lifecycle lane again after a bulk head was chosen.

use sensor_ebpf::record::Record;

use super::ring::{Memory, Ring};

/// How many records are taken before the kernel gets its room back.
const BATCH: usize = 256;

/// All lanes of one probe. Used by one thread.
pub struct Merge<M> {
    lifecycle: Ring<M>,
    bulk: Vec<Ring<M>>,
    /// Records of a header that makes no sense; the kernel side never writes one.
    malformed: u64,
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

impl<M: Memory> Merge<M> {
    pub fn new(lifecycle: Ring<M>, bulk: Vec<Ring<M>>) -> Self {
        Self { lifecycle, bulk, malformed: 0 }
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
        self.rings().map(Ring::backlog).sum()
    }

    /// Records that made no sense, and stretches of a ring that could not be read.
    pub fn malformed(&self) -> u64 {
        self.rings().map(Ring::torn).sum::<u64>() + self.malformed
    }

    /// All of them.
    pub fn rings(&self) -> impl Iterator<Item = &Ring<M>> {
        std::iter::once(&self.lifecycle).chain(&self.bulk)
    }
}

/// Time of a ring's next record; a malformed one counts as oldest, so that it is taken out.
fn time<M: Memory>(ring: &mut Ring<M>) -> Option<u64> {
    ring.peek().map(|bytes| Record::parse(bytes).map_or(0, |r| r.header().time))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sensor_ebpf::events::Kind;
    use sensor_ebpf::record::Header;
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::super::simulated::{Producer, Simulated, ring};
    use super::*;

    /// Two lanes of `size` bytes: the lifecycle lane's producer, the bulk lane's, and both merged.
    fn lanes(size: usize) -> (Producer, Producer, Merge<Arc<Simulated>>) {
        let ((life, lifecycle), (bulk, ring)) = (ring(size), ring(size));
        (life, bulk, Merge::new(lifecycle, vec![ring]))
    }

    /// A record that is nothing but a header.
    fn header(time: u64, tgid: u32, kind: Kind) -> Vec<u8> {
        let len = u32::try_from(size_of::<Header>()).unwrap();
        let kind = kind as u16;
        Header { time, tgid, tid: tgid, len, kind, ..Header::new_zeroed() }.as_bytes().to_vec()
    }

    fn times(merge: &mut Merge<Arc<Simulated>>) -> Vec<u64> {
        let mut times = Vec::new();
        merge.drain(usize::MAX, |record| times.push(record.header().time));
        times
    }

    #[test]
    fn records_come_in_the_order_of_time_and_of_equal_ones_the_lifecycle_first() {
        let (mut life, mut bulk, mut merge) = lanes(4096);
        for time in [3, 5, 8] {
            life.put(&header(time, 1, Kind::Exec));
        }
        for time in [1, 3, 4, 9] {
            bulk.put(&header(time, 1, Kind::Open));
        }
        assert_eq!(merge.backlog(), 7 * (size_of::<Header>() + 8));
        let mut seen = Vec::new();
        assert_eq!(merge.drain(3, |r| seen.push((r.header().time, r.header().kind))), 3);
        assert_eq!(seen, [(1, Kind::Open as u16), (3, Kind::Exec as u16), (3, Kind::Open as u16)]);
        assert_eq!(times(&mut merge), [4, 5, 8, 9]);
        assert_eq!(merge.backlog(), 0);
    }

    #[test]
    fn a_lifecycle_record_that_is_being_written_is_waited_for() {
        let (mut life, mut bulk, mut merge) = lanes(4096);
        let exec = header(1, 1, Kind::Exec);
        let reserved = life.reserve(exec.len()).unwrap();
        life.fill(reserved, &exec);
        bulk.put(&header(2, 1, Kind::Open));
        assert_eq!(times(&mut merge), [0_u64; 0], "what it hides may be older");
        life.commit(reserved);
        assert_eq!(times(&mut merge), [1, 2]);
    }

    #[test]
    fn what_makes_no_sense_is_counted_and_taken_out() {
        let (mut life, mut bulk, mut merge) = lanes(4096);
        bulk.put(b"short");
        let mut lies = header(1, 1, Kind::Open);
        lies[std::mem::offset_of!(Header, len)..][..4].copy_from_slice(&4096_u32.to_ne_bytes());
        bulk.put(&lies);
        let torn = life.reserve(8).unwrap();
        life.write_word(torn, 1 << 20);
        bulk.put(&header(2, 1, Kind::Open));
        assert_eq!(times(&mut merge), [2]);
        assert_eq!((merge.malformed(), merge.backlog()), (3, 0));
    }

    #[test]
    fn no_open_of_a_process_comes_before_the_exec_that_made_it() {
        /// Miri looks at every step.
        const ROUNDS: u32 = if cfg!(miri) { 60 } else { 20_000 };
        let (mut life, mut bulk, mut merge) = lanes(2048);
        let writer = std::thread::spawn(move || {
            let (mut clock, mut lost) = (0_u64, 0_u32);
            for process in 0..ROUNDS {
                for kind in [Kind::Exec, Kind::Open, Kind::Open] {
                    let lane = if kind == Kind::Exec { &mut life } else { &mut bulk };
                    clock += 1;
                    if !lane.put(&header(clock, process, kind)) {
                        lost += 1;
                        std::thread::yield_now();
                    }
                }
            }
            lost
        });
        let (mut last, mut delivered) = (0, 0_u32);
        loop {
            let ended = writer.is_finished();
            let taken = merge.drain(64, |record| {
                assert!(record.header().time > last, "{} after {last}", record.header().time);
                (last, delivered) = (record.header().time, delivered + 1);
            });
            if ended && taken == 0 {
                break;
            }
        }
        assert_eq!(delivered + writer.join().unwrap(), 3 * ROUNDS);
        assert_eq!(merge.malformed(), 0);
    }
}
