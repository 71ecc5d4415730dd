//! Patterns made into automata once: POSIX globs, POSIX regular expressions, path prefixes.

use regex::bytes::{Regex, RegexBuilder};

use super::classes;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

/// Sizes in bytes that an automaton may have, tried one after the other, so that what a pattern takes is known.
const SIZES: [usize; 3] = [64 << 10, 512 << 10, 4 << 20];
/// Longest pattern in bytes.
const LONGEST: usize = 64 << 10;
/// Most times that something can be repeated, as in RE2.
const MOST_REPEATS: u32 = 1000;

/// What the automata of a set of rules may take together: a small file could ask for any number of big ones.
#[derive(Debug)]
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        // Tests do with less, for the sake of time.
        Self(if cfg!(test) { 8 << 20 } else { 256 << 20 })
    }
}

fn build(
    pattern: &str,
    budget: &mut Budget,
    configure: impl Fn(&mut RegexBuilder),
) -> Result<Regex, PatternError> {
    if pattern.len() > LONGEST {
        return Err(PatternError(format!("the pattern is longer than {LONGEST} bytes")));
    }
    let attempt = |size: usize| {
        let mut builder = RegexBuilder::new(pattern);
        configure(&mut builder);
        builder.size_limit(size).build()
    };
    let mut last = None;
    for size in SIZES {
        match attempt(size) {
            Err(error @ regex::Error::CompiledTooBig(_)) => last = Some(error),
            Err(error) => {
                last = Some(error);
                break;
            }
            Ok(regex) => {
                // Most patterns take much less than the smallest size.
                let taken = if size == SIZES[0] { pattern.len() * 64 } else { size };
                match budget.0.checked_sub(taken.min(size)) {
                    Some(left) => budget.0 = left,
                    None => {
                        return Err(PatternError(
                            "the patterns of the rules are too big together".to_owned(),
                        ));
                    }
                }
                return Ok(regex);
            }
        }
    }
    Err(last.map_or(PatternError(String::new()), |error| {
        let text = error.to_string();
        // The last line tells the cause; those before draw the translated pattern.
        let cause = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        PatternError(format!("invalid pattern: {cause}"))
    }))
}

/// The same as [`glob_within`], for tests.
#[cfg(test)]
pub fn glob(pattern: &[u8], ignore_case: bool) -> Result<Regex, PatternError> {
    glob_within(pattern, ignore_case, &mut Budget::default())
}

/// `fnmatch` without flags over the whole value: `*` and `?` match any byte, also `/`.
pub fn glob_within(pattern: &[u8], ignore_case: bool, budget: &mut Budget) -> Result<Regex, PatternError> {
    let translated = format!(r"\A{}\z", glob_body(pattern));
    build(&translated, budget, |builder| {
        builder.unicode(false).dot_matches_new_line(true).case_insensitive(ignore_case);
    })
}

/// An empty class.
const NEVER: &str = r"[^\x00-\xff]";

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
            b'*' if out.ends_with(".*") => {}
            b'*' => out.push_str(".*"),
            b'?' => out.push('.'),
            b'[' => match bracket(&pattern[at..]) {
                Some((class, used)) => {
                    out.push_str(&class);
                    at += used;
                }
                None => out.push_str(r"\["),
            },
            b'\\' => match pattern.get(at) {
                Some(byte) => {
                    literal(&mut out, *byte);
                    at += 1;
                }
                // Nothing matches a pattern that ends in the middle of an escape.
                None => out.push_str(NEVER),
            },
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

/// A bracket expression of a glob, the `[` already read: its translation and the bytes it took. `None` when it is not
/// closed.
fn bracket(rest: &[u8]) -> Option<(String, usize)> {
    let mut out = String::from("[");
    let mut at = 0;
    if matches!(rest.first(), Some(b'^' | b'!')) {
        out.push('^');
        at = 1;
    }
    let first = at;
    let mut backwards = false;
    loop {
        let byte = *rest.get(at)?;
        if byte == b']' && at > first {
            out.push(']');
            if backwards {
                return Some((NEVER.to_owned(), at + 1));
            }
            return Some((out, at + 1));
        }
        if rest[at..].starts_with(b"[:") {
            let end = rest[at..].windows(2).position(|pair| pair == b":]")?;
            let name = std::str::from_utf8(&rest[at..at + end + 2]).ok()?;
            classes::named(name.trim_matches(|c| "[:]".contains(c)).as_bytes())?;
            out.push_str(name);
            at += end + 2;
            continue;
        }
        let (low, used) = member(&rest[at..])?;
        at += used;
        literal(&mut out, low);
        if rest[at..] == *b"-" {
            // A range without an end, and without a bracket: nothing matches.
            return Some((NEVER.to_owned(), rest.len()));
        }
        let range = rest.get(at) == Some(&b'-') && rest.get(at + 1).is_some_and(|b| *b != b']');
        if range {
            let (high, used) = member(&rest[at + 1..])?;
            out.push('-');
            literal(&mut out, high);
            // As for the C library: nothing matches.
            backwards |= high < low;
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
pub fn posix(pattern: &[u8], budget: &mut Budget) -> Result<Regex, PatternError> {
    let text = std::str::from_utf8(pattern)
        .map_err(|_| PatternError("a regular expression must be UTF-8".to_owned()))?;
    let body = Posix { rest: text, out: String::new() }.translate()?;
    // `^` and `$` match at line ends in this syntax; the whole is anchored beside them.
    build(&format!(r"\A(?:{body})\z"), budget, |builder| {
        builder.multi_line(true);
    })
}

fn not_posix(what: &str) -> PatternError {
    PatternError(format!("{what} is not POSIX syntax"))
}

/// A regular expression on its way to the syntax of the library.
struct Posix<'p> {
    rest: &'p str,
    out: String,
}

impl Posix<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn literal(&mut self, c: char) {
        self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    fn translate(mut self) -> Result<String, PatternError> {
        let mut repeated = false;
        while let Some(c) = self.next() {
            let was_repeated = std::mem::replace(&mut repeated, false);
            match c {
                '\\' => {
                    let escaped = self.escape()?;
                    self.literal(escaped);
                }
                '[' => self.class()?,
                '(' if self.rest.starts_with('?') => return Err(not_posix("'(?'")),
                '?' if was_repeated => return Err(not_posix("a lazy quantifier")),
                '*' | '+' | '?' => {
                    repeated = true;
                    self.out.push(c);
                }
                '{' => repeated = self.counts()?,
                '}' | ']' => self.literal(c),
                c => self.out.push(c),
            }
        }
        Ok(self.out)
    }

    /// What a backslash, already read, stands for together with what follows it.
    fn escape(&mut self) -> Result<char, PatternError> {
        let bad = || PatternError("an escape is not complete".to_owned());
        let c = self.next().ok_or_else(|| not_posix("a backslash at the end"))?;
        Ok(match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => {
                let (digits, taken) = if self.rest.starts_with('{') {
                    let end = self.rest.find('}').ok_or_else(bad)?;
                    (&self.rest[1..end], end + 1)
                } else {
                    (self.rest.get(..2).ok_or_else(bad)?, 2)
                };
                if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(bad());
                }
                let number = u32::from_str_radix(digits, 16).map_err(|_| bad())?;
                self.rest = &self.rest[taken..];
                char::from_u32(number).ok_or_else(bad)?
            }
            c if c.is_alphanumeric() => return Err(not_posix(&format!("'\\{c}'"))),
            c => c,
        })
    }

    /// `{2}`, `{2,}`, `{2,3}`, the brace already read; anything else is a brace.
    fn counts(&mut self) -> Result<bool, PatternError> {
        let inner = self.rest.split_once('}').map(|(inner, _)| inner).filter(|inner| {
            inner.starts_with(|c: char| c.is_ascii_digit())
                && inner.bytes().all(|c| c.is_ascii_digit() || c == b',')
                && inner.matches(',').count() <= 1
        });
        let Some(inner) = inner else {
            self.literal('{');
            return Ok(false);
        };
        if inner.split(',').any(|n| !n.is_empty() && n.parse().map_or(true, |n: u32| n > MOST_REPEATS)) {
            return Err(PatternError(format!("more than {MOST_REPEATS} repetitions")));
        }
        self.out.push('{');
        self.out.push_str(inner);
        self.out.push('}');
        self.rest = &self.rest[inner.len() + 1..];
        Ok(true)
    }

    /// A bracket expression, the bracket already read.
    fn class(&mut self) -> Result<(), PatternError> {
        let unclosed = || PatternError("a bracket expression is not closed".to_owned());
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.out.push('^');
            self.rest = rest;
        }
        let mut first = true;
        loop {
            if self.rest.starts_with("[:") {
                let end = self.rest.find(":]").ok_or_else(unclosed)? + 2;
                let name = &self.rest[..end];
                if classes::named(name.trim_matches(|c| "[:]".contains(c)).as_bytes()).is_none() {
                    return Err(PatternError(format!("'{name}' is no class of characters")));
                }
                self.out.push_str(name);
                self.rest = &self.rest[end..];
                first = false;
                continue;
            }
            match self.next().ok_or_else(unclosed)? {
                ']' if !first => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => {
                    let escaped = self.escape()?;
                    self.literal(escaped);
                }
                c => self.literal(c),
            }
            first = false;
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.rest = &self.rest[1..];
                self.out.push('-');
                match self.next().ok_or_else(unclosed)? {
                    '\\' => {
                        let escaped = self.escape()?;
                        self.literal(escaped);
                    }
                    c => self.literal(c),
                }
            }
        }
    }
}

/// A simpler operator that does what `pattern` does, or nearly, for a hint: as for Falco, `.+` and `.?` at an end count as
/// `.*`.
pub fn simpler(pattern: &[u8]) -> Option<&'static str> {
    const OPEN: [&str; 3] = [".*", ".+", ".?"];
    let is_plain = |text: &str| !text.contains(|c: char| r".*+?()[]{}|^$\".contains(c));
    let text = std::str::from_utf8(pattern).ok()?;
    let text = text.strip_prefix('^').unwrap_or(text);
    let text = text.strip_suffix('$').unwrap_or(text);
    let front = OPEN.iter().find_map(|open| text.strip_prefix(open));
    let middle = front.unwrap_or(text);
    let back = OPEN.iter().find_map(|open| middle.strip_suffix(open));
    if !is_plain(back.unwrap_or(middle)) {
        return None;
    }
    Some(match (front, back) {
        (None, None) => "=",
        (Some(_), Some(_)) => "contains",
        (Some(_), None) => "endswith",
        (None, Some(_)) => "startswith",
    })
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
    /// Most components of a pattern.
    const MAX_COMPONENTS: usize = 256;

    pub fn new<'p>(
        patterns: impl IntoIterator<Item = &'p [u8]>,
        budget: &mut Budget,
    ) -> Result<Self, PatternError> {
        let mut set = Self { nodes: vec![PathNode::default()], everything: false };
        for pattern in patterns {
            let mut node = 0;
            for (depth, part) in components(pattern).enumerate() {
                if depth == Self::MAX_COMPONENTS {
                    let message = format!("a path has more than {} components", Self::MAX_COMPONENTS);
                    return Err(PatternError(message));
                }
                node = set.child(node, part, budget)?;
            }
            if node == 0 {
                set.everything = true;
            }
            set.nodes[node].end = true;
        }
        Ok(set)
    }

    fn child(&mut self, node: usize, part: &[u8], budget: &mut Budget) -> Result<usize, PatternError> {
        let next = self.nodes.len();
        let parent = &mut self.nodes[node];
        let is_glob = part.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
        if is_glob {
            if let Some((_, _, known)) = parent.globs.iter().find(|(_, text, _)| **text == *part) {
                return Ok(*known);
            }
            parent.globs.push((glob_within(part, false, budget)?, part.into(), next));
        } else {
            if let Some(known) = parent.exact.get(part) {
                return Ok(*known);
            }
            parent.exact.insert(part.into(), next);
        }
        self.nodes.push(PathNode::default());
        Ok(next)
    }

    /// What every path that matches begins with: one of these, each a slash before and behind every component. With each
    /// whether that alone is enough, no glob being behind it. `None` when some path may begin with anything.
    pub fn starts(&self) -> Option<Vec<(Box<[u8]>, bool)>> {
        let mut starts = Vec::new();
        let mut todo = vec![(0, vec![b'/'])];
        while let Some((at, path)) = todo.pop() {
            let node = self.nodes.get(at)?;
            if node.end || !node.globs.is_empty() {
                if at == 0 {
                    return None;
                }
                starts.push((path.clone().into_boxed_slice(), node.end));
            }
            if !node.end {
                todo.extend(node.exact.iter().map(|(part, next)| (*next, [&path, &**part, b"/"].concat())));
            }
        }
        Some(starts)
    }

    /// True when some pattern is a prefix of `path`, component by component.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.everything || self.walk(0, &mut components(path))
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
            ("[[:alpha:]é]+", "aé", true),
            ("[[:digit:]]é", "4é", true),
            ("[^é]", "x", true),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            (r"[\-x]", "-", true),
            (r"\x41\x{42}\t", "AB\t", true),
            (r"a\{2\}", "a{2}", true),
            ("a**", "aa", true),
            ("^a$|b", "b", true),
        ] {
            assert_eq!(
                posix(pattern.as_bytes(), &mut Budget::default()).unwrap().is_match(text.as_bytes()),
                matches,
                "{pattern} {text}"
            );
        }
        for pattern in [
            r"\d", r"\bx", "(?i)a", "a*?", "a+?", "(", "[a", "a\\", r"[[:x:]]", r"[\d]", r"\x4", "a{1001}",
            "a{2}?",
        ] {
            assert!(posix(pattern.as_bytes(), &mut Budget::default()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn patterns_are_bounded_one_by_one_and_together() {
        let mut budget = Budget::default();
        for pattern in ["((a{1000}){1000}){1000}", &"a".repeat(LONGEST + 1), &"(".repeat(10_000)] {
            assert!(posix(pattern.as_bytes(), &mut budget).is_err());
        }
        assert!(glob_within("?".repeat(LONGEST).as_bytes(), false, &mut budget).is_err());
        let mut built = 0;
        while posix(b".{500}", &mut budget).is_ok() {
            built += 1;
        }
        assert!((2..1000).contains(&built), "{built}");
        assert!(posix(b"a.b", &mut Budget::default()).is_ok());
    }

    /// The C library's own idea of globs, which is what Falco asks.
    #[cfg(target_env = "gnu")]
    #[test]
    fn globs_agree_with_the_c_library() {
        let letters = b"ab-]![^*?\\.";
        let word = |mut n: usize| {
            let mut word = Vec::new();
            while n > 0 {
                word.push(letters[(n - 1) % letters.len()]);
                n = (n - 1) / letters.len();
            }
            word
        };
        let values: Vec<Vec<u8>> = [
            "", "a", "b", "-", "]", "[", "ab", "a-", "!", "^a", "[a", "[]", "*", "\\", "aab", "[a-", ".b",
            "[!", "[^a",
        ]
        .iter()
        .map(|value| value.as_bytes().to_vec())
        .collect();
        let mut differences = Vec::new();
        for n in 0..6_000 {
            let pattern = word(n * 31 % 200_000);
            // Collating symbols and classes of equivalents are not known here.
            if pattern.windows(2).any(|pair| pair == b"[.") {
                continue;
            }
            let regex = glob(&pattern, false);
            for value in &values {
                let c = |bytes: &[u8]| std::ffi::CString::new(bytes).unwrap();
                let (of, text) = (c(&pattern), c(value));
                #[expect(unsafe_code, reason = "the C library's own is what is compared with")]
                // SAFETY: two strings that end in NUL and live until the call returns.
                let theirs = unsafe { libc::fnmatch(of.as_ptr(), text.as_ptr(), 0) } == 0;
                let ours = regex.as_ref().unwrap().is_match(value);
                if theirs != ours {
                    differences.push(format!("{of:?} {text:?} {theirs}"));
                }
            }
        }
        assert!(
            differences.is_empty(),
            "{} {:?}",
            differences.len(),
            &differences[..differences.len().min(20)]
        );
    }

    #[test]
    fn hints_name_the_simpler_operator() {
        for (pattern, hint) in [
            ("abc", Some("=")),
            ("^abc$", Some("=")),
            ("abc.*", Some("startswith")),
            (".*abc", Some("endswith")),
            (".*abc.*", Some("contains")),
            (".+abc", Some("endswith")),
            (".?abc", Some("endswith")),
            ("abc.+", Some("startswith")),
            ("^abc.?$", Some("startswith")),
            (".+.+", Some("contains")),
            (".*.*.*", None),
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
            let set = PathSet::new(patterns.iter().map(|p| p.as_bytes()), &mut Budget::default()).unwrap();
            assert_eq!(set.matches(path.as_bytes()), matches, "{patterns:?} {path}");
        }
    }
}
