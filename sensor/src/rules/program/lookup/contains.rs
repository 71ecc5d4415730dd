//! Which of many texts stand somewhere in a value.

use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::nfa::contiguous;
use aho_corasick::packed::{self, Searcher};
use aho_corasick::{Anchored, Input, dfa};
use memchr::memmem::Finder;

use super::answers::Answers;
use super::answers::FIRST;

/// Answer `FIRST + i` for text `i`; a value may have several.
#[derive(Debug)]
pub struct Contains {
    engine: Engine,
    /// Sorted.
    texts: Vec<Box<[u8]>>,
}

#[derive(Debug)]
enum Engine {
    /// A few texts are found faster one by one.
    Few(Vec<Finder<'static>>),
    Fast(Box<dfa::DFA>, Option<Box<Searcher>>),
    /// For so many texts that the table of the other would be too large.
    Small(Box<contiguous::NFA>),
    /// No automaton can be made: too much text.
    OneByOne {
        ignore_case: bool,
    },
}

/// Up to so many are looked for one by one.
const FEW: usize = 3;
/// Most bytes of text for the faster automaton: its table is about 256 bytes for each.
const FAST: usize = 4096;

impl Contains {
    /// The texts must not be empty.
    pub fn new(mut texts: Vec<Box<[u8]>>, ignore_case: bool) -> Self {
        texts.sort_unstable();
        texts.dedup();
        let engine = if texts.len() <= FEW && !ignore_case {
            Engine::Few(texts.iter().map(|text| Finder::new(text).into_owned()).collect())
        } else if texts.iter().map(|text| text.len()).sum::<usize>() <= FAST {
            let built = dfa::Builder::new().ascii_case_insensitive(ignore_case).build(&texts);
            // Most values hold none of the texts; that is seen much faster where the texts are few.
            let any = (!ignore_case).then(|| packed::Builder::new().extend(&texts).build()).flatten();
            built.map_or(Engine::OneByOne { ignore_case }, |dfa| {
                Engine::Fast(Box::new(dfa), any.map(Box::new))
            })
        } else {
            let built = contiguous::Builder::new().ascii_case_insensitive(ignore_case).build(&texts);
            built.map_or(Engine::OneByOne { ignore_case }, |nfa| Engine::Small(Box::new(nfa)))
        };
        Self { engine, texts }
    }

    pub fn count(&self) -> u32 {
        FIRST + u32::try_from(self.texts.len()).unwrap_or(u32::MAX - FIRST)
    }

    /// The answer for one of the texts.
    pub fn text(&self, text: &[u8]) -> Answers {
        let answer = |at: usize| FIRST + u32::try_from(at).unwrap_or(u32::MAX - FIRST);
        let at = self.texts.binary_search_by(|known| (**known).cmp(text));
        at.map(|at| Answers::range(answer(at), answer(at) + 1)).unwrap_or_default()
    }

    /// Forgets the texts where an automaton knows them.
    pub fn seal(&mut self) {
        if !matches!(self.engine, Engine::OneByOne { .. }) {
            self.texts = Vec::new();
        }
    }

    /// Calls `found` with the answer for each place of a text in the value.
    pub fn find(&self, value: &[u8], mut found: impl FnMut(u32)) {
        match &self.engine {
            Engine::Few(finders) => {
                for (answer, finder) in (FIRST..).zip(finders) {
                    if finder.find(value).is_some() {
                        found(answer);
                    }
                }
            }
            Engine::Fast(_, Some(any)) if any.find(value).is_none() => {}
            Engine::Fast(dfa, _) => overlapping(&**dfa, value, found),
            Engine::Small(nfa) => overlapping(&**nfa, value, found),
            Engine::OneByOne { ignore_case } => {
                for (answer, text) in (FIRST..).zip(&self.texts) {
                    let mut windows = value.windows(text.len());
                    if windows.any(|window| {
                        if *ignore_case { window.eq_ignore_ascii_case(text) } else { *window == **text }
                    }) {
                        found(answer);
                    }
                }
            }
        }
    }
}

fn overlapping(automaton: &impl Automaton, value: &[u8], mut found: impl FnMut(u32)) {
    let input = Input::new(value).anchored(Anchored::No);
    let mut state = OverlappingState::start();
    // Fails for anchored searches and other kinds of matches only.
    while automaton.try_find_overlapping(&input, &mut state).is_ok()
        && let Some(place) = state.get_match()
    {
        found(FIRST + place.pattern().as_u32());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_texts_are_found_whichever_way() {
        for (extra, ignore_case) in [(0, false), (5, false), (2000, false), (5, true), (2000, true)] {
            let mut texts: Vec<Box<[u8]>> =
                ["bc", "abcd", "c"].iter().map(|text| text.as_bytes().into()).collect();
            texts.extend((0..extra).map(|n| format!("extra-{n}-").into_bytes().into()));
            let contains = Contains::new(texts.clone(), ignore_case);
            for value in ["abcd", "xbcx", "c", "ab", "", "extra-1-c", "BC"] {
                let mut answers = Vec::new();
                contains.find(value.as_bytes(), |answer| answers.push(answer));
                for text in &texts {
                    let text = std::str::from_utf8(text).unwrap();
                    let has = answers.iter().any(|answer| contains.text(text.as_bytes()).contains(*answer));
                    let expected = if ignore_case {
                        value.to_lowercase().contains(&text.to_lowercase())
                    } else {
                        value.contains(text)
                    };
                    assert_eq!(has, expected, "{value} {text}");
                    assert!(answers.iter().all(|answer| *answer < contains.count()));
                }
            }
        }
    }
}
