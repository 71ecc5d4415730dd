//! Event text for Teams' Markdown: nothing in it may format, link, mention or hide.

use crate::outputs::escape::push_visible;

/// Text made safe and fitted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clipped {
    pub text: String,
    /// Bytes of the original that are not in `text`.
    pub left_out: usize,
}

/// Marks text that goes on.
const MORE: char = '…';

/// Escapes `text` for Markdown with at most `room` bytes as part of a JSON string; what does not fit is cut and `…` added.
pub fn escape(text: &str, room: usize) -> Clipped {
    clip(text, room, push_escaped)
}

/// `text` for places that are not Markdown: hidden characters visible, cut as [`escape`] does.
pub fn plain(text: &str, room: usize) -> Clipped {
    clip(text, room, |out, _, c, _| push_visible(out, c))
}

type Push = fn(&mut String, &str, char, usize);

fn clip(text: &str, room: usize, push: Push) -> Clipped {
    let mut out = String::with_capacity(text.len().min(room));
    let mut used = 0;
    // Where `out` may be cut so that the mark still fits, and where that is in `text`.
    let mut cut = (0, 0);
    for (at, c) in text.char_indices() {
        let before = out.len();
        push(&mut out, text, c, at);
        used += out.get(before..).map_or(0, json_cost);
        if used > room {
            out.truncate(cut.0);
            if room >= MORE.len_utf8() {
                out.push(MORE);
            }
            return Clipped { text: out, left_out: text.len() - cut.1 };
        }
        if used + MORE.len_utf8() <= room {
            cut = (out.len(), at + c.len_utf8());
        }
    }
    Clipped { text: out, left_out: 0 }
}

/// Bytes of `text` within a JSON string as `serde_json` writes it.
pub fn json_cost(text: &str) -> usize {
    text.bytes()
        .map(|b| match b {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0..=0x1f => 6,
            _ => 1,
        })
        .sum()
}

fn push_escaped(out: &mut String, text: &str, c: char, at: usize) {
    let special = match c {
        '\\' | '*' | '_' | '[' | ']' | '(' | ')' | '#' | '`' | '<' | '>' | '~' | '|' => true,
        '&' => begins_entity(text.get(at + 1..).unwrap_or_default()),
        '-' | '+' | '=' => text.get(..at).is_some_and(|before| before.trim_start().is_empty()),
        '.' => text.get(..at).is_some_and(is_list_number),
        _ => false,
    };
    if special {
        out.push('\\');
        out.push(c);
        return;
    }
    let before = out.len();
    push_visible(out, c);
    // The escapes of hidden characters begin with a backslash, which Markdown would take.
    if out.get(before..).is_some_and(|added| added.starts_with('\\')) {
        out.insert(before, '\\');
    }
}

/// `1.` at the beginning makes a list; `1)` is escaped anyway.
fn is_list_number(before: &str) -> bool {
    let number = before.trim_start();
    !number.is_empty() && number.len() < 10 && number.bytes().all(|b| b.is_ascii_digit())
}

/// True when `rest` goes on as `lt;` or `#60;` would.
fn begins_entity(rest: &str) -> bool {
    let name = rest.bytes().take(32).take_while(|b| b.is_ascii_alphanumeric() || *b == b'#').count();
    name > 0 && rest.as_bytes().get(name) == Some(&b';')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> String {
        escape(text, usize::MAX).text
    }

    #[test]
    fn markdown_is_shown_not_obeyed() {
        for (text, escaped) in [
            ("plain text, 5 - 3 = 2", "plain text, 5 - 3 = 2"),
            ("[click](http://evil)", r"\[click\]\(http://evil\)"),
            ("*a* _b_ `c` ~d~ #e", r"\*a\* \_b\_ \`c\` \~d\~ \#e"),
            ("<at>all</at>", r"\<at\>all\</at\>"),
            ("- item", r"\- item"),
            ("  + item", r"  \+ item"),
            ("12. item 3.4", r"12\. item 3.4"),
            ("a && b &lt; &#60;", r"a && b \&lt; \&\#60;"),
            (r"C:\x", r"C:\\x"),
            ("a\nb\u{202e}", r"a\\nb\\u{202e}"),
        ] {
            assert_eq!(all(text), escaped, "{text}");
        }
    }

    #[test]
    fn what_is_cut_is_counted() {
        assert_eq!(escape("abcdefghij", 8), Clipped { text: "abcde…".into(), left_out: 5 });
        assert_eq!(escape("**********", 12), Clipped { text: r"\*\*\*…".into(), left_out: 7 });
        assert_eq!(escape("äöü", 5), Clipped { text: "ä…".into(), left_out: 4 });
        assert_eq!(escape("abc", 3), Clipped { text: "abc".into(), left_out: 0 });
        assert_eq!(escape("abc", 0), Clipped { text: String::new(), left_out: 3 });
    }

    proptest! {
        #[test]
        fn room_is_kept_and_the_cost_is_that_of_json(text in any::<String>(), room in 0_usize..200) {
            for clipped in [escape(&text, room), plain(&text, room)] {
                let json = serde_json::Value::from(clipped.text.clone()).to_string();
                prop_assert_eq!(json.len() - 2, json_cost(&clipped.text));
                prop_assert!(json.len() - 2 <= room);
                prop_assert!(clipped.left_out <= text.len());
            }
            prop_assert_eq!(json_cost(&text), serde_json::Value::from(text).to_string().len() - 2);
        }
    }
}
