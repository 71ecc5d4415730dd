//! Events that wait for an answer: about their process, their container, the names of their users. Everybody else's go on.
//!
//! What changes meanwhile does not reach them: a held event has the process as it was. Bounded: when there is no more room, the
//! answer that most events wait for is named, and the caller ends its wait.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use sensor_ebpf::record::Record;
use zerocopy::IntoBytes as _;

use crate::state::{Container, ContainerKey, Process};

/// Most bytes of records that wait.
const MAX_BYTES: usize = 16 << 20;

/// What an event waits for. In this order; once for each, but for a container that is none, when the one around it comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waits {
    /// What `/proc` tells of the process with this exec id.
    Process(u64),
    /// The metadata of a container.
    Container(ContainerKey),
    /// The names of users and groups in this mount namespace.
    Names(u32),
}

/// What is settled of an event.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The process as it was then.
    pub process: Option<Arc<Process>>,
    /// Where it runs; inside, `None` is the host.
    pub place: Option<Option<Arc<Container>>>,
    /// Names were waited for.
    pub names: bool,
    pub missing: Missing,
}

/// What nobody told, or not in time. An alert says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// All or part of what the process is.
    pub process: bool,
    /// The names of its users and groups.
    pub names: bool,
}

/// A copy of a record, and what is known so far.
pub struct Held {
    /// Words, so that the record is aligned.
    words: Box<[u64]>,
    /// `evt.num`.
    pub number: u64,
    pub facts: Facts,
}

impl Held {
    /// The record again.
    pub fn record(&self) -> Option<Record<'_>> {
        Record::parse(self.words.as_bytes())
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.words) + size_of::<Self>()
    }
}

/// All waiting events.
#[derive(Default)]
pub struct Hold {
    waiting: HashMap<Waits, Vec<Held>>,
    bytes: usize,
}

impl Hold {
    pub fn new() -> Self {
        Self { waiting: HashMap::new(), bytes: 0 }
    }

    /// Keeps an event back. `Some`: there is no more room, and that wait must end now.
    pub fn push(&mut self, waits: Waits, record: &Record<'_>, number: u64, facts: Facts) -> Option<Waits> {
        let words = record
            .bytes()
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                for (to, from) in word.iter_mut().zip(chunk) {
                    *to = *from;
                }
                u64::from_ne_bytes(word)
            })
            .collect();
        let held = Held { words, number, facts };
        self.bytes += held.bytes();
        self.waiting.entry(waits).or_default().push(held);
        if self.bytes <= MAX_BYTES {
            return None;
        }
        self.waiting.iter().max_by_key(|(_, held)| held.len()).map(|(waits, _)| *waits)
    }

    /// What waited for this, oldest first.
    pub fn release(&mut self, waits: Waits) -> Vec<Held> {
        let held = self.waiting.remove(&waits).unwrap_or_default();
        self.bytes -= held.iter().map(Held::bytes).sum::<usize>();
        held
    }

    /// What is waited for.
    pub fn waits(&self) -> Vec<Waits> {
        self.waiting.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::record::Header;
    use zerocopy::IntoBytes as _;

    use super::*;

    fn record(len: usize) -> Vec<u64> {
        let mut words = vec![0u64; len.div_ceil(8)];
        let at = std::mem::offset_of!(Header, len);
        words.as_mut_bytes()[at..at + 4].copy_from_slice(&u32::try_from(len).unwrap().to_ne_bytes());
        words
    }

    fn push(hold: &mut Hold, key: u64, words: &[u64]) -> Option<Waits> {
        let aligned = Held { words: words.into(), number: 0, facts: Facts::default() };
        hold.push(container(key), &aligned.record().unwrap(), 7, aligned.facts.clone())
    }

    fn container(key: u64) -> Waits {
        Waits::Container(ContainerKey(key))
    }

    #[test]
    fn records_come_back_as_they_were() {
        let mut hold = Hold::new();
        assert!(push(&mut hold, 1, &record(96)).is_none());
        assert!(push(&mut hold, 2, &record(109)).is_none());
        let held = hold.release(container(2));
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].record().unwrap().header().len, 109);
        assert_eq!(held[0].number, 7);
        assert!(hold.release(container(2)).is_empty());
        assert_eq!(hold.waits(), [container(1)]);
        hold.release(container(1));
        assert_eq!((hold.bytes, hold.waits().len()), (0, 0));
    }

    #[test]
    fn a_full_hold_names_the_largest() {
        let mut hold = Hold::new();
        push(&mut hold, 1, &record(112));
        let full = (0..2000).find_map(|_| push(&mut hold, 2, &record(16_000)));
        assert_eq!(full, Some(container(2)));
    }
}
