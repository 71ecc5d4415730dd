//! Ids of containers that shims, conmons and OCI runtimes were started with. They show that a cgroup with such a name is a
//! container's, and not one that somebody made by hand.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt as _};

use super::cgroup::Candidate;
use super::hint::{Hint, Keeper};
use super::runtime::Runtime;

/// Ids that are remembered; the oldest goes first. A container's cgroup follows its keeper's start within moments.
const MAX_ANNOUNCED: usize = 4096;

/// The newest announcements.
#[derive(Debug)]
pub(super) struct Announced {
    candidates: HashMap<String, Candidate>,
    order: VecDeque<String>,
}

impl Announced {
    pub fn new() -> Self {
        Self { candidates: HashMap::new(), order: VecDeque::new() }
    }

    /// Remembers a container. What was said first counts: a shim or conmon knows more than the runtime that it starts.
    pub fn add(&mut self, hint: &Hint) {
        if self.candidates.contains_key(&hint.id) {
            return;
        }
        if self.order.len() == MAX_ANNOUNCED
            && let Some(oldest) = self.order.pop_front()
        {
            self.candidates.remove(&oldest);
        }
        let (runtime, namespace) = match &hint.keeper {
            Keeper::Shim { namespace, .. } => (Runtime::Containerd, Some(namespace.clone())),
            Keeper::Conmon { .. } => (Runtime::Podman, None),
            Keeper::Oci { .. } => (Runtime::Oci, None),
        };
        let candidate = Candidate { id: hint.id.clone(), runtime, namespace, doubtful: false };
        self.candidates.insert(hint.id.clone(), candidate);
        self.order.push_back(hint.id.clone());
    }

    pub fn get(&self, id: &str) -> Option<&Candidate> {
        self.candidates.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_the_first_word_counts() {
        let mut announced = Announced::new();
        let oci = |id: &str| Hint { id: id.into(), keeper: Keeper::Oci { bundle: "/b".into() } };
        let shim = Keeper::Shim { namespace: "default".into(), address: None, bundle: "/b".into() };
        announced.add(&Hint { id: "web".into(), keeper: shim });
        announced.add(&oci("web"));
        assert_eq!(announced.get("web").unwrap().namespace.as_deref(), Some("default"));
        for i in 0..MAX_ANNOUNCED {
            announced.add(&oci(&i.to_string()));
        }
        assert_eq!((announced.get("web"), announced.candidates.len()), (None, MAX_ANNOUNCED));
        assert_eq!(announced.get("0").unwrap().runtime, Runtime::Oci);
    }
}
