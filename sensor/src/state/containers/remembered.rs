//! Which containers have made their `container` event: kept in the state directory, so that a restart of the sensor does not make it
//! again for those that still run.
//!
//! A thread beside the event thread writes the file, at most once a second, and at the end.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use foldhash::HashSet;

use super::disk::read;

/// The file's name in the state directory: a JSON list of full ids.
const FILE: &str = "containers.json";
/// Containers that are remembered at most; the file stays below the size that is read.
const MAX_REMEMBERED: usize = 20_000;
/// How often the file is written at most.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// The containers that rules have heard of.
pub(super) struct Remembered {
    ids: HashSet<String>,
    /// The file lacks something.
    changed: bool,
    written: Instant,
    /// `None` after the end.
    writer: Option<(SyncSender<Vec<String>>, JoinHandle<()>)>,
    /// Not remembered because there were too many.
    pub dropped: u64,
}

impl Remembered {
    /// Reads what an earlier run left in `directory`; a file that cannot be read is an empty one. Fails when no thread can be had.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        let ids: Vec<String> =
            read(&path).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let ids = ids.into_iter().take(MAX_REMEMBERED).collect();
        let (writer, snapshots) = sync_channel(1);
        let thread =
            std::thread::Builder::new().name("remembered".into()).spawn(move || write(&path, &snapshots))?;
        Ok(Self { ids, changed: false, written: Instant::now(), writer: Some((writer, thread)), dropped: 0 })
    }

    /// Remembers a container; false when it was remembered already.
    pub fn add(&mut self, id: &str) -> bool {
        if self.ids.contains(id) {
            return false;
        }
        if self.ids.len() < MAX_REMEMBERED {
            self.ids.insert(id.to_owned());
            self.changed = true;
        } else {
            self.dropped += 1;
        }
        true
    }

    /// Forgets one that ended.
    pub fn remove(&mut self, id: &str) {
        self.changed |= self.ids.remove(id);
    }

    /// Forgets all that are gone.
    pub fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        let before = self.ids.len();
        self.ids.retain(|id| exists(id));
        self.changed |= self.ids.len() != before;
    }

    /// Has changes written, if it is time. Call it often.
    pub fn tick(&mut self, now: Instant) {
        if !self.changed || now.duration_since(self.written) < WRITE_EVERY {
            return;
        }
        let Some((writer, _)) = &self.writer else { return };
        // With one snapshot still on its way, the next call tries again.
        match writer.try_send(self.ids.iter().cloned().collect()) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => self.changed = false,
            Err(TrySendError::Full(_)) => {}
        }
        self.written = now;
    }
}

impl Drop for Remembered {
    fn drop(&mut self) {
        let Some((writer, thread)) = self.writer.take() else { return };
        if self.changed {
            // The thread is gone only if it panicked.
            let _ = writer.send(self.ids.iter().cloned().collect());
        }
        drop(writer);
        let _ = thread.join();
    }
}

/// Writes each snapshot beside the file, then takes it in its place.
fn write(path: &Path, snapshots: &Receiver<Vec<String>>) {
    let mut failing = false;
    while let Ok(mut ids) = snapshots.recv() {
        ids.sort_unstable();
        let written = replace(path, &ids);
        if let Err(error) = &written
            && !failing
        {
            tracing::warn!(
                "cannot write {}: {error}; after a restart, rules see running containers as new",
                path.display()
            );
        }
        failing = written.is_err();
    }
}

fn replace(path: &Path, ids: &[String]) -> io::Result<()> {
    let mut partial = PathBuf::from(path);
    partial.set_extension("json.new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(&serde_json::to_vec(ids)?)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_remembered_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut remembered = Remembered::open(dir.path()).unwrap();
        assert!(remembered.add("a") && remembered.add("b") && remembered.add("c"));
        assert!(!remembered.add("a"));
        remembered.remove("c");
        drop(remembered);
        let mut remembered = Remembered::open(dir.path()).unwrap();
        assert!(!remembered.add("a") && !remembered.add("b") && remembered.add("c"));
        remembered.retain(|id| id != "b");
        drop(remembered);
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), r#"["a","c"]"#);
    }

    #[test]
    fn changes_are_written_while_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let mut remembered = Remembered::open(dir.path()).unwrap();
        remembered.add("a");
        remembered.tick(Instant::now());
        assert!(!dir.path().join(FILE).exists(), "not at every change");
        remembered.tick(Instant::now() + WRITE_EVERY);
        let until = Instant::now() + Duration::from_secs(20);
        while !dir.path().join(FILE).exists() {
            assert!(Instant::now() < until);
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_damaged_file_is_an_empty_one_and_there_is_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{").unwrap();
        let mut remembered = Remembered::open(dir.path()).unwrap();
        for i in 0..MAX_REMEMBERED + 2 {
            assert!(remembered.add(&format!("{i:064}")));
        }
        assert_eq!((remembered.ids.len(), remembered.dropped), (MAX_REMEMBERED, 2));
        drop(remembered);
        let remembered = Remembered::open(dir.path()).unwrap();
        assert_eq!(remembered.ids.len(), MAX_REMEMBERED);
    }
}
