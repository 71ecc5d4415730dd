//! Whether rules can fire here, and why not. The words are made here and nowhere else: the start, `doctor`, `rules list`, the
//! metrics and the web app say the same.

use std::collections::BTreeSet;
use std::fmt;

use crate::rules::registry::fields::{Field, Flags};
use crate::rules::source::options::Sight;

/// Whether a rule can fire, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Active,
    /// By `enabled: false` or a selection.
    Disabled,
    /// Less severe than the priority threshold.
    BelowPriority,
    /// It cannot fire.
    Inactive(Reason),
    /// It fires, but part of its condition cannot be seen.
    Limited(Reason),
}

impl Status {
    /// True when the rule is judged.
    pub fn fires(&self) -> bool {
        matches!(self, Self::Active | Self::Limited(_))
    }

    /// One word, and the reason where there is one.
    pub fn told(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Active => ("active", None),
            Self::Disabled => ("disabled", None),
            Self::BelowPriority => ("disabled", Some("it is less severe than the option `priority`")),
            Self::Inactive(reason) => ("inactive", Some(&reason.words)),
            Self::Limited(reason) => ("limited", Some(&reason.words)),
        }
    }
}

/// What a rule lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// No event has a value for a field.
    Field,
    /// The sensor captures none of the events.
    Event,
    /// Nothing, but the names of events that are captured only for rules that name them.
    Name,
    /// Nothing: its condition is false whatever happens.
    Match,
}

impl Lack {
    /// The word for labels and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Event => "event",
            Self::Name => "name",
            Self::Match => "match",
        }
    }
}

/// Why a rule does not do all that it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub lack: Lack,
    /// In words, to follow a colon.
    pub words: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl Reason {
    /// A rule that cannot fire without these fields.
    pub fn needs(fields: &BTreeSet<Field>, sight: &Sight) -> Self {
        Self { lack: Lack::Field, words: format!("it needs {}", without_value(fields, sight)) }
    }

    /// A rule that fires without these fields, but not on all that it asks for.
    pub fn partly(fields: &BTreeSet<Field>, sight: &Sight) -> Self {
        let words = format!("the parts that ask for {}, never hold", without_value(fields, sight));
        Self { lack: Lack::Field, words }
    }

    /// A rule about events that are not captured.
    pub fn unseen(events: &[&str]) -> Self {
        let words = format!("it needs {}, which this sensor does not capture", some_of(events));
        Self { lack: Lack::Event, words }
    }

    /// A rule that does not name these events, of which there are too many.
    pub fn unnamed(events: &[&str]) -> Self {
        let words =
            format!("it does not see {}, which are captured only for rules that name them", some_of(events));
        Self { lack: Lack::Name, words }
    }

    /// A rule whose condition excludes every event.
    pub fn never() -> Self {
        Self { lack: Lack::Match, words: "its condition is never true".to_owned() }
    }
}

/// The first names in words; a rule about all events has hundreds.
fn some_of(events: &[&str]) -> String {
    const SHOWN: usize = 5;
    let names = events.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match events.len().saturating_sub(SHOWN) {
        0 => names,
        more => format!("{names} or {more} others"),
    }
}

/// The names of the fields, each with why it has no value.
fn without_value(fields: &BTreeSet<Field>, sight: &Sight) -> String {
    let is_old = |field: &Field| field.info().flags.has(Flags::DEPRECATED);
    let named = |wanted: &dyn Fn(&Field) -> bool, why: &str| {
        let names: Vec<&str> =
            fields.iter().filter(|field| wanted(field)).map(|field| field.name()).collect();
        (!names.is_empty()).then(|| format!("{}, which {why}", names.join(", ")))
    };
    let groups = [
        named(&|field| !is_old(field) && sight.unfilled.contains(*field), "this sensor cannot fill"),
        named(&|field| !is_old(field) && !sight.unfilled.contains(*field), "this kernel does not expose"),
        named(&is_old, "no event has any more"),
    ];
    groups.into_iter().flatten().collect::<Vec<_>>().join(", and ")
}

/// How many rules can fire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of all.
    pub fire: usize,
    /// Of those that fire.
    pub limited: usize,
    pub inactive: usize,
    /// Switched off, or below the priority threshold.
    pub disabled: usize,
}

impl Tally {
    pub fn of<'s>(statuses: impl IntoIterator<Item = &'s Status>) -> Self {
        let mut tally = Self::default();
        for status in statuses {
            match status {
                Status::Active => tally.fire += 1,
                Status::Limited(_) => {
                    tally.fire += 1;
                    tally.limited += 1;
                }
                Status::Inactive(_) => tally.inactive += 1,
                Status::Disabled | Status::BelowPriority => tally.disabled += 1,
            }
        }
        tally
    }

    pub fn all(&self) -> usize {
        self.fire + self.inactive + self.disabled
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} rules can fire", self.fire, self.all())?;
        if self.limited > 0 {
            write!(f, ", {} of them in part", self.limited)?;
        }
        if self.inactive > 0 {
            write!(f, "; {} cannot", self.inactive)?;
        }
        match self.disabled {
            0 => Ok(()),
            1 => f.write_str("; 1 is disabled"),
            many => write!(f, "; {many} are disabled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{FieldSet, Options, RuleSet, Source, load};

    const FILE: &str = "\
- {rule: sees, desc: d, output: o, priority: INFO, condition: evt.type = open}
- {rule: blind, desc: d, output: o, priority: INFO, condition: evt.type = open and not evt.buffer = x}
- {rule: hidden, desc: d, output: o, priority: INFO, condition: evt.type = open and user.loginuid = 5 and evt.cpu = 1}
- {rule: half, desc: d, output: o, priority: INFO, condition: evt.type = open and (evt.cpu = 1 or proc.name = x)}
- {rule: old, desc: d, output: o, priority: INFO, condition: evt.type = open and k8s.rc.name = x}
- {rule: old not, desc: d, output: o, priority: INFO, condition: evt.type = open and not k8s.rc.name = x}
- {rule: deaf, desc: d, output: o, priority: INFO, condition: 'evt.type in (semop, futex)'}
- {rule: never, desc: d, output: o, priority: INFO, condition: evt.type = open and evt.num = 0}
- {rule: any, desc: d, output: o, priority: INFO, condition: proc.name = x}
- {rule: named, desc: d, output: o, priority: INFO, condition: 'evt.type in (open, write)'}
- {rule: 'off', desc: d, output: o, priority: INFO, condition: evt.type = bpf, enabled: false}
";

    fn rules() -> RuleSet {
        let unfilled = [Field::EvtBuffer, Field::EvtCpu, Field::K8sRcName];
        let sight = Sight {
            events: Some(["open".to_owned(), "write".to_owned()].into()),
            unfilled: unfilled.into_iter().fold(FieldSet::NONE, FieldSet::with),
            hidden: FieldSet::NONE.with(Field::UserLoginuid),
        };
        let loaded = load(&[Source::new("f", FILE)], &Options { sight, ..Options::default() });
        loaded.rules.unwrap_or_else(|| panic!("{}", loaded.files[0]))
    }

    #[test]
    fn each_rule_that_cannot_fire_says_what_it_lacks() {
        assert_eq!(
            rules().notes(usize::MAX),
            [
                r#"rule "blind" is inactive: it needs evt.buffer, which this sensor cannot fill"#,
                "rule \"hidden\" is inactive: it needs evt.cpu, which this sensor cannot fill, and user.loginuid, which this \
                 kernel does not expose",
                r#"rule "old" is inactive: it needs k8s.rc.name, which no event has any more"#,
                r#"rule "deaf" is inactive: it needs futex, semop, which this sensor does not capture"#,
                r#"rule "never" is inactive: its condition is never true"#,
                "rule \"half\" is limited: the parts that ask for evt.cpu, which this sensor cannot fill, never hold",
                "rule \"any\" is limited: it does not see mmap, mprotect, munmap, mremap, brk or 16 others, which are captured only \
                 for rules that name them",
            ]
        );
        let lacks: Vec<&str> = rules().hampered().map(|(_, reason)| reason.lack.as_str()).collect();
        assert_eq!(lacks, ["field", "field", "field", "event", "match", "field", "name"]);
    }

    /// Events of high volume are captured when a rule names them, and then every rule sees them.
    #[test]
    fn events_of_high_volume_are_captured_only_for_rules_that_name_them() {
        let captured = |conditions: &[&str]| {
            let rule = |(at, condition): (usize, &&str)| {
                format!("- {{rule: r{at}, desc: d, output: o, priority: INFO, condition: {condition:?}}}\n")
            };
            let text: String = conditions.iter().enumerate().map(rule).collect();
            let loaded = load(&[Source::new("f", text)], &Options::default());
            let rules = loaded.rules.unwrap_or_else(|| panic!("{}", loaded.files[0]));
            let types = rules.event_types();
            (types.contains("read"), types.contains("write"), types.contains("open"))
        };
        assert_eq!(captured(&["proc.name = x"]), (false, false, true));
        assert_eq!(captured(&["evt.type != open"]), (false, false, false));
        assert_eq!(captured(&["evt.type exists and evt.is_io_write = true"]), (false, false, true));
        assert_eq!(captured(&["evt.type = write or proc.name = x"]), (false, true, true));
        assert_eq!(captured(&["not evt.type = write and proc.name = x"]), (false, false, true));
        assert_eq!(captured(&["evt.type in (read, open)"]), (true, false, true));
        assert_eq!(captured(&["evt.type.is.read = 1"]), (true, false, false));
        assert_eq!(captured(&["evt.type.is.open = 0"]), (false, false, false));
        assert_eq!(captured(&["proc.name = x", "syscall.type = write"]), (false, true, true));
    }

    #[test]
    fn a_long_list_says_where_the_rest_is() {
        let notes = rules().notes(2);
        assert_eq!(notes.len(), 3);
        assert_eq!(notes[2], "and 5 more: `falconet rules list` shows all");
        let many: Vec<&str> = vec!["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(
            Reason::unseen(&many).words,
            "it needs a, b, c, d, e or 2 others, which this sensor does not capture"
        );
    }

    #[test]
    fn rules_are_counted_by_what_they_can_do() {
        let tally = rules().tally();
        assert_eq!(tally, Tally { fire: 5, limited: 2, inactive: 5, disabled: 1 });
        assert_eq!(tally.to_string(), "5 of 11 rules can fire, 2 of them in part; 5 cannot; 1 is disabled");
    }
}
