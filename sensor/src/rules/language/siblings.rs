//! What a condition means beside what it names: a rule that asks for a system call means every call that does the same
//! (`event_families`), for whoever wants to go unseen takes the one that the rule's author did not think of.
//!
//! That holds where the condition asks. Under a `not` a name stands for itself, so that a family never silences a rule; and a
//! sibling that the condition names anywhere is left to what it says there.

use sensor_ebpf::siblings;

use super::ast::{Check, Expr, Op, Operand, Value};
use super::literals::values;
use crate::rules::registry::event::EventType;
use crate::rules::registry::event_types;

/// The event types that a condition names. Without families there is nothing to keep.
#[derive(Debug, Default)]
pub struct Named(Option<Vec<EventType>>);

impl Named {
    /// Of a condition, macros put in.
    pub fn of(expr: &Expr) -> Self {
        let mut named = Vec::new();
        collect(expr, &mut named);
        Self(Some(named))
    }

    /// The types that a comparison means and does not name.
    pub fn siblings(&self, check: &Check) -> Vec<EventType> {
        let Some(named) = &self.0 else { return Vec::new() };
        if !asks_for_types(check) || !matches!(check.op, Op::Eq | Op::In) || check.modifier.is_some() {
            return Vec::new();
        }
        let others = values(&check.right).iter().filter_map(name).flat_map(siblings::of);
        others.filter_map(event_types::by_name).filter(|event| !named.contains(event)).collect()
    }
}

fn collect(expr: &Expr, into: &mut Vec<EventType>) {
    match expr {
        Expr::And(items) | Expr::Or(items) => items.iter().for_each(|item| collect(item, into)),
        Expr::Not(inner) => collect(inner, into),
        Expr::Check(check) if asks_for_types(check) => {
            into.extend(values(&check.right).iter().filter_map(name).filter_map(event_types::by_name));
        }
        Expr::Check(_) | Expr::Macro(..) => {}
    }
}

fn asks_for_types(check: &Check) -> bool {
    matches!(&check.left, Operand::Field(field) if matches!(field.name.as_str(), "evt.type" | "syscall.type"))
}

fn name(value: &Value) -> Option<&str> {
    std::str::from_utf8(&value.bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_name_events_that_there_are() {
        for name in siblings::FAMILIES.iter().copied().flatten() {
            assert!(event_types::by_name(name).is_some(), "{name}");
        }
    }

    /// The table of the documentation.
    #[test]
    fn the_documentation_has_every_family() {
        let page = include_str!("../../../../docs/rules.md");
        for family in siblings::FAMILIES {
            let row = family.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
            assert!(page.contains(&row), "{row}");
        }
    }
}
