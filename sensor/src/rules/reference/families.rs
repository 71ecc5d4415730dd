//! Families of calls: the compiled engine, its traces and the kernel's filter say what the reference says, and they only add.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{agree, random, random_events};
use crate::rules::program::evaluate::Scratch;
use crate::rules::registry::event::{Event, EventType};
use crate::rules::registry::event_types;
use crate::rules::source::options::Options;

fn name(event: EventType) -> &'static str {
    event_types::info(event).unwrap().name
}

#[test]
fn families_add_alerts_on_calls_that_do_what_a_named_one_does_and_change_nothing_else() {
    let counts = [(); 3].map(|()| Cell::new(0u32));
    let config = random::config(384);
    let enough = config.cases >= 384;
    let inputs = (random::definitions(12), vec(random_events::event(), 1..12));
    let result = TestRunner::new(config).run(&inputs, |(definitions, events)| {
        let load =
            |families| agree::loaded_with(&definitions.text(), Options { families, ..Options::default() });
        let (plain, wide) = (load(false)?, load(true)?);
        let rules = definitions.effective();
        let mut scratch = Scratch::default();
        for event in &events {
            let mut fired = Vec::new();
            wide.evaluate(&mut scratch, event, |rule| fired.push(rule.name.clone()));
            for ((rule, narrow), (named, condition)) in wide.rules().iter().zip(plain.rules()).zip(&rules) {
                let blind = super::blind(condition, false);
                let (alone, family) =
                    (super::holds(condition, event), super::holds_of_family(condition, event));
                prop_assert_eq!(
                    fired.contains(named),
                    family && !blind,
                    "{}: {}\n{:?}",
                    named,
                    condition,
                    event
                );
                prop_assert_eq!(
                    wide.trace(rule, event).fires,
                    family,
                    "{}: {}\n{:?}",
                    named,
                    condition,
                    event
                );
                prop_assert!(family || !alone, "{}: {} is silenced\n{:?}", named, condition, event);
                if alone == family {
                    counts[0].set(counts[0].get() + 1);
                    continue;
                }
                counts[1].set(counts[1].get() + 1);
                let own = name(event.event_type());
                prop_assert!(!super::names(condition, own.as_bytes()), "{} names {}", condition, own);
                prop_assert!(rule.event_types().contains(&event.event_type()), "{}: {}", condition, own);
                // Where the type could not be had at all without families, the trace says by which comparison it is.
                if !narrow.event_types().contains(&event.event_type()) {
                    counts[2].set(counts[2].get() + 1);
                    let told = serde_json::to_string(&wide.trace(rule, event)).unwrap();
                    prop_assert!(told.contains("\"sibling\":true"), "{}: {}", condition, told);
                }
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if enough {
        let [same, more, told] = counts.map(Cell::into_inner);
        assert!(same > 500 && more > 100 && told > 50, "hardly tried: {same} {more} {told}");
    }
}
