//! Single reads of kernel and user memory.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};

/// A kernel address; null and garbage are fine, reads of them fail.
pub type Ptr = *const u8;

/// Reads a `T` at `ptr + off` of kernel memory; zero when it cannot be read.
#[inline(always)]
pub fn kernel<T: Copy + Default>(ptr: Ptr, off: usize) -> T {
    // Not zeroed here: the verifier would follow that loop, in each step of a walk.
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes exactly `size_of::<T>()` bytes, zeros when it fails, and tolerates any source address.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, ptr.wrapping_add(off).cast());
        value.assume_init()
    }
}

/// Reads a pointer at `ptr + off` of kernel memory.
#[inline(always)]
pub fn pointer(ptr: Ptr, off: usize) -> Ptr {
    kernel::<u64>(ptr, off) as Ptr
}

/// The first bytes of a kernel structure, read in one go (a helper call costs more than the bytes) into map memory (the
/// stack is too small).
///
/// User space checks before load that the members wanted lie inside (`config::PREFIXES`).
pub struct Prefix<'a, const WORDS: usize>(&'a [u64]);

impl<'a, const WORDS: usize> Prefix<'a, WORDS> {
    /// Reads the structure at `ptr` into `words`, which must be `WORDS` long; zeros when it cannot be read.
    #[inline(always)]
    pub fn read(words: &'a mut [u64], ptr: Ptr) -> Self {
        // SAFETY: the helper writes exactly `WORDS` words, as many as the caller gives, and tolerates any source address.
        unsafe { bpf_probe_read_kernel(words.as_mut_ptr().cast(), (8 * WORDS) as u32, ptr.cast()) };
        Self(words)
    }

    /// The member at `off`.
    #[inline(always)]
    pub fn get<T: Copy>(&self, off: usize) -> T {
        // SAFETY: user space has checked that the member lies inside, and the verifier checks it again.
        unsafe { self.0.as_ptr().cast::<u8>().add(off).cast::<T>().read_volatile() }
    }
}

/// Reads a `T` of the current process's memory.
#[inline(always)]
pub fn user<T: Copy + Default>(ptr: u64) -> Option<T> {
    let mut value = T::default();
    // SAFETY: the helper writes exactly `size_of::<T>()` bytes and tolerates any source address.
    let status =
        unsafe { bpf_probe_read_user((&raw mut value).cast(), size_of::<T>() as u32, ptr as *const _) };
    (status == 0).then_some(value)
}

/// The `n`th word of an array in the current process's memory, whose words have 32 bits if it is in a `compat` call.
#[inline(always)]
pub fn user_word(array: u64, n: u64, compat: bool) -> Option<u64> {
    if compat {
        user::<u32>(array.wrapping_add(4 * n)).map(u64::from)
    } else {
        user(array.wrapping_add(8 * n))
    }
}

/// Loads a `T` at `ptr + off` through a BTF-typed pointer (current task, tracepoint argument, or a pointer
/// loaded that way). The verifier checks type and offset; a bad address reads as zero.
///
/// # Safety
/// Only for pointers that the verifier knows as `PTR_TO_BTF_ID`.
#[inline(always)]
pub unsafe fn typed<T: Copy>(ptr: Ptr, off: usize) -> T {
    // SAFETY: by the caller's word; the kernel handles faults of such loads.
    unsafe { ptr.add(off).cast::<T>().read_volatile() }
}
