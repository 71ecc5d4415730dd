//! Colours for people who look at a terminal, and the lines of a condition tree.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use crate::rules::source::tree::{ListUse, NameKind, Named};

/// Whether to colour.
#[derive(Clone, Copy)]
pub struct Paint(bool);

/// A colour of the terminal's own palette.
#[derive(Clone, Copy)]
pub enum Ink {
    Bold,
    Dim,
    Green,
    Red,
    Yellow,
}

impl Paint {
    /// Colours if standard output is a terminal and `NO_COLOR` is not set.
    pub fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self(wanted && std::io::stdout().is_terminal())
    }

    #[cfg(test)]
    pub const fn never() -> Self {
        Self(false)
    }

    /// `text` in a colour.
    pub fn ink(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Green => "32",
            Ink::Red => "31",
            Ink::Yellow => "33",
        };
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// ` (macro opened, file:line)` for each name of a part.
pub fn names(names: &[Named]) -> String {
    let mut text = String::new();
    for name in names {
        let kind = match name.kind {
            NameKind::Macro => "macro",
            NameKind::Exception => "exception",
        };
        let _ = write!(text, "  {kind} {}", name.name);
        if let Some(place) = &name.place {
            let _ = write!(text, " ({}:{})", place.file, place.line);
        }
    }
    text
}

/// The items of a list, in lines of at most `width` characters.
pub fn list(list: &ListUse, width: usize) -> Vec<String> {
    let place = list.place.as_ref().map(|p| format!(" ({}:{})", p.file, p.line)).unwrap_or_default();
    wrap(&format!("list {}{place}: {}", list.name, list.items.join(", ")), width)
}

/// Words in lines of at most `width` characters; a longer word has a line of its own.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
