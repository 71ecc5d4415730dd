//! What a trace says of a rule and an event is what the reference sees: whether it fires, how far it is from firing, and which
//! one comparison keeps it from firing.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{random, random_events};
use crate::rules::explain::trace::{Leaf, Part};
use crate::rules::language::ast::Expr;
use crate::rules::source::options::Matching;

/// The leaves in order.
fn leaves<'p>(part: &'p Part, into: &mut Vec<&'p Leaf>) {
    match part {
        Part::And { parts, .. } | Part::Or { parts, .. } => parts.iter().for_each(|part| leaves(part, into)),
        Part::Not { part, .. } => leaves(part, into),
        Part::Leaf(leaf) => into.push(leaf),
    }
}

/// The condition with the outcomes of its leaves given, in order.
fn with(condition: &Expr, truths: &[bool]) -> bool {
    let mut next = truths.iter();
    super::decide(condition, &mut |_, _| next.next().copied().unwrap())
}

#[test]
fn traces_distances_and_near_misses_are_what_the_reference_says() {
    let seen = std::cell::RefCell::new([0u32; 3]);
    let config = random::config(64);
    let enough = config.cases >= 64;
    let inputs = (random::definitions(8), vec(random_events::event(), 1..8));
    let result = TestRunner::new(config).run(&inputs, |(definitions, events)| {
        let set = super::agree::loaded(&definitions.text(), Matching::All)?;
        let rules = definitions.effective();
        for event in &events {
            for (rule, (name, condition)) in set.rules().iter().zip(&rules) {
                let mut truths = Vec::new();
                let fires = super::decide(condition, &mut |check, _| {
                    let truth = super::leaf(check, event);
                    truths.push(truth);
                    truth
                });
                let trace = set.trace(rule, event);
                let distance = set.distance(rule, event);
                prop_assert_eq!(trace.fires, fires, "{}: {}\n{:?}", name, condition, event);
                prop_assert_eq!(distance == 0, fires, "{}: distance {}\n{:?}", name, distance, event);
                let mut told = Vec::new();
                leaves(&trace.root, &mut told);
                let holding: Vec<bool> = told.iter().map(|leaf| leaf.truth.holds()).collect();
                prop_assert_eq!(&holding, &truths, "{}: leaves of {}\n{:?}", name, condition, event);

                // Turn each comparison that another value could turn, by itself.
                let mut decisive = Vec::new();
                for at in (0..truths.len()).filter(|at| !told[*at].fixed) {
                    truths[at] = !truths[at];
                    if !fires && with(condition, &truths) {
                        decisive.push(at);
                    }
                    truths[at] = !truths[at];
                }
                let near = trace
                    .near_miss()
                    .and_then(|leaf| told.iter().position(|other| std::ptr::eq(*other, leaf)));
                prop_assert_eq!(
                    near,
                    decisive.first().copied(),
                    "{}: near miss of {}\n{:?}",
                    name,
                    condition,
                    event
                );
                // The distance takes a `oneof` of ancestors or numbers for as many comparisons as it has values.
                let plain = !condition.to_string().contains("of (");
                prop_assert!(
                    !plain || (distance == 1) == near.is_some(),
                    "{}: distance {} of {}\n{:?}",
                    name,
                    distance,
                    condition,
                    event
                );
                let kind = if fires {
                    0
                } else if near.is_some() {
                    1
                } else {
                    2
                };
                seen.borrow_mut()[kind] += 1;
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if enough {
        let seen = seen.into_inner();
        assert!(seen.iter().all(|n| *n >= 50), "fires, near, far: {seen:?}");
    }
}
