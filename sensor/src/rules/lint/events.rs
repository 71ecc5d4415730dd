//! Comparisons that ask an event for what it does not have: parameters and descriptors, by its type.

use sensor_ebpf::events::Is;

use super::context::Subject;
use super::facts::Facts;
use super::finding::{Level, Lint, Report};
use super::formula::{Leaf, Part};
use crate::rules::registry::fields::{Class, Field, FieldArg, FieldRef};
use crate::rules::report::suggest;

pub static MISSING_PARAMETER: Lint = Lint {
    id: "missing-parameter",
    level: Level::Warning,
    why: "A parameter that the event does not have is missing, so every comparison with it is false.",
    remedy: "Use a parameter of the event, or restrict the rule to the events that have this one.",
};

pub static DIRECTORY_DESCRIPTOR: Lint = Lint {
    id: "directory-descriptor",
    level: Level::Warning,
    why: "The descriptor of unlinkat, mkdirat and their kin is the directory that the path starts from, not the target.",
    remedy: "Compare the parameter that has the path (`evt.arg.name`, `evt.arg.path`), or `fs.path.name`.",
};

pub static NO_DESCRIPTOR: Lint = Lint {
    id: "no-descriptor",
    level: Level::Warning,
    why: "fd.* fields are missing in events that neither make nor use a descriptor, so every comparison with them is false.",
    remedy: "Compare the parameter that has the path (`evt.arg.path`, `evt.arg.name`), or `fs.path.name`.",
};

/// Fields that name the file of the descriptor.
const NAMES: [Field; 4] = [Field::FdName, Field::FdDirectory, Field::FdFilename, Field::FdNameraw];

/// Looks at a comparison where `facts` hold.
pub fn leaf(
    subject: &Subject<'_>,
    part: &Part,
    leaf: &Leaf,
    facts: &Facts<'_>,
    optional: bool,
    report: &mut Report,
) {
    // A comparison in a macro beside alternatives may be there for other events.
    if optional && !part.own {
        return;
    }
    let Some(field) = &leaf.field else { return };
    let via = if part.own { "" } else { ", which this macro compares," };
    if let (Some(present), FieldArg::Key(name)) = (&leaf.present, &field.arg)
        && !present.meets(true, &facts.types, true)
    {
        let name = String::from_utf8_lossy(name);
        let message = match known(facts) {
            Some(params) => {
                let meant = suggest::nearest(&name, params.iter().copied());
                let meant = meant.map(|meant| format!(" (did you mean '{meant}'?)")).unwrap_or_default();
                let types = facts.types.names();
                format!("{field}{via} is missing: {types} has {}{meant}", params.join(", "))
            }
            None => format!("{field}{via} is missing: no event that is possible here has it"),
        };
        report.part(&MISSING_PARAMETER, subject, part, message);
    }
    if field.field.info().class == Class::Fd && only(facts, None) {
        let message = format!("{field}{via} is missing: {} has no descriptor", facts.types.names());
        report.part(&NO_DESCRIPTOR, subject, part, message);
    } else if is_name(field) && only(facts, Some(Is::Directory)) {
        let message = format!(
            "{field}{via} is about the directory that the path of {} starts from, not about the target",
            facts.types.names()
        );
        report.part(&DIRECTORY_DESCRIPTOR, subject, part, message);
    }
}

fn is_name(field: &FieldRef) -> bool {
    NAMES.contains(&field.field)
}

/// Some event type is possible, and to each that is the descriptor is this.
fn only(facts: &Facts<'_>, fd: Option<Is>) -> bool {
    !facts.types.is_empty() && facts.types.infos().all(|info| info.fd == fd)
}

/// The parameters, when there is one event type only.
fn known(facts: &Facts<'_>) -> Option<&'static [&'static str]> {
    let mut possible = facts.types.infos();
    let info = possible.next()?;
    (possible.next().is_none() && !info.params.is_empty()).then_some(&*info.params)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rules::registry::event_types;
    use crate::rules::upstream_tests::shared;

    #[test]
    #[cfg_attr(not(has_shared), ignore = "needs ../shared")]
    fn descriptors_are_those_of_falcos_table() {
        let table = shared("spec/event-params.tsv");
        let (mut uses, mut all) = (BTreeSet::new(), BTreeSet::new());
        for line in table.lines().skip(1) {
            let columns: Vec<&str> = line.split('\t').collect();
            let [_, name, "exit", _, flags, ..] = columns.as_slice() else { continue };
            all.insert(*name);
            if ["CREATES_FD", "USES_FD", "DESTROYS_FD"].iter().any(|flag| flags.contains(flag)) {
                uses.insert(*name);
            }
        }
        for (_, info) in event_types::all().filter(|(_, info)| all.contains(info.name)) {
            match info.fd {
                None => assert!(!uses.contains(info.name), "{} has a descriptor", info.name),
                Some(Is::Directory) => assert!(uses.contains(info.name), "{} has no descriptor", info.name),
                // Of some events Falco's table says less than `fd.*` can tell.
                Some(Is::Subject) => {}
            }
        }
    }
}
