//! Rules files as texts, and places in them.

use std::sync::OnceLock;

use serde::Serialize;

/// A rules file: its name for messages, and its text.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub text: String,
    /// Why the file could not be read, if it could not.
    unread: Option<String>,
    /// Where the lines begin; made when a place is first asked for.
    lines: OnceLock<Box<[usize]>>,
}

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), unread: None, lines: OnceLock::new() }
    }

    /// A file that could not be read; loading it is an error in its turn.
    pub fn unread(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), text: String::new(), unread: Some(why.into()), lines: OnceLock::new() }
    }

    /// The line of a byte, counted from 0, and where it begins. Behind the end it is the last one.
    pub fn line(&self, at: usize) -> (usize, usize) {
        let starts = self.lines.get_or_init(|| {
            let breaks = memchr::memchr_iter(b'\n', self.text.as_bytes());
            std::iter::once(0).chain(breaks.map(|at| at + 1)).collect()
        });
        let line = starts.partition_point(|start| *start <= at).saturating_sub(1);
        (line, starts.get(line).copied().unwrap_or_default())
    }

    /// Why the file could not be read, if it could not.
    pub fn error(&self) -> Option<&str> {
        self.unread.as_deref()
    }
}

/// A byte of a rules file: number of the file in load order, offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Origin {
    pub file: u32,
    pub at: u32,
}

/// A place in a rules file; line and column are counted from 1, columns in characters. In JSON it is `file:line:column`, for
/// an alert holds many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
