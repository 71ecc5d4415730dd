//! The running half of transformers: what [`Compute`] is for an event. Everything that is made on the way lives in the
//! event's arena, so nothing is allocated on the heap once the arena has grown.

use std::cmp::Ordering;
use std::fmt::Write as _;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use super::ast::Op;
use super::fnmatch;
use super::matcher::{self, Order};
use super::transform::Compute;
use crate::rules::registry::event::{Event, Value};

/// A computed value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Computed<'e> {
    One(Value<'e>),
    List(&'e [&'e [u8]]),
}

impl<'e> Computed<'e> {
    /// The single value; `None` for a list.
    pub fn value(self) -> Option<Value<'e>> {
        match self {
            Self::One(value) => Some(value),
            Self::List(_) => None,
        }
    }

    fn bytes(self) -> Option<&'e [u8]> {
        match self.value()? {
            Value::Str(bytes) | Value::Buf(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn list(self) -> Option<&'e [&'e [u8]]> {
        match self {
            Self::List(items) => Some(items),
            Self::One(_) => None,
        }
    }

    /// Changes the text, or each text of a list.
    fn each(self, bump: &'e Bump, mut change: impl FnMut(&'e [u8]) -> Option<&'e [u8]>) -> Option<Self> {
        let Self::List(items) = self else { return text(change(self.bytes()?)?) };
        let mut changed = BumpVec::with_capacity_in(items.len(), bump);
        for item in items {
            changed.push(change(item)?);
        }
        Some(Self::List(changed.into_bump_slice()))
    }
}

fn text(bytes: &[u8]) -> Option<Computed<'_>> {
    Some(Computed::One(Value::Str(bytes)))
}

/// Base64 as Falco decodes it: the padding may be left out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The value as a text: numbers, truth values and addresses as they are printed.
fn printed<'e>(value: Value<'e>, bump: &'e Bump) -> &'e [u8] {
    if let Value::Str(bytes) | Value::Buf(bytes) = value {
        return bytes;
    }
    let mut text = BumpString::new_in(bump);
    // Writing to a string cannot fail.
    let _ = match value {
        Value::Int(n) => write!(text, "{n}"),
        Value::Uint(n) => write!(text, "{n}"),
        Value::Bool(b) => write!(text, "{b}"),
        Value::Ip(ip) => write!(text, "{ip}"),
        Value::Str(_) | Value::Buf(_) => Ok(()),
    };
    text.into_bump_str().as_bytes()
}

impl Compute {
    /// The value for an event; `None` is missing.
    pub fn run<'e, E: Event>(&'e self, event: &'e E, bump: &'e Bump) -> Option<Computed<'e>> {
        match self {
            Self::Field(field) if field.is_list() => {
                let mut list: BumpVec<'e, &'e [u8]> = BumpVec::new_in(bump);
                event.any(field, &mut |value| {
                    if let Value::Str(bytes) | Value::Buf(bytes) = value {
                        list.push(bump.alloc_slice_copy(bytes));
                    }
                    false
                });
                (!list.is_empty()).then(|| Computed::List(list.into_bump_slice()))
            }
            Self::Field(field) => event.get(field).map(Computed::One),
            Self::Text(literal) => text(literal),
            Self::List(items) => {
                let mut list: BumpVec<'e, &'e [u8]> = BumpVec::new_in(bump);
                for item in items {
                    // A list with a member that is missing is missing.
                    match item.run(event, bump)? {
                        Computed::One(value) => list.push(printed(value, bump)),
                        Computed::List(inner) => list.extend_from_slice_copy(inner),
                    }
                }
                Some(Computed::List(list.into_bump_slice()))
            }
            Self::Lower(inner) => inner.run(event, bump)?.each(bump, |bytes| {
                let copy = bump.alloc_slice_copy(bytes);
                copy.make_ascii_lowercase();
                Some(copy)
            }),
            Self::Upper(inner) => inner.run(event, bump)?.each(bump, |bytes| {
                let copy = bump.alloc_slice_copy(bytes);
                copy.make_ascii_uppercase();
                Some(copy)
            }),
            Self::Base64(inner) => inner.run(event, bump)?.each(bump, |coded| {
                let room = bump.alloc_slice_fill_copy(base64::decoded_len_estimate(coded.len()), 0u8);
                let len = LENIENT.decode_slice(coded, room).ok()?;
                room.get(..len)
            }),
            Self::Basename(inner) => {
                let last = |path: &'e [u8]| Some(path.rsplit(|b| *b == b'/').next().unwrap_or(path));
                inner.run(event, bump)?.each(bump, last)
            }
            Self::Len(inner) => {
                let len = match inner.run(event, bump)? {
                    Computed::List(items) => items.len(),
                    value @ Computed::One(_) => value.bytes()?.len(),
                };
                Some(Computed::One(Value::Uint(len as u64)))
            }
            Self::Join(separator, list) => {
                let separator = printed(separator.run(event, bump)?.value()?, bump);
                let mut whole = BumpVec::new_in(bump);
                for (at, item) in list.run(event, bump)?.list()?.iter().enumerate() {
                    whole.extend_from_slice_copy(if at == 0 { b"" } else { separator });
                    whole.extend_from_slice_copy(item);
                }
                text(whole.into_bump_slice())
            }
            Self::Concat(parts) => {
                let mut whole = BumpVec::new_in(bump);
                for part in parts {
                    whole.extend_from_slice_copy(printed(part.run(event, bump)?.value()?, bump));
                }
                text(whole.into_bump_slice())
            }
            Self::Getopt { list, options, selector } => {
                let options = options.run(event, bump)?.bytes()?;
                let found = getopt(list.run(event, bump)?.list()?, options, bump);
                let letter = |letter: u8| -> &'e [u8] { bump.alloc_slice_copy(&[letter]) };
                match selector {
                    None => {
                        let mut all = BumpVec::new_in(bump);
                        for option in found {
                            match option {
                                Found::Flag(flag) => all.push(letter(flag)),
                                Found::Valued(flag, value) => all.extend([letter(flag), value]),
                                Found::Unfinished => all.push(b""),
                            }
                        }
                        Some(Computed::List(all.into_bump_slice()))
                    }
                    Some(wanted) => {
                        let last = found.into_iter().rev().find_map(|option| match option {
                            Found::Flag(flag) if flag == *wanted => Some(letter(flag)),
                            Found::Valued(flag, value) if flag == *wanted => Some(value),
                            _ => None,
                        });
                        text(last?)
                    }
                }
            }
        }
    }
}

/// What `getopt` finds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Found<'e> {
    /// An option without a value; `?` for one that is not known.
    Flag(u8),
    Valued(u8, &'e [u8]),
    /// An option whose value is missing at the end.
    Unfinished,
}

/// Parses words as `getopt` does.
fn getopt<'e>(words: &[&'e [u8]], options: &[u8], bump: &'e Bump) -> BumpVec<'e, Found<'e>> {
    let takes_value = |letter: u8| {
        let at = options.iter().position(|known| *known == letter && letter != b':')?;
        Some(options.get(at + 1) == Some(&b':'))
    };
    let mut found = BumpVec::new_in(bump);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word {
            [b'-', b'-', ..] if word.len() > 2 => {}
            [b'-', first, ..] if *first != b'-' => {
                for (at, letter) in word[1..].iter().enumerate() {
                    match takes_value(*letter) {
                        None => found.push(Found::Flag(b'?')),
                        Some(false) => found.push(Found::Flag(*letter)),
                        Some(true) => {
                            let attached = &word[at + 2..];
                            let value =
                                if attached.is_empty() { words.next().copied() } else { Some(attached) };
                            found
                                .push(value.map_or(Found::Unfinished, |value| Found::Valued(*letter, value)));
                            break;
                        }
                    }
                }
            }
            // `-`, `--` and the first word that is no option end the options.
            _ => break,
        }
    }
    found
}

/// Whether two extracted values compare so.
pub fn pair<E: Event>(left: &Compute, op: Op, right: &Compute, event: &E, bump: &Bump) -> bool {
    let (Some(left), Some(right)) = (left.run(event, bump), right.run(event, bump)) else { return false };
    let right = match right {
        Computed::List(items) => items,
        Computed::One(value) => match left {
            Computed::One(left) => return values(left, op, value),
            // A list on the left alone: its elements are compared with the one value.
            Computed::List(_) => bump.alloc([printed(value, bump)]).as_slice(),
        },
    };
    // Both sides are lists otherwise, or the rule is refused.
    let left = left.list().unwrap_or_default();
    let contains = |item: &&[u8]| right.contains(item);
    if op == Op::In { !left.is_empty() && left.iter().all(contains) } else { left.iter().any(contains) }
}

fn values(left: Value<'_>, op: Op, right: Value<'_>) -> bool {
    let order = |order: Order| matcher::compare(left, right).is_some_and(|ordering| order.holds(ordering));
    let bytes = |test: &dyn Fn(&[u8], &[u8]) -> bool| match (left, right) {
        (Value::Str(a) | Value::Buf(a), Value::Str(b) | Value::Buf(b)) => test(a, b),
        _ => false,
    };
    match op {
        Op::Eq | Op::In | Op::Intersects => matcher::compare(left, right) == Some(Ordering::Equal),
        Op::Ne => matcher::compare(left, right).is_some_and(Ordering::is_ne),
        Op::Lt => order(Order::Lt),
        Op::Le => order(Order::Le),
        Op::Gt => order(Order::Gt),
        Op::Ge => order(Order::Ge),
        Op::Contains | Op::Bcontains => bytes(&|a, b| memchr::memmem::find(a, b).is_some()),
        Op::Icontains => {
            bytes(&|a, b| b.is_empty() || a.windows(b.len()).any(|window| window.eq_ignore_ascii_case(b)))
        }
        Op::Startswith | Op::Bstartswith => bytes(&<[u8]>::starts_with),
        Op::Endswith => bytes(&<[u8]>::ends_with),
        Op::Glob | Op::Iglob => bytes(&|a, b| fnmatch::matches(b, a, op == Op::Iglob)),
        // Refused at load, or without a value on the right.
        Op::Regex | Op::Pmatch | Op::Exists => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn getopt_reads_options_as_the_c_library_does() {
        let run = |words: &[&str], options: &str| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let bump = Bump::new();
            let found = getopt(&words, options.as_bytes(), &bump);
            let show = |found: Found<'_>| match found {
                Found::Flag(letter) => (letter as char).to_string(),
                Found::Valued(letter, value) => {
                    format!("{}={}", letter as char, std::str::from_utf8(value).unwrap())
                }
                Found::Unfinished => "-".to_owned(),
            };
            found.into_iter().map(show).collect::<Vec<_>>().join(" ")
        };
        for (words, options, expected) in [
            (&["-a", "-b", "v", "rest", "-a"][..], "ab:", "a b=v"),
            (&["-nt", "-tv"], "nt", "n t t ?"),
            (&["-abval"], "ab:", "a b=val"),
            (&["--long", "-a"], "a", "a"),
            (&["-a", "--", "-a"], "a", "a"),
            (&["-", "-a"], "a", ""),
            (&["-a", "-b"], "ab:", "a -"),
            (&["-x"], "a", "?"),
        ] {
            assert_eq!(run(words, options), expected, "{words:?} {options}");
        }
    }
}
