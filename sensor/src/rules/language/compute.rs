//! The running half of transformers: what [`Compute`] is for an event. Everything that is made on the way lives in the
//! event's arena, so nothing is allocated on the heap once the arena has grown.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::ast::Op;
use super::fnmatch;
use super::matcher::{self, Order};
use super::transform::Compute;
use crate::rules::registry::event::{Event, Value, seen_and};

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
}

fn text(bytes: &[u8]) -> Option<Computed<'_>> {
    Some(Computed::One(Value::Str(bytes)))
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
                // Strings that are missing stand for nothing in the list.
                let mut list: BumpVec<'e, &'e [u8]> = BumpVec::new_in(bump);
                list.extend(items.iter().filter_map(|item| item.run(event, bump)?.bytes()));
                Some(Computed::List(list.into_bump_slice()))
            }
            Self::Lower(inner) => {
                let copy = bump.alloc_slice_copy(inner.run(event, bump)?.bytes()?);
                copy.make_ascii_lowercase();
                text(copy)
            }
            Self::Upper(inner) => {
                let copy = bump.alloc_slice_copy(inner.run(event, bump)?.bytes()?);
                copy.make_ascii_uppercase();
                text(copy)
            }
            Self::Base64(inner) => {
                let coded = inner.run(event, bump)?.bytes()?;
                let room = bump.alloc_slice_fill_copy(base64::decoded_len_estimate(coded.len()), 0u8);
                let len = STANDARD.decode_slice(coded, room).ok()?;
                text(room.get(..len)?)
            }
            Self::Basename(inner) => {
                let path = inner.run(event, bump)?.bytes()?;
                text(path.rsplit(|b| *b == b'/').next().unwrap_or(path))
            }
            Self::Len(inner) => {
                let len = match inner.run(event, bump)? {
                    Computed::List(items) => items.len(),
                    value @ Computed::One(_) => value.bytes()?.len(),
                };
                Some(Computed::One(Value::Uint(len as u64)))
            }
            Self::Join(separator, list) => {
                let separator = separator.run(event, bump)?.bytes()?;
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
                    whole.extend_from_slice_copy(part.run(event, bump)?.bytes()?);
                }
                text(whole.into_bump_slice())
            }
            Self::Getopt { list, options, selector } => {
                let found = getopt(list.run(event, bump)?.list()?, options, bump);
                let letter = |letter: u8| -> &'e [u8] { bump.alloc_slice_copy(&[letter]) };
                match selector {
                    None => {
                        let mut all = BumpVec::new_in(bump);
                        for (option, value) in found {
                            all.push(letter(option));
                            all.extend(value);
                        }
                        Some(Computed::List(all.into_bump_slice()))
                    }
                    Some(wanted) => {
                        let (option, value) = found.into_iter().rfind(|(option, _)| option == wanted)?;
                        text(value.unwrap_or_else(|| letter(option)))
                    }
                }
            }
        }
    }
}

/// Parses words as `getopt` does: each option with its value if it takes one; an unknown option is `?`.
fn getopt<'e>(words: &[&'e [u8]], options: &[u8], bump: &'e Bump) -> BumpVec<'e, (u8, Option<&'e [u8]>)> {
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
                        None => found.push((b'?', None)),
                        Some(false) => found.push((*letter, None)),
                        Some(true) => {
                            let attached = &word[at + 2..];
                            let value = if attached.is_empty() {
                                words.next().copied().unwrap_or_default()
                            } else {
                                attached
                            };
                            found.push((*letter, Some(value)));
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
    if let Compute::Field(field) = left
        && field.is_any()
    {
        let Some(right) = right.run(event, bump) else { return false };
        let Some(right) = right.value() else {
            let Computed::List(items) = &right else { return false };
            return event.any(field, &mut |left| match left {
                Value::Str(bytes) | Value::Buf(bytes) => items.contains(&bytes),
                _ => false,
            });
        };
        // Of two ends, both must differ; of the ancestors, one must.
        return if op == Op::Ne && field.all_must_differ() {
            seen_and(event, field, &mut |left| values(left, op, right))
        } else {
            event.any(field, &mut |left| values(left, op, right))
        };
    }
    let (Some(left), Some(right)) = (left.run(event, bump), right.run(event, bump)) else { return false };
    match (left, right) {
        (Computed::List(left), Computed::List(right)) => {
            let contains = |item: &&[u8]| right.contains(item);
            if op == Op::In {
                !left.is_empty() && left.iter().all(contains)
            } else {
                left.iter().any(contains)
            }
        }
        (left, Computed::List(right)) => left.bytes().is_some_and(|bytes| right.contains(&bytes)),
        (left, right) => {
            let (Some(left), Some(right)) = (left.value(), right.value()) else { return false };
            values(left, op, right)
        }
    }
}

fn values(left: Value<'_>, op: Op, right: Value<'_>) -> bool {
    let order = |order: Order| matcher::compare(left, right).is_some_and(|ordering| order.holds(ordering));
    let bytes = |test: &dyn Fn(&[u8], &[u8]) -> bool| match (left, right) {
        (Value::Str(a) | Value::Buf(a), Value::Str(b) | Value::Buf(b)) => test(a, b),
        _ => false,
    };
    match op {
        Op::Eq => matcher::compare(left, right) == Some(Ordering::Equal),
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
        Op::Regex | Op::In | Op::Intersects | Op::Pmatch | Op::Exists => false,
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
            let show = |(letter, value): (u8, Option<&[u8]>)| {
                let value = value.map(|v| std::str::from_utf8(v).unwrap());
                format!("{}{}", letter as char, value.map(|v| format!("={v}")).unwrap_or_default())
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
            (&["-b"], "b:", "b="),
            (&["-x"], "a", "?"),
        ] {
            assert_eq!(run(words, options), expected, "{words:?} {options}");
        }
    }
}
