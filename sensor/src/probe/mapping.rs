//! The memory of a kernel ring buffer, mapped into this process.
#![expect(unsafe_code, reason = "the memory is shared with the kernel")]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicUsize};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::ring::{HEADER, Memory};

/// A ring buffer map: one page for the consumer, one for the producer, and the data twice in a row.
pub struct Mapped {
    map: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    page: usize,
    size: usize,
}

impl Mapped {
    /// Maps the ring of `map`, whose data area is `size` bytes (a power of two).
    pub fn new(map: OwnedFd, size: usize) -> io::Result<Self> {
        let page = page_size();
        let consumer = Mapping::new(map.as_fd(), page, ProtFlags::READ | ProtFlags::WRITE, 0)?;
        let producer = Mapping::new(map.as_fd(), page + 2 * size, ProtFlags::READ, page)?;
        Ok(Self { map, consumer, producer, page, size })
    }

    /// Where the byte `at` of the data area lies.
    fn data(&self, at: usize) -> *const u8 {
        self.producer.start.as_ptr().wrapping_add(self.page + (at & (self.size - 1)))
    }
}

impl Memory for Mapped {
    fn size(&self) -> usize {
        self.size
    }

    fn consumed(&self) -> &AtomicUsize {
        // SAFETY: the page holds the kernel's `consumer_pos` at its start, is aligned and lives as long as `self`.
        unsafe { self.consumer.start.cast().as_ref() }
    }

    fn produced(&self) -> &AtomicUsize {
        // SAFETY: the page holds the kernel's `producer_pos` at its start, is aligned and lives as long as `self`.
        unsafe { self.producer.start.cast().as_ref() }
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: the address is masked to lie inside the data area and to be aligned to 8; the kernel writes the length words of
        // records atomically.
        unsafe { &*self.data(at & !7).cast() }
    }

    unsafe fn record(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: by the caller's word the kernel has committed `len` bytes behind the header, which with it fit the data area;
        // its second mapping keeps them in one piece.
        unsafe { std::slice::from_raw_parts(self.data(at).add(HEADER), len) }
    }
}

impl AsFd for Mapped {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

/// Size of a page of memory in bytes.
pub fn page_size() -> usize {
    rustix::param::page_size()
}

/// A shared mapping of a map's file, unmapped on drop.
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is owned, and shared memory may be used from any thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, len: usize, access: ProtFlags, offset: usize) -> io::Result<Self> {
        let offset = u64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let start = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::SHARED, fd, offset) }?;
        Ok(Self { start: NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `new` mapped; no reference outlives `self`. It fails for no such range.
        let _ = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
    }
}
