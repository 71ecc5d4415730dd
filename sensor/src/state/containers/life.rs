//! What the life of processes tells of containers: who is in one, who makes one, and whose a cgroup is that names none.

use std::sync::Arc;

use sensor_ebpf::events::NewImage;
use sensor_ebpf::record::{Header, Task};

use super::cgroup::{Candidate, containers_of};
use super::hint::{Hint, Keeper};
use super::members::Maker;
use super::{ContainerKey, Containers, MAX_CGROUPS};

impl Containers {
    pub(super) fn forked(&mut self, header: &Header, task: &Task) {
        self.members.forked(header.exec_id, task.parent_exec_id);
        if let Some(key) = self.by_cgroup(header.cgroup) {
            self.members.join(header.exec_id, key);
        }
    }

    pub(super) fn execed(&mut self, header: &Header, image: &NewImage<'_>) {
        let (exec_id, mntns) = (header.exec_id, image.task.mntns);
        if let Some(key) = self.by_cgroup(header.cgroup) {
            self.members.has_made(exec_id);
            self.members.join(exec_id, key);
            self.inhabits(key, mntns);
            return;
        }
        if self.members.get(exec_id).is_some() {
            return;
        }
        if let Some(hint) = Hint::of_exec(image) {
            self.heard(header, image.task, hint);
            return;
        }
        if let Some(maker) = self.members.maker(exec_id).filter(|maker| maker.mntns != mntns) {
            // A container's first program, in a cgroup that is no container's.
            let id = maker.id.clone();
            let Some(candidate) = self.announced.get(&id).cloned() else { return };
            self.members.has_made(exec_id);
            let key = self.enter(candidate, false, None);
            if let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.init.is_none()) {
                entry.init = Some(exec_id);
            }
            self.members.join(exec_id, key);
            self.inhabits(key, mntns);
        } else if mntns != self.host_mntns
            && let Some(&key) = self.by_mntns.get(&mntns)
        {
            self.members.join(exec_id, key);
        }
    }

    /// A keeper or a runtime starts, on the host. That there will be a container is believed of everybody: it makes one by doing so.
    /// What it is, root alone may say.
    fn heard(&mut self, header: &Header, task: &Task, hint: Hint) {
        self.announced.add(&hint);
        if let Some(entry) = self.by_id.get(&hint.id).and_then(|key| self.entries.get_mut(key)) {
            entry.proven = true;
        }
        if let Keeper::Oci { .. } = &hint.keeper {
            let maker = Maker { id: hint.id.as_str().into(), mntns: task.mntns, made: None };
            self.members.makes(header.exec_id, maker);
        }
        if task.uid == 0
            && let Some(outside) = &self.outside
        {
            outside.worker.expect(hint);
        }
    }

    pub(super) fn exited(&mut self, exec_id: u64) {
        let key = self.members.get(exec_id);
        self.members.exited(exec_id);
        let Some(key) = key else { return };
        if self.entries.get(&key).is_some_and(|e| e.init == Some(exec_id) && e.cgroups == 0) {
            self.ended(key);
        }
    }

    /// Notes in which mount namespace the container's first program runs.
    pub(super) fn inhabits(&mut self, key: ContainerKey, mntns: u32) {
        if mntns == 0 || mntns == self.host_mntns || self.by_mntns.contains_key(&mntns) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&key).filter(|e| e.mntns == 0 && e.exists()) {
            entry.mntns = mntns;
            self.by_mntns.insert(mntns, key);
        }
    }

    /// A cgroup that an OCI runtime makes is that of its container, whatever its path. Of several the innermost is, as a runtime
    /// makes the parents too.
    pub(super) fn made_by_runtime(&mut self, exec_id: u64, id: u64, path: &str) -> Option<ContainerKey> {
        let maker = self.members.maker(exec_id)?.clone();
        let candidate = match containers_of(path, &self.engines).next() {
            Some(named) if named.id == maker.id.as_ref() => Candidate { doubtful: false, ..named },
            _ => self.announced.get(&maker.id)?.clone(),
        };
        let inside = |parent: &str| path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'));
        if let Some((parent, parents_path)) = maker.made.filter(|(_, made)| inside(made)) {
            self.unnamed.remove(&parents_path);
            if let Some(key) = self.cgroups.get_mut(&parent).and_then(|cgroup| cgroup.key.take())
                && let Some(entry) = self.entries.get_mut(&key)
            {
                entry.cgroups = entry.cgroups.saturating_sub(1);
            }
        }
        let key = self.enter(candidate, false, None);
        let path: Arc<str> = path.into();
        if self.unnamed.len() < MAX_CGROUPS {
            self.unnamed.insert(path.clone(), key);
        }
        self.members.makes(exec_id, Maker { made: Some((id, path)), ..maker });
        Some(key)
    }

    /// The container whose cgroup, of any name, is above this path.
    pub(super) fn around(&self, path: &str) -> Option<ContainerKey> {
        if self.unnamed.is_empty() {
            return None;
        }
        let parents = path.char_indices().rev().filter(|(_, c)| *c == '/').map(|(at, _)| &path[..at]);
        parents.take_while(|parent| !parent.is_empty()).find_map(|parent| self.unnamed.get(parent)).copied()
    }
}
