//! One file, two spellings: the links that distributions make at the root (`/bin` → `/usr/bin`, `/var/run` → `/run`).
//!
//! A path below one end of such a link is the same name as the path below the other end. A comparison of a path field holds when
//! it holds for one of the spellings, and `!=` when it holds for all, in both directions: `not fd.name startswith /var/run` goes
//! on excepting `/run/x`, and `fd.name = /run/x` sees `/var/run/x`. Spellings are no second name of the event: they are all
//! looked at within one reading ([`super::readings`]), so they make no alert where an exception names one of them.
//!
//! Whether such a link is there is not looked up: containers have roots of their own, and no event waits for a file. It is
//! taken to be there, as nearly everywhere, unless the event shows the opposite: a path that the kernel resolved has no links in
//! it, so one that begins with `/bin` says that `/bin` is a directory of its own there.

use super::fields::{Field, FieldRef};

/// Where a link leads, and the links that lead there.
struct Root {
    target: &'static str,
    links: &'static [&'static str],
}

const ROOTS: [Root; 8] = [
    Root { target: "/usr/bin", links: &["/bin"] },
    Root { target: "/usr/sbin", links: &["/sbin"] },
    Root { target: "/usr/lib", links: &["/lib"] },
    Root { target: "/usr/lib32", links: &["/lib32"] },
    Root { target: "/usr/lib64", links: &["/lib64"] },
    Root { target: "/usr/libx32", links: &["/libx32"] },
    Root { target: "/run", links: &["/var/run"] },
    // `/var/lock` leads to `/run/lock`, which also lies below `/var/run`.
    Root { target: "/run/lock", links: &["/var/lock", "/var/run/lock"] },
];

impl Root {
    fn ends(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.target).chain(self.links.iter().copied())
    }
}

/// What follows when `path` is `start` or lies below it.
fn below<'p>(path: &'p [u8], start: &str) -> Option<&'p [u8]> {
    path.strip_prefix(start.as_bytes()).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// No spelling begins otherwise: most paths need no closer look.
#[inline]
fn may_have(path: &[u8]) -> bool {
    matches!(path, [b'/', b'b' | b's' | b'l' | b'r' | b'u' | b'v', ..])
}

/// Calls `each` with the other spellings of an absolute path, each in two parts, until it returns true; returns whether it did.
/// `resolved`: what the kernel made of the path, if that is known.
pub fn others(
    path: &[u8],
    resolved: Option<&[u8]>,
    each: &mut dyn FnMut(&'static [u8], &[u8]) -> bool,
) -> bool {
    if !may_have(path) {
        return false;
    }
    ROOTS.iter().any(|root| {
        let Some((end, rest)) = root.ends().find_map(|end| Some((end, below(path, end)?))) else {
            return false;
        };
        let is_directory =
            resolved.is_some_and(|path| root.links.iter().any(|link| below(path, link).is_some()));
        !is_directory && root.ends().filter(|other| *other != end).any(|other| each(other.as_bytes(), rest))
    })
}

/// Whether both are spellings of one name. `resolved` is the kernel's.
pub fn same(resolved: &[u8], other: &[u8]) -> bool {
    resolved == other
        || others(resolved, Some(resolved), &mut |start, rest| {
            other.strip_prefix(start).is_some_and(|end| end == rest)
        })
}

/// Whether a field's value is a path that may have other spellings: [`super::event::Event::any`] gives these.
pub const fn has(field: &FieldRef) -> bool {
    matches!(
        field.field,
        Field::FdName
            | Field::FdDirectory
            | Field::FsPathName
            | Field::FsPathSource
            | Field::FsPathTarget
            | Field::ProcExepath
            | Field::ProcPexepath
            | Field::ProcCwd
    )
}

/// Whether another spelling may begin with `start`, or with a part of it.
pub fn may_begin(start: &[u8]) -> bool {
    ROOTS.iter().flat_map(Root::ends).any(|end| below(start, end).is_some() || is_start(start, end))
}

/// `start` is the beginning of a path below `end`.
fn is_start(start: &[u8], end: &str) -> bool {
    end.as_bytes().starts_with(start) || start.strip_suffix(b"/") == Some(end.as_bytes())
}

/// Whether another spelling may be this path.
pub fn may_be(path: &[u8]) -> bool {
    ROOTS.iter().flat_map(Root::ends).any(|end| below(path, end).is_some())
}

/// Whether another spelling may contain `text`, or end with it, where the first one does not: it then reaches into what differs.
pub fn may_hold(text: &[u8]) -> bool {
    ROOTS.iter().flat_map(Root::ends).any(|end| {
        let within = text.is_empty() || end.as_bytes().windows(text.len()).any(|part| part == text);
        within || (0..end.len()).any(|at| below(text, &end[at..]).is_some())
    })
}

/// Beginnings of paths of which some spelling begins with `start` (is it, when `whole`): with `start`, these are all.
pub fn begin(start: &[u8], whole: bool) -> Vec<Vec<u8>> {
    let mut all = vec![start.to_vec()];
    let mut add = |path: Vec<u8>| {
        if whole {
            all.push(path);
        } else if !all.iter().any(|known| path.starts_with(known)) {
            all.retain(|known| !known.starts_with(&path));
            all.push(path);
        }
    };
    for root in &ROOTS {
        for end in root.ends() {
            let others = root.ends().filter(|other| *other != end);
            if let Some(rest) = below(start, end) {
                others.for_each(|other| add([other.as_bytes(), rest].concat()));
            } else if !whole && is_start(start, end) {
                others.for_each(|other| add(other.as_bytes().to_vec()));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spellings(path: &str, resolved: Option<&str>) -> Vec<String> {
        let mut all = Vec::new();
        others(path.as_bytes(), resolved.map(str::as_bytes), &mut |start, rest| {
            all.push(String::from_utf8([start, rest].concat()).unwrap());
            false
        });
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn links_at_the_root_are_the_same_name_in_both_directions() {
        for (path, resolved, expected) in [
            ("/var/run/secrets/x", None, &["/run/secrets/x"][..]),
            ("/var/run/secrets/x", Some("/run/secrets/x"), &["/run/secrets/x"]),
            ("/run/x", Some("/run/x"), &["/var/run/x"]),
            ("/bin/ls", None, &["/usr/bin/ls"]),
            ("/usr/bin/ls", Some("/usr/bin/ls"), &["/bin/ls"]),
            ("/bin", None, &["/usr/bin"]),
            ("/lib64/x.so", None, &["/usr/lib64/x.so"]),
            ("/var/lock/x", None, &["/run/lock/x", "/var/run/lock/x"]),
            ("/run/lock/x", None, &["/var/lock/x", "/var/run/lock/x"]),
            ("/var/run/lock/x", None, &["/run/lock/x", "/var/lock/x"]),
            // The kernel went through it: a directory of its own.
            ("/bin/ls", Some("/bin/ls"), &[]),
            ("/var/run/x", Some("/var/run/x"), &[]),
            // Not below, but beside.
            ("/binary", None, &[]),
            ("/running/x", None, &[]),
            ("/usr/share/x", None, &[]),
            ("/etc/bin/x", None, &[]),
            ("run/x", None, &[]),
            ("", None, &[]),
        ] {
            assert_eq!(spellings(path, resolved), expected, "{path}");
        }
        assert!(same(b"/run/x", b"/var/run/x") && same(b"/etc", b"/etc") && !same(b"/etc", b"/etc/x"));
        assert!(!same(b"/bin/x", b"/usr/bin/x"), "/bin is a directory there");
    }

    /// Whatever a spelling begins with, is, ends with or holds, the quick tests admit, and the kernel looks for its other forms.
    #[test]
    fn what_spellings_may_be_is_not_left_out() {
        let paths: Vec<String> = ROOTS
            .iter()
            .flat_map(Root::ends)
            .flat_map(|end| [end.to_owned(), format!("{end}/x"), format!("{end}/lock/y.so")])
            .collect();
        let mut tried = 0;
        for path in &paths {
            for other in spellings(path, None) {
                let other = other.as_bytes();
                assert!(may_be(other));
                assert!(begin(other, true).contains(&path.as_bytes().to_vec()), "{path}");
                for from in 0..other.len() {
                    for to in from + 1..=other.len() {
                        let (part, has) = (&other[from..to], |part: &[u8]| {
                            path.as_bytes().windows(part.len()).any(|window| window == part)
                        });
                        if from == 0 {
                            assert!(may_begin(part));
                            assert!(
                                begin(part, false).iter().any(|start| path.as_bytes().starts_with(start))
                            );
                        }
                        assert!(has(part) || may_hold(part), "{path}: {}", part.escape_ascii());
                        assert!(to != other.len() || path.as_bytes().ends_with(part) || may_hold(part));
                        tried += 1;
                    }
                }
            }
        }
        assert!(tried > 1000);
        for text in ["/etc/", "shadow", ".ssh", "/proc/", ".conf"] {
            assert!(
                !may_hold(text.as_bytes()) && !may_begin(text.as_bytes()) && !may_be(text.as_bytes()),
                "{text}"
            );
        }
        assert_eq!(begin(b"/etc/", false), [b"/etc/".to_vec()]);
    }
}
