//! Patterns made into automata once: POSIX globs, POSIX regular expressions, path prefixes.

use regex::bytes::{Regex, RegexBuilder};

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

fn build(pattern: &str, configure: impl FnOnce(&mut RegexBuilder)) -> Result<Regex, PatternError> {
    let mut builder = RegexBuilder::new(pattern);
    configure(&mut builder);
    builder.build().map_err(|error| {
        let text = error.to_string();
        // The last line tells the cause; those before draw the translated pattern.
        let cause = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        PatternError(format!("invalid pattern: {cause}"))
    })
}

/// `fnmatch` without flags over the whole value: `*` and `?` match any byte, also `/`.
pub fn glob(pattern: &[u8], ignore_case: bool) -> Result<Regex, PatternError> {
    let translated = format!(r"\A{}\z", glob_body(pattern));
    build(&translated, |builder| {
        builder.unicode(false).dot_matches_new_line(true).case_insensitive(ignore_case);
    })
}

/// The bytes that everything a glob matches begins with.
pub fn glob_start(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    &pattern[..end.unwrap_or(pattern.len())]
}

/// A glob in the syntax of byte regular expressions.
fn glob_body(pattern: &[u8]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while let Some(byte) = pattern.get(at).copied() {
        at += 1;
        match byte {
            b'*' => out.push_str(".*"),
            b'?' => out.push('.'),
            b'[' => match bracket(&pattern[at..], true) {
                Some((class, used)) => {
                    out.push_str(&class);
                    at += used;
                }
                None => out.push_str(r"\["),
            },
            b'\\' => {
                literal(&mut out, pattern.get(at).copied().unwrap_or(b'\\'));
                at += 1;
            }
            byte => literal(&mut out, byte),
        }
    }
    out
}

/// A byte as it stands for itself, wherever.
fn literal(out: &mut String, byte: u8) {
    use std::fmt::Write;
    if byte.is_ascii_alphanumeric() || byte == b'_' {
        out.push(byte as char);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, r"\x{byte:02x}");
    }
}

/// Names of POSIX character classes.
const CLASSES: [&str; 12] = [
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
    "xdigit",
];

/// A bracket expression, the `[` already read: its translation and the bytes it took. `None` when it is not closed.
fn bracket(rest: &[u8], glob: bool) -> Option<(String, usize)> {
    let mut out = String::from("[");
    let mut at = 0;
    if rest.first() == Some(&b'^') || (glob && rest.first() == Some(&b'!')) {
        out.push('^');
        at = 1;
    }
    let first = at;
    loop {
        let byte = *rest.get(at)?;
        if byte == b']' && at > first {
            out.push(']');
            return Some((out, at + 1));
        }
        if rest[at..].starts_with(b"[:") {
            let end = rest[at..].windows(2).position(|pair| pair == b":]")?;
            let name = std::str::from_utf8(&rest[at..at + end + 2]).ok()?;
            if !CLASSES.contains(&name.trim_matches(|c| "[:]".contains(c))) {
                return None;
            }
            out.push_str(name);
            at += end + 2;
            continue;
        }
        let (low, used) = member(&rest[at..])?;
        at += used;
        literal(&mut out, low);
        let range = rest.get(at) == Some(&b'-') && rest.get(at + 1).is_some_and(|b| *b != b']');
        if range {
            let (high, used) = member(&rest[at + 1..])?;
            out.push('-');
            literal(&mut out, high);
            at += 1 + used;
        }
    }
}

/// One member of a bracket expression and its length.
fn member(rest: &[u8]) -> Option<(u8, usize)> {
    match rest {
        [b'\\', byte, ..] => Some((*byte, 2)),
        [byte, ..] => Some((*byte, 1)),
        [] => None,
    }
}

/// A POSIX extended regular expression that must match the whole value. Perl's additions are refused, as Falco does.
pub fn posix(pattern: &[u8]) -> Result<Regex, PatternError> {
    let text = std::str::from_utf8(pattern)
        .map_err(|_| PatternError("a regular expression must be UTF-8".to_owned()))?;
    let body = posix_body(text)?;
    // `^` and `$` match at line ends in this syntax; the whole is anchored beside them.
    build(&format!(r"\A(?:{body})\z"), |builder| {
        builder.multi_line(true);
    })
}

fn posix_body(text: &str) -> Result<String, PatternError> {
    let refuse = |what: &str| Err(PatternError(format!("{what} is not POSIX syntax")));
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    let mut repeated = false;
    while let Some((at, c)) = chars.next() {
        let was_repeated = std::mem::replace(&mut repeated, false);
        match c {
            '\\' => match chars.next() {
                None => return refuse("a backslash at the end"),
                Some((_, c @ ('a' | 'f' | 'n' | 'r' | 't' | 'v'))) => {
                    out.push('\\');
                    out.push(c);
                }
                Some((_, c)) if c.is_alphanumeric() => return refuse(&format!("'\\{c}'")),
                Some((_, c)) => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            },
            '[' => {
                let (class, used) = posix_class(&text[at + 1..]).ok_or_else(|| {
                    PatternError("a bracket expression is not closed or holds an unknown class".to_owned())
                })?;
                out.push_str(&class);
                while chars.peek().is_some_and(|(next, _)| *next < at + 1 + used) {
                    chars.next();
                }
            }
            '(' if text[at + 1..].starts_with('?') => return refuse("'(?'"),
            '?' if was_repeated => return refuse("a lazy quantifier"),
            '*' | '+' | '?' => {
                repeated = true;
                out.push(c);
            }
            '{' => {
                let inner = text[at + 1..].split_once('}').map(|(inner, _)| inner);
                let counts = |inner: &&str| {
                    inner.starts_with(|c: char| c.is_ascii_digit())
                        && inner.chars().all(|c| c.is_ascii_digit() || c == ',')
                        && inner.matches(',').count() <= 1
                };
                if let Some(inner) = inner.filter(counts) {
                    out.push('{');
                    out.push_str(inner);
                    out.push('}');
                    for _ in 0..=inner.len() {
                        chars.next();
                    }
                    repeated = true;
                } else {
                    out.push_str(r"\{");
                }
            }
            '}' => out.push_str(r"\}"),
            ']' => out.push_str(r"\]"),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// A bracket expression of a regular expression, over characters.
fn posix_class(rest: &str) -> Option<(String, usize)> {
    if rest.is_ascii() {
        return bracket(rest.as_bytes(), false);
    }
    // With other characters in it: the same walk, by characters.
    let mut out = String::from("[");
    let mut first = true;
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            '^' if at == 0 => {
                out.push('^');
                continue;
            }
            ']' if !first && !escaped => {
                out.push(']');
                return Some((out, at + 1));
            }
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '-' if !escaped && !first => out.push('-'),
            c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
        escaped = false;
        first = false;
    }
    None
}

/// A simpler operator that does what `pattern` does, for a hint.
pub fn simpler(pattern: &[u8]) -> Option<&'static str> {
    let is_plain = |text: &str| !text.contains(|c: char| r".*+?()[]{}|^$\".contains(c));
    let text = std::str::from_utf8(pattern).ok()?;
    let text = text.strip_prefix('^').unwrap_or(text);
    let text = text.strip_suffix('$').unwrap_or(text);
    let (front, back) = (text.strip_prefix(".*"), text.strip_suffix(".*"));
    if is_plain(text) {
        return Some("=");
    }
    match (front, back) {
        (Some(rest), Some(_)) if rest.strip_suffix(".*").is_some_and(is_plain) => Some("contains"),
        (Some(rest), _) if is_plain(rest) => Some("endswith"),
        (_, Some(rest)) if is_plain(rest) => Some("startswith"),
        _ => None,
    }
}

/// A set of path prefixes, compared component by component (`pmatch`); a component may be a glob.
#[derive(Debug, Default)]
pub struct PathSet {
    nodes: Vec<PathNode>,
    /// A pattern `/` or one without components matches every value.
    everything: bool,
}

#[derive(Debug, Default)]
struct PathNode {
    /// A pattern ends here.
    end: bool,
    exact: std::collections::HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    globs: Vec<(Regex, Box<[u8]>, usize)>,
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

impl PathSet {
    /// Most components that are walked; a longer path is compared by these.
    const MAX_COMPONENTS: usize = 256;

    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p [u8]>) -> Result<Self, PatternError> {
        let mut set = Self { nodes: vec![PathNode::default()], everything: false };
        for pattern in patterns {
            let mut node = 0;
            for part in components(pattern).take(Self::MAX_COMPONENTS) {
                node = set.child(node, part)?;
            }
            if node == 0 {
                set.everything = true;
            }
            set.nodes[node].end = true;
        }
        Ok(set)
    }

    fn child(&mut self, node: usize, part: &[u8]) -> Result<usize, PatternError> {
        let next = self.nodes.len();
        let parent = &mut self.nodes[node];
        let is_glob = part.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
        if is_glob {
            if let Some((_, _, known)) = parent.globs.iter().find(|(_, text, _)| **text == *part) {
                return Ok(*known);
            }
            parent.globs.push((glob(part, false)?, part.into(), next));
        } else {
            if let Some(known) = parent.exact.get(part) {
                return Ok(*known);
            }
            parent.exact.insert(part.into(), next);
        }
        self.nodes.push(PathNode::default());
        Ok(next)
    }

    /// True when some pattern is a prefix of `path`, component by component.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.everything || self.walk(0, &mut components(path).take(Self::MAX_COMPONENTS))
    }

    fn walk<'p>(&self, node: usize, rest: &mut (impl Iterator<Item = &'p [u8]> + Clone)) -> bool {
        let Some(node) = self.nodes.get(node) else { return false };
        if node.end {
            return true;
        }
        let Some(part) = rest.next() else { return false };
        if let Some(next) = node.exact.get(part)
            && self.walk(*next, &mut rest.clone())
        {
            return true;
        }
        node.globs.iter().any(|(glob, _, next)| glob.is_match(part) && self.walk(*next, &mut rest.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_fnmatch_does() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("/etc/*", "/etc/a/b", true),
            ("?", "/", true),
            ("a?c", "ac", false),
            ("[abc]x", "bx", true),
            ("[!abc]x", "bx", false),
            ("[^abc]x", "dx", true),
            ("[a-c]", "b", true),
            ("[a-]", "-", true),
            ("[]]", "]", true),
            ("[[:digit:]]x", "4x", true),
            ("[a", "[a", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("*.conf", ".conf", true),
            ("a", "A", false),
            ("a.c", "abc", false),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), false).unwrap().is_match(text.as_bytes()),
                matches,
                "{pattern} {text}"
            );
        }
        assert!(glob(b"A*", true).unwrap().is_match(b"ab"));
        assert!(glob(b"a*\xff", false).unwrap().is_match(b"a\xfe\xff"));
    }

    #[test]
    fn regular_expressions_are_posix_and_match_the_whole() {
        for (pattern, text, matches) in [
            ("abc", "abc", true),
            ("b", "abc", false),
            ("a|bc", "bc", true),
            (".*b.*", "abc", true),
            ("[[:alpha:]]+", "abc", true),
            ("[^/]*/x", "ab/x", true),
            ("a{2}", "aa", true),
            ("a{,2}", "a{,2}", true),
            ("a{", "a{", true),
            (r"\.x", ".x", true),
            (r"[\]]", "]", true),
            ("[a&&b]", "&", true),
            ("(a(b)?)+", "abaab", true),
            ("é.", "éü", true),
            ("[é-ü]", "ê", true),
        ] {
            assert_eq!(
                posix(pattern.as_bytes()).unwrap().is_match(text.as_bytes()),
                matches,
                "{pattern} {text}"
            );
        }
        for pattern in [r"\d", r"\bx", "(?i)a", "a*?", "a+?", "(", "[a", "a\\", r"[[:x:]]"] {
            assert!(posix(pattern.as_bytes()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn hints_name_the_simpler_operator() {
        for (pattern, hint) in [
            ("abc", Some("=")),
            ("^abc$", Some("=")),
            ("abc.*", Some("startswith")),
            (".*abc", Some("endswith")),
            (".*abc.*", Some("contains")),
            ("a.c", None),
        ] {
            assert_eq!(simpler(pattern.as_bytes()), hint, "{pattern}");
        }
    }

    #[test]
    fn paths_match_by_component() {
        for (patterns, path, matches) in [
            (&["/foo"][..], "/foo", true),
            (&["/foo"], "/foo/bar", true),
            (&["/foo"], "/foobar", false),
            (&["/foo/bar", "/foo"], "/foo/x", true),
            (&["/"], "anything", true),
            (&["/*/x"], "/a/x/y", true),
            (&["/*/x"], "/a/y", false),
            (&["/a/*/b", "/a/c/d"], "/a/c/b", true),
            (&["/proc/[0-9]*"], "/proc/12/maps", true),
            (&[], "/", false),
            (&["/foo/"], "/foo", true),
        ] {
            let set = PathSet::new(patterns.iter().map(|p| p.as_bytes())).unwrap();
            assert_eq!(set.matches(path.as_bytes()), matches, "{patterns:?} {path}");
        }
    }
}
