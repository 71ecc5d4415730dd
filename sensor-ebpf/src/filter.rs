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
    /// The first bytes of the resolved path, NUL-padded, under `mask`, are `value`.
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

    /// Whether an open with this access (`READ | WRITE`), outcome and head of the path is one of these.
    #[inline(always)]
    pub fn admits(&self, access: u32, success: bool, head: [u64; 2]) -> bool {
        if access & self.access != self.access {
            return false;
        }
        if !success {
            return self.success == 0;
        }
        head[0] & self.mask[0] == self.value[0] && head[1] & self.mask[1] == self.value[1]
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
    use super::*;

    fn admits(alternative: Alternative, path: &str) -> bool {
        alternative.admits(READ, true, head(path.as_bytes()))
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
        let path = head(b"/etc/x");
        assert!(writes.admits(READ | WRITE, true, path));
        assert!(!writes.admits(READ, true, path) && !writes.admits(WRITE, false, path));
        let failures = Alternative { success: 0, ..writes };
        assert!(failures.admits(WRITE, false, head(b"")));
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
