//! Joins a path argument with the directory that it starts from, as Falco does.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

/// The absolute form of `raw`: normalised alone when absolute, else behind `base` (kept as it is; `<UNKNOWN>` when empty).
/// `.` is skipped, `..` takes the last component away, slashes are single and none is at the end. Symbolic links stay. However long it
/// is, it is whole: Falco gives up at 1,024 bytes, which is where somebody can hide.
pub fn join<'b>(bump: &'b Bump, base: &[u8], raw: &[u8]) -> &'b [u8] {
    let mut out = BumpVec::with_capacity_in(base.len() + raw.len() + 12, bump);
    if !raw.starts_with(b"/") {
        out.extend_from_slice(if base.is_empty() { b"<UNKNOWN>" } else { base });
    }
    for component in raw.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                let end = out.iter().rposition(|b| *b == b'/').unwrap_or(0);
                out.truncate(end);
            }
            name => {
                if out.last() != Some(&b'/') {
                    out.push(b'/');
                }
                out.extend_from_slice(name);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out.into_bump_slice()
}

/// `raw` with runs of slashes made one.
pub fn collapse<'b>(bump: &'b Bump, raw: &'b [u8]) -> &'b [u8] {
    if !raw.windows(2).any(|pair| pair == b"//") {
        return raw;
    }
    let mut out = BumpVec::with_capacity_in(raw.len(), bump);
    for &byte in raw {
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
    }
    out.into_bump_slice()
}

/// Up to the last slash; the root for a name right below it.
pub fn directory(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|b| *b == b'/') {
        Some(0) | None => b"/",
        Some(at) => &path[..at],
    }
}

/// Behind the last slash; the whole path when it ends in one, and `/` when there is none.
pub fn filename(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|b| *b == b'/') {
        None => b"/",
        Some(at) if at + 1 == path.len() => path,
        Some(at) => &path[at + 1..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_as_falco_joins_them() {
        let bump = Bump::new();
        for (base, raw, joined) in [
            ("/root", "/etc//passwd", "/etc/passwd"),
            ("/root", "/a/./b/../c/", "/a/c"),
            ("/root", "file", "/root/file"),
            ("/", "file", "/file"),
            ("/a/b", "../../../x", "/x"),
            ("", "x", "<UNKNOWN>/x"),
            ("/root", "..", "/"),
            ("/root", "", "/root"),
            ("", "/", "/"),
        ] {
            let got = join(&bump, base.as_bytes(), raw.as_bytes());
            assert_eq!(String::from_utf8_lossy(got), joined, "{base} + {raw}");
        }
        assert_eq!(join(&bump, b"/", &[b'a'; 4095]).len(), 4096);
    }

    #[test]
    fn parts_of_a_path() {
        assert_eq!(directory(b"/etc/shadow"), b"/etc");
        assert_eq!(directory(b"/shadow"), b"/");
        assert_eq!(filename(b"/etc/shadow"), b"shadow");
        assert_eq!(filename(b"shadow"), b"/");
        assert_eq!(filename(b"/etc/"), b"/etc/");
        assert_eq!(collapse(&Bump::new(), b"//a///b/"), b"/a/b/");
    }
}
