//! Conditions, or parts of them, whose outcome no event can change; and comparisons that can only be meant otherwise.

use super::context::{Context, Subject};
use super::facts::{self, Conflict, Facts, listed};
use super::finding::{Level, Lint, Report};
use super::formula::{Leaf, Node, Part};
use super::{events, values};
use crate::rules::language::ast::Op;
use crate::rules::registry::fields::{Field, FieldRef};

pub static NEVER_TRUE: Lint = Lint {
    id: "never-true",
    level: Level::Warning,
    why: "A condition, or an alternative of it, that excludes itself never lets a rule fire.",
    remedy: "Look at the parts that exclude each other: an `and` that should be an `or`, or another event type.",
};

pub static ALWAYS_TRUE: Lint = Lint {
    id: "always-true",
    level: Level::Warning,
    why: "A part that is true of every event restricts nothing.",
    remedy: "Take it out, or write what was meant: `f != a or f != b` is usually meant as `not f in (a, b)`.",
};

pub static IMPOSSIBLE_VALUE: Lint = Lint {
    id: "impossible-value",
    level: Level::Warning,
    why: "The field never has the value, so the comparison decides nothing.",
    remedy: "Write the value as the field has it.",
};

pub static EMPTY_LIST: Lint = Lint {
    id: "empty-list",
    level: Level::Warning,
    why: "`in ()` is true of nothing.",
    remedy: "Put values into the parentheses, or the name of a list.",
};

pub static EMPTY_TEXT: Lint = Lint {
    id: "empty-text",
    level: Level::Warning,
    why: "Every text contains, begins with and ends with the empty one.",
    remedy: "Write the text that is meant; `f exists` asks whether there is a value, `f = \"\"` whether it is empty.",
};

pub static NA_COMPARISON: Lint = Lint {
    id: "na-comparison",
    level: Level::Warning,
    why: "`<NA>` is what an output prints for a missing value; no comparison with a missing value is true, not even `!=`.",
    remedy: "Ask `f exists` or `not f exists`.",
};

/// Fields that have the text `<NA>` where a name is not known.
const NA_FIELDS: [Field; 8] = [
    Field::UserName,
    Field::UserLoginname,
    Field::GroupName,
    Field::FdL4proto,
    Field::ProcName,
    Field::ProcExe,
    Field::EvtArg,
    Field::EvtArgs,
];

pub fn run(context: &Context<'_>, report: &mut Report) {
    for subject in &context.subjects {
        let mut facts = Facts::new(false);
        let whole = &subject.formula;
        let conflict = facts.conflict_with(whole, true);
        let spared = conflict.as_ref().is_some_and(|conflict| is_placeholder(whole, conflict));
        if let Some(why) = conflict.as_ref().filter(|_| !spared).and_then(told) {
            let message = format!("the condition can never be true: {why}");
            report.part(&NEVER_TRUE, subject, blamed(whole, conflict.as_ref()), message);
        }
        let mut visitor = Visitor { context, subject, report, dead: conflict.is_some(), negated: false };
        visitor.part(whole, &mut facts, false);
    }
}

/// The conflict in words; `None` for one that is reported at the comparison itself.
fn told(conflict: &Conflict<'_>) -> Option<String> {
    Some(match conflict {
        Conflict::Pair(a, b) => format!("`{}` excludes `{}`", short(&a.to_string()), short(&b.to_string())),
        Conflict::Field(parts) => format!("no value passes `{}`", short(&listed(parts))),
        Conflict::Types(part, before) => {
            let (part, before) = (part.to_string(), before.names());
            format!("`{}` leaves no event type, for the rest allows {before} only", short(&part))
        }
        Conflict::Without(a, b) => {
            let (a, b) = (a.to_string(), b.to_string());
            format!("`{}` asks for a parameter that events of `{}` do not have", short(&a), short(&b))
        }
        Conflict::Alternatives => "the rest of it excludes every alternative".to_owned(),
        Conflict::Impossible(..) | Conflict::Parameter | Conflict::Empty => return None,
    })
}

/// The last use of a comparison.
fn last(part: &Part, number: u32) -> Option<&Part> {
    match &part.node {
        Node::And(items) | Node::Or(items) => items.iter().rev().find_map(|item| last(item, number)),
        Node::Not(inner) => last(inner, number),
        Node::Leaf(leaf) => (leaf.number == number).then_some(part),
    }
}

/// One side of the conflict is a macro that asks for nothing but a value, as in `allowed: container.id exists`: it holds the
/// place of what users put there.
fn is_placeholder(whole: &Part, conflict: &Conflict<'_>) -> bool {
    conflict.pair().into_iter().flatten().any(|leaf| {
        let used = last(whole, leaf.number);
        leaf.check.op == Op::Exists && used.is_some_and(|part| !part.own || part.is_macro)
    })
}

/// The part to point at: the last use of the comparison that makes the conflict, or all of it.
fn blamed<'p>(whole: &'p Part, conflict: Option<&Conflict<'_>>) -> &'p Part {
    conflict.and_then(Conflict::culprit).and_then(|number| last(whole, number)).unwrap_or(whole)
}

/// A comparison that may name long lists.
fn short(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

struct Visitor<'v, 'r> {
    context: &'v Context<'r>,
    subject: &'v Subject<'r>,
    report: &'v mut Report,
    /// The whole was told to be never true: its parts need not be.
    dead: bool,
    /// Below a `not`, where a part that the rest excludes is superfluous, but no mistake.
    negated: bool,
}

impl Visitor<'_, '_> {
    /// Looks at a part that matters only where `facts` hold. `optional`: in a macro, beside alternatives.
    fn part<'p>(&mut self, part: &'p Part, facts: &mut Facts<'p>, optional: bool) {
        match &part.node {
            Node::And(items) => {
                for (at, item) in items.iter().enumerate() {
                    let mark = facts.mark();
                    for (other, sibling) in items.iter().enumerate() {
                        if other != at {
                            facts.add(sibling, true);
                        }
                    }
                    // Where the others cannot be together, nothing is to be said about this one.
                    if self.dead || facts.conflict().is_none() {
                        self.part(item, facts, optional);
                    }
                    facts.rollback(&mark);
                }
            }
            Node::Or(items) => {
                if part.own && self.always(part) {
                    return;
                }
                for item in items {
                    if !self.never(item, facts, "this alternative can never be true") {
                        self.part(item, facts, optional || !item.own);
                    }
                }
            }
            Node::Not(inner) => {
                let before = std::mem::replace(&mut self.negated, true);
                let is_leaf = matches!(inner.node, Node::Leaf(_));
                if is_leaf || !self.never(inner, facts, "what is negated here can never be true") {
                    self.part(inner, facts, optional);
                }
                self.negated = before;
            }
            Node::Leaf(leaf) => {
                events::leaf(self.subject, part, leaf, facts, optional, self.report);
                // A macro whose condition is one comparison is looked at where it is defined.
                if part.own && !part.is_macro {
                    self.leaf(part, leaf);
                }
            }
        }
    }

    /// Reports a part of the own text that the facts exclude; true when it is excluded.
    fn never<'p>(&mut self, part: &'p Part, facts: &mut Facts<'p>, message: &str) -> bool {
        let conflict = if self.negated {
            Facts::new(false).conflict_with(part, true)
        } else {
            facts.conflict_with(part, true)
        };
        let Some(conflict) = conflict else { return false };
        let why = told(&conflict);
        let spared = is_placeholder(part, &conflict);
        if let (true, false, false, Some(why)) = (part.own, self.dead, spared, &why) {
            let place = blamed(part, Some(&conflict));
            self.report.part(&NEVER_TRUE, self.subject, place, format!("{message}: {why}"));
        }
        why.is_some()
    }

    /// Reports a part that is true whatever the event.
    fn always(&mut self, part: &Part) -> bool {
        let Some(conflict) = Facts::new(false).conflict_with(part, false) else {
            return self.always_of_values(part);
        };
        let why = match &conflict {
            Conflict::Pair(a, b) => format!("either `not ({a})` or `not ({b})`"),
            Conflict::Impossible(a, b) => format!("either `not ({a})` or `not ({b})`"),
            Conflict::Field(parts) => {
                format!("no value makes `{}` hold, which is what it would take", listed(parts))
            }
            _ => "one of its alternatives always holds".to_owned(),
        };
        self.report.part(&ALWAYS_TRUE, self.subject, part, format!("this is always true: {why}"));
        true
    }

    /// Reports alternatives that every value of a field passes: `f != a or f != b`.
    fn always_of_values(&mut self, part: &Part) -> bool {
        let Node::Or(items) = &part.node else { return false };
        let leaves = || {
            items
                .iter()
                .filter_map(|item| if let Node::Leaf(leaf) = &item.node { Some(&**leaf) } else { None })
        };
        for leaf in leaves().filter(|leaf| leaf.types.is_none() && leaf.constant.is_none()) {
            let Some(field) = &leaf.field else { continue };
            let same: Vec<_> = leaves().filter(|other| other.field.as_ref() == Some(field)).collect();
            // One that asks for nothing else than a value says what it means.
            if same.len() < 2 || same.iter().any(|leaf| leaf.check.op == Op::Exists) {
                continue;
            }
            if facts::exhaust(&same) {
                let parts: Vec<String> = same.iter().map(|leaf| short(&leaf.key)).collect();
                let message = format!("every value of {field} passes `{}`", parts.join(" or "));
                self.report.part(&ALWAYS_TRUE, self.subject, part, message);
                return true;
            }
        }
        false
    }

    fn leaf(&mut self, part: &Part, leaf: &Leaf) {
        let Some(field) = &leaf.field else { return };
        self.impossible(part, leaf, field);
        let values = leaf.values();
        let op = leaf.check.op;
        if values.is_empty() && op.is_list() && self.is_written_empty(part) {
            self.report.part(&EMPTY_LIST, self.subject, part, format!("`{}` is true of nothing", leaf.key));
        }
        let is_search = matches!(op, Op::Contains | Op::Icontains | Op::Startswith | Op::Endswith);
        if is_search && values.iter().any(|value| value.bytes.is_empty()) {
            let message = format!("`{}` is true of every value of {field}", leaf.key);
            self.report.part(&EMPTY_TEXT, self.subject, part, message);
        }
        if values.iter().any(|value| value.bytes == b"<NA>") && !NA_FIELDS.contains(&field.field) {
            let message = format!("{field} never is the text <NA>; a missing value compares as false");
            self.report.part(&NA_COMPARISON, self.subject, part, message);
        }
    }

    fn impossible(&mut self, part: &Part, leaf: &Leaf, field: &FieldRef) {
        // Most values that are told one by one.
        const SHOWN: usize = 3;
        let as_equal = if leaf.check.op == Op::Ne { Op::Eq } else { leaf.check.op };
        let of = |bytes: &[u8]| values::impossible(field, as_equal, bytes).map(|why| (bytes.to_vec(), why));
        let dead: Vec<(Vec<u8>, String)> =
            leaf.values().iter().filter_map(|value| of(&value.bytes)).collect();
        let Some((_, why)) = dead.first() else { return };
        let shown: Vec<String> = dead
            .iter()
            .take(SHOWN)
            .map(|(value, _)| format!("{:?}", String::from_utf8_lossy(value)))
            .collect();
        let rest = dead.len().saturating_sub(SHOWN);
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        let effect = match (leaf.check.op, dead.len() == leaf.values().len()) {
            (Op::Ne, _) => "; this is true of every value",
            (_, true) => "; this is never true",
            _ => "",
        };
        let message = format!("{field} never is {}{more}: {why}{effect}", shown.join(", "));
        self.report.part(&IMPOSSIBLE_VALUE, self.subject, part, message);
    }

    /// The parentheses are empty in the file: no list stands there that has no items yet.
    fn is_written_empty(&self, part: &Part) -> bool {
        let Some(span) = part.span else { return false };
        let text = self.context.text(span.at).and_then(|text| text.get(..span.len)).unwrap_or_default();
        text.chars().filter(|c| !c.is_whitespace()).collect::<String>().ends_with("()")
    }
}
