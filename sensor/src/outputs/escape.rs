//! Hostile characters made visible. File names, arguments and foreign alerts carry any bytes; printed as they are, a
//! newline forges a second alert, an escape sequence rewrites the terminal and a bidi mark reverses what a person reads.

use std::borrow::Cow;
use std::fmt::Write as _;

/// True for characters that are not shown as themselves: controls, line and paragraph separators, bidi and zero-width marks.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Appends `c`, or its escape if it is hidden: `\n`, `\t`, `\u{202e}`.
pub fn push_visible(out: &mut String, c: char) {
    if is_hidden(c) {
        _ = write!(out, "{}", c.escape_default());
    } else {
        out.push(c);
    }
}

/// `text` with hidden characters written as escapes; always one line.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push_visible(&mut out, c));
    Cow::Owned(out)
}

/// JSON text with hidden characters as `\uXXXX`. The value stays the same: the writer of JSON has escaped the controls
/// below U+0020 already, and the others can only stand inside strings.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hidden_characters_are_written_out() {
        assert_eq!(visible("plain äöü 漢字 🦅"), "plain äöü 漢字 🦅");
        assert_eq!(visible("a\nb\r\tc\u{1b}[2J"), r"a\nb\r\tc\u{1b}[2J");
        assert_eq!(visible("gpj.\u{202e}exe\u{200b}\u{2028}"), r"gpj.\u{202e}exe\u{200b}\u{2028}");
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_and_json_keeps_its_value(text in any::<String>()) {
            prop_assert!(!visible(&text).contains(is_hidden));
            let json = serde_json::Value::from(text.clone()).to_string();
            let safe = visible_json(&json);
            prop_assert!(!safe.contains(is_hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }
    }
}
