//! What a call moved: the first bytes of its data, out of one buffer or of several, and `struct msghdr`.

use super::call::Exit;
use super::writer::Writer;
use crate::record::{CUT_DATA, Tail};

/// Bytes that a record has of the data: Falco's `snaplen`.
const SNAPLEN: u64 = 80;
/// Buffers of a `struct iovec` array that are looked at; their lengths are added up.
const BUFFERS: u64 = 16;

/// The beginning of the data, and how much the caller has or has room for.
pub struct Data {
    pub first: Tail,
    pub size: u32,
}

/// The first of `len` bytes of the caller's memory.
#[inline(always)]
pub fn buffer(w: &mut Writer, ptr: u64, len: u64) -> Tail {
    w.user_bytes(ptr, if len > SNAPLEN { SNAPLEN } else { len }, SNAPLEN, CUT_DATA)
}

/// The first of `moved` bytes in the `count` buffers of a `struct iovec` array.
#[inline(always)]
pub fn buffers(exit: &Exit, iov: u64, count: u64, moved: u64) -> Data {
    let most = if moved > SNAPLEN { SNAPLEN } else { moved };
    let found = append_buffers(iov, count, most, exit.how());
    Data { first: Tail { off: found as u16, len: (found >> 16) as u16 }, size: (found >> 32) as u32 }
}

/// Appends the beginning of the data to the record under construction. The verifier checks it once, and not at each place that
/// asks for it. `most` bytes are wanted. Returns the [`Tail`], and above it the size, for a global function gives back no more than a
/// number.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn append_buffers(iov: u64, count: u64, most: u64, how: u32) -> u64 {
    let Some(mut w) = Writer::resume() else { return 0 };
    let (mut off, mut got, mut size) = (0, 0_u64, 0_u64);
    for n in 0..BUFFERS {
        if n >= count {
            break;
        }
        let found = append_buffer(iov, n, most.wrapping_sub(got), how);
        if found == UNREADABLE {
            break;
        }
        // One part follows the other in the record.
        if got == 0 {
            off = found & 0xffff;
        }
        got = got.wrapping_add((found >> 16) & 0xffff);
        size = size.wrapping_add(found >> 32);
    }
    if count > BUFFERS && got < most {
        w.cut(CUT_DATA);
    }
    let size = if size > u64::from(u32::MAX) { u64::from(u32::MAX) } else { size };
    off | got << 16 | size << 32
}

/// What [`append_buffer`] returns when there is nothing to go on with.
const UNREADABLE: u64 = u64::MAX;

/// The step of [`append_buffers`]: `left` bytes at most of the `n`th buffer. A function of its own for the same reason.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn append_buffer(iov: u64, n: u64, left: u64, how: u32) -> u64 {
    let Some(mut w) = Writer::resume() else { return UNREADABLE };
    let call = Exit::resume(0, 0, how);
    let (Some(base), Some(len)) = (call.word(iov, 2 * n), call.word(iov, 2 * n + 1)) else {
        w.cut(CUT_DATA);
        return UNREADABLE;
    };
    let size = if len > u64::from(u32::MAX) { u64::from(u32::MAX) } else { len };
    let wanted = if len < left { len } else { left };
    if wanted == 0 {
        return size << 32;
    }
    let part = w.user_bytes(base, wanted, SNAPLEN, CUT_DATA);
    if part.len == 0 {
        return UNREADABLE;
    }
    u64::from(part.off) | u64::from(part.len) << 16 | size << 32
}

/// A `struct user_msghdr`, and its compat form: seven words, of which the second is an `int`.
pub struct Message {
    /// The address and its length.
    pub name: u64,
    pub name_len: u64,
    /// The `struct iovec` array and how many there are.
    pub iov: u64,
    pub count: u64,
    pub control: u64,
    pub control_len: u64,
}

impl Message {
    /// Bytes of a `struct mmsghdr`, which has a length behind the message.
    pub const fn stride(compat: bool) -> u64 {
        if compat { 32 } else { 64 }
    }

    /// Bytes that went with it, out of a `struct mmsghdr`.
    #[inline(always)]
    pub fn moved(exit: &Exit, at: u64) -> u32 {
        exit.number(at.wrapping_add(if exit.compat { 28 } else { 56 }))
    }

    /// Reads the one that an argument points to; all zeros when it cannot be read. It takes the [`Writer::words`].
    #[inline(always)]
    pub fn read(w: &mut Writer, exit: &Exit, at: u64) -> Self {
        read_message(at, exit.how());
        let words = w.words();
        // SAFETY: inside the words; volatile, for a global function has written them.
        let word = |n: usize| unsafe { (&raw const words[n]).read_volatile() };
        Self {
            name: word(0),
            name_len: word(1) & u64::from(u32::MAX),
            iov: word(2),
            count: word(3),
            control: word(4),
            control_len: word(5),
        }
    }
}

/// Puts the words of a [`Message`] into the [`Writer::words`]. A global function: a word of 32 bits is another thing to the verifier
/// than one of 64, and with six of them it would go on in as many ways as they can be combined.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_message(at: u64, how: u32) -> u32 {
    let Some(mut w) = Writer::resume() else { return 0 };
    let exit = Exit::resume(0, 0, how);
    for (n, word) in w.words().iter_mut().take(6).enumerate() {
        *word = exit.word(at, n as u64).unwrap_or(0);
    }
    0
}
