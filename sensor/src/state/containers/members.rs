//! Which processes are in a container, beside what their cgroup says.
//!
//! A process that was seen in a container, and what it forks, stays in it when it moves itself to another cgroup or unshares its
//! namespaces. A runtime's own children are remembered until one of them runs the container's first program, which shows by its
//! mount namespace. Fed by lifecycle records alone, so an event costs one look-up at most, and none in a known cgroup.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};

use super::container::ContainerKey;

/// Most processes that are remembered as being in a container.
const MAX_MEMBERS: usize = 256 * 1024;
/// Most processes of runtimes that are about to start a container.
const MAX_MAKERS: usize = 4096;

/// A process of an OCI runtime that was told to make a container.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    /// Full id of the container.
    pub id: Arc<str>,
    /// Mount namespace in which the runtime was started.
    pub mntns: u32,
    /// The cgroup that it made last, and the path of it.
    pub made: Option<(u64, Arc<str>)>,
}

/// The processes, by exec id.
#[derive(Debug)]
pub(super) struct Members {
    of: HashMap<u64, ContainerKey>,
    makers: HashMap<u64, Maker>,
    /// Ended; forgotten some time later, as held events still ask.
    ended: VecDeque<(Instant, u64)>,
    /// Not remembered because a table was full.
    pub dropped: u64,
}

impl Members {
    pub fn new() -> Self {
        Self { of: HashMap::new(), makers: HashMap::new(), ended: VecDeque::new(), dropped: 0 }
    }

    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// The container that the process is in.
    #[inline]
    pub fn get(&self, exec_id: u64) -> Option<ContainerKey> {
        if self.of.is_empty() {
            return None;
        }
        self.of.get(&exec_id).copied()
    }

    /// Remembers where a process is. Whoever was in a container before stays in that one.
    pub fn join(&mut self, exec_id: u64, key: ContainerKey) {
        if self.of.len() < MAX_MEMBERS {
            self.of.entry(exec_id).or_insert(key);
        } else {
            self.dropped += 1;
        }
    }

    pub fn maker(&self, exec_id: u64) -> Option<&Maker> {
        self.makers.get(&exec_id)
    }

    /// Remembers a process that makes a container.
    pub fn makes(&mut self, exec_id: u64, maker: Maker) {
        if self.makers.len() < MAX_MAKERS || self.makers.contains_key(&exec_id) {
            self.makers.insert(exec_id, maker);
        } else {
            self.dropped += 1;
        }
    }

    /// The process runs the container's program now, or something else.
    pub fn has_made(&mut self, exec_id: u64) {
        self.makers.remove(&exec_id);
    }

    /// A process was made.
    pub fn forked(&mut self, child: u64, parent: u64) {
        if let Some(key) = self.get(parent) {
            self.join(child, key);
        }
        if let Some(maker) = self.makers.get(&parent) {
            let maker = maker.clone();
            self.makes(child, maker);
        }
    }

    /// A process ended.
    pub fn exited(&mut self, exec_id: u64) {
        self.makers.remove(&exec_id);
        if self.of.contains_key(&exec_id) {
            self.ended.push_back((Instant::now(), exec_id));
        }
    }

    /// Forgets those that ended long ago.
    pub fn purge(&mut self, now: Instant, keep: Duration) {
        while let Some((_, exec_id)) = self.ended.pop_front_if(|(at, _)| now.duration_since(*at) > keep) {
            self.of.remove(&exec_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ContainerKey = ContainerKey(1);
    const B: ContainerKey = ContainerKey(2);

    #[test]
    fn children_are_where_their_parents_were_and_nobody_changes_sides() {
        let mut members = Members::new();
        members.join(10, A);
        members.forked(11, 10);
        members.forked(12, 99);
        members.join(11, B);
        assert_eq!([10, 11, 12].map(|id| members.get(id)), [Some(A), Some(A), None]);
    }

    #[test]
    fn the_dead_are_found_for_a_while() {
        let mut members = Members::new();
        members.join(10, A);
        members.exited(10);
        members.exited(7);
        let now = Instant::now();
        members.purge(now, Duration::from_secs(1));
        assert_eq!(members.get(10), Some(A));
        members.purge(now + Duration::from_secs(5), Duration::from_secs(1));
        assert_eq!((members.get(10), members.len()), (None, 0));
    }

    #[test]
    fn a_full_table_is_counted() {
        let mut members = Members::new();
        for exec_id in 0..MAX_MEMBERS as u64 + 3 {
            members.join(exec_id, A);
        }
        let maker = Maker { id: "x".into(), mntns: 1, made: None };
        for exec_id in 0..MAX_MAKERS as u64 + 2 {
            members.makes(exec_id, maker.clone());
        }
        assert_eq!((members.len(), members.dropped), (MAX_MEMBERS, 5));
    }
}
