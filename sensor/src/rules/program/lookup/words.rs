//! A hash table of whole words in flat arrays.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use super::answers::Answers;
use super::answers::{FIRST, OTHER};

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    /// 0 is an empty slot.
    answer: u32,
    /// Place and length of the word in `Words::text`.
    at: u32,
    len: u32,
}

const EMPTY: Slot = Slot { hash: 0, answer: 0, at: 0, len: 0 };

/// Words that the same tests ask for have the same answer.
#[derive(Debug)]
pub struct Words {
    slots: Box<[Slot]>,
    text: Vec<u8>,
    pub count: u32,
}

impl Words {
    /// `tests[i]` holds the words that test `i` asks for.
    pub fn new<'w>(tests: impl Iterator<Item = &'w [Box<[u8]>]>) -> Self {
        let mut askers: HashMap<&[u8], Vec<u32>, foldhash::fast::RandomState> = HashMap::default();
        for (test, words) in (0u32..).zip(tests) {
            for word in words {
                let askers = askers.entry(word).or_default();
                if askers.last() != Some(&test) {
                    askers.push(test);
                }
            }
        }
        // By who asks, so that the words of a test stand together.
        let mut words: Vec<(Vec<u32>, &[u8])> =
            askers.into_iter().map(|(word, askers)| (askers, word)).collect();
        words.sort_unstable();
        let size = (words.len() * 2).next_power_of_two();
        let mut table = Self { slots: vec![EMPTY; size].into(), text: Vec::new(), count: FIRST };
        for (at, (askers, word)) in words.iter().enumerate() {
            if at == 0 || words[at - 1].0 != *askers {
                table.count += 1;
            }
            table.insert(word, table.count - 1);
        }
        table
    }

    fn insert(&mut self, word: &[u8], answer: u32) {
        let hash = hash(word);
        let mut place = self.place(hash);
        while self.slots[place].answer != 0 {
            place = (place + 1) & (self.slots.len() - 1);
        }
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.slots[place] = Slot { hash, answer, at: number(self.text.len()), len: number(word.len()) };
        self.text.extend_from_slice(word);
    }

    fn place(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    /// The answer for a value.
    pub fn find(&self, value: &[u8]) -> u32 {
        let hash = hash(value);
        let mut place = self.place(hash);
        loop {
            let slot = &self.slots[place];
            if slot.answer == 0 {
                return OTHER;
            }
            if slot.hash == hash && self.text[slot.at as usize..][..slot.len as usize] == *value {
                return slot.answer;
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }

    /// The answers for these words.
    pub fn exactly(&self, words: &[Box<[u8]>]) -> Answers {
        Answers::new(
            words
                .iter()
                .map(|word| self.find(word))
                .filter(|answer| *answer != OTHER)
                .map(|answer| (answer, answer + 1))
                .collect(),
        )
    }
}

/// The words come from rules alone, so a fixed seed gives nobody a handle.
#[inline]
fn hash(word: &[u8]) -> u32 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    hasher.write(word);
    // The length, for words of which one is the other and zeros.
    hasher.write_usize(word.len());
    let hash = hasher.finish();
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a hash are as good as the whole")]
    let folded = (hash ^ hash >> 32) as u32;
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_same_tests_share_an_answer() {
        let word = |text: &str| -> Box<[u8]> { text.as_bytes().into() };
        let tests = [vec![word("sh"), word("bash"), word("zsh")], vec![word("bash"), word("")], vec![]];
        let words = Words::new(tests.iter().map(Vec::as_slice));
        assert_eq!(words.find(b"sh"), words.find(b"zsh"));
        assert_ne!(words.find(b"sh"), words.find(b"bash"));
        assert_eq!(words.count, FIRST + 3);
        for value in ["sh", "bash", "zsh", "", "fish"] {
            for test in &tests {
                let asked = test.contains(&word(value));
                assert_eq!(words.exactly(test).contains(words.find(value.as_bytes())), asked, "{value}");
            }
        }
        assert_eq!(words.exactly(&tests[0]).ranges().len(), 1);
        assert_eq!(Words::new(std::iter::empty()).find(b"x"), OTHER);
    }
}
