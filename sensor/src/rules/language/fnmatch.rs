//! Globs whose pattern is known at run time only, matched without building anything. Literal patterns are compiled
//! ([`super::pattern::glob_within`]); both mean the same.

use super::classes::{self, Class};

/// One unit of a pattern.
enum Unit<'p> {
    Star,
    Any,
    Byte(u8),
    /// What stands between `[` and `]`.
    Bracket(&'p [u8]),
}

/// The unit at the start of a pattern, and its length.
fn unit(pattern: &[u8]) -> Option<(Unit<'_>, usize)> {
    Some(match pattern {
        [] => return None,
        [b'*', ..] => (Unit::Star, 1),
        [b'?', ..] => (Unit::Any, 1),
        [b'\\', byte, ..] => (Unit::Byte(*byte), 2),
        [b'[', rest @ ..] => match closing(rest) {
            Some(end) => (Unit::Bracket(&rest[..end]), end + 2),
            None => (Unit::Byte(b'['), 1),
        },
        [byte, ..] => (Unit::Byte(*byte), 1),
    })
}

/// What stands in a bracket expression.
enum Member {
    Class(Class),
    /// From the first byte to the last.
    Range(u8, u8),
}

/// A member of a bracket expression and its length.
fn member(rest: &[u8]) -> Option<(Member, usize)> {
    if let [b'[', b':', name @ ..] = rest {
        let end = name.windows(2).position(|pair| pair == b":]")?;
        return Some((Member::Class(classes::named(&name[..end])?), end + 4));
    }
    let byte = |rest: &[u8]| match rest {
        [b'\\', byte, ..] => Some((*byte, 2)),
        [byte, ..] => Some((*byte, 1)),
        [] => None,
    };
    let (low, used) = byte(rest)?;
    match &rest[used..] {
        [b'-', high @ ..] if high.first().is_some_and(|byte| *byte != b']') => {
            let (high, more) = byte(high)?;
            Some((Member::Range(low, high), used + 1 + more))
        }
        _ => Some((Member::Range(low, low), used)),
    }
}

/// The position of the `]` that closes a bracket expression; `None` when it is not closed.
fn closing(rest: &[u8]) -> Option<usize> {
    let first = usize::from(matches!(rest.first(), Some(b'^' | b'!')));
    let mut at = first;
    loop {
        if *rest.get(at)? == b']' && at > first {
            return Some(at);
        }
        at += member(&rest[at..])?.1;
    }
}

/// `None` for a range that runs backwards: the whole pattern is no pattern then.
fn bracket(mut inner: &[u8], byte: u8) -> Option<bool> {
    let negated = matches!(inner.first(), Some(b'^' | b'!'));
    inner = &inner[usize::from(negated)..];
    let mut found = false;
    while let Some((what, used)) = member(inner) {
        found |= match what {
            Member::Class(class) => class(&byte),
            Member::Range(low, high) if low > high => return None,
            Member::Range(low, high) => (low..=high).contains(&byte),
        };
        inner = &inner[used..];
    }
    Some(found != negated)
}

/// Whether the whole text matches.
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let (mut at, mut place) = (0, 0);
    // Behind the last `*`, and where in the text to try the rest again.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match unit(&pattern[at..]) {
            Some((Unit::Star, used)) => {
                at += used;
                star = Some((at, place));
                continue;
            }
            None if place == text.len() => return true,
            None => None,
            Some((unit, used)) => text.get(place).and_then(|byte| {
                let fits = |byte: u8| match unit {
                    Unit::Star | Unit::Any => true,
                    Unit::Byte(wanted) => byte == wanted,
                    Unit::Bracket(inner) => bracket(inner, byte).unwrap_or(false),
                };
                let fits = fits(*byte)
                    || (ignore_case && (fits(byte.to_ascii_lowercase()) || fits(byte.to_ascii_uppercase())));
                fits.then_some(used)
            }),
        };
        match (step, star) {
            (Some(used), _) => {
                at += used;
                place += 1;
            }
            // The star takes one more byte.
            (None, Some((behind, from))) if from < text.len() => {
                star = Some((behind, from + 1));
                (at, place) = (behind, from + 1);
            }
            (None, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pattern;
    use super::*;

    proptest! {
        #[test]
        fn agrees_with_the_compiled_glob(
            pattern in r"([ab*?\\^!\[\]\-]|\[:digit:\]|\[[!^]?[a-c\]]?[a-c-]*\]|[aB1]){0,8}",
            text in "[abAB1*^\\[\\]-]{0,8}",
            plain in any::<bool>(),
        ) {
            // A bracket that regular expressions read in another way when the case does not matter is left out.
            let ignore_case = !plain && !pattern.contains('[');
            if let Ok(compiled) = pattern::glob(pattern.as_bytes(), ignore_case) {
                prop_assert_eq!(
                    matches(pattern.as_bytes(), text.as_bytes(), ignore_case),
                    compiled.is_match(text.as_bytes()),
                    "{} {}", pattern, text
                );
            }
        }
    }
}
