//! Consumer side of a BPF ring buffer (`BPF_MAP_TYPE_RINGBUF`).
//!
//! Unlike aya's, it lets the caller look at the next record before taking it (lanes are merged by time) and publishes the
//! consumer position once per batch instead of once per record. The memory comes by a trait: the kernel's
//! ([`super::mapping`]), or a test's, which plays the kernel's part.
#![expect(unsafe_code, reason = "records are borrowed from memory that is shared with the kernel")]

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Bits of a record's length word (`BPF_RINGBUF_BUSY_BIT`, `BPF_RINGBUF_DISCARD_BIT`).
pub(super) const BUSY: u32 = 1 << 31;
pub(super) const DISCARD: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`.
pub(super) const HEADER: usize = 8;

/// The memory that producer and consumer share. Positions count bytes since the ring was made.
pub trait Memory {
    /// Bytes of the data area, a power of two.
    fn size(&self) -> usize;

    /// Up to where the consumer has read.
    fn consumed(&self) -> &AtomicUsize;

    /// Up to where producers have reserved.
    fn produced(&self) -> &AtomicUsize;

    /// The length word of the record at position `at`.
    fn word(&self, at: usize) -> &AtomicU32;

    /// The `len` bytes of the record at position `at`, behind its header.
    ///
    /// # Safety
    /// A producer has committed a record of that length there, it and its header are no longer than the data area, and
    /// the consumer position does not pass it while the bytes are borrowed.
    unsafe fn record(&self, at: usize, len: usize) -> &[u8];
}

/// One lane.
pub struct Ring<M> {
    memory: M,
    /// Next byte to read; ahead of the published consumer position by the records taken since.
    position: usize,
    /// Where the record ends that `peek` returned last.
    end: usize,
    torn: u64,
}

impl<M: Memory> Ring<M> {
    /// Reads on where the memory's last consumer stopped.
    pub fn new(memory: M) -> Self {
        let position = memory.consumed().load(Ordering::Acquire);
        Self { memory, position, end: position, torn: 0 }
    }

    /// The next record, if one is complete. Does not take it.
    pub fn peek(&mut self) -> Option<&[u8]> {
        loop {
            // Pairs with the kernel's store-release of the position after reserving.
            let produced = self.memory.produced().load(Ordering::Acquire);
            let waiting = produced.wrapping_sub(self.position);
            if waiting == 0 {
                return None;
            }
            // Pairs with the kernel's xchg when it commits the record.
            let word = self.memory.word(self.position).load(Ordering::Acquire);
            if word & BUSY != 0 {
                return None;
            }
            let len = (word & !DISCARD) as usize;
            let whole = (len + HEADER).next_multiple_of(8);
            if whole > waiting || waiting > self.memory.size() {
                // The kernel never writes such a length. Whatever is there cannot be read, nor what follows be found.
                self.torn += 1;
                (self.position, self.end) = (produced, produced);
                continue;
            }
            self.end = self.position.wrapping_add(whole);
            if word & DISCARD != 0 {
                self.position = self.end;
                continue;
            }
            // SAFETY: the word says that the record is committed, and that it lies in the part that producers have reserved, which
            // is no longer than the data area. The consumer position passes it in `publish` only, which needs `&mut self`.
            return Some(unsafe { self.memory.record(self.position, len) });
        }
    }

    /// Takes the record that `peek` returned; nothing if it returned none since.
    pub fn advance(&mut self) {
        self.position = self.end;
    }

    /// Gives the room of the records taken back to the producers.
    pub fn publish(&mut self) {
        // The kernel reads it with load-acquire before it reuses the room.
        self.memory.consumed().store(self.position, Ordering::Release);
    }

    /// Bytes that wait, records not yet complete included.
    pub fn backlog(&self) -> usize {
        self.memory.produced().load(Ordering::Relaxed).wrapping_sub(self.position)
    }

    /// Times that a length made no sense and all that waited was given up.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// What it reads from.
    pub fn memory(&self) -> &M {
        &self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::{Producer, ring};
    use super::*;

    #[test]
    fn a_record_is_there_when_it_is_committed_and_not_before() {
        let (mut producer, mut ring) = ring(64);
        assert_eq!(ring.peek(), None);
        let (first, second) = (producer.reserve(3).unwrap(), producer.reserve(0).unwrap());
        producer.fill(first, b"abc");
        producer.commit(second);
        assert_eq!(ring.peek(), None, "the first one is being written and hides the second");
        assert_eq!(ring.backlog(), 24);
        producer.commit(first);
        assert_eq!(ring.peek(), Some(&b"abc"[..]));
        assert_eq!(ring.peek(), Some(&b"abc"[..]), "looking takes nothing");
        ring.advance();
        assert_eq!(ring.peek(), Some(&b""[..]));
        ring.advance();
        assert_eq!(ring.peek(), None);
        assert_eq!(ring.backlog(), 0);
        ring.advance();
        assert_eq!(ring.backlog(), 0, "there was nothing to take");
    }

    #[test]
    fn discarded_records_are_passed_over() {
        let (mut producer, mut ring) = ring(64);
        for (bytes, keep) in [(&b"no"[..], false), (b"yes", true), (b"neither", false)] {
            let at = producer.reserve(bytes.len()).unwrap();
            producer.fill(at, bytes);
            if keep { producer.commit(at) } else { producer.discard(at) }
        }
        assert_eq!(ring.peek(), Some(&b"yes"[..]));
        ring.advance();
        assert_eq!(ring.peek(), None);
        assert_eq!(ring.backlog(), 0);
    }

    #[test]
    fn room_comes_back_when_it_is_published() {
        let (mut producer, mut ring) = ring(64);
        let put = |producer: &mut Producer| producer.put(&[7; 24]);
        assert!(put(&mut producer) && put(&mut producer));
        assert!(!put(&mut producer), "full");
        assert!(ring.peek().is_some());
        ring.advance();
        assert!(!put(&mut producer), "taken, and not yet given back");
        ring.publish();
        assert!(put(&mut producer));
    }

    #[test]
    fn a_record_across_the_end_is_in_one_piece() {
        let (mut producer, mut ring) = ring(64);
        for n in 0..40_u8 {
            // 48 bytes with its header: each begins elsewhere.
            let bytes: Vec<u8> = (0..37).map(|i| i ^ n).collect();
            assert!(producer.put(&bytes));
            assert_eq!(ring.peek(), Some(&bytes[..]));
            ring.advance();
            ring.publish();
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_not_followed() {
        for len in [64, 4096, DISCARD - 1, DISCARD | 64, DISCARD | (DISCARD - 1)] {
            let (mut producer, mut ring) = ring(64);
            assert!(producer.put(b"good"));
            let bad = producer.reserve(8).unwrap();
            producer.write_word(bad, len);
            assert!(producer.put(b"lost"));
            assert_eq!(ring.peek(), Some(&b"good"[..]));
            ring.advance();
            assert_eq!(ring.peek(), None, "{len:#x}");
            assert_eq!(ring.torn(), 1, "{len:#x}");
            ring.publish();
            assert!(producer.put(b"again"));
            assert_eq!(ring.peek(), Some(&b"again"[..]), "it goes on behind what made no sense");
        }
    }

    #[test]
    fn a_producer_position_that_cannot_be_is_not_believed() {
        let (mut producer, mut ring) = ring(64);
        assert!(producer.put(b"x"));
        producer.jump(1 << 20);
        assert_eq!(ring.peek(), None);
        assert_eq!((ring.torn(), ring.backlog()), (1, 0));
    }

    #[test]
    fn positions_may_go_round() {
        let (mut producer, mut ring) = ring(64);
        producer.jump(0_usize.wrapping_sub(16));
        producer.consumed_up_to_here();
        ring = Ring::new(ring.memory);
        for text in [&b"12345678"[..], b"abcdefgh", b"."] {
            assert!(producer.put(text));
            assert_eq!(ring.peek(), Some(text));
            ring.advance();
            ring.publish();
        }
        assert_eq!(ring.torn(), 0);
    }

    #[test]
    fn a_producer_that_runs_at_the_same_time_loses_only_what_it_counts() {
        /// Miri looks at every step.
        const RECORDS: u32 = if cfg!(miri) { 200 } else { 200_000 };
        let (mut producer, mut ring) = ring(256);
        let writer = std::thread::spawn(move || {
            let mut lost = 0_u32;
            for n in 0..RECORDS {
                let mut bytes = n.to_ne_bytes().repeat(1 + n as usize % 9);
                bytes.truncate(4 + n as usize % 31);
                let Some(at) = producer.reserve(bytes.len()) else {
                    lost += 1;
                    std::thread::yield_now();
                    continue;
                };
                producer.fill(at, &bytes);
                if n % 7 == 0 { producer.discard(at) } else { producer.commit(at) }
            }
            (lost, producer)
        });
        let (mut delivered, mut last) = (0_u32, None);
        loop {
            let ended = writer.is_finished();
            while let Some(bytes) = ring.peek() {
                let n = u32::from_ne_bytes(bytes[..4].try_into().unwrap());
                assert!(last.is_none_or(|last| last < n) && n % 7 != 0);
                assert_eq!(bytes.len(), (4 + n as usize % 31).min(4 * (1 + n as usize % 9)));
                assert!(bytes.iter().zip(n.to_ne_bytes().iter().cycle()).all(|(a, b)| a == b));
                (delivered, last) = (delivered + 1, Some(n));
                ring.advance();
                if n % 3 == 0 {
                    ring.publish();
                }
            }
            ring.publish();
            if ended {
                break;
            }
            std::hint::spin_loop();
        }
        let (lost, producer) = writer.join().unwrap();
        assert_eq!(delivered + lost + producer.discarded(), RECORDS);
        assert_eq!((ring.torn(), ring.backlog()), (0, 0));
    }
}
