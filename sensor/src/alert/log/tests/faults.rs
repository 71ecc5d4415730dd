//! The log when the process is killed, the disk is full, the file is damaged.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

/// Where the child keeps its log.
const PATH: &str = "FALCONET_TEST_LOG";

/// The child of the next test: appends as fast as it can, from several tasks, and prints each uuid that is durable.
#[test]
#[ignore = "run by a_killed_process_keeps_what_was_confirmed"]
fn child() {
    let path = std::env::var_os(PATH).expect("set by the parent");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let log = AlertLog::open(&LogConfig::at(path)).unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let log = log.clone();
            runtime.spawn(async move {
                loop {
                    let alert = notice("durable");
                    let uuid = alert.uuid;
                    log.append(vec![alert]).await.unwrap();
                    println!("durable {uuid}");
                }
            })
        })
        .collect();
    runtime.block_on(futures_util::future::join_all(tasks));
}

fn spawn_child(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["alert::log::tests::faults::child", "--exact", "--ignored", "--nocapture"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_killed_process_keeps_what_was_confirmed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("alerts.db");
    let mut durable = HashSet::new();
    // The second run also shows that the lock ends with the process.
    for _ in 0..2 {
        let mut child = spawn_child(&path);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let before = durable.len();
        for line in lines {
            let line = line.unwrap();
            if let Some((_, uuid)) = line.split_once("durable ") {
                // The last line may be cut.
                durable.extend(Uuid::try_parse(uuid.trim()));
            }
            if durable.len() == before + 200 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(durable.len() >= before + 200);
    }
    let log = AlertLog::open(&LogConfig::at(&path)).unwrap();
    let stored: HashSet<Uuid> =
        log.read(0, 1_000_000).await.unwrap().iter().map(|entry| entry.alert.uuid).collect();
    assert_eq!(durable.difference(&stored).count(), 0, "of {} durable alerts", durable.len());
    log.close().await.unwrap();
    let sound: String = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

/// A small file system that can be full. Only root can mount it.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let directory = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2M,mode=700", "tmpfs"])
            .arg(directory.path())
            .status()
            .is_ok_and(|status| status.success());
        assert!(mounted, "cannot mount a tmpfs");
        Self(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
#[cfg_attr(not(has_admin), ignore = "needs root: it mounts a file system")]
async fn a_full_disk_is_told_and_survived() {
    let disk = SmallDisk::mount();
    let log = AlertLog::open(&LogConfig::at(disk.0.path().join("alerts.db"))).unwrap();
    log.append(vec![notice("first")]).await.unwrap();
    let filler = disk.0.path().join("filler");
    _ = std::fs::write(&filler, vec![0; 4 << 20]);

    let large = || Alert { output: "x".repeat(200_000), ..notice("large") };
    let error = loop {
        if let Err(error) = log.append(vec![large()]).await {
            break error;
        }
    };
    assert!(matches!(error, LogError::Full { .. }), "{error}");
    assert!(error.to_string().contains("max_size"), "{error}");
    let head = log.head();
    assert!(log.offer(large()), "there is room in the queue");
    assert!(log.flush().await.is_err());
    let stats = log.stats();
    assert!(stats.failing.is_some_and(|(reason, since)| reason.contains("space") && since > 0));
    assert!(stats.queued_own > 0, "the offered alert waits");
    // Reading goes on.
    assert_eq!(log.read(0, 1).await.unwrap()[0].alert.rule, "first");

    std::fs::remove_file(&filler).unwrap();
    let mut newest = log.subscribe();
    tokio::time::timeout(Duration::from_secs(10), newest.wait_for(|seq| *seq > head)).await.unwrap().unwrap();
    assert_eq!(log.stats().failing, None);
    assert_eq!(log.read(head, 10).await.unwrap()[0].alert.rule, "large", "the offered alert was kept");
    log.close().await.unwrap();
}

#[tokio::test]
async fn damage_that_is_met_later_is_an_error() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("alerts.db");
    let log = AlertLog::open(&LogConfig::at(&path)).unwrap();
    log.append((0..100).map(|_| kilobyte("r")).collect()).await.unwrap();
    log.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // All pages but the first, which holds the schema.
    bytes[4096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let error = match AlertLog::open(&LogConfig::at(&path)) {
        Err(error) => error,
        Ok(log) => log.read(-1, 10).await.unwrap_err(),
    };
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
}
