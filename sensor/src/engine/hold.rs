//! Events that wait for the metadata of their container. Everybody else's go on.
//!
//! Bounded: when there is no more room, the container with the most waiting is named, and the caller ends its wait.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use sensor_ebpf::record::Record;
use zerocopy::IntoBytes as _;

use crate::state::{ContainerKey, Process};

/// Most bytes of records that wait.
const MAX_BYTES: usize = 16 << 20;

/// A copy of a record, and the process as it was then.
pub struct Held {
    /// Words, so that the record is aligned.
    words: Box<[u64]>,
    pub process: Arc<Process>,
    /// `evt.num`.
    pub number: u64,
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
    by_container: HashMap<ContainerKey, Vec<Held>>,
    bytes: usize,
}

impl Hold {
    pub fn new() -> Self {
        Self { by_container: HashMap::new(), bytes: 0 }
    }

    /// Keeps an event back. `Some`: there is no more room, and the wait of that container must end now.
    pub fn push(
        &mut self,
        key: ContainerKey,
        record: &Record<'_>,
        process: Arc<Process>,
        number: u64,
    ) -> Option<ContainerKey> {
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
        let held = Held { words, process, number };
        self.bytes += held.bytes();
        self.by_container.entry(key).or_default().push(held);
        if self.bytes <= MAX_BYTES {
            return None;
        }
        self.by_container.iter().max_by_key(|(_, held)| held.len()).map(|(key, _)| *key)
    }

    /// What waited for this container, oldest first.
    pub fn release(&mut self, key: ContainerKey) -> Vec<Held> {
        let held = self.by_container.remove(&key).unwrap_or_default();
        self.bytes -= held.iter().map(Held::bytes).sum::<usize>();
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(len: usize) -> Vec<u64> {
        let mut words = vec![0u64; len.div_ceil(8)];
        // `Header::len` is at byte 32.
        words[4] = len as u64;
        words
    }

    fn push(hold: &mut Hold, key: u64, words: &[u64]) -> Option<ContainerKey> {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let aligned = Held { words: words.into(), process: Arc::new(Process::unknown(1, 1)), number: 0 };
        assert_eq!(bytes.len(), size_of_val(words));
        hold.push(ContainerKey(key), &aligned.record().unwrap(), aligned.process.clone(), 7)
    }

    #[test]
    fn records_come_back_as_they_were() {
        let mut hold = Hold::new();
        assert!(push(&mut hold, 1, &record(48)).is_none());
        assert!(push(&mut hold, 2, &record(61)).is_none());
        let held = hold.release(ContainerKey(2));
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].record().unwrap().header().len, 61);
        assert_eq!(held[0].number, 7);
        assert!(hold.release(ContainerKey(2)).is_empty());
        assert!(!hold.by_container.is_empty());
        hold.release(ContainerKey(1));
        assert_eq!(hold.bytes, 0);
    }

    #[test]
    fn a_full_hold_names_the_largest() {
        let mut hold = Hold::new();
        push(&mut hold, 1, &record(64));
        let full = (0..2000).find_map(|_| push(&mut hold, 2, &record(16_000)));
        assert_eq!(full, Some(ContainerKey(2)));
    }
}
