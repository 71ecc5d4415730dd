//! Many tests of one string answered by one look-up: which of the gathered words it equals, or which of the gathered
//! prefixes it begins with. The answer is the number of a bit set made at load, one bit per test.

use std::collections::HashMap;

/// The answer "none of them".
pub const NONE: u32 = 0;

/// A look-up over the words of several tests.
#[derive(Debug)]
pub struct Lookup {
    kind: Kind,
    /// Bit sets; number 0 is the empty one.
    sets: Vec<Box<[u64]>>,
}

#[derive(Debug)]
enum Kind {
    Words(HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>),
    Prefixes(Vec<TrieNode>),
}

/// A node of the byte trie: the set of all prefixes that end on the way to it.
#[derive(Debug, Default)]
struct TrieNode {
    set: u32,
    /// Sorted by byte.
    edges: Vec<(u8, u32)>,
}

impl Lookup {
    /// Equality: `tests[i]` holds the words of test `i`.
    pub fn words(tests: &[Vec<Box<[u8]>>]) -> Self {
        let mut sets = Sets::new(tests.len());
        let mut bits: HashMap<Box<[u8]>, Vec<usize>> = HashMap::new();
        for (bit, words) in tests.iter().enumerate() {
            for word in words {
                bits.entry(word.clone()).or_default().push(bit);
            }
        }
        let table = bits.into_iter().map(|(word, bits)| (word, sets.number(&bits))).collect();
        Self { kind: Kind::Words(table), sets: sets.made }
    }

    /// Prefixes: test `i` holds for texts that begin with one of `tests[i]`.
    pub fn prefixes(tests: &[Vec<Box<[u8]>>]) -> Self {
        let mut nodes = vec![TrieNode::default()];
        let mut ends: Vec<Vec<usize>> = vec![Vec::new()];
        for (bit, words) in tests.iter().enumerate() {
            for word in words {
                let mut at = 0;
                for byte in word {
                    let next = nodes.len();
                    at = match nodes[at].edges.binary_search_by_key(byte, |edge| edge.0) {
                        Ok(edge) => nodes[at].edges[edge].1 as usize,
                        Err(place) => {
                            nodes[at].edges.insert(place, (*byte, u32::try_from(next).unwrap_or(u32::MAX)));
                            nodes.push(TrieNode::default());
                            ends.push(Vec::new());
                            next
                        }
                    };
                }
                ends[at].push(bit);
            }
        }
        let mut sets = Sets::new(tests.len());
        // Parents have lower numbers than their children.
        for at in 0..nodes.len() {
            nodes[at].set = sets.number(&ends[at]);
            for edge in 0..nodes[at].edges.len() {
                let child = nodes[at].edges[edge].1 as usize;
                let inherited = ends[at].clone();
                ends[child].extend(inherited);
            }
        }
        Self { kind: Kind::Prefixes(nodes), sets: sets.made }
    }

    /// The number of the set of tests that hold for `value`.
    pub fn find(&self, value: &[u8]) -> u32 {
        match &self.kind {
            Kind::Words(table) => table.get(value).copied().unwrap_or(NONE),
            Kind::Prefixes(nodes) => {
                let mut node = &nodes[0];
                for byte in value {
                    match node.edges.binary_search_by_key(byte, |edge| edge.0) {
                        Ok(edge) => node = &nodes[node.edges[edge].1 as usize],
                        Err(_) => break,
                    }
                }
                node.set
            }
        }
    }

    /// Number of different answers.
    pub fn answers(&self) -> u32 {
        u32::try_from(self.sets.len()).unwrap_or(u32::MAX)
    }

    /// Whether test `bit` is in set `set`.
    #[inline]
    pub fn holds(&self, set: u32, bit: u32) -> bool {
        self.sets[set as usize][bit as usize / 64] >> (bit % 64) & 1 == 1
    }
}

/// Bit sets numbered as they come.
struct Sets {
    words: usize,
    made: Vec<Box<[u64]>>,
    known: HashMap<Box<[u64]>, u32>,
}

impl Sets {
    fn new(bits: usize) -> Self {
        let words = bits.div_ceil(64);
        let empty = vec![0; words].into_boxed_slice();
        Self { words, made: vec![empty.clone()], known: HashMap::from([(empty, NONE)]) }
    }

    fn number(&mut self, bits: &[usize]) -> u32 {
        let mut set = vec![0u64; self.words].into_boxed_slice();
        for bit in bits {
            set[bit / 64] |= 1 << (bit % 64);
        }
        let next = u32::try_from(self.made.len()).unwrap_or(u32::MAX);
        *self.known.entry(set.clone()).or_insert_with(|| {
            self.made.push(set);
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(words: &[&[&str]]) -> Vec<Vec<Box<[u8]>>> {
        words.iter().map(|test| test.iter().map(|word| word.as_bytes().into()).collect()).collect()
    }

    fn held(lookup: &Lookup, value: &str, count: u32) -> Vec<u32> {
        let set = lookup.find(value.as_bytes());
        (0..count).filter(|bit| lookup.holds(set, *bit)).collect()
    }

    #[test]
    fn words_and_prefixes_answer_all_tests_at_once() {
        let words = Lookup::words(&tests(&[&["sh", "bash"], &["bash"], &[""]]));
        for (value, expected) in [("sh", &[0][..]), ("bash", &[0, 1]), ("", &[2]), ("zsh", &[])] {
            assert_eq!(held(&words, value, 3), expected, "{value}");
        }
        let prefixes = Lookup::prefixes(&tests(&[&["/etc"], &["/etc/ssh", "/root"], &["/e"], &[""]]));
        for (value, expected) in [
            ("/etc/ssh/x", &[0, 1, 2, 3][..]),
            ("/etcetera", &[0, 2, 3]),
            ("/e", &[2, 3]),
            ("/root", &[1, 3]),
            ("", &[3]),
        ] {
            assert_eq!(held(&prefixes, value, 4), expected, "{value}");
        }
    }
}
