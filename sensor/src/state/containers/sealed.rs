//! Containers of another time or machine: what a capture tells of them takes the place of cgroup file systems, runtimes and
//! the clock. Nothing is looked up, nothing is waited for, and nothing is forgotten by time.

use std::sync::Arc;

use super::cgroup::Candidate;
use super::{
    Cgroup, Container, ContainerEvent, ContainerKey, Containers, EnginesConfig, Entry, MAX_CGROUPS, State,
    Where,
};

/// What a cgroup belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Belongs<'a> {
    pub key: ContainerKey,
    /// What the path told.
    pub candidate: &'a Candidate,
    /// The metadata, if they are known.
    pub container: Option<&'a Arc<Container>>,
    /// The container around it.
    pub outer: Option<ContainerKey>,
}

impl Containers {
    /// No containers, and nobody to ask.
    pub fn sealed() -> Self {
        Self::with(EnginesConfig::default(), None)
    }

    /// What the cgroup belongs to, if it was looked at and is a container's: what a capture keeps.
    pub fn belongs(&self, cgroup: u64) -> Option<Belongs<'_>> {
        self.about(self.cgroups.get(&cgroup)?.key?)
    }

    /// What the process belongs to, if its cgroup does not say so.
    pub fn admitted(&self, exec_id: u64, cgroup: u64) -> Option<Belongs<'_>> {
        let key = self.cgroups.get(&cgroup).and_then(|cgroup| cgroup.key);
        match self.place(key) {
            Where::Host => self.about(self.members.get(exec_id)?),
            Where::Container(_) | Where::Pending(_) => None,
        }
    }

    fn about(&self, key: ContainerKey) -> Option<Belongs<'_>> {
        let entry = self.entries.get(&key)?;
        let container = match &entry.state {
            State::Ready(container) => Some(container),
            State::Pending | State::NotOne => None,
        };
        Some(Belongs { key, candidate: &entry.candidate, container, outer: entry.outer })
    }

    /// Ids of the cgroups that are containers', in no order.
    pub fn cgroups(&self) -> impl Iterator<Item = u64> {
        self.cgroups.iter().filter_map(|(id, cgroup)| cgroup.key.map(|_| *id))
    }

    /// Says what a cgroup belongs to. A container that was not heard of before is pending. False when the table is full.
    pub fn assign(
        &mut self,
        cgroup: u64,
        key: ContainerKey,
        candidate: Candidate,
        outer: Option<ContainerKey>,
    ) -> bool {
        if (self.cgroups.len() >= MAX_CGROUPS && !self.cgroups.contains_key(&cgroup))
            || !self.hear_of(key, candidate, outer)
        {
            self.stats.cgroups_dropped += 1;
            return false;
        }
        self.cgroups.insert(cgroup, Cgroup { key: Some(key), removed: None });
        true
    }

    /// Says what a process belongs to whose cgroup says nothing.
    pub fn admit(&mut self, exec_id: u64, key: ContainerKey, candidate: Candidate) {
        if self.hear_of(key, candidate, None) {
            self.members.join(exec_id, key);
        }
    }

    /// False when there is no room for a new one.
    fn hear_of(&mut self, key: ContainerKey, candidate: Candidate, outer: Option<ContainerKey>) -> bool {
        if self.entries.contains_key(&key) {
            return true;
        }
        if self.entries.len() >= MAX_CGROUPS {
            return false;
        }
        let entry = Entry { proven: true, ..Entry::new(candidate, outer) };
        self.entries.insert(key, entry);
        true
    }

    /// Takes in what became known of a container that has a cgroup; the next [`Containers::poll`] has the event.
    pub fn settle(&mut self, event: ContainerEvent) {
        let (key, state) = match &event {
            ContainerEvent::Ready(key, Some(container)) | ContainerEvent::Updated(key, container) => {
                (*key, State::Ready(container.clone()))
            }
            ContainerEvent::Ready(key, None) => (*key, State::NotOne),
            ContainerEvent::Removed(..) => {
                self.events.push(event);
                return;
            }
        };
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = state;
            self.events.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::record::Header;

    use super::*;
    use crate::state::testing::Who;

    fn container(name: &str) -> Arc<Container> {
        Arc::new(Container { name: name.into(), ..Container::default() })
    }

    fn candidate() -> Candidate {
        let id = "c".repeat(64);
        Candidate { id, runtime: super::super::Runtime::Docker, namespace: None, doubtful: false }
    }

    #[test]
    fn a_container_is_pending_until_it_is_told() {
        let mut containers = Containers::sealed();
        assert!(matches!(containers.of_cgroup(7), Where::Host));
        let key = ContainerKey(3);
        assert!(containers.assign(7, key, candidate(), None));
        assert!(matches!(containers.of_cgroup(7), Where::Pending(k) if k == key));
        containers.settle(ContainerEvent::Ready(key, Some(container("a"))));
        assert!(matches!(containers.of_cgroup(7), Where::Container(c) if c.name == "a"));
        assert!(matches!(&containers.poll()[..], [ContainerEvent::Ready(k, Some(_))] if *k == key));
        containers.settle(ContainerEvent::Updated(key, container("b")));
        assert!(matches!(containers.of_cgroup(7), Where::Container(c) if c.name == "b"));
        containers.settle(ContainerEvent::Removed(key, container("b")));
        assert!(matches!(containers.of_cgroup(7), Where::Container(_)), "late events still find it");
        assert_eq!(containers.poll().len(), 2);
        assert_eq!(containers.cgroups().collect::<Vec<_>>(), [7]);
        assert_eq!(containers.belongs(7).unwrap().container.unwrap().name, "b");
    }

    #[test]
    fn what_turns_out_to_be_none_is_the_hosts() {
        let mut containers = Containers::sealed();
        containers.assign(7, ContainerKey(1), candidate(), None);
        containers.settle(ContainerEvent::Ready(ContainerKey(1), None));
        assert!(matches!(containers.of_cgroup(7), Where::Host));
        assert_eq!(containers.poll().len(), 1);
        containers.settle(ContainerEvent::Ready(ContainerKey(2), Some(container("unheard of"))));
        assert!(containers.poll().is_empty());
    }

    #[test]
    fn a_process_is_where_it_was_said_to_be_and_what_is_around_one_that_is_none_counts() {
        let who = |exec_id, cgroup| Header { exec_id, cgroup, ..Who { pid: 1, start: 0 }.header(0) };
        let mut containers = Containers::sealed();
        let (outer, inner) = (ContainerKey(1), ContainerKey(2));
        containers.assign(7, outer, candidate(), None);
        containers.assign(8, inner, candidate(), Some(outer));
        containers.settle(ContainerEvent::Ready(outer, Some(container("a"))));
        assert!(matches!(containers.of(&who(50, 8)), Where::Pending(k) if k == inner));
        containers.settle(ContainerEvent::Ready(inner, None));
        assert!(matches!(containers.of(&who(50, 8)), Where::Container(c) if c.name == "a"));
        assert!(containers.admitted(50, 9).is_none());
        containers.admit(50, outer, candidate());
        assert!(matches!(containers.of(&who(50, 9)), Where::Container(c) if c.name == "a"));
        assert!(matches!(containers.of(&who(51, 9)), Where::Host));
        assert_eq!(containers.admitted(50, 9).unwrap().key, outer);
        assert!(containers.admitted(50, 7).is_none(), "its cgroup says so");
    }

    #[test]
    fn a_wait_that_is_given_up_tells_what_the_path_told() {
        let mut containers = Containers::sealed();
        containers.assign(7, ContainerKey(1), candidate(), None);
        containers.give_up(ContainerKey(1));
        let events = containers.poll();
        assert!(
            matches!(&events[..], [ContainerEvent::Ready(_, Some(c))] if c.incomplete && c.id.len() == 12)
        );
    }
}
