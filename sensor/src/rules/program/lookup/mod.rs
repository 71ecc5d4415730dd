//! Many tests of one field answered by one look-up. The answer is a number (or several, where a field has several values or
//! a value holds several texts), and each test is a set of answers. Because the sets of one look-up can be joined, cut
//! and turned round at load, most of a condition about one field becomes one set.

pub mod answers;
mod contains;
mod ranges;
mod trie;
mod words;

use std::net::IpAddr;

use answers::{Answers, FIRST, OTHER, WRONG};
use contains::Contains;
use ranges::{Addresses, Cuts};
use trie::Trie;
use words::Words;

use crate::rules::language::matcher::number;
use crate::rules::registry::event::Value;

/// What one look-up is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Whole strings and their beginnings.
    Text,
    /// Ends of strings.
    Ends,
    /// First components of paths.
    Paths,
    /// Texts within strings.
    Within,
    /// The same without regard to case.
    WithinNoCase,
    Number,
    Truth,
    Address,
}

/// What a test asks of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// There is a value, whatever it is.
    Present,
    /// One of these strings.
    Is(Vec<Box<[u8]>>),
    /// A string, and none of these.
    IsNot(Vec<Box<[u8]>>),
    /// Not a string, or none of these.
    Fails(Vec<Box<[u8]>>),
    Begins(Box<[u8]>),
    Ends(Box<[u8]>),
    /// A path whose components begin like one of these.
    Paths(Vec<Box<[u8]>>),
    Within(Box<[u8]>),
    /// A number in one of these ranges, ends included.
    Number(Vec<(i128, i128)>),
    Truth {
        no: bool,
        yes: bool,
    },
    /// An address in one of these ranges, or in none of them.
    Address(Vec<(IpAddr, IpAddr)>, bool),
}

#[derive(Debug)]
enum Engine {
    Words(Words),
    Trie(Trie),
    Paths(Trie),
    Contains(Contains),
    Numbers(Cuts<i128>),
    Truth,
    Addresses(Addresses),
}

/// A look-up over the tests of one family of one field.
#[derive(Debug)]
pub struct Lookup {
    engine: Engine,
    /// Answers are below this.
    pub count: u32,
}

impl Lookup {
    /// The look-up for some tests, and the answers for which each of them holds.
    pub fn new(family: Family, asks: &[Ask]) -> (Self, Vec<Answers>) {
        let (engine, count) = match family {
            Family::Text => text(asks),
            Family::Ends => {
                let texts = asks.iter().filter_map(|ask| match ask {
                    Ask::Ends(text) => Some((text.clone(), true)),
                    _ => None,
                });
                let trie = Trie::new(texts, true);
                let count = trie.count;
                (Engine::Trie(trie), count)
            }
            Family::Paths => {
                let texts = asks.iter().flat_map(|ask| match ask {
                    Ask::Paths(paths) => paths.clone(),
                    _ => Vec::new(),
                });
                let trie = Trie::new(texts.map(|path| (path, true)), false);
                let count = trie.count;
                (Engine::Paths(trie), count)
            }
            Family::Within | Family::WithinNoCase => {
                let texts = asks.iter().filter_map(|ask| match ask {
                    Ask::Within(text) => Some(text.clone()),
                    _ => None,
                });
                let contains = Contains::new(texts.collect(), family == Family::WithinNoCase);
                let count = contains.count();
                (Engine::Contains(contains), count)
            }
            Family::Number => {
                let ranges = asks.iter().filter_map(|ask| match ask {
                    Ask::Number(ranges) => Some(ranges),
                    _ => None,
                });
                let starts =
                    ranges.flatten().flat_map(|(from, to)| [Some(*from), to.checked_add(1)]).flatten();
                let cuts = Cuts::new(starts.collect(), FIRST);
                let count = cuts.end();
                (Engine::Numbers(cuts), count)
            }
            Family::Truth => (Engine::Truth, FIRST + 2),
            Family::Address => {
                let ranges = asks.iter().filter_map(|ask| match ask {
                    Ask::Address(ranges, _) => Some(ranges.as_slice()),
                    _ => None,
                });
                let addresses = Addresses::new(&ranges.flatten().copied().collect::<Vec<_>>());
                let count = addresses.count();
                (Engine::Addresses(addresses), count)
            }
        };
        let lookup = Self { engine, count };
        let sets = asks.iter().map(|ask| lookup.holding(ask)).collect();
        (lookup, sets)
    }

    /// The answers for which a test holds.
    fn holding(&self, ask: &Ask) -> Answers {
        let equal = |words: &[Box<[u8]>]| match &self.engine {
            Engine::Words(table) => table.exactly(words),
            Engine::Trie(trie) => {
                Answers::new(words.iter().flat_map(|word| trie.exactly(word).ranges().to_vec()).collect())
            }
            _ => Answers::default(),
        };
        match (ask, &self.engine) {
            (Ask::Present, _) => Answers::range(WRONG, self.count),
            (Ask::Is(words), _) => equal(words),
            (Ask::IsNot(words), _) => equal(words).complement(OTHER, self.count),
            (Ask::Fails(words), _) => equal(words).complement(WRONG, self.count),
            (Ask::Begins(text) | Ask::Ends(text), Engine::Trie(trie)) => trie.beginning(text),
            (Ask::Paths(paths), Engine::Paths(trie)) => {
                Answers::new(paths.iter().flat_map(|path| trie.beginning(path).ranges().to_vec()).collect())
            }
            // Only the empty text is asked for where there is no trie: every string begins with it.
            (Ask::Begins(_), Engine::Words(_)) => Answers::range(OTHER, self.count),
            (Ask::Within(text), Engine::Contains(contains)) => contains.text(text),
            (Ask::Number(ranges), Engine::Numbers(cuts)) => {
                Answers::new(ranges.iter().map(|(from, to)| cuts.between(*from, *to)).collect())
            }
            (Ask::Truth { no, yes }, _) => {
                let one = |on: bool, at: u32| on.then_some((at, at + 1));
                Answers::new([one(*no, FIRST), one(*yes, FIRST + 1)].into_iter().flatten().collect())
            }
            (Ask::Address(ranges, inside), Engine::Addresses(addresses)) => {
                let within = addresses.within(ranges);
                if *inside { within } else { within.complement(FIRST, self.count) }
            }
            _ => Answers::default(),
        }
    }

    /// The answer for a value, of a look-up with one.
    #[inline]
    pub fn find(&self, value: &Value<'_>) -> u32 {
        match (&self.engine, value) {
            (Engine::Words(words), Value::Str(bytes) | Value::Buf(bytes)) => words.find(bytes),
            (Engine::Trie(trie), Value::Str(bytes) | Value::Buf(bytes)) => trie.find(bytes),
            (Engine::Paths(trie), Value::Str(bytes) | Value::Buf(bytes)) => trie.find_path(bytes),
            (Engine::Numbers(cuts), value) => number(*value).map_or(WRONG, |n| cuts.find(n)),
            (Engine::Truth, Value::Bool(value)) => FIRST + u32::from(*value),
            (Engine::Addresses(addresses), Value::Ip(ip)) => addresses.find(*ip),
            _ => WRONG,
        }
    }

    /// Calls `found` with each answer for a value, maybe more than once.
    pub fn find_all(&self, value: &Value<'_>, mut found: impl FnMut(u32)) {
        match (&self.engine, value) {
            (Engine::Contains(contains), Value::Str(bytes) | Value::Buf(bytes)) => {
                contains.find(bytes, found);
            }
            _ => found(self.find(value)),
        }
    }

    /// True when one value can have several answers.
    pub fn is_within(&self) -> bool {
        matches!(self.engine, Engine::Contains(_))
    }

    /// True when only values that rules name have these answers, so that few events do.
    pub fn is_rare(&self, answers: &Answers) -> bool {
        let named = answers.ranges().first().is_some_and(|(from, _)| *from >= FIRST);
        named
            && match &self.engine {
                Engine::Words(_) | Engine::Trie(_) | Engine::Paths(_) | Engine::Contains(_) => true,
                Engine::Truth => false,
                // Pieces with one number; the others are gaps and orders.
                Engine::Numbers(cuts) => answers.ranges().iter().all(|(from, to)| cuts.is_single(*from, *to)),
                Engine::Addresses(addresses) => answers
                    .ranges()
                    .iter()
                    .all(|(from, to)| !addresses.is_end(*from) && !addresses.is_end(to - 1)),
            }
    }

    /// Rough cost of a look-up without the extraction.
    pub fn cost(&self) -> u32 {
        match &self.engine {
            Engine::Truth => 0,
            Engine::Numbers(_) => 1,
            Engine::Addresses(_) => 2,
            Engine::Words(_) => 4,
            Engine::Trie(_) | Engine::Paths(_) => 6,
            Engine::Contains(_) => 24,
        }
    }

    /// Forgets what only [`holding`](Self::holding) needs.
    pub fn seal(&mut self) {
        match &mut self.engine {
            Engine::Trie(trie) | Engine::Paths(trie) => trie.seal(),
            Engine::Contains(contains) => contains.seal(),
            _ => {}
        }
    }
}

/// A table where whole strings are asked for only, else a trie.
fn text(asks: &[Ask]) -> (Engine, u32) {
    let words = |ask: &Ask| match ask {
        Ask::Is(words) | Ask::IsNot(words) | Ask::Fails(words) => words.clone(),
        _ => Vec::new(),
    };
    // Everything begins with nothing: no need of a trie for that.
    if asks.iter().any(|ask| matches!(ask, Ask::Begins(text) if !text.is_empty())) {
        let texts = asks.iter().flat_map(|ask| match ask {
            Ask::Begins(text) => vec![(text.clone(), true)],
            ask => words(ask).into_iter().map(|word| (word, false)).collect(),
        });
        let trie = Trie::new(texts, false);
        let count = trie.count;
        (Engine::Trie(trie), count)
    } else {
        let lists: Vec<Vec<Box<[u8]>>> = asks.iter().map(words).collect();
        let table = Words::new(lists.iter().map(Vec::as_slice));
        let count = table.count;
        (Engine::Words(table), count)
    }
}

#[cfg(test)]
mod tests {
    use super::answers::ABSENT;
    use super::*;

    #[test]
    fn what_is_missing_or_of_another_type_is_told_apart() {
        let word = |text: &str| -> Box<[u8]> { text.as_bytes().into() };
        let asks = [
            Ask::Present,
            Ask::Is(vec![word("a")]),
            Ask::IsNot(vec![word("a")]),
            Ask::Fails(vec![word("a")]),
        ];
        let (lookup, sets) = Lookup::new(Family::Text, &asks);
        let holds = |answer: u32| sets.iter().map(|set| set.contains(answer)).collect::<Vec<_>>();
        assert_eq!(holds(ABSENT), [false, false, false, false]);
        assert_eq!(holds(lookup.find(&Value::Int(1))), [true, false, false, true]);
        assert_eq!(holds(lookup.find(&Value::Str(b"a"))), [true, true, false, false]);
        assert_eq!(holds(lookup.find(&Value::Str(b"b"))), [true, false, true, true]);
        assert!(lookup.is_rare(&sets[1]) && !lookup.is_rare(&sets[2]));
    }

    #[test]
    fn paths_are_what_their_components_say() {
        let sets = [&["/var/lib/db"][..], &["/var", "/srv/a/b"], &["etc"], &["/var/lib/dbx/y"]];
        let pattern = |set: &[&str]| {
            let patterns = set.iter().map(|pattern| pattern.as_bytes());
            crate::rules::language::pattern::PathSet::new(
                patterns,
                &mut crate::rules::language::pattern::Budget::default(),
            )
            .unwrap()
        };
        let patterns: Vec<_> = sets.iter().map(|set| pattern(set)).collect();
        let asks: Vec<Ask> = patterns
            .iter()
            .map(|set| Ask::Paths(set.starts().unwrap().into_iter().map(|(start, _)| start).collect()))
            .collect();
        let (lookup, answers) = Lookup::new(Family::Paths, &asks);
        for path in [
            "/var/lib/db",
            "//var/./lib//db/x/",
            "/var/lib/dbx",
            "var",
            "/srv/a/b",
            "/srv/a",
            "",
            "/",
            "/etc/x",
        ] {
            let answer = lookup.find(&Value::Str(path.as_bytes()));
            for (pattern, answers) in patterns.iter().zip(&answers) {
                assert_eq!(answers.contains(answer), pattern.matches(path.as_bytes()), "{path} {pattern:?}");
            }
        }
        assert_eq!(pattern(&["/a/*/b", "/*"]).starts(), None);
        assert_eq!(pattern(&["/a/*/b"]).starts().unwrap(), [(b"/a/".as_slice().into(), false)]);
    }

    #[test]
    fn numbers_and_truth() {
        let asks = [
            Ask::Number(vec![(0, i128::MAX)]),
            Ask::Number(vec![(5, 5)]),
            Ask::Number(vec![(i128::MIN, -1)]),
        ];
        let (lookup, sets) = Lookup::new(Family::Number, &asks);
        for (value, expected) in [
            (Value::Int(-1), [false, false, true]),
            (Value::Uint(5), [true, true, false]),
            (Value::Uint(u64::MAX), [true, false, false]),
            (Value::Bool(true), [false; 3]),
        ] {
            let answer = lookup.find(&value);
            assert_eq!([0, 1, 2].map(|at: usize| sets[at].contains(answer)), expected, "{value:?}");
        }
        assert_eq!(sets.iter().map(|set| lookup.is_rare(set)).collect::<Vec<_>>(), [false, true, false]);
        let (lookup, sets) = Lookup::new(Family::Truth, &[Ask::Truth { no: false, yes: true }]);
        assert!(sets[0].contains(lookup.find(&Value::Bool(true))));
        assert!(
            !sets[0].contains(lookup.find(&Value::Bool(false)))
                && !sets[0].contains(lookup.find(&Value::Int(1)))
        );
    }
}
