//! What an open must have for any rule to match it, told to the kernel so that it drops the rest.
//!
//! For each event of the open family the conditions of all rules are reduced to a necessary condition over what the kernel knows
//! by itself: the outcome, the access that was asked for, the beginning of the path. Everything else, and everything below a
//! `not`, counts as true. So the kernel never drops what a rule would match.

use std::collections::BTreeMap;

use sensor_ebpf::events::Looks;

use crate::rules::language::check::{Cond, Test};
use crate::rules::language::matcher::{Bytes, Matcher, Number, Order};
use crate::rules::registry::event::EventType;
use crate::rules::registry::event_types;
use crate::rules::registry::fields::{Field, FieldRef};
use crate::rules::registry::spellings;

/// The events that the kernel can look at before it makes a record.
pub fn events() -> impl Iterator<Item = (EventType, &'static str)> {
    event_types::all().filter(|(_, info)| info.filter == Looks::Open).map(|(event, info)| (event, info.name))
}

/// More alternatives than this are as good as none.
const MAX: usize = 64;

/// One way in which an open can matter. All parts must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Need {
    /// How one of its names begins, the asked or the resolved one, and whether that is all of it.
    pub path: Option<(Vec<u8>, bool)>,
    /// It asked to read; to write.
    pub read: bool,
    pub write: bool,
    /// It succeeded.
    pub success: bool,
}

/// What the rules need of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// Anything can match.
    Any,
    /// One of these must hold; without any, nothing matches.
    OneOf(Vec<Need>),
}

/// What all rules together need, by event.
#[derive(Debug, Clone, Default)]
pub struct Prefilter {
    by_event: BTreeMap<&'static str, Needs>,
}

impl Prefilter {
    /// Adds a rule that fires.
    pub fn add(&mut self, cond: &Cond) {
        for (event, name) in events() {
            let more = needs(cond, event);
            let all = self.by_event.entry(name).or_insert(Needs::OneOf(Vec::new()));
            *all = either(std::mem::replace(all, Needs::Any), more);
        }
    }

    /// The events that can be filtered, each with its alternatives.
    pub fn events(&self) -> impl Iterator<Item = (&'static str, &[Need])> {
        self.by_event.iter().filter_map(|(name, needs)| match needs {
            Needs::Any => None,
            Needs::OneOf(alternatives) => Some((*name, alternatives.as_slice())),
        })
    }
}

/// The events of which any may match the condition, as far as the kernel can tell.
pub fn open_events(cond: &Cond) -> Vec<(EventType, &'static str)> {
    events().filter(|(event, _)| needs(cond, *event) == Needs::Any).collect()
}

/// A necessary condition for an event of the type to match.
pub fn needs(cond: &Cond, event: EventType) -> Needs {
    match cond {
        Cond::Types(set) if !set.contains(event) => Needs::OneOf(Vec::new()),
        Cond::Const(false) => Needs::OneOf(Vec::new()),
        Cond::And(items) => items.iter().fold(Needs::Any, |all, item| both(all, needs(item, event))),
        Cond::Or(items) => {
            items.iter().fold(Needs::OneOf(Vec::new()), |all, item| either(all, needs(item, event)))
        }
        Cond::Test(pred) => leaf(&pred.test),
        Cond::Const(true) | Cond::Types(_) | Cond::Unfilled(_) | Cond::Not(_) => Needs::Any,
    }
}

/// The part that keeps the event open, as indices through the condition: the first branch of an `or` that asks for nothing
/// that the kernel can test. Sensible only when [`needs`] says that anything can match.
pub fn culprit(cond: &Cond, event: EventType) -> Vec<usize> {
    let mut path = Vec::new();
    let mut at = cond;
    loop {
        let next = match at {
            Cond::Or(items) => items.iter().position(|item| needs(item, event) == Needs::Any),
            // None of the parts restricts anything; the one that looks at what the kernel knows was meant to.
            Cond::And(items) => items.iter().position(looks_at_filters),
            _ => None,
        };
        let (Some(next), Cond::And(items) | Cond::Or(items)) = (next, at) else { return path };
        path.push(next);
        at = &items[next];
    }
}

/// Fields by which the kernel filters.
const FILTERS: [Field; 5] =
    [Field::FdName, Field::FdDirectory, Field::FdNum, Field::EvtIsOpenRead, Field::EvtIsOpenWrite];

fn looks_at_filters(cond: &Cond) -> bool {
    let is_filter = |field: &FieldRef| FILTERS.contains(&field.field);
    match cond {
        Cond::And(items) | Cond::Or(items) => items.iter().any(looks_at_filters),
        Cond::Not(inner) => looks_at_filters(inner),
        Cond::Test(pred) => match &pred.test {
            Test::Exists(field)
            | Test::ExistsAny(field)
            | Test::One(field, _)
            | Test::Path(field, _)
            | Test::Any(field, _)
            | Test::NoneOf(field, _)
            | Test::All(field, _) => is_filter(field),
            Test::ComputedExists(compute) | Test::Computed(compute, _) | Test::ComputedAll(compute, _) => {
                compute.has(&is_filter)
            }
            Test::Pair(a, _, b) => a.has(&is_filter) || b.has(&is_filter),
        },
        Cond::Const(_) | Cond::Types(_) | Cond::Unfilled(_) => false,
    }
}

fn leaf(test: &Test) -> Needs {
    let (Test::One(field, matcher) | Test::Path(field, matcher)) = test else { return Needs::Any };
    let one = |need| Needs::OneOf(vec![need]);
    match (field.field, matcher) {
        (Field::FdName, Matcher::Bytes(bytes)) => paths(bytes),
        (Field::FdDirectory, Matcher::Bytes(Bytes::Eq(directory))) => below(directory),
        (Field::FdDirectory, Matcher::Bytes(Bytes::In(directories))) if directories.len() <= MAX => {
            directories.iter().fold(Needs::OneOf(Vec::new()), |all, directory| either(all, below(directory)))
        }
        (Field::FdNum, Matcher::Number(Number::Order(Order::Ge, 0) | Number::Order(Order::Gt, -1 | 0))) => {
            one(Need { success: true, ..Need::default() })
        }
        (Field::EvtIsOpenRead, matcher) if is_true(matcher) => one(Need { read: true, ..Need::default() }),
        (Field::EvtIsOpenWrite, matcher) if is_true(matcher) => one(Need { write: true, ..Need::default() }),
        _ => Needs::Any,
    }
}

fn is_true(matcher: &Matcher) -> bool {
    matches!(matcher, Matcher::Bool { equal: true, literals } if literals.iter().all(|l| *l) && !literals.is_empty())
}

fn paths(bytes: &Bytes) -> Needs {
    match bytes {
        Bytes::Eq(path) => begins(path, true),
        Bytes::StartsWith(path) | Bytes::Pattern(_, path) => begins(path, false),
        Bytes::In(all) if all.len() <= MAX => {
            all.iter().fold(Needs::OneOf(Vec::new()), |so_far, path| either(so_far, begins(path, true)))
        }
        _ => Needs::Any,
    }
}

/// A path that begins so, or is so, in one of its spellings.
fn begins(path: &[u8], whole: bool) -> Needs {
    let need = |path| Need { path: Some((path, whole)), ..Need::default() };
    Needs::OneOf(spellings::begin(path, whole).into_iter().map(need).collect())
}

/// A path in that directory. Its own name has no slash at its end, but for the root's.
fn below(directory: &[u8]) -> Needs {
    let mut path = directory.to_vec();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    begins(&path, false)
}

fn either(a: Needs, b: Needs) -> Needs {
    let (Needs::OneOf(mut a), Needs::OneOf(b)) = (a, b) else { return Needs::Any };
    for need in b {
        if !a.contains(&need) {
            a.push(need);
        }
    }
    if a.len() > MAX { Needs::Any } else { Needs::OneOf(a) }
}

fn both(a: Needs, b: Needs) -> Needs {
    let (a, b) = match (a, b) {
        (Needs::Any, other) | (other, Needs::Any) => return other,
        (Needs::OneOf(a), Needs::OneOf(b)) => (a, b),
    };
    if a.len() * b.len() > MAX {
        // Either alone is necessary; the shorter list is the better one.
        return Needs::OneOf(if a.len() <= b.len() { a } else { b });
    }
    let mut all = Vec::new();
    for need in a.iter().flat_map(|x| b.iter().filter_map(|y| join(x, y))) {
        if !all.contains(&need) {
            all.push(need);
        }
    }
    Needs::OneOf(all)
}

/// Both at once; `None` when that cannot be.
fn join(a: &Need, b: &Need) -> Option<Need> {
    let path = match (&a.path, &b.path) {
        (None, path) | (path, None) => path.clone(),
        (Some((x, x_whole)), Some((y, y_whole))) => {
            let (short, short_whole, long, long_whole) =
                if x.len() <= y.len() { (x, x_whole, y, y_whole) } else { (y, y_whole, x, x_whole) };
            let fits = long.starts_with(short) && (!short_whole || short.len() == long.len());
            if !fits {
                return None;
            }
            Some((long.clone(), *long_whole || (short.len() == long.len() && *short_whole)))
        }
    };
    Some(Need { path, read: a.read || b.read, write: a.write || b.write, success: a.success || b.success })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::load;
    use crate::rules::report::source::Source;
    use crate::rules::source::options::Options;

    /// `name: alternatives` of the rules with these conditions; events that are not filtered are left out.
    fn filtered(conditions: &[&str]) -> Vec<String> {
        let rule = |(n, condition)| {
            format!("- rule: r{n}\n  desc: d\n  condition: {condition}\n  output: o\n  priority: INFO")
        };
        let rules = conditions.iter().enumerate().map(rule).collect::<Vec<_>>().join("\n");
        let set = load(&[Source::new("t", rules)], &Options::default()).rules.unwrap();
        let show = |need: &Need| {
            let path = need.path.as_ref().map_or(String::new(), |(path, whole)| {
                format!("{}{}", String::from_utf8_lossy(path), if *whole { "" } else { "*" })
            });
            let flag = |set: bool, c| if set { c } else { "" };
            format!("{path}{}{}{}", flag(need.read, "+r"), flag(need.write, "+w"), flag(need.success, "+ok"))
        };
        set.prefilter()
            .events()
            .map(|(name, all)| format!("{name}: {}", all.iter().map(show).collect::<Vec<_>>().join(" ")))
            .collect()
    }

    #[test]
    fn what_rules_need_of_an_open() {
        let shadow =
            "evt.type = openat and evt.is_open_read = true and fd.num >= 0 and fd.name = /etc/shadow";
        let etc = "evt.type in (open, openat) and evt.is_open_write = true and fd.name startswith /etc/ and proc.name = x";
        assert_eq!(
            filtered(&[shadow, etc]),
            [
                "creat: ",
                "open: /etc/*+w",
                "open_by_handle_at: ",
                "openat: /etc/shadow+r+ok /etc/*+w",
                "openat2: "
            ]
        );
        let parts = "evt.type = creat and fd.name in (/a, /b) and (fd.directory = / or fd.name glob /c*.x)";
        let creat = filtered(&[parts]).remove(0);
        assert!(creat == "creat: /a /b" || creat == "creat: /b /a", "{creat}");
        assert_eq!(filtered(&["evt.type = open and fd.name glob /home/*/.ssh/id_*"])[1], "open: /home/*");
    }

    #[test]
    fn whatever_is_not_understood_keeps_the_event_open() {
        for condition in [
            "evt.type = open",
            "evt.type = open and not fd.name = /a",
            "evt.type = open and fd.name contains /a",
            "evt.type = open and fd.name endswith /a",
            "evt.type = open and fd.name != /a",
            "evt.type = open and (fd.name = /a or proc.name = b)",
            "evt.type = open and fd.name iglob /a*",
            "evt.type = open and fd.nameraw = /a",
            "evt.type = open and evt.is_open_read = false",
        ] {
            let open = filtered(&[condition]).into_iter().find(|line| line.starts_with("open:"));
            // `iglob` leaves an empty beginning, which every path has.
            assert!(open.as_deref().is_none_or(|o| o == "open: *"), "{condition}: {open:?}");
        }
        assert!(filtered(&["proc.name = x"]).is_empty());
    }
}
