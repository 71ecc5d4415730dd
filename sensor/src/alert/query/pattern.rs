//! Values of a query: literal text with `*` wildcards, compared without regard to ASCII case.
//!
//! One matcher serves both sides of a query, the live stream and SQLite (which calls it as a function), so
//! they cannot differ. The case of letters beyond ASCII counts.

use std::fmt;

/// Literal pieces with a wildcard between each two: `/etc/*.conf` is `["/etc/", ".conf"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<String>,
}

impl Pattern {
    /// A pattern without wildcards.
    pub fn literal(text: impl Into<String>) -> Self {
        Self { pieces: vec![text.into()] }
    }

    /// Reads the form that [`Pattern::encoded`] writes: `*` is a wildcard, a backslash makes the next character literal.
    pub fn decode(text: &str) -> Self {
        let mut pattern = PatternBuilder::default();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '*' => pattern.wildcard(),
                '\\' => pattern.push(chars.next().unwrap_or('\\')),
                c => pattern.push(c),
            }
        }
        pattern.finish()
    }

    /// The pattern as text: `*` for a wildcard; literal `*` and `\` behind a backslash.
    pub fn encoded(&self) -> String {
        let mut text = String::new();
        for (n, piece) in self.pieces.iter().enumerate() {
            if n > 0 {
                text.push('*');
            }
            for c in piece.chars() {
                if matches!(c, '*' | '\\') {
                    text.push('\\');
                }
                text.push(c);
            }
        }
        text
    }

    /// The text, when there is no wildcard in it.
    pub fn as_literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The literal pieces between the wildcards.
    pub fn pieces(&self) -> &[String] {
        &self.pieces
    }

    /// True when the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.pieces.first().is_some_and(|only| only.as_bytes().eq_ignore_ascii_case(text));
        };
        let Some((head, rest)) = text.split_at_checked(first.len()) else { return false };
        let Some(end) = rest.len().checked_sub(last.len()) else { return false };
        let (rest, tail) = rest.split_at(end);
        head.eq_ignore_ascii_case(first.as_bytes())
            && tail.eq_ignore_ascii_case(last.as_bytes())
            && in_order(rest, middle)
    }

    /// True when `text` contains the pattern.
    pub fn is_in(&self, text: &str) -> bool {
        in_order(text.as_bytes(), &self.pieces)
    }
}

/// True when `pieces` occur in `text` one after the other. Taking the first occurrence of each is enough.
fn in_order(mut text: &[u8], pieces: &[String]) -> bool {
    for piece in pieces {
        let Some(at) = find(text, piece.as_bytes()) else { return false };
        text = text.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

/// Where `needle` first occurs in `text`, ASCII case ignored.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let Some((&first, _)) = needle.split_first() else { return Some(0) };
    let last_start = text.len().checked_sub(needle.len())?;
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let starts = text.get(..=last_start)?;
    memchr::memchr2_iter(lower, upper, starts)
        .find(|&at| text.get(at..at + needle.len()).is_some_and(|part| part.eq_ignore_ascii_case(needle)))
}

impl fmt::Display for Pattern {
    /// The pattern as the grammar reads it back: bare where possible, else quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |c: char| c.is_alphanumeric() || "_./@%+~^#$&-:[]{}".contains(c);
        let quote = self.pieces.iter().all(String::is_empty) && self.pieces.len() == 1
            || !self.pieces.iter().flat_map(|p| p.chars()).all(bare)
            || self.pieces.first().is_some_and(|p| p.starts_with('-'));
        if !quote {
            return f.write_str(&self.pieces.join("*"));
        }
        f.write_str("\"")?;
        for (n, piece) in self.pieces.iter().enumerate() {
            if n > 0 {
                f.write_str("*")?;
            }
            for c in piece.chars() {
                if matches!(c, '*' | '\\' | '"') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
        }
        f.write_str("\"")
    }
}

/// Collects characters and wildcards; neighbouring wildcards count once.
#[derive(Debug, Default)]
pub(super) struct PatternBuilder {
    pieces: Vec<String>,
    piece: String,
}

impl PatternBuilder {
    pub(super) fn push(&mut self, c: char) {
        self.piece.push(c);
    }

    pub(super) fn wildcard(&mut self) {
        if self.pieces.is_empty() || !self.piece.is_empty() {
            self.pieces.push(std::mem::take(&mut self.piece));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.piece.is_empty()
    }

    pub(super) fn finish(mut self) -> Pattern {
        self.pieces.push(self.piece);
        Pattern { pieces: self.pieces }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_values() {
        for (pattern, text, fits) in [
            ("nginx", "NGINX", true),
            ("nginx", "nginx2", false),
            ("nginx*", "nginx", true),
            ("*shell*", "Terminal shell in container", true),
            ("/etc/*.conf", "/etc/.conf", true),
            ("/etc/*.conf", "/etc/a/b.conf", true),
            ("ab*ba", "aba", false),
            ("a*b*c", "aXbXc", true),
            ("a*b*c", "acb", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            (r"\*", "*", true),
            (r"\*", "x", false),
            ("é", "É", false),
        ] {
            assert_eq!(Pattern::decode(pattern).matches(text), fits, "{pattern} on {text}");
        }
    }

    #[test]
    fn text_is_found_inside() {
        for (pattern, text, found) in [
            ("SHELL", "a shell", true),
            ("sh*bash", "sh -c /bin/bash", true),
            ("bash*sh", "bas", false),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::decode(pattern).is_in(text), found, "{pattern} in {text}");
        }
    }

    #[test]
    fn many_wildcards_stay_cheap() {
        let pattern = Pattern::decode(&"a*".repeat(2000));
        assert!(!pattern.matches(&"a".repeat(1999)));
        assert!(pattern.matches(&"a".repeat(100_000)));
    }
}
