//! The path that a call asked for, and what the filter may know of it before it is made absolute.

use super::call::Exit;
use super::file;
use super::writer::{Writer, opaque};
use crate::filter::{Asked, HEAD, Plain, join};
use crate::record::Tail;

/// Longest path that is looked at byte by byte.
const LOOKED_AT: usize = 256;

/// A path argument in the record.
pub struct Argument {
    /// As passed.
    pub raw: Tail,
    /// The directory that it starts from, if it is relative.
    pub base: Tail,
    pub head: Asked,
}

impl Argument {
    /// The call has no path.
    pub const NONE: Self = Self { raw: Tail::EMPTY, base: Tail::EMPTY, head: Asked::Nothing };
}

/// Appends the path argument at `raw` and, if it is relative, the directory that it starts from.
#[inline(always)]
pub fn append(w: &mut Writer, exit: &Exit, dirfd: i32, raw: u64) -> Argument {
    let raw = w.argument_str(exit, raw);
    if raw.len == 0 {
        return Argument::NONE;
    }
    let raw_head = w.head(raw);
    let is_plain = plain(u32::from(raw.off) | u32::from(raw.len) << 16) != 0;
    if w.byte(raw) == b'/' {
        let head = if is_plain { Asked::Path(raw_head) } else { Asked::Unclear };
        return Argument { raw, base: Tail::EMPTY, head };
    }
    let base = file::base(w, exit.task, dirfd);
    let base_head = w.head(base);
    let head = match (base.len, is_plain) {
        (0, _) => Asked::Nothing,
        (_, false) => Asked::Unclear,
        (len, true) => Asked::Path(join(
            base_head,
            opaque(if len as usize > HEAD { HEAD } else { len as usize }),
            raw_head,
        )),
    };
    Argument { raw, base, head }
}

/// Whether a tail of the record under construction, `off` in the low half and `len` in the high one, is [`Plain`]: 1 or 0. A global
/// function, so that the verifier follows the loop once and not at each call.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn plain(tail: u32) -> u32 {
    let Some(mut w) = Writer::resume() else { return 0 };
    let tail = Tail { off: tail as u16, len: (tail >> 16) as u16 };
    let len = tail.len as usize;
    let mut seen = Plain::START;
    // The first slash of an absolute path is where all begin.
    let first = w.byte(tail);
    if first != b'/' {
        seen.take(first);
    } else if len == 1 {
        return 1;
    }
    for at in 1..LOOKED_AT {
        if at >= len {
            return seen.end() as u32;
        }
        seen.take(w.byte(Tail { off: tail.off + at as u16, len: 1 }));
    }
    0
}
