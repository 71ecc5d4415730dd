//! Consumer side of a BPF ring buffer (`BPF_MAP_TYPE_RINGBUF`).
//!
//! Unlike aya's, it lets the caller look at the next record before taking it (lanes are merged by time) and publishes the
//! consumer position once per batch instead of once per record.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Bits of a record's length word (`BPF_RINGBUF_BUSY_BIT`, `BPF_RINGBUF_DISCARD_BIT`).
const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`.
const HEADER: usize = 8;

/// One lane.
pub struct Ring {
    map: OwnedFd,
    consumer: Mapping,
    /// Producer page, then the data twice in a row, so that a record never wraps.
    producer: Mapping,
    page: usize,
    mask: usize,
    /// Next byte to read; ahead of the published consumer position by the records taken since.
    position: usize,
}

impl Ring {
    /// Maps the ring of `map`, whose data area is `size` bytes (a power of two).
    pub fn new(map: OwnedFd, size: usize) -> io::Result<Self> {
        let page = page_size();
        let consumer = Mapping::new(map.as_fd(), page, libc::PROT_READ | libc::PROT_WRITE, 0)?;
        let producer = Mapping::new(map.as_fd(), page + 2 * size, libc::PROT_READ, page)?;
        let mut ring = Self { map, consumer, producer, page, mask: size - 1, position: 0 };
        ring.position = ring.consumer_position().load(Ordering::Acquire);
        Ok(ring)
    }

    fn consumer_position(&self) -> &AtomicUsize {
        // SAFETY: the page holds the kernel's `consumer_pos` at its start, is aligned and lives as long as `self`.
        unsafe { self.consumer.ptr.cast().as_ref() }
    }

    fn producer_position(&self) -> &AtomicUsize {
        // SAFETY: the page holds the kernel's `producer_pos` at its start, is aligned and lives as long as `self`.
        unsafe { self.producer.ptr.cast().as_ref() }
    }

    /// The next record, if one is complete. Does not take it.
    pub fn peek(&mut self) -> Option<&[u8]> {
        loop {
            // Pairs with the kernel's store-release of the position after reserving.
            let end = self.producer_position().load(Ordering::Acquire);
            if self.position == end {
                return None;
            }
            let at = self.page + (self.position & self.mask);
            // SAFETY: a record header lies inside the data area, is aligned to 8, and the kernel writes it atomically.
            let word = unsafe { self.producer.ptr.add(at).cast::<AtomicU32>().as_ref() };
            // Pairs with the kernel's xchg when it commits the record.
            let word = word.load(Ordering::Acquire);
            if word & BUSY != 0 {
                return None;
            }
            let len = (word & !DISCARD) as usize;
            if word & DISCARD != 0 {
                self.position += (len + HEADER).next_multiple_of(8);
                continue;
            }
            // SAFETY: the kernel committed `len` bytes behind the header; the second mapping keeps them contiguous, and
            // they stay until the consumer position passes them, which needs `&mut self`.
            return Some(unsafe {
                std::slice::from_raw_parts(self.producer.ptr.add(at + HEADER).as_ptr(), len)
            });
        }
    }

    /// Takes the record that `peek` returned.
    pub fn advance(&mut self) {
        let at = self.page + (self.position & self.mask);
        // SAFETY: as in `peek`.
        let word = unsafe { self.producer.ptr.add(at).cast::<AtomicU32>().as_ref() }.load(Ordering::Relaxed);
        self.position += ((word & !(BUSY | DISCARD)) as usize + HEADER).next_multiple_of(8);
    }

    /// Gives the room of the records taken back to the kernel.
    pub fn publish(&mut self) {
        // The kernel reads it with load-acquire before it reuses the room.
        self.consumer_position().store(self.position, Ordering::Release);
    }

    /// Bytes that wait, records not yet complete included.
    pub fn backlog(&self) -> usize {
        self.producer_position().load(Ordering::Relaxed).wrapping_sub(self.position)
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.map.as_raw_fd()
    }
}

/// Size of a page of memory in bytes.
pub fn page_size() -> usize {
    rustix::param::page_size()
}

/// A shared mapping of a map's file, unmapped on drop.
struct Mapping {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is owned, and shared memory may be used from any thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, len: usize, prot: i32, offset: usize) -> io::Result<Self> {
        let len = NonZeroUsize::new(len).ok_or(io::ErrorKind::InvalidInput)?.get();
        let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let ptr =
            unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, fd.as_raw_fd(), offset) };
        if ptr == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let ptr = NonNull::new(ptr.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { ptr, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: maps exactly what `new` mapped; no reference outlives `self`.
        unsafe { libc::munmap(self.ptr.as_ptr().cast(), self.len) };
    }
}
