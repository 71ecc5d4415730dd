//! What is there before the sensor: cgroups, containers whose cgroups do not name them, and the processes in all of them.

use std::fs;
use std::sync::Arc;

use super::announced::Announced;
use super::cgroup::{Candidate, containers_of};
use super::disk::Running;
use super::{Cgroup, Containers};
use crate::state::process::Process;
use crate::state::procfs::namespace;

impl Containers {
    /// Takes in every cgroup that exists, and what the keepers of containers say. It reads files: call it after the probe is
    /// attached, before records are read. Each container found makes a [`super::ContainerEvent::Ready`] later, as a new one does.
    pub fn seed(&mut self) {
        let Some(outside) = &self.outside else { return };
        let (layout, host) = (outside.layout.clone(), outside.host.clone());
        let running = host.running();
        let mut announced = Announced::new();
        for running in &running {
            announced.add(&running.hint);
            outside.worker.expect(running.hint.clone());
        }
        self.announced = announced;
        for Running { hint, pid, keeper } in &running {
            let Some(candidate) = self.announced.get(&hint.id).cloned() else { continue };
            let place = |pid: u32| {
                let text = fs::read_to_string(host.proc_root.join(pid.to_string()).join("cgroup")).ok()?;
                layout.path_in(&text).map(str::to_owned)
            };
            let path = place(*pid).unwrap_or_default();
            let named = containers_of(&path, &self.engines).find(|named| named.id == hint.id);
            let candidate = named.map_or(candidate, |named| Candidate { doubtful: false, ..named });
            let key = self.enter(candidate, true, None);
            // Where its keeper is too, it is not the container's own.
            let own = path.len() > 1 && keeper.and_then(place).as_ref() != Some(&path);
            if own && let Some(id) = layout.id_of(&path).filter(|id| !self.cgroups.contains_key(id)) {
                self.unnamed.insert(path.as_str().into(), key);
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.cgroups += 1;
                }
                self.remember(id, Cgroup { key: Some(key), removed: None });
            }
            let mntns = namespace(&host.proc_root.join(pid.to_string()).join("ns/mnt"));
            self.inhabits(key, mntns);
        }
        layout.walk(|id, path| self.made(id, path, true, None));
        if let Some(remembered) = &mut self.remembered {
            remembered.retain(|id| self.by_id.contains_key(id));
        }
    }

    /// Whether there is a runtime's socket of those that are configured.
    pub fn has_socket(&self) -> bool {
        self.outside.as_ref().is_some_and(|outside| !outside.host.sockets(&self.engines).is_empty())
    }

    /// Takes in the processes that run already; those of containers are remembered.
    pub fn seed_processes<'a>(&mut self, processes: impl Iterator<Item = &'a Arc<Process>>) {
        let mut all: Vec<_> = processes.collect();
        all.sort_unstable_by_key(|process| process.task.start);
        for process in &all {
            if let Some(key) = self.by_cgroup(process.cgroup) {
                self.members.join(process.exec_id, key);
                self.inhabits(key, process.task.mntns);
            }
        }
        for process in all {
            if let Some(&key) = self.by_mntns.get(&process.task.mntns) {
                self.members.join(process.exec_id, key);
                if let Some(entry) = self.entries.get_mut(&key).filter(|e| e.cgroups == 0 && e.init.is_none())
                {
                    entry.init = Some(process.exec_id);
                }
            }
        }
    }
}
