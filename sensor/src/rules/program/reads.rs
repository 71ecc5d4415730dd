//! Which fields rules read, by type of event: in conditions, in outputs, and in what is added to them.

use std::collections::{HashMap, HashSet};

use crate::rules::language::check::{Cond, Test};
use crate::rules::language::transform::Compute;
use crate::rules::registry::event::EventType;
use crate::rules::registry::fields::{Field, FieldRef};
use crate::rules::registry::readings::Reading;

/// The fields that rules read which can fire on events of a type.
#[derive(Debug, Default)]
pub struct Reads {
    fields: HashSet<(EventType, Field)>,
    /// The kinds of names that conditions ask about.
    kinds: HashMap<EventType, Reading>,
}

impl Reads {
    /// Adds what one rule reads.
    pub fn add<'r>(
        &mut self,
        types: &[EventType],
        cond: &'r Cond,
        outputs: impl Iterator<Item = &'r FieldRef>,
    ) {
        let mut fields = HashSet::new();
        of_condition(cond, &mut fields);
        let kinds = fields.iter().fold(Reading::FIRST, |kinds, field| kinds.or(Reading::of(*field)));
        for event in types {
            let known = self.kinds.entry(*event).or_default();
            *known = known.or(kinds);
        }
        fields.extend(outputs.map(|field| field.field));
        self.fields.extend(types.iter().flat_map(|event| fields.iter().map(|field| (*event, *field))));
    }

    pub fn has(&self, event: EventType, field: Field) -> bool {
        self.fields.contains(&(event, field))
    }

    /// The kinds of names that conditions of rules ask about which can fire on events of the type.
    pub fn kinds(&self, event: EventType) -> Reading {
        self.kinds.get(&event).copied().unwrap_or_default()
    }
}

fn of_condition(cond: &Cond, fields: &mut HashSet<Field>) {
    let mut todo = vec![cond];
    while let Some(cond) = todo.pop() {
        match cond {
            Cond::Const(_) | Cond::Types(_) | Cond::Unfilled(_) => {}
            Cond::Test(pred) => of_test(&pred.test, fields),
            Cond::And(parts) | Cond::Or(parts) => todo.extend(parts),
            Cond::Not(part) => todo.push(part),
        }
    }
}

fn of_test(test: &Test, fields: &mut HashSet<Field>) {
    match test {
        Test::Exists(field)
        | Test::ExistsAny(field)
        | Test::One(field, _)
        | Test::Path(field, _)
        | Test::Any(field, _)
        | Test::NoneOf(field, _)
        | Test::All(field, _) => {
            fields.insert(field.field);
        }
        Test::ComputedExists(compute) | Test::Computed(compute, _) | Test::ComputedAll(compute, _) => {
            of_computed(compute, fields);
        }
        Test::Pair(left, _, right) => {
            of_computed(left, fields);
            of_computed(right, fields);
        }
    }
}

fn of_computed(compute: &Compute, fields: &mut HashSet<Field>) {
    let mut todo = vec![compute];
    while let Some(compute) = todo.pop() {
        match compute {
            Compute::Field(field) => {
                fields.insert(field.field);
            }
            Compute::Text(_) => {}
            Compute::List(parts) | Compute::Concat(parts) => todo.extend(parts),
            Compute::Lower(part)
            | Compute::Upper(part)
            | Compute::Base64(part)
            | Compute::Basename(part)
            | Compute::Len(part) => todo.push(part),
            Compute::Join(left, right) | Compute::Getopt { list: left, options: right, .. } => {
                todo.extend([&**left, &**right]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::registry::event_types;
    use crate::rules::{Options, Source, load};

    #[test]
    fn conditions_outputs_and_what_is_added_are_read() {
        let rules = "
- rule: a
  desc: d
  condition: evt.type = openat and not (tolower(user.name) = x or proc.name = val(user.shell) or fd.num in (1))
  output: \"%group.name %basename(proc.exepath)\"
  priority: INFO
- rule: b
  desc: d
  condition: evt.type = connect
  output: x
  priority: INFO
- rule: c
  desc: d
  condition: evt.type = connect and user.name = x
  output: x
  enabled: false
  priority: INFO
";
        let options = Options { append_output: Vec::new(), ..Options::default() };
        let loaded = load(&[Source::new("r.yaml", rules)], &options);
        let rules = loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.files));
        let reads = |event, field| rules.reads(event_types::by_name(event).unwrap(), field);
        for field in [
            Field::UserName,
            Field::UserShell,
            Field::ProcName,
            Field::FdNum,
            Field::GroupName,
            Field::ProcExepath,
        ] {
            assert!(reads("openat", field), "{field:?}");
        }
        assert!(!reads("openat", Field::UserHomedir) && !reads("open", Field::UserName));
        assert!(!reads("connect", Field::UserName), "that rule is off");
    }
}
