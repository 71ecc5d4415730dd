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
    Getopt { list: Box<Compute>, options: Box<[u8]>, selector: Option<u8> },
}

/// Why a transformer cannot be used so.
pub type Refusal = String;

/// Types a transformer call, its fields resolved by `resolve`.
pub fn check(
    transform: &Transform,
    resolve: &mut dyn FnMut(
        &super::ast::FieldText,
    ) -> Result<FieldRef, crate::rules::report::complaint::Complaint>,
) -> Result<(Compute, Yields), Result<Refusal, crate::rules::report::complaint::Complaint>> {
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

type Typed = Result<(Compute, Yields), Result<Refusal, crate::rules::report::complaint::Complaint>>;

fn argument(
    arg: &Argument,
    resolve: &mut dyn FnMut(
        &super::ast::FieldText,
    ) -> Result<FieldRef, crate::rules::report::complaint::Complaint>,
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
