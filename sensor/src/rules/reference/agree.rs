//! The compiled engine says what the reference says: the same rules fire in the same order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use super::pools::UNFILLED;
use super::random::{self, Definitions};
use super::random_events::{self, Made};
use crate::rules::language::ast::{Check, Expr, Op};
use crate::rules::load;
use crate::rules::program::evaluate::Scratch;
use crate::rules::registry::field_set::FieldSet;
use crate::rules::registry::fields::by_name;
use crate::rules::report::source::Source;
use crate::rules::rule_set::RuleSet;
use crate::rules::source::options::{Matching, Options, Sight};

/// How often a leaf of an operator was false, how often true.
#[derive(Debug, Default)]
struct Seen {
    operators: BTreeMap<&'static str, [u64; 2]>,
    computed: [u64; 2],
    modified: [u64; 2],
    rules: [u64; 2],
    /// Rules that fire by another name than the first.
    second: u64,
}

impl Seen {
    fn leaf(&mut self, check: &Check, truth: bool) {
        use crate::rules::language::ast::{Operand, Right};
        let at = usize::from(truth);
        self.operators.entry(check.op.as_str()).or_default()[at] += 1;
        if check.modifier.is_some() {
            self.modified[at] += 1;
        }
        if matches!(check.left, Operand::Transform(_)) || matches!(check.right, Right::Operand(_)) {
            self.computed[at] += 1;
        }
    }
}

/// Loads what must load.
pub fn loaded(text: &str, matching: Matching) -> Result<RuleSet, TestCaseError> {
    loaded_with(text, Options { matching, ..Options::default() })
}

/// As [`loaded`], with more to say.
pub fn loaded_with(text: &str, options: Options) -> Result<RuleSet, TestCaseError> {
    let fields = UNFILLED.iter().filter_map(|name| by_name(name));
    let unfilled = fields.fold(FieldSet::NONE, |set, info| set.with(info.field));
    let sight = Sight { unfilled, ..Sight::default() };
    let options = Options { append_output: Vec::new(), sight, ..options };
    let loaded = load(&[Source::new("random.yaml", text)], &options);
    loaded.rules.ok_or_else(|| TestCaseError::fail(format!("refused: {}", loaded.files.last().unwrap())))
}

/// The names of the rules that fire, each with the place of the reading for which it does.
fn fired(rules: &RuleSet, scratch: &mut Scratch, readings: &[Made]) -> Vec<(String, usize)> {
    let mut names = Vec::new();
    rules.evaluate_readings(scratch, readings, |rule, by| {
        let place = readings.iter().position(|reading| std::ptr::eq(reading, by)).unwrap();
        names.push((rule.name.clone(), place));
    });
    names
}

/// The names of the rules that the reference sees firing, each with the place of the first reading for which it does.
fn expected(rules: &[(String, Expr)], readings: &[Made], seen: &mut Seen) -> Vec<(String, usize)> {
    let mut names = Vec::new();
    for (name, condition) in rules {
        let mut holds = |event: &Made| {
            let holds = super::decide(condition, &mut |check, _| {
                let truth = super::leaf(check, event);
                seen.leaf(check, truth);
                truth
            });
            holds && !super::blind(condition, false)
        };
        let fires = readings.iter().position(&mut holds);
        seen.rules[usize::from(fires.is_some())] += 1;
        seen.second += u64::from(fires.is_some_and(|place| place > 0));
        names.extend(fires.map(|place| (name.clone(), place)));
    }
    names
}

fn same(
    definitions: &Definitions,
    events: &[Vec<Made>],
    scratch: &mut Scratch,
    seen: &mut Seen,
) -> Result<(), TestCaseError> {
    let text = definitions.text();
    let all = loaded(&text, Matching::All)?;
    let first = loaded(&text, Matching::First)?;
    let rules = definitions.effective();
    for ((name, condition), rule) in rules.iter().zip(all.rules()) {
        prop_assert_eq!(
            &rule.compiled,
            &condition.to_string(),
            "the condition of {} as it was put together",
            name
        );
    }
    for event in events {
        let expected = expected(&rules, event, seen);
        let mut agree = |what: &str, set: &RuleSet, expected: &[(String, usize)]| {
            let got = fired(set, scratch, event);
            if got == expected {
                return Ok(());
            }
            let mut said = format!("{what}: {got:?} fire, {expected:?} should, on\n{event:?}");
            for (name, condition) in rules.iter().filter(|(name, _)| {
                got.iter().any(|(n, _)| n == name) != expected.iter().any(|(n, _)| n == name)
            }) {
                write!(said, "\n{name}: {condition}").unwrap();
            }
            Err(TestCaseError::fail(said))
        };
        agree("all", &all, &expected)?;
        agree("the first", &first, &expected[..expected.len().min(1)])?;
        // Memory of an event must not reach into the next one, nor into the same one again.
        agree("once more", &all, &expected)?;
    }
    Ok(())
}

#[test]
fn rule_sets_fire_as_the_reference_says() {
    let (scratch, seen) = (RefCell::new(Scratch::default()), RefCell::new(Seen::default()));
    let config = random::config(32);
    let enough = config.cases >= 32;
    let inputs = (random::definitions(80), vec(random_events::readings(), 1..16));
    let result = TestRunner::new(config).run(&inputs, |(definitions, events)| {
        // One scratch for all sets, as a sensor keeps it when its rules are replaced.
        let scratch = &mut *scratch.borrow_mut();
        same(&definitions, &events, scratch, &mut seen.borrow_mut())
    });
    match result {
        Ok(()) => {}
        // The whole input would fill the screen; it is in the file of regressions.
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(error) => panic!("{error}"),
    }
    if enough {
        let seen = seen.into_inner();
        println!("{seen:#?}");
        let [silent, fired] = seen.rules;
        assert!(
            fired * 30 > silent && silent * 30 > fired,
            "rules hardly ever differ: {fired} of {}",
            fired + silent
        );
        for op in Op::ALL.iter().filter(|op| !matches!(op, Op::Bcontains | Op::Bstartswith)) {
            let outcomes = seen.operators.get(op.as_str()).copied().unwrap_or_default();
            assert!(outcomes.iter().all(|n| *n >= 20), "{}: {outcomes:?}", op.as_str());
        }
        assert!(seen.second >= 200, "{seen:?}");
        assert!(seen.computed.iter().chain(&seen.modified).all(|n| *n >= 200), "{seen:?}");
    }
}

/// Small sets, many of them: what fails here shrinks to something that can be read.
#[test]
fn single_conditions_are_what_the_reference_says() {
    let scratch = RefCell::new(Scratch::default());
    let inputs = (random::definitions(2), vec(random_events::readings(), 1..6));
    let result = TestRunner::new(random::config(256)).run(&inputs, |(definitions, events)| {
        same(&definitions, &events, &mut scratch.borrow_mut(), &mut Seen::default())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
