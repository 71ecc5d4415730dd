//! Condition text that remembers where each of its bytes came from. Lists are substituted, exceptions added and
//! conditions appended textually, as Falco does; the origin lets an error still point into the file.

use super::complaint::{Code, Complaint};
use super::source::Origin;
use crate::yaml::Node;

/// Longest condition with its lists put in. Lists may hold lists, and could grow without end.
const MAX_TEXT: usize = 4 << 20;

/// A text with the origin of each byte.
#[derive(Debug, Clone, Default)]
pub struct Text {
    body: String,
    origin: Vec<Origin>,
    /// Of each item that a list brought: where it comes from, and where the name of the list stands.
    items: Vec<(Origin, Origin)>,
}

impl Text {
    /// Says that a complaint lies in this text.
    pub fn around(&self, complaint: Complaint) -> Complaint {
        let at = self.find(complaint.at).unwrap_or(0);
        complaint.in_expression(self.as_str(), at)
    }

    pub fn as_str(&self) -> &str {
        &self.body
    }

    /// Where byte `at` came from; the end of the text maps to the last byte's origin.
    pub fn origin(&self, at: usize) -> Origin {
        self.origin.get(at).or(self.origin.last()).copied().unwrap_or_default()
    }

    /// The first byte that came from `origin`.
    pub fn find(&self, origin: Origin) -> Option<usize> {
        self.origin.iter().position(|place| *place == origin)
    }

    /// A text all of whose bytes come from one place.
    pub fn placed(text: &str, origin: Origin) -> Self {
        Self { body: text.to_owned(), origin: vec![origin; text.len()], items: Vec::new() }
    }

    /// The text of a scalar. Its bytes are found in the file by walking both in step: folding and
    /// indentation change white space only, so the other characters stand in the same order.
    pub fn of_scalar(source: &str, file: u32, node: &Node, text: &str) -> Self {
        let bytes = source.as_bytes();
        let mut at = node.at.min(bytes.len());
        match bytes.get(at) {
            Some(b'|' | b'>') => at += bytes[at..].iter().position(|b| *b == b'\n').unwrap_or(0),
            // A text that begins with the quote is a quoted scalar only if the quote is escaped.
            Some(quote @ (b'"' | b'\'')) => {
                let escape = if *quote == b'"' { b'\\' } else { *quote };
                if !text.as_bytes().starts_with(&[*quote]) || bytes.get(at + 1) == Some(&escape) {
                    at += 1;
                }
            }
            _ => {}
        }
        let mut origin = Vec::with_capacity(text.len());
        for c in text.chars() {
            if !c.is_whitespace() {
                // An escape of a quoted scalar has another spelling in the file; look no further than a few bytes.
                let mut seek = at;
                while seek < bytes.len() && bytes[seek].is_ascii_whitespace() {
                    seek += 1;
                }
                let mut first = [0; 4];
                let first = c.encode_utf8(&mut first).as_bytes()[0];
                if let Some(ahead) = bytes[seek..].iter().take(8).position(|b| *b == first) {
                    at = seek + ahead;
                }
            }
            let place = Origin { file, at: u32::try_from(at).unwrap_or(u32::MAX) };
            origin.extend(std::iter::repeat_n(place, c.len_utf8()));
            if at < bytes.len() {
                at += if c.is_whitespace() { 1 } else { c.len_utf8() };
            }
        }
        Self { body: text.to_owned(), origin, items: Vec::new() }
    }

    /// The text without white space around it.
    #[must_use]
    pub fn trimmed(&self) -> Self {
        let start = self.body.len() - self.body.trim_start().len();
        let text = self.body.trim().to_owned();
        let origin = self.origin[start..start + text.len()].to_vec();
        Self { body: text, origin, items: self.items.clone() }
    }

    pub fn push(&mut self, other: &Self) {
        self.body.push_str(&other.body);
        self.origin.extend_from_slice(&other.origin);
        self.items.extend_from_slice(&other.items);
    }

    /// Appends an item of a list, behind a comma if it is not the first.
    pub fn push_item(&mut self, item: &Self) {
        if !self.body.is_empty() {
            self.push_str(", ", item.origin(0));
        }
        self.push(&item.quoted());
        self.items.push((item.origin(0), item.origin(0)));
    }

    /// Of each item that a list brought: where it comes from, and where the name of the list stands.
    pub fn items(&self) -> &[(Origin, Origin)] {
        &self.items
    }

    pub fn push_str(&mut self, text: &str, origin: Origin) {
        self.body.push_str(text);
        self.origin.extend(std::iter::repeat_n(origin, text.len()));
    }

    /// The text as an element of a list in a condition: in quotes when it has a blank and brings none of its own.
    /// Nothing in it is escaped.
    #[must_use]
    pub fn quoted(&self) -> Self {
        if !self.body.contains(' ') || self.body.starts_with(['"', '\'']) {
            return self.clone();
        }
        let mut quoted = Self::placed("\"", self.origin(0));
        quoted.push(self);
        quoted.push_str("\"", self.origin(self.body.len()));
        quoted
    }

    /// Replaces each occurrence of the list name `name` that stands between delimiters by `items` (already joined by
    /// `, `) with one blank on either side, as Falco does; see section 1.7 of the language: the blanks around are
    /// swallowed, and an empty list takes a comma next to it along. True when the name occurred.
    pub fn substitute(&mut self, name: &str, items: &Self) -> Result<bool, Complaint> {
        if name.is_empty() {
            return Ok(false);
        }
        let mut out = Self::default();
        // Up to here the text is in `out`.
        let mut done = 0;
        let mut from = 0;
        let bytes = self.body.as_bytes();
        while let Some(at) = self.body[from..].find(name) {
            let start = from + at;
            let end = start + name.len();
            let before = start == 0 || is_delimiter(bytes[start - 1]);
            let after = end == bytes.len() || is_delimiter(bytes[end]);
            if !before || !after {
                // Names may hold any character; go on at the next one.
                from = start + self.body[start..].chars().next().map_or(1, char::len_utf8);
                continue;
            }
            out.push_slice(self, done, start);
            out.pop_while(is_blank);
            done = end + bytes[end..].iter().take_while(|byte| is_blank(**byte)).count();
            let name_at = self.origin(start);
            // The name may itself have come with another list.
            let named =
                self.items.iter().find(|(item, _)| *item == name_at).map_or(name_at, |(_, name)| *name);
            if items.body.is_empty() {
                if out.body.ends_with(',') {
                    out.pop();
                } else if bytes.get(done) == Some(&b',') {
                    done += 1;
                }
            }
            if !out.body.is_empty() {
                out.push_str(" ", name_at);
            }
            out.body.push_str(&items.body);
            out.origin.extend_from_slice(&items.origin);
            out.items.extend(items.items.iter().map(|(item, _)| (*item, named)));
            out.push_str(" ", name_at);
            if out.body.len() > MAX_TEXT {
                let message = format!("the condition is longer than {MAX_TEXT} bytes with its lists");
                return Err(Complaint::new(Code::CompileCondition, name_at, message));
            }
            from = done;
        }
        if done == 0 {
            return Ok(false);
        }
        out.push_slice(self, done, bytes.len());
        out.items.extend_from_slice(&self.items);
        *self = out;
        Ok(true)
    }

    fn push_slice(&mut self, other: &Self, from: usize, to: usize) {
        self.body.push_str(&other.body[from..to]);
        self.origin.extend_from_slice(&other.origin[from..to]);
    }

    /// Takes off the last byte, which must be ASCII.
    fn pop(&mut self) {
        self.body.pop();
        self.origin.truncate(self.body.len());
    }

    fn pop_while(&mut self, unwanted: fn(u8) -> bool) {
        while self.body.as_bytes().last().is_some_and(|byte| unwanted(*byte)) {
            self.pop();
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_delimiter(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b'(' | b')' | b',' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Yaml, documents};

    fn substituted(text: &str, items: &str) -> String {
        let mut text = Text::placed(text, Origin::default());
        text.substitute("l", &Text::placed(items, Origin { file: 1, at: 0 })).unwrap();
        assert_eq!(text.body.len(), text.origin.len());
        text.body
    }

    #[test]
    fn lists_are_replaced_between_delimiters_only() {
        for (text, items, expected) in [
            ("a in (l)", "x, y", "a in ( x, y )"),
            ("a in ( l )", "x", "a in ( x )"),
            ("a=l", "x", "a= x "),
            ("ll l.x xl", "y", "ll l.x xl"),
            ("a in (p, l, q)", "", "a in (p  , q)"),
            ("a in (l, q)", "", "a in (   q)"),
            ("a in (l)", "", "a in (  )"),
            ("a in (l) or b in (l)", "1", "a in ( 1 ) or b in ( 1 )"),
            ("l", "l", "l "),
            ("a in (l l)", "x", "a in ( x x )"),
            ("a in (l, l)", "", "a in (  )"),
            ("a in (l,l ,b)", "", "a in (  b)"),
            ("a in ( p ,\t l )", "", "a in ( p   )"),
        ] {
            assert_eq!(substituted(text, items), expected, "{text}");
        }
    }

    #[test]
    fn each_byte_of_a_folded_scalar_is_found_in_the_file() {
        let source = "- c: >\n    proc.name = x\n    and fd.num=1\n";
        let docs = documents(source, crate::yaml::Twice::Refused).unwrap();
        let Yaml::Seq(items) = &docs[0].yaml else { panic!() };
        let node = items[0].get("c").unwrap();
        let text = Text::of_scalar(source, 0, node, node.text().unwrap());
        let at = text.as_str().find("fd.num").unwrap();
        let found = text.origin(at).at as usize;
        assert_eq!(&source[found..found + 6], "fd.num");
    }
}
