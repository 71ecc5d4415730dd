//! The kernel's own look at an event: what an event must have for any rule to match it. Made by user space from the rules;
//! an event that has none of it makes no record.
//!
//! It decides nothing that the rules would not: it is a *necessary* condition, so with and without it the alerts are the same.
//!
//! Rules change while events happen, and user space cannot exchange a filter in one step. So each has a version, odd while the
//! filter is being written; an event that met two versions, or an odd one, passes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::pod;

/// Bytes of a path that are looked at.
pub const HEAD: usize = 16;
/// Most alternatives of one event; more and the event is not filtered.
pub const ALTERNATIVES: usize = 32;

/// `Alternative::access`: the open asked to read; to write.
pub const READ: u32 = 1;
pub const WRITE: u32 = 2;

/// One way in which an open can matter to a rule. All parts must hold.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Alternative {
    /// The first bytes of the path, NUL-padded, under `mask`, are `value`: of the resolved one or of the one that was asked for.
    pub mask: [u64; 2],
    pub value: [u64; 2],
    /// All of these ([`READ`], [`WRITE`]) were asked for; 0: any open.
    pub access: u32,
    /// 1: the open succeeded; 0: failed ones matter too, whatever their path.
    pub success: u32,
}

pod!(Alternative { mask: [u64; 2], value: [u64; 2], access: u32, success: u32 });

/// What may pass, of one event type.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
pub struct Filter {
    /// Odd while the rest is being written, another even one after each change.
    pub version: u64,
    /// Alternatives in use; 0: everything passes.
    pub len: u64,
    pub alternatives: [Alternative; ALTERNATIVES],
}

impl Filter {
    /// Everything passes.
    pub const OPEN: Self = Self {
        version: 0,
        len: 0,
        alternatives: [Alternative { mask: [0; 2], value: [0; 2], access: 0, success: 0 }; ALTERNATIVES],
    };

    /// The filter with these alternatives; `None` when they are none or too many.
    pub fn of(alternatives: &[Alternative]) -> Option<Self> {
        if alternatives.is_empty() || alternatives.len() > ALTERNATIVES {
            return None;
        }
        let mut filter = Self { len: alternatives.len() as u64, ..Self::OPEN };
        for (to, from) in filter.alternatives.iter_mut().zip(alternatives) {
            *to = *from;
        }
        Some(filter)
    }

    /// The filter that lets pass what one of two lets pass.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        if self.len == 0 || other.len == 0 {
            return Self::OPEN;
        }
        let (mut either, len) = (*self, usize::try_from(other.len).unwrap_or(0));
        for alternative in other.alternatives.iter().take(len) {
            let at = usize::try_from(either.len).unwrap_or(ALTERNATIVES);
            if either.alternatives.iter().take(at).any(|known| known == alternative) {
                continue;
            }
            let Some(free) = either.alternatives.get_mut(at) else { return Self::OPEN };
            *free = *alternative;
            either.len += 1;
        }
        either
    }
}

impl Alternative {
    /// Paths that begin with `prefix`, or, when `exact`, are it.
    pub fn of_path(prefix: &[u8], exact: bool) -> Self {
        let (mut mask, mut value) = ([0u8; HEAD], [0u8; HEAD]);
        for ((m, v), byte) in mask.iter_mut().zip(&mut value).zip(prefix) {
            *m = u8::MAX;
            *v = *byte;
        }
        // The end of a short path is seen, too.
        if exact && let Some(end) = mask.get_mut(prefix.len()) {
            *end = u8::MAX;
        }
        Self { mask: words(mask), value: words(value), access: 0, success: 0 }
    }

    /// Whether an open that looks so is one of these.
    #[inline(always)]
    pub fn admits(&self, look: &Look) -> bool {
        if look.access & self.access != self.access {
            return false;
        }
        if !look.success {
            return self.success == 0;
        }
        match look.asked {
            Asked::Unclear => true,
            Asked::Nothing => self.begins(look.resolved),
            Asked::Path(head) => self.begins(look.resolved) || self.begins(head),
        }
    }

    #[inline(always)]
    fn begins(&self, head: [u64; 2]) -> bool {
        head[0] & self.mask[0] == self.value[0] && head[1] & self.mask[1] == self.value[1]
    }
}

/// What the filter knows of an open.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// `READ | WRITE`.
    pub access: u32,
    pub success: bool,
    /// The first bytes of the kernel's path, NUL-padded.
    pub resolved: [u64; 2],
    pub asked: Asked,
}

/// What the filter knows of the path that was asked for, made absolute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// There is none.
    Nothing,
    /// Its first bytes, NUL-padded.
    Path([u64; 2]),
    /// It has dots or double slashes, or is long: how it begins is for user space to say.
    Unclear,
}

/// The first bytes of `raw` behind the directory `base`, which has `len` bytes: of both the first bytes are given, NUL-padded.
#[inline(always)]
pub fn join(base: [u64; 2], len: usize, raw: [u64; 2]) -> [u64; 2] {
    // Only the root ends with a slash.
    let (base, len) = if len == 1 { ([0; 2], 0) } else { (base, len) };
    if len >= HEAD {
        return base;
    }
    let slash = behind([u64::from(b'/'), 0], len);
    let raw = behind(raw, len + 1);
    [base[0] | slash[0] | raw[0], base[1] | slash[1] | raw[1]]
}

/// The bytes moved back by `len` bytes, `HEAD` at most.
#[inline(always)]
fn behind(bytes: [u64; 2], len: usize) -> [u64; 2] {
    let bits = 8 * (len % 8);
    let moved = match bits {
        0 => bytes,
        _ => [bytes[0] << bits, bytes[1] << bits | bytes[0] >> (64 - bits)],
    };
    match len / 8 {
        0 => moved,
        1 => [0, moved[0]],
        _ => [0; 2],
    }
}

/// Whether a path is as it will be when it is made absolute, told byte by byte: no dots, no double slashes, none at the end.
#[derive(Debug, Clone, Copy)]
pub struct Plain {
    /// The last four bytes.
    window: u32,
    plain: bool,
}

impl Plain {
    /// Before the first byte, of an absolute path before the second.
    pub const START: Self = Self { window: b'/' as u32, plain: true };

    /// The next byte.
    #[expect(clippy::needless_bitwise_bool, reason = "each branch would double what the verifier looks at")]
    #[inline(always)]
    pub fn take(&mut self, byte: u8) {
        let window = self.window << 8 | u32::from(byte);
        self.plain &=
            (window & 0xffff != 0x2f2f) & (window & 0xff_ffff != 0x2f_2e2f) & (window != 0x2f2e_2e2f);
        self.window = window;
    }

    /// What is behind the last byte counts as a slash.
    #[inline(always)]
    pub fn end(mut self) -> bool {
        self.take(b'/');
        self.plain
    }
}

/// The first bytes of a path, NUL-padded.
pub fn head(path: &[u8]) -> [u64; 2] {
    let mut bytes = [0; HEAD];
    for (to, from) in bytes.iter_mut().zip(path) {
        *to = *from;
    }
    words(bytes)
}

fn words(bytes: [u8; HEAD]) -> [u64; 2] {
    let (first, second) = bytes.split_at(HEAD / 2);
    let word = |half: &[u8]| half.try_into().map_or(0, u64::from_ne_bytes);
    [word(first), word(second)]
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    fn admits(alternative: Alternative, path: &str) -> bool {
        let resolved = head(path.as_bytes());
        alternative.admits(&Look { access: READ, success: true, resolved, asked: Asked::Nothing })
    }

    #[test]
    fn prefixes_and_whole_paths_are_told_apart() {
        let below = Alternative::of_path(b"/etc/", false);
        assert!(admits(below, "/etc/shadow") && admits(below, "/etc/"));
        assert!(!admits(below, "/etc") && !admits(below, "/etcetera"));
        let exact = Alternative::of_path(b"/etc/shadow", true);
        assert!(
            admits(exact, "/etc/shadow") && !admits(exact, "/etc/shadow-") && !admits(exact, "/etc/shado")
        );
        // Longer ones are compared as far as is looked.
        let long = Alternative::of_path(b"/etc/security/opasswd", true);
        assert!(admits(long, "/etc/security/opasswd") && admits(long, "/etc/security/opx"));
        assert!(!admits(long, "/etc/secret"));
        assert!(admits(Alternative::default(), ""));
    }

    #[test]
    fn access_and_outcome_count() {
        let writes = Alternative { access: WRITE, success: 1, ..Alternative::of_path(b"/etc/", false) };
        let look = |access, success, path: &[u8]| Look {
            access,
            success,
            resolved: head(path),
            asked: Asked::Nothing,
        };
        assert!(writes.admits(&look(READ | WRITE, true, b"/etc/x")));
        assert!(
            !writes.admits(&look(READ, true, b"/etc/x")) && !writes.admits(&look(WRITE, false, b"/etc/x"))
        );
        let failures = Alternative { success: 0, ..writes };
        assert!(failures.admits(&look(WRITE, false, b"")));
    }

    #[test]
    fn either_name_is_enough() {
        let below = Alternative::of_path(b"/etc/", false);
        let look =
            |resolved: &[u8], asked| Look { access: READ, success: true, resolved: head(resolved), asked };
        for (resolved, asked, admitted) in [
            (&b"/tmp/x"[..], Asked::Nothing, false),
            (b"/tmp/x", Asked::Path(head(b"/etc/x")), true),
            (b"/etc/x", Asked::Path(head(b"/tmp/x")), true),
            (b"/tmp/x", Asked::Path(head(b"/tmp/y")), false),
            (b"/tmp/x", Asked::Unclear, true),
        ] {
            assert_eq!(below.admits(&look(resolved, asked)), admitted, "{asked:?}");
        }
        let writes = Alternative { access: WRITE, ..below };
        assert!(!writes.admits(&look(b"/etc/x", Asked::Unclear)), "it did not ask to write");
    }

    #[test]
    fn a_name_begins_as_when_it_is_joined() {
        for base in [
            "/",
            "/a",
            "/etc",
            "/1234567",
            "/12345678",
            "/usr/share/docs",
            "/usr/share/docs1",
            "/usr/share/docs12",
        ] {
            for raw in ["x", "1234567", "12345678", "sub/file-with-a-long-name"] {
                let whole = format!("{}/{raw}", base.trim_end_matches('/'));
                let joined = join(head(base.as_bytes()), base.len().min(HEAD), head(raw.as_bytes()));
                assert_eq!(joined, head(whole.as_bytes()), "{base} {raw}");
            }
        }
    }

    #[test]
    fn what_must_be_made_absolute_first_is_not_plain() {
        let plain = |path: &str| {
            let mut seen = Plain::START;
            path.bytes().skip(usize::from(path.starts_with('/'))).for_each(|byte| seen.take(byte));
            seen.end()
        };
        for path in ["/etc/shadow", "a", "a/b", "/a/.ssh/..x/x.", ".git/config", "...", "/a.b/c..d"] {
            assert!(plain(path), "{path}");
        }
        for path in
            [".", "..", "./a", "../a", "/a/../b", "/a/./b", "/a//b", "//a", "/a/", "a/.", "a/..", "/.", "/.."]
        {
            assert!(!plain(path), "{path}");
        }
    }

    #[test]
    fn too_many_alternatives_are_no_filter() {
        assert!(Filter::of(&[Alternative::default(); ALTERNATIVES + 1]).is_none());
        assert!(Filter::of(&[]).is_none());
        assert_eq!(Filter::of(&[Alternative::default(); 3]).unwrap().len, 3);
    }

    #[test]
    fn either_of_two_lets_pass() {
        fn of<const N: usize>(paths: [&[u8]; N]) -> Filter {
            Filter::of(&paths.map(|path| Alternative::of_path(path, false))).unwrap()
        }
        assert_eq!(of([b"/a", b"/b"]).or(&of([b"/b", b"/c"])), of([b"/a", b"/b", b"/c"]));
        assert_eq!(of([b"/a"]).or(&Filter::OPEN), Filter::OPEN);
        assert_eq!(Filter::OPEN.or(&of([b"/a"])), Filter::OPEN);
        let mut many = [Alternative::default(); ALTERNATIVES];
        for (n, one) in many.iter_mut().enumerate() {
            one.value[0] = n as u64;
        }
        let many = Filter::of(&many).unwrap();
        assert_eq!(many.or(&many), many);
        assert_eq!(many.or(&of([b"/more"])), Filter::OPEN);
    }
}
