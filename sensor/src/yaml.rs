//! YAML as a tree whose nodes know where they stand, so that every complaint can point at its line.
//!
//! Hostile input is bounded: nesting by [`MAX_DEPTH`] and the tree, aliases expanded, by [`MAX_NODES`].

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Deepest nesting accepted.
const MAX_DEPTH: usize = 64;
/// Most nodes of one file, each use of an alias counted in full.
const MAX_NODES: usize = 2_000_000;

/// What is made of a key that stands twice in a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twice {
    /// An error.
    Refused,
    /// Both are kept and [`Node::get`] finds the first: what Falco makes of it in a rules file.
    First,
}

/// Line and column in a file, both from 1; the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// That of a byte of `text`.
    pub fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Self { line: 1 + before.matches('\n').count(), column: 1 + before[start..].chars().count() }
    }
}

/// A node and the byte at which it begins in the file.
#[derive(Debug, Clone)]
pub struct Node {
    pub at: usize,
    pub yaml: Yaml,
}

#[derive(Debug, Clone)]
pub enum Yaml {
    Null,
    Scalar(Scalar),
    Seq(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// The text of a scalar and how it was written.
#[derive(Debug, Clone)]
pub struct Scalar {
    pub text: String,
    /// Written without quotes, so it may be a number or a truth value.
    pub plain: bool,
}

/// The file is not YAML.
#[derive(Debug)]
pub struct YamlError {
    pub at: usize,
    pub message: String,
}

impl Node {
    /// The value of key `key` in a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Yaml::Map(pairs) = &self.yaml else { return None };
        pairs.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, value)| value)
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.yaml {
            Yaml::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.yaml, Yaml::Null)
    }

    fn size(&self) -> usize {
        1 + match &self.yaml {
            Yaml::Null | Yaml::Scalar(_) => 0,
            Yaml::Seq(items) => items.iter().map(Self::size).sum(),
            Yaml::Map(pairs) => pairs.iter().map(|(k, v)| k.size() + v.size()).sum(),
        }
    }
}

/// A collection under construction.
enum Open {
    Seq(Vec<Node>),
    Map(Vec<(Node, Node)>, Option<Node>),
}

struct Builder {
    stack: Vec<(usize, usize, Open)>,
    documents: Vec<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    twice: Twice,
}

impl Builder {
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} values"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.documents.push(node),
            Some((_, _, Open::Seq(items))) => items.push(node),
            Some((_, _, Open::Map(pairs, key))) => match key.take() {
                None => *key = Some(node),
                Some(name) => {
                    if self.twice == Twice::Refused
                        && name.text().is_some_and(|n| pairs.iter().any(|(k, _)| k.text() == Some(n)))
                    {
                        return Err(format!("key '{}' stands twice", name.text().unwrap_or_default()));
                    }
                    pairs.push((name, node));
                }
            },
        }
        Ok(())
    }

    fn open(&mut self, at: usize, anchor: usize, open: Open) -> Result<(), String> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.stack.push((at, anchor, open));
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some((at, anchor, open)) = self.stack.pop() else { return Ok(()) };
        let yaml = match open {
            Open::Seq(items) => Yaml::Seq(items),
            Open::Map(pairs, _) => Yaml::Map(pairs),
        };
        self.add(Node { at, yaml }, anchor)
    }

    fn alias(&mut self, at: usize, anchor: usize) -> Result<(), String> {
        let mut node = self.anchors.get(&anchor).cloned().ok_or("alias of nothing")?;
        self.nodes += node.size();
        node.at = at;
        self.add(node, 0)
    }
}

fn scalar(text: String, style: ScalarStyle, tagged: bool) -> Yaml {
    let plain = style == ScalarStyle::Plain && !tagged;
    if plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
        return Yaml::Null;
    }
    Yaml::Scalar(Scalar { text, plain })
}

/// Most closing brackets that are moved, see [`documents`].
const MAX_MOVED: usize = 512;
/// Most text that is parsed again for them, in bytes.
const MAX_AGAIN: usize = 128 << 20;

/// All documents of a file.
///
/// The parser is stricter than others: the closing bracket of a flow collection may not stand as far left as its key,
/// which is common in rule files. Such a bracket is moved to the right and the file parsed once more; positions are
/// told as they are in the file.
pub fn documents(text: &str, twice: Twice) -> Result<Vec<Node>, YamlError> {
    let mut moved: Vec<usize> = Vec::new();
    // Editors of other systems begin a file with a byte order mark.
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut padded = std::borrow::Cow::Borrowed(&text[mark..]);
    loop {
        let original = |at: usize| {
            // `moved` holds, in ascending order, where in the padded text the padding begins.
            let before = moved.iter().take_while(|start| **start < at).count();
            at.saturating_sub(before * PADDING.len()) + mark
        };
        match parse(&padded, &original, twice) {
            Ok(documents) => return Ok(documents),
            Err(error)
                if error.message == "invalid indentation"
                    && moved.len() < MAX_MOVED
                    && moved.len().saturating_mul(text.len()) < MAX_AGAIN =>
            {
                let line = padded[..error.at].rfind('\n').map_or(0, |at| at + 1);
                let closes = padded[error.at..].starts_with([']', '}']);
                if !closes || !padded[line..error.at].trim().is_empty() || moved.last() == Some(&line) {
                    return Err(YamlError { at: original(error.at), ..error });
                }
                padded.to_mut().insert_str(line, PADDING);
                moved.push(line);
            }
            Err(error) => return Err(YamlError { at: original(error.at), ..error }),
        }
    }
}

/// What moves a closing bracket right; wider than any nesting that is accepted.
const PADDING: &str = "                                                                ";

/// Parses `text`; places in errors are offsets in it, those in nodes go through `original`.
fn parse(text: &str, original: &dyn Fn(usize) -> usize, twice: Twice) -> Result<Vec<Node>, YamlError> {
    // The parser counts characters, we count bytes.
    let starts: Option<Vec<usize>> =
        (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
    let byte = |index: usize| match &starts {
        None => index.min(text.len()),
        Some(starts) => starts.get(index).copied().unwrap_or(text.len()),
    };
    let mut builder =
        Builder { stack: Vec::new(), documents: Vec::new(), anchors: HashMap::new(), nodes: 0, twice };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span): (Event<'_>, Span) = event.map_err(|error| YamlError {
            at: byte(error.marker().index()),
            message: error.info().to_owned(),
        })?;
        let place = byte(span.start.index());
        let at = original(place);
        let done = match event {
            Event::Scalar(value, style, anchor, tag) => {
                builder.add(Node { at, yaml: scalar(value.into_owned(), style, tag.is_some()) }, anchor)
            }
            Event::SequenceStart(anchor, _) => builder.open(at, anchor, Open::Seq(Vec::new())),
            Event::MappingStart(anchor, _) => builder.open(at, anchor, Open::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => builder.close(),
            Event::Alias(anchor) => builder.alias(at, anchor),
            _ => Ok(()),
        };
        done.map_err(|message| YamlError { at: place, message })?;
    }
    Ok(builder.documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_know_their_place() {
        let docs = documents("# c\n- a: é x\n  b: [1, 'two']\n---\n- null\n", Twice::Refused).unwrap();
        assert_eq!(docs.len(), 2);
        let Yaml::Seq(items) = &docs[0].yaml else { panic!() };
        assert_eq!(items[0].get("a").unwrap().text(), Some("é x"));
        let b = items[0].get("b").unwrap();
        let Yaml::Seq(list) = &b.yaml else { panic!() };
        assert_eq!(&"# c\n- a: é x\n  b: [1, 'two']"[list[1].at..], "'two']");
    }

    #[test]
    fn a_closing_bracket_may_stand_below_its_key() {
        let text = "- a: [\n    \"x\",\n    \"y\"\n  ]\n  é: {\n    'k': 'v'\n  }\n  z: end\n";
        let docs = documents(text, Twice::Refused).unwrap();
        let Yaml::Seq(items) = &docs[0].yaml else { panic!() };
        assert_eq!(items[0].get("é").unwrap().get("k").unwrap().text(), Some("v"));
        let z = items[0].get("z").unwrap();
        assert_eq!(&text[z.at..z.at + 3], "end");
        assert_eq!(
            documents("- a:\n    - b\n  ]\n", Twice::Refused).unwrap_err().at,
            "- a:\n    - b\n  ".len()
        );
    }

    #[test]
    fn hostile_input_is_an_error() {
        assert!(documents(&"[".repeat(100_000), Twice::Refused).is_err());
        let mut bomb = String::from("- &a [x,x,x,x,x,x,x,x,x,x]\n");
        for (from, to) in ('a'..'i').zip('b'..='i') {
            let ten = vec![format!("*{from}"); 10].join(",");
            bomb = format!("{bomb}- &{to} [{ten}]\n");
        }
        assert!(documents(&bomb, Twice::Refused).is_err());
        assert!(documents("a: b: c", Twice::Refused).is_err());
        assert!(documents("- a: 1\n  a: 2\n", Twice::Refused).is_err());
        assert!(documents("", Twice::Refused).unwrap().is_empty());
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let docs = documents("\u{feff}- a: b\n", Twice::Refused).unwrap();
        let Yaml::Seq(items) = &docs[0].yaml else { panic!() };
        assert_eq!(items[0].at, "\u{feff}- ".len());
    }

    #[test]
    fn of_a_key_that_stands_twice_the_first_counts_if_that_is_asked_for() {
        let docs = documents("- a: 1\n  a: 2\n", Twice::First).unwrap();
        let Yaml::Seq(items) = &docs[0].yaml else { panic!() };
        assert_eq!(items[0].get("a").unwrap().text(), Some("1"));
    }
}
