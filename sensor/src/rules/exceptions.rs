//! Exceptions of rules: read, checked, merged by name and written out as condition text.

use super::ast::{Modifier, Op, Operand};
use super::diagnostic::{Code, Complaint};
use super::fields::{FieldError, FieldRef};
use super::parse;
use super::reader::{File, quote};
use super::text::{Origin, Text};
use super::yaml::{Node, Yaml};

/// One exception of a rule.
#[derive(Debug, Clone)]
pub struct Exception {
    pub name: String,
    pub at: Origin,
    /// One field with a list operator, or several compared side by side.
    single: bool,
    fields: Vec<String>,
    comps: Vec<String>,
    values: Vec<Entry>,
}

/// One element of `values`, with its place.
#[derive(Debug, Clone)]
struct Entry {
    at: Origin,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Scalar(String),
    List(Vec<Entry>),
}

const KEYS: &[&str] = &["name", "fields", "comps", "values"];

/// Reads `exceptions` of a rule into `into`. With `append`, an exception that is there already only gains values.
pub fn read(
    file: File<'_>,
    node: &Node,
    append: bool,
    into: &mut Vec<Exception>,
    warnings: &mut Vec<Complaint>,
) -> Result<(), Complaint> {
    let Yaml::Seq(entries) = &node.yaml else {
        return Err(file.invalid(node, "Rule exceptions must be a sequence").within("exceptions", ""));
    };
    let earlier = into.len();
    for entry in entries.iter().filter(|entry| !entry.is_null()) {
        let name = file.required_scalar(entry, "name").map_err(|c| c.within("exception", ""))?;
        file.unknown_keys(entry, KEYS, warnings);
        one(file, entry, name, append, earlier, into, warnings).map_err(|c| c.within("exception", name))?;
    }
    Ok(())
}

fn one(
    file: File<'_>,
    entry: &Node,
    name: &str,
    append: bool,
    earlier: usize,
    into: &mut Vec<Exception>,
    warnings: &mut Vec<Complaint>,
) -> Result<(), Complaint> {
    let known = into.iter().position(|exception| exception.name == name);
    let values = entry.get("values").filter(|values| !values.is_null());
    if append {
        if values.is_none() {
            let message = format!("Overriding/appending exception '{name}' with no values");
            warnings.push(Complaint::new(Code::AppendNoValues, file.origin(entry), message));
        }
        if let Some(known) = known {
            if let Some(node) = entry.get("fields").or(entry.get("comps")) {
                let message = "Can not append exception fields to existing exception, only values";
                return Err(file.invalid(node, message));
            }
            if let Some(values) = values {
                into[known].values.extend(entries(file, values)?);
            }
            return Ok(());
        }
        if values.is_none() {
            return Ok(());
        }
        file.required(entry, "fields")?;
    } else if known.is_some_and(|at| at >= earlier) {
        let message = format!("Multiple exceptions defined with the same name '{name}'");
        warnings.push(Complaint::new(Code::ExceptionNameNotUnique, file.origin(entry), message));
    }
    let Some(fields) = entry.get("fields").filter(|fields| !fields.is_null()) else {
        let message = "Rule exception item must have fields property with a list of fields";
        return Err(file.invalid(entry, message));
    };
    let (names, single) = file.one_or_many(fields)?;
    for field in &names {
        check_field(file, fields, field)?;
    }
    let comps = match entry.get("comps").filter(|comps| !comps.is_null()) {
        None if single => vec!["in".to_owned()],
        None => vec!["=".to_owned(); names.len()],
        Some(node) => {
            let (comps, scalar) = file.one_or_many(node)?;
            if comps.len() != names.len() || scalar != single {
                return Err(file.invalid(node, "Fields and comps lists must have equal length"));
            }
            let comps: Vec<String> =
                comps.iter().map(|comp| comp.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            for comp in &comps {
                check_comp(file, node, comp, single)?;
            }
            comps
        }
    };
    let values = values.map_or(Ok(Vec::new()), |values| entries(file, values))?;
    into.push(Exception {
        name: name.to_owned(),
        at: file.origin(entry),
        single,
        fields: names,
        comps,
        values,
    });
    Ok(())
}

fn check_field(file: File<'_>, node: &Node, text: &str) -> Result<(), Complaint> {
    let unsupported = |suggestion: Option<&'static str>| {
        let message = format!("'{text}' is not a supported filter field");
        Complaint::new(Code::Validate, file.origin(node), message).suggesting(suggestion)
    };
    match parse::operand(text) {
        Ok(Operand::Transform(_)) => Ok(()),
        Ok(Operand::Field(field)) => match FieldRef::resolve(&field.name, field.arg.as_deref()) {
            Ok(_) => Ok(()),
            Err(FieldError::Unknown { suggestion, .. }) => Err(unsupported(suggestion)),
            Err(_) => Err(unsupported(None)),
        },
        Err(_) => Err(unsupported(None)),
    }
}

/// The operator and the modifier of a comparison as an exception writes it.
fn comparison(comp: &str) -> Option<(Op, bool)> {
    match comp.split_once(' ') {
        None => Some((Op::parse(comp).filter(|op| *op != Op::Exists)?, false)),
        Some((op, modifier)) => {
            let known = Modifier::ALL.iter().any(|m| m.as_str() == modifier);
            Some((Op::parse(op).filter(|op| known && !op.is_list() && !op.is_order())?, true))
        }
    }
}

fn takes_list(comp: &str) -> bool {
    comparison(comp).is_some_and(|(op, modified)| modified || op.is_list())
}

fn check_comp(file: File<'_>, node: &Node, comp: &str, single: bool) -> Result<(), Complaint> {
    let message = match comparison(comp) {
        None => format!("'{comp}' is not a supported comparison operator"),
        Some(_) if single && !takes_list(comp) => {
            format!("'{comp}' is not a list operator; a single field needs 'in', 'pmatch' or 'intersects'")
        }
        Some(_) => return Ok(()),
    };
    let suggestion = super::suggest::nearest(comp, Op::ALL.iter().map(|op| op.as_str()));
    Err(Complaint::new(Code::Validate, file.origin(node), message).suggesting(suggestion))
}

fn entries(file: File<'_>, node: &Node) -> Result<Vec<Entry>, Complaint> {
    let Yaml::Seq(items) = &node.yaml else {
        return Err(file.invalid(node, "Rule exception values must be a sequence"));
    };
    items.iter().filter(|item| !item.is_null()).map(|item| self::entry(file, item)).collect()
}

fn entry(file: File<'_>, node: &Node) -> Result<Entry, Complaint> {
    let value = match &node.yaml {
        Yaml::Scalar(scalar) => Value::Scalar(scalar.text.clone()),
        Yaml::Seq(_) => Value::List(entries(file, node)?),
        _ => return Err(file.invalid(node, "Rule exception value must be a scalar or a list")),
    };
    Ok(Entry { at: file.origin(node), value })
}

impl Entry {
    /// The text in a condition; a list becomes `(x, y)`.
    fn render(&self) -> String {
        match &self.value {
            Value::Scalar(text) => quote(text),
            Value::List(items) => {
                format!("({})", items.iter().map(Self::render).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl Exception {
    /// True when it is part of the condition.
    pub fn is_written(&self) -> bool {
        !self.values.is_empty()
    }

    /// Appends ` and not …` for this exception; nothing when it has no values.
    pub fn write(&self, into: &mut Text) -> Result<(), Complaint> {
        if !self.is_written() {
            return Ok(());
        }
        into.push_str(" and not ", self.at);
        let written = if self.single { self.write_single(into) } else { self.write_tuples(into) };
        written.map_err(|complaint| complaint.within("exception", &self.name))
    }

    fn write_single(&self, into: &mut Text) -> Result<(), Complaint> {
        let (Some(field), Some(comp)) = (self.fields.first(), self.comps.first()) else { return Ok(()) };
        into.push_str(&format!("({field} {comp} ("), self.at);
        for (n, entry) in self.values.iter().enumerate() {
            if let Value::List(_) = entry.value {
                let message = "Expected values array to contain a list of strings";
                return Err(Complaint::new(Code::YamlValidate, entry.at, message));
            }
            if n > 0 {
                into.push_str(", ", entry.at);
            }
            into.push_str(&entry.render(), entry.at);
        }
        into.push_str("))", self.at);
        Ok(())
    }

    fn write_tuples(&self, into: &mut Text) -> Result<(), Complaint> {
        into.push_str("(", self.at);
        for (n, tuple) in self.values.iter().enumerate() {
            let Value::List(items) = &tuple.value else {
                let message = "Expected values array item to be a list of values";
                return Err(Complaint::new(Code::YamlValidate, tuple.at, message));
            };
            if items.len() != self.fields.len() {
                let message = "Fields and values lists must have equal length";
                return Err(Complaint::new(Code::YamlValidate, tuple.at, message));
            }
            if n > 0 {
                into.push_str(" or ", tuple.at);
            }
            into.push_str("(", tuple.at);
            for (m, item) in items.iter().enumerate() {
                if m > 0 {
                    into.push_str(" and ", item.at);
                }
                let (field, comp, mut value) = (&self.fields[m], &self.comps[m], item.render());
                if takes_list(comp) && !value.starts_with('(') {
                    value = format!("({value})");
                }
                into.push_str(&format!("{field} {comp} {value}"), item.at);
            }
            into.push_str(")", tuple.at);
        }
        into.push_str(")", self.at);
        Ok(())
    }
}
