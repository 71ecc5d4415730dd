//! Transformers (`tolower(…)`, `getopt(…)` and so on): typed at load, computed per event. A condition that uses them
//! allocates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ast::{Argument, Function, Operand, Transform};
use super::event::{Event, Value};
use super::fields::{Field, FieldRef, FieldType, Flags};

/// What an operand yields, as far as operators care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yields {
    One(FieldType),
    List,
}

/// A transformer expression ready to compute.
#[derive(Debug)]
pub enum Compute {
    Field(FieldRef),
    Text(Box<[u8]>),
    List(Vec<Compute>),
    Lower(Box<Compute>),
    Upper(Box<Compute>),
    Base64(Box<Compute>),
    Basename(Box<Compute>),
    Len(Box<Compute>),
    Join(Box<Compute>, Box<Compute>),
    Concat(Vec<Compute>),
    Getopt { list: Box<Compute>, options: Box<[u8]>, selector: Option<u8> },
}

/// A computed value.
#[derive(Debug, Clone, PartialEq)]
pub enum Computed<'e> {
    One(Value<'e>),
    Bytes(Vec<u8>),
    List(Vec<Vec<u8>>),
}

impl Computed<'_> {
    /// The single value; `None` for a list.
    pub fn value(&self) -> Option<Value<'_>> {
        match self {
            Self::One(value) => Some(*value),
            Self::Bytes(bytes) => Some(Value::Str(bytes)),
            Self::List(_) => None,
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        match self.value()? {
            Value::Str(bytes) | Value::Buf(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Why a transformer cannot be used so.
pub type Refusal = String;

/// Types a transformer call, its fields resolved by `resolve`.
pub fn check(
    transform: &Transform,
    resolve: &mut dyn FnMut(&super::ast::FieldText) -> Result<FieldRef, super::diagnostic::Complaint>,
) -> Result<(Compute, Yields), Result<Refusal, super::diagnostic::Complaint>> {
    let name = transform.function.as_str();
    let mut args = Vec::new();
    for arg in &transform.args {
        args.push(argument(arg, resolve)?);
    }
    let count = args.len();
    let arity = |expected: usize| {
        (count == expected)
            .then_some(())
            .ok_or_else(|| Ok(format!("transformer '{name}' takes {expected} argument(s), not {count}")))
    };
    let wrong = || Err(Ok(format!("transformer '{name}' cannot take an argument of this type")));
    let text = FieldType::CharBuf;
    let mut args = args.into_iter();
    let mut next = || args.next().unwrap_or((Compute::Text(Box::default()), Yields::One(text)));
    match transform.function {
        Function::Tolower | Function::Toupper | Function::Basename | Function::B64 => {
            arity(1)?;
            let (inner, yields) = next();
            let Yields::One(kind) = yields else { return wrong() };
            let is_text = matches!(kind, FieldType::CharBuf | FieldType::FsPath);
            let compute = match transform.function {
                Function::B64 if is_text || kind == FieldType::ByteBuf => Compute::Base64(Box::new(inner)),
                Function::Tolower if is_text => Compute::Lower(Box::new(inner)),
                Function::Toupper if is_text => Compute::Upper(Box::new(inner)),
                Function::Basename if is_text => Compute::Basename(Box::new(inner)),
                _ => return wrong(),
            };
            Ok((compute, Yields::One(kind)))
        }
        Function::Len => {
            arity(1)?;
            let (inner, yields) = next();
            match yields {
                Yields::List | Yields::One(FieldType::CharBuf | FieldType::FsPath | FieldType::ByteBuf) => {
                    Ok((Compute::Len(Box::new(inner)), Yields::One(FieldType::Uint64)))
                }
                Yields::One(_) => wrong(),
            }
        }
        Function::Join => {
            arity(2)?;
            let ((separator, first), (list, second)) = (next(), next());
            if first != Yields::One(text) || second != Yields::List {
                return wrong();
            }
            Ok((Compute::Join(Box::new(separator), Box::new(list)), Yields::One(text)))
        }
        Function::Concat => {
            if count < 2 {
                return Err(Ok(format!("transformer '{name}' takes two or more arguments, not {count}")));
            }
            let mut parts = Vec::new();
            for _ in 0..count {
                let (part, yields) = next();
                if !matches!(yields, Yields::One(FieldType::CharBuf | FieldType::FsPath)) {
                    return wrong();
                }
                parts.push(part);
            }
            Ok((Compute::Concat(parts), Yields::One(text)))
        }
        Function::Getopt => {
            arity(2)?;
            let ((list, first), (options, _)) = (next(), next());
            let Compute::Text(options) = options else { return wrong() };
            if first != Yields::List {
                return wrong();
            }
            let selector = match transform.selector.as_deref().map(str::as_bytes) {
                None => None,
                Some([letter]) => Some(*letter),
                Some(_) => return Err(Ok("the selector of getopt() must be one character".to_owned())),
            };
            let yields = if selector.is_some() { Yields::One(text) } else { Yields::List };
            Ok((Compute::Getopt { list: Box::new(list), options, selector }, yields))
        }
        Function::Val => Err(Ok("val() stands on the right of a comparison only".to_owned())),
    }
}

type Typed = Result<(Compute, Yields), Result<Refusal, super::diagnostic::Complaint>>;

fn argument(
    arg: &Argument,
    resolve: &mut dyn FnMut(&super::ast::FieldText) -> Result<FieldRef, super::diagnostic::Complaint>,
) -> Typed {
    match arg {
        Argument::Text(text) => Ok((Compute::Text(text.as_bytes().into()), Yields::One(FieldType::CharBuf))),
        Argument::Operand(Operand::Transform(inner)) => check(inner, resolve),
        Argument::Operand(Operand::Field(text)) => {
            let field = resolve(text).map_err(Err)?;
            let left_only = field.field.info().flags.has(Flags::LEFT_ONLY) && !field.is_list();
            if left_only || field.field == Field::EvtType {
                return Err(Ok(format!("field '{field}' cannot be the argument of a transformer")));
            }
            let yields = if field.is_list() { Yields::List } else { Yields::One(field.kind()) };
            Ok((Compute::Field(field), yields))
        }
        Argument::List(items) => {
            let mut list = Vec::new();
            for item in items {
                let (compute, yields) = argument(item, resolve)?;
                if !matches!(yields, Yields::One(FieldType::CharBuf | FieldType::FsPath)) {
                    return Err(Ok("a list in a transformer holds strings only".to_owned()));
                }
                list.push(compute);
            }
            Ok((Compute::List(list), Yields::List))
        }
    }
}

impl Compute {
    /// The value for an event; `None` is missing.
    pub fn run<'e, E: Event>(&'e self, event: &'e E) -> Option<Computed<'e>> {
        match self {
            Self::Field(field) if field.is_list() => {
                let mut list = Vec::new();
                event.any(field, &mut |value| {
                    if let Value::Str(bytes) | Value::Buf(bytes) = value {
                        list.push(bytes.to_vec());
                    }
                    false
                });
                (!list.is_empty()).then_some(Computed::List(list))
            }
            Self::Field(field) => event.get(field).map(Computed::One),
            Self::Text(text) => Some(Computed::One(Value::Str(text))),
            Self::List(items) => {
                // Strings that are missing stand for nothing in the list.
                let bytes =
                    |item: &'e Self| item.run(event).and_then(|value| value.bytes().map(<[u8]>::to_vec));
                Some(Computed::List(items.iter().filter_map(bytes).collect()))
            }
            Self::Lower(inner) => map(inner, event, <[u8]>::to_ascii_lowercase),
            Self::Upper(inner) => map(inner, event, <[u8]>::to_ascii_uppercase),
            Self::Base64(inner) => {
                let value = inner.run(event)?;
                STANDARD.decode(value.bytes()?).ok().map(Computed::Bytes)
            }
            Self::Basename(inner) => {
                map(inner, event, |path| path.rsplit(|b| *b == b'/').next().unwrap_or(path).to_vec())
            }
            Self::Len(inner) => {
                let len = match inner.run(event)? {
                    Computed::List(items) => items.len(),
                    value => value.bytes()?.len(),
                };
                Some(Computed::One(Value::Uint(len as u64)))
            }
            Self::Join(separator, list) => {
                let separator = separator.run(event)?;
                let Computed::List(items) = list.run(event)? else { return None };
                Some(Computed::Bytes(items.join(separator.bytes()?)))
            }
            Self::Concat(parts) => {
                let mut whole = Vec::new();
                for part in parts {
                    whole.extend_from_slice(part.run(event)?.bytes()?);
                }
                Some(Computed::Bytes(whole))
            }
            Self::Getopt { list, options, selector } => {
                let Computed::List(words) = list.run(event)? else { return None };
                let found = getopt(&words, options);
                match selector {
                    None => Some(Computed::List(
                        found
                            .into_iter()
                            .flat_map(|(letter, value)| std::iter::once(vec![letter]).chain(value))
                            .collect(),
                    )),
                    Some(wanted) => {
                        let (letter, value) = found.into_iter().rfind(|(letter, _)| letter == wanted)?;
                        Some(Computed::Bytes(value.unwrap_or_else(|| vec![letter])))
                    }
                }
            }
        }
    }
}

fn map<'e, E: Event>(
    inner: &'e Compute,
    event: &'e E,
    f: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Option<Computed<'e>> {
    let value = inner.run(event)?;
    Some(Computed::Bytes(f(value.bytes()?)))
}

/// Parses words as `getopt` does: each option with its value if it takes one; an unknown option is `?`.
fn getopt(words: &[Vec<u8>], options: &[u8]) -> Vec<(u8, Option<Vec<u8>>)> {
    let takes_value = |letter: u8| {
        let at = options.iter().position(|known| *known == letter && letter != b':')?;
        Some(options.get(at + 1) == Some(&b':'))
    };
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_slice() {
            [b'-', b'-', ..] if word.len() > 2 => {}
            [b'-', first, ..] if *first != b'-' => {
                for (at, letter) in word[1..].iter().enumerate() {
                    match takes_value(*letter) {
                        None => found.push((b'?', None)),
                        Some(false) => found.push((*letter, None)),
                        Some(true) => {
                            let attached = &word[at + 2..];
                            let value = if attached.is_empty() {
                                words.next().cloned().unwrap_or_default()
                            } else {
                                attached.to_vec()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn getopt_reads_options_as_the_c_library_does() {
        let run = |words: &[&str], options: &str| {
            let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
            let found = getopt(&words, options.as_bytes());
            let show = |(letter, value): (u8, Option<Vec<u8>>)| {
                let value = value.map(|v| String::from_utf8(v).unwrap());
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
