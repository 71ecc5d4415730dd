//! A ring in this process's own memory, whose producer the test plays as `kernel/bpf/ringbuf.c` does.
#![expect(unsafe_code, reason = "memory that two threads share by a protocol, as the kernel's is")]

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::ring::{BUSY, DISCARD, HEADER, Memory, Ring};

/// The memory of a ring. The data lies there twice, for the kernel's two mappings of it.
pub struct Simulated {
    consumed: AtomicUsize,
    produced: AtomicUsize,
    data: Box<[UnsafeCell<u64>]>,
    size: usize,
}

// SAFETY: the bytes are used as the ring's protocol has it: by the producer from reserving to committing, by the consumer from
// then until it publishes its position.
unsafe impl Sync for Simulated {}

impl Simulated {
    fn at(&self, position: usize) -> *mut u8 {
        UnsafeCell::raw_get(self.data.as_ptr()).cast::<u8>().wrapping_add(position & (self.size - 1))
    }
}

impl Memory for Arc<Simulated> {
    fn size(&self) -> usize {
        self.size
    }

    fn consumed(&self) -> &AtomicUsize {
        &self.consumed
    }

    fn produced(&self) -> &AtomicUsize {
        &self.produced
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: inside the data, aligned to 8, and used atomically by both sides while it is a length word.
        unsafe { &*self.at(at & !7).cast() }
    }

    unsafe fn record(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: by the caller's word committed, and no longer than the data, which follows once more.
        unsafe { std::slice::from_raw_parts(self.at(at).add(HEADER), len) }
    }
}

/// A ring of `size` bytes and who fills it.
pub fn ring(size: usize) -> (Producer, Ring<Arc<Simulated>>) {
    let memory = Arc::new(Simulated {
        consumed: AtomicUsize::new(0),
        produced: AtomicUsize::new(0),
        data: (0..2 * size / 8).map(|_| UnsafeCell::new(0)).collect(),
        size,
    });
    (Producer { memory: memory.clone(), discarded: 0 }, Ring::new(memory))
}

/// The kernel's part. Alone: the kernel holds a lock while it reserves.
pub struct Producer {
    memory: Arc<Simulated>,
    discarded: u32,
}

/// A record that is being written.
#[derive(Clone, Copy)]
pub struct Reserved(usize);

impl Producer {
    /// Makes room for a record; `None` when there is none.
    pub fn reserve(&mut self, len: usize) -> Option<Reserved> {
        let at = self.memory.produced.load(Ordering::Relaxed);
        let end = at.wrapping_add((len + HEADER).next_multiple_of(8));
        let consumed = self.memory.consumed.load(Ordering::Acquire);
        if end.wrapping_sub(consumed) > self.memory.size {
            return None;
        }
        self.memory.word(at).store(u32::try_from(len).unwrap() | BUSY, Ordering::Relaxed);
        self.memory.produced.store(end, Ordering::Release);
        Some(Reserved(at))
    }

    /// Writes the bytes of a record, to both places where they lie.
    pub fn fill(&mut self, record: Reserved, bytes: &[u8]) {
        let size = self.memory.size;
        for (i, byte) in bytes.iter().enumerate() {
            let at = self.memory.at(record.0.wrapping_add(HEADER + i));
            // SAFETY: both are inside the data, and reserved for this record.
            unsafe {
                at.write(*byte);
                at.wrapping_add(size).write(*byte);
            }
        }
    }

    /// Shows the record to the consumer.
    pub fn commit(&mut self, record: Reserved) {
        self.memory.word(record.0).fetch_and(!BUSY, Ordering::AcqRel);
    }

    /// Gives the record up.
    pub fn discard(&mut self, record: Reserved) {
        let word = self.memory.word(record.0);
        word.store((word.load(Ordering::Relaxed) | DISCARD) & !BUSY, Ordering::Release);
        self.discarded += 1;
    }

    pub fn discarded(&self) -> u32 {
        self.discarded
    }

    /// A whole record at once; false when there is no room.
    pub fn put(&mut self, bytes: &[u8]) -> bool {
        let Some(record) = self.reserve(bytes.len()) else { return false };
        self.fill(record, bytes);
        self.commit(record);
        true
    }

    /// What no kernel does: any length word.
    pub fn write_word(&mut self, record: Reserved, word: u32) {
        self.memory.word(record.0).store(word, Ordering::Release);
    }

    /// What no kernel does: any position.
    pub fn jump(&mut self, to: usize) {
        self.memory.produced.store(to, Ordering::Release);
    }

    /// As if all had been read.
    pub fn consumed_up_to_here(&mut self) {
        self.memory.consumed.store(self.memory.produced.load(Ordering::Relaxed), Ordering::Release);
    }
}
