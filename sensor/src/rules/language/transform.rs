//! Transformers (`tolower(…)`, `getopt(…)` and so on): typed here, at load; [`super::compute`] runs them per event.

use super::ast::{Argument, Function, Operand, Transform};
use crate::rules::registry::fields::{Field, FieldRef, Flags};
use crate::rules::registry::types::FieldType;

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
    Getopt { list: Box<Compute>, options: Box<Compute>, selector: Option<u8> },
}

/// Why a transformer cannot be used so.
pub type Refusal = String;

/// What a field of a transformer's text is.
type Resolve<'r> =
    dyn FnMut(&super::ast::FieldText) -> Result<FieldRef, crate::rules::report::complaint::Complaint> + 'r;

type Typed = Result<(Compute, Yields), Result<Refusal, crate::rules::report::complaint::Complaint>>;

/// Types a transformer call, its fields resolved by `resolve`.
///
/// As in Falco, transformers of one argument are stricter than those of several: they refuse fields such as `fd.ip` that
/// a comparison has its own way with; the others take the text of whatever there is.
pub fn check(transform: &Transform, resolve: &mut Resolve<'_>) -> Typed {
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
    // A list that another transformer makes does not count as one here.
    let is_list = |n: usize| !matches!(transform.args.get(n), Some(Argument::Operand(Operand::Transform(_))));
    let text = FieldType::CharBuf;
    let mut args = args.into_iter();
    let mut next = || args.next().unwrap_or((Compute::Text(Box::default()), Yields::One(text)));
    match transform.function {
        Function::Tolower | Function::Toupper | Function::Basename | Function::B64 | Function::Len => {
            arity(1)?;
            let (inner, yields) = next();
            if let Compute::Field(field) = &inner
                && field.field.info().flags.has(Flags::LEFT_ONLY)
                && !field.is_list()
            {
                return Err(Ok(format!("field '{field}' cannot be the argument of a transformer")));
            }
            let inner = Box::new(inner);
            let is_text =
                matches!(yields, Yields::List | Yields::One(FieldType::CharBuf | FieldType::FsPath));
            let is_bytes = is_text || yields == Yields::One(FieldType::ByteBuf);
            let compute = match transform.function {
                Function::Len if is_bytes => {
                    return Ok((Compute::Len(inner), Yields::One(FieldType::Uint64)));
                }
                Function::B64 if is_bytes => Compute::Base64(inner),
                Function::Tolower if is_text => Compute::Lower(inner),
                Function::Toupper if is_text => Compute::Upper(inner),
                Function::Basename if is_text => Compute::Basename(inner),
                _ => return wrong(),
            };
            Ok((compute, yields))
        }
        Function::Join => {
            arity(2)?;
            let ((separator, first), (list, second)) = (next(), next());
            if first == Yields::List || second != Yields::List || !is_list(1) {
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
                let is_length = matches!(part, Compute::Len(_));
                if !is_length && !matches!(yields, Yields::One(FieldType::CharBuf | FieldType::FsPath)) {
                    return wrong();
                }
                parts.push(part);
            }
            Ok((Compute::Concat(parts), Yields::One(text)))
        }
        Function::Getopt => {
            arity(2)?;
            let ((list, first), (options, second)) = (next(), next());
            let are_options = matches!(second, Yields::One(FieldType::CharBuf | FieldType::FsPath));
            if first != Yields::List || !is_list(0) || !are_options {
                return wrong();
            }
            let selector = match transform.selector.as_deref().map(str::as_bytes) {
                None => None,
                Some([letter]) => Some(*letter),
                Some(_) => return Err(Ok("the selector of getopt() must be one character".to_owned())),
            };
            let yields = if selector.is_some() { Yields::One(text) } else { Yields::List };
            Ok((Compute::Getopt { list: Box::new(list), options: Box::new(options), selector }, yields))
        }
        Function::Val => Err(Ok("val() stands on the right of a comparison only".to_owned())),
    }
}

fn argument(arg: &Argument, resolve: &mut Resolve<'_>) -> Typed {
    match arg {
        Argument::Text(text) => Ok((Compute::Text(text.as_bytes().into()), Yields::One(FieldType::CharBuf))),
        Argument::Operand(Operand::Transform(inner)) => check(inner, resolve),
        Argument::Operand(Operand::Field(text)) => {
            let field = resolve(text).map_err(Err)?;
            if field.field == Field::EvtType {
                return Err(Ok(format!("field '{field}' cannot be the argument of a transformer")));
            }
            let yields = if field.is_list() { Yields::List } else { Yields::One(field.kind()) };
            Ok((Compute::Field(field), yields))
        }
        Argument::List(items) => {
            let mut list = Vec::new();
            for item in items {
                list.push(argument(item, resolve)?.0);
            }
            Ok((Compute::List(list), Yields::List))
        }
    }
}
