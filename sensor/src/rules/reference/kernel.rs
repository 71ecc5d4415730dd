//! The kernel's filter of opens never drops what a rule would match.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::random;
use super::random_events::{self, Made};
use crate::rules::program::prefilter::Need;
use crate::rules::registry::event::{Event, Value};
use crate::rules::registry::event_types;
use crate::rules::registry::fields::{Field, FieldRef};
use crate::rules::source::options::Matching;

/// Whether the kernel would let an open through for this alternative.
fn admits(need: &Need, event: &Made) -> bool {
    let get = |field: Field| event.get(&FieldRef::from(field)).map(super::Own::from);
    let is = |field| get(field) == Some(super::Own::Truth(true));
    let path =
        need.path.as_ref().is_none_or(|(wanted, whole)| match event.get(&FieldRef::from(Field::FdName)) {
            Some(Value::Str(path)) => {
                if *whole {
                    path == wanted.as_slice()
                } else {
                    path.iter().zip(wanted).filter(|(a, b)| a == b).count() == wanted.len()
                }
            }
            _ => false,
        });
    let success =
        !need.success || matches!(get(Field::FdNum), Some(super::Own::Number(number)) if number >= 0);
    path && success && (!need.read || is(Field::EvtIsOpenRead)) && (!need.write || is(Field::EvtIsOpenWrite))
}

#[test]
fn what_fires_is_admitted_by_the_kernels_filter() {
    let counts = std::cell::RefCell::new([0u64; 2]);
    let config = random::config(200);
    let enough = config.cases >= 200;
    let inputs = (random::opens(6), proptest::collection::vec(random_events::open_event(), 1..24));
    let result = TestRunner::new(config).run(&inputs, |(definitions, events)| {
        let set = super::agree::loaded(&definitions.text(), Matching::All)?;
        let rules = definitions.effective();
        for event in &events {
            let name = event_types::info(event.event_type()).unwrap().name;
            let needs = set.prefilter().events().find(|(of, _)| *of == name);
            let Some((_, needs)) = needs else { continue };
            let admitted = needs.iter().any(|need| admits(need, event));
            counts.borrow_mut()[usize::from(admitted)] += 1;
            let fires =
                rules.iter().find(|(_, rule)| super::holds(rule, event) && !super::blind(rule, false));
            prop_assert!(
                admitted || fires.is_none(),
                "{:?} fires on {:?}, which {:?} drops\n{}",
                fires,
                event,
                needs,
                definitions.text()
            );
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if enough {
        let [dropped, admitted] = counts.into_inner();
        assert!(
            dropped > 40 && admitted > 40,
            "the filter hardly decides: {dropped} dropped, {admitted} admitted"
        );
    }
}
