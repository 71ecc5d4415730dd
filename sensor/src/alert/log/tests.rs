//! The alert log on real files: cursors, dead letters, retention, locks, and what happens when something breaks.

mod agree;
mod faults;
mod losses;
mod measure;
mod reading;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::alert::now;
use crate::alert::tests::alert;
use crate::rules::Priority;

fn open(directory: &TempDir) -> AlertLog {
    AlertLog::open(&LogConfig::at(directory.path().join("log/alerts.db"))).unwrap()
}

fn notice(rule: &str) -> Alert {
    alert(rule, Priority::Notice)
}

fn query(text: &str) -> Query {
    Query::parse(text, now()).unwrap()
}

async fn rules(log: &AlertLog, after: Seq) -> Vec<String> {
    log.read(after, 1000).await.unwrap().iter().map(|e| e.alert.rule.clone()).collect()
}

#[tokio::test]
async fn what_is_appended_is_read_unchanged() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    let mut full = notice("r");
    full.tags = vec!["a".into(), "b".into()];
    full.output = "nul \0 and 漢".into();
    full.context = Some(json!({"process": {"pid": 1}, "nothing": null}));
    let serde_json::Value::Object(fields) = json!({"evt.time": u64::MAX, "a": null, "b": [1, {"c": false}], "container.id": 7, "f": 1.5, "i": i64::MIN})
    else {
        unreachable!()
    };
    full.output_fields = fields;
    let seq = log.append(vec![notice("first"), full.clone()]).await.unwrap();
    assert_eq!(seq, log.head());
    let entries = log.read(0, 10).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1], Entry { seq, alert: Arc::new(full.clone()) });
    assert_eq!(log.get(full.uuid).await.unwrap().unwrap().seq, seq);
    assert_eq!(log.get(Uuid::nil()).await.unwrap(), None);
    log.close().await.unwrap();

    let log = open(&directory);
    assert_eq!(log.head(), seq);
    assert_eq!(log.stats().entries, 2);
    assert_eq!(*log.read(seq - 1, 10).await.unwrap()[0].alert, full);
}

#[tokio::test]
async fn a_uuid_is_stored_once() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    let one = notice("one");
    let seq = log.append(vec![one.clone(), notice("two"), one.clone()]).await.unwrap();
    assert_eq!(seq, 1, "the position of the stored one");
    assert_eq!(log.append(vec![one]).await.unwrap(), 1);
    assert_eq!(rules(&log, 0).await, ["one", "two"]);
    let stats = log.stats();
    assert_eq!((stats.appended, stats.duplicates, stats.entries), (2, 2, 2));
    // No position is used up by them: an output would take the gap for alerts that it has lost.
    assert_eq!(log.append(vec![notice("three")]).await.unwrap(), 3);
    assert_eq!(log.read(0, 10).await.unwrap().iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_share_commits() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let log = log.clone();
            tokio::spawn(async move { log.append(vec![notice(&n.to_string())]).await.unwrap() })
        })
        .collect();
    let mut seqs = Vec::new();
    for task in tasks {
        seqs.push(task.await.unwrap());
    }
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 500);
    let stats = log.stats();
    assert_eq!(stats.appended, 500);
    assert!(stats.commits < 250, "{} commits for 500 appends", stats.commits);
}

#[tokio::test]
async fn subscribers_see_commits() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    let mut head = log.subscribe();
    assert!(log.offer(notice("r")));
    tokio::time::timeout(Duration::from_secs(10), head.changed()).await.unwrap().unwrap();
    assert_eq!(*head.borrow(), 1);
    assert_eq!(rules(&log, 0).await, ["r"]);
}

#[tokio::test]
async fn offers_are_durable_after_flush_and_refused_when_full() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    let mut big = notice("big");
    big.output = "x".repeat(queue::OWN / 4);
    let taken = (0..40).filter(|_| log.offer(Alert { uuid: Uuid::now_v7(), ..big.clone() })).count();
    let stats = log.stats();
    assert_eq!(stats.refused, 40 - taken as u64);
    assert!(stats.refused > 0, "40 alerts of a quarter of the queue each");
    log.flush().await.unwrap();
    assert_eq!(log.stats().entries, taken as u64);
    assert_eq!(log.stats().queued_own, 0);
}

#[tokio::test]
async fn cursors_start_at_the_head_and_only_go_forward() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    log.append(vec![notice("before")]).await.unwrap();
    assert_eq!(log.cursor("teams").await.unwrap(), 1);
    log.append(vec![notice("a"), notice("b")]).await.unwrap();
    assert_eq!(log.cursor("teams").await.unwrap(), 1);
    assert_eq!(rules(&log, 1).await, ["a", "b"]);
    log.advance("teams", 2).await.unwrap();
    log.advance("teams", 1).await.unwrap();
    assert_eq!(log.cursor("teams").await.unwrap(), 2);
    log.advance("teams", 1000).await.unwrap();
    assert_eq!(log.cursor("teams").await.unwrap(), 3, "not beyond the head");
    log.close().await.unwrap();
    let log = open(&directory);
    assert_eq!(log.cursor("teams").await.unwrap(), 3);
    assert_eq!(log.keep_outputs(vec!["webhook".into()]).await.unwrap(), 1);
    log.append(vec![notice("c")]).await.unwrap();
    assert_eq!(log.cursor("teams").await.unwrap(), 4, "forgotten, so new");
}

fn delivery(state: DeliveryState, error: Option<&str>) -> Delivery {
    Delivery { at: 5, tries: 3, state, error: error.map(Into::into) }
}

#[tokio::test]
async fn dead_letters_are_listed_and_replayed() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    log.append(vec![notice("a"), notice("b")]).await.unwrap();
    log.note_delivery("teams", 1, delivery(DeliveryState::Dead, Some("HTTP 400"))).await.unwrap();
    log.note_delivery("webhook", 1, delivery(DeliveryState::Delivered, None)).await.unwrap();
    log.note_delivery("webhook", 99, delivery(DeliveryState::Dead, None)).await.unwrap();
    assert_eq!(
        log.deliveries(1).await.unwrap(),
        [
            ("teams".into(), delivery(DeliveryState::Dead, Some("HTTP 400"))),
            ("webhook".into(), delivery(DeliveryState::Delivered, None)),
        ]
    );
    let dead = log.dead_letters(None, 10).await.unwrap();
    assert_eq!(dead.len(), 1, "99 is no alert");
    assert_eq!((dead[0].output.as_str(), dead[0].entry.seq, dead[0].replay), ("teams", 1, false));
    assert!(log.dead_letters(Some("webhook"), 10).await.unwrap().is_empty());
    assert!(log.replays("teams", 10).await.unwrap().is_empty());

    let mut head = log.subscribe();
    head.mark_unchanged();
    assert_eq!(log.replay("teams", vec![1, 2]).await.unwrap(), 1);
    assert!(head.has_changed().unwrap(), "outputs are woken");
    assert_eq!(log.replays("teams", 10).await.unwrap()[0].entry.alert.rule, "a");
    // It fails once more, is asked for again, and gets through.
    log.note_delivery("teams", 1, delivery(DeliveryState::Dead, Some("HTTP 500"))).await.unwrap();
    assert!(log.replays("teams", 10).await.unwrap().is_empty());
    log.replay("teams", vec![1]).await.unwrap();
    log.settle("teams", vec![(1, delivery(DeliveryState::Delivered, None))], None).await.unwrap();
    assert!(log.dead_letters(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn searches_counts_and_timelines() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    let mut alerts = Vec::new();
    for (n, at) in (0..10).zip(0_i64..) {
        let mut alert = alert(if n % 2 == 0 { "even" } else { "odd" }, Priority::ALL[n % 3]);
        alert.time = at * 100;
        alert.tags = vec!["all".into(), format!("t{}", n % 5)];
        alert.output_fields.insert("k8s.ns.name".into(), if n < 3 { json!("shop") } else { json!(null) });
        alert.output_fields.insert("proc.name".into(), json!(format!("p{n}")));
        alerts.push(alert);
    }
    log.append(alerts).await.unwrap();
    let odd = query("rule:odd");
    let page = |shown: &[Seq], last, more| Page { shown: shown.to_vec(), last: Some(last), more };
    let seq = |entry: Entry| Some(entry.seq);
    assert_eq!(log.search(&odd, None, 2, seq).await.unwrap(), page(&[10, 8], 8, true));
    assert_eq!(log.search(&odd, Some(8), 3, seq).await.unwrap(), page(&[6, 4, 2], 2, false));
    let large = |entry: Entry| Some(entry.seq).filter(|seq| *seq > 4);
    assert_eq!(log.list_after(2, 5, large).await.unwrap(), page(&[5, 6, 7], 7, true));
    assert_eq!(log.count(&odd).await.unwrap(), 5);
    assert_eq!(log.count(&query("-ns:shop p1")).await.unwrap(), 0);
    assert_eq!(log.count(&query("-ns:shop p9")).await.unwrap(), 1);
    let by = async |by| log.count_by(&Query::all(), by, 2).await.unwrap();
    assert_eq!(by(Facet::Tag).await, [("all".into(), 10), ("t0".into(), 2)]);
    assert_eq!(by(Facet::Namespace).await, [("shop".into(), 3)]);
    assert_eq!(by(Facet::Priority).await, [("Emergency".into(), 4), ("Alert".into(), 3)]);
    assert_eq!(by(Facet::Container).await, []);
    let line = log.timeline(&query("rule:even"), 100, 700, 250).await.unwrap();
    assert_eq!(
        line.iter().map(|b| (b.start, b.counts.iter().sum())).collect::<Vec<(i64, u64)>>(),
        [(100, 1), (350, 1), (600, 1)]
    );
    assert_eq!(line[0].counts[2], 1, "alert 2 is critical");
    assert!(matches!(log.timeline(&odd, 0, i64::MAX, 1).await, Err(LogError::Range(_))));
}

#[tokio::test]
async fn files_are_private_and_locked() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    log.append(vec![notice("r")]).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let path = directory.path().join("log/alerts.db");
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for end in ["", "-wal", "-shm", ".lock"] {
        let mut name = path.clone().into_os_string();
        name.push(end);
        assert_eq!(mode(Path::new(&name)), 0o600, "{end}");
    }
    let error = AlertLog::open(&LogConfig::at(&path)).unwrap_err();
    assert!(matches!(error, LogError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    log.close().await.unwrap();
    AlertLog::open(&LogConfig::at(&path)).unwrap();
}

#[tokio::test]
async fn broken_files_are_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("alerts.db");
    std::fs::write(&path, "this is no database at all, but it is long enough to be looked at".repeat(100))
        .unwrap();
    let error = AlertLog::open(&LogConfig::at(&path)).unwrap_err().to_string();
    assert!(error.contains("alerts.db") && error.contains("move the file aside"), "{error}");

    let path = directory.path().join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let error = AlertLog::open(&LogConfig::at(&path)).unwrap_err().to_string();
    assert!(error.contains("another program"), "{error}");

    let path = directory.path().join("newer.db");
    drop(AlertLog::open(&LogConfig::at(&path)).unwrap().close().await);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = AlertLog::open(&LogConfig::at(&path)).unwrap_err().to_string();
    assert!(error.contains("newer version"), "{error}");

    // A file where the directory should be: the same for root and others.
    let error = AlertLog::open(&LogConfig::at(directory.path().join("other.db/alerts.db"))).unwrap_err();
    assert!(error.to_string().contains("alert_log.path"), "{error}");
}

#[tokio::test]
async fn a_closed_log_says_so() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    let other = log.clone();
    log.offer(notice("r"));
    log.close().await.unwrap();
    assert!(matches!(other.append(vec![notice("x")]).await, Err(LogError::Closed)));
    assert!(!other.offer(notice("x")));
    assert!(matches!(other.count(&Query::all()).await, Err(LogError::Closed)));
    assert_eq!(rules(&open(&directory), 0).await, ["r"]);
}

/// An alert of about a kilobyte.
fn kilobyte(rule: &str) -> Alert {
    Alert { output: "x".repeat(1000), ..notice(rule) }
}

#[tokio::test]
async fn size_is_kept_and_what_outputs_have_passed_goes_first() {
    let directory = TempDir::new().unwrap();
    let config = LogConfig { max_size: 1 << 20, ..LogConfig::at(directory.path().join("alerts.db")) };
    let log = AlertLog::open(&config).unwrap();
    log.cursor("slow").await.unwrap();
    for n in 0..20 {
        log.append((0..100).map(|_| kilobyte("r")).collect()).await.unwrap();
        // Passes the first half only.
        if n == 9 {
            log.advance("slow", log.head()).await.unwrap();
        }
    }
    log.flush().await.unwrap();
    log.close().await.unwrap();
    let log = AlertLog::open(&config).unwrap();
    let stats = log.stats();
    assert!(stats.bytes <= 1 << 20, "{} bytes", stats.bytes);
    assert_eq!(log.head(), 2000);
    let left = log.read(0, 10_000).await.unwrap();
    assert_eq!(left.len() as u64, stats.entries);
    assert!(left.windows(2).all(|w| w[0].seq + 1 == w[1].seq), "the newest are left, without gaps");
    assert_eq!(left.last().unwrap().seq, 2000);
}

#[tokio::test]
async fn losses_by_size_are_counted() {
    let directory = TempDir::new().unwrap();
    let config = LogConfig { max_size: 1 << 20, ..LogConfig::at(directory.path().join("alerts.db")) };
    let log = AlertLog::open(&config).unwrap();
    log.cursor("dead").await.unwrap();
    for _ in 0..20 {
        log.append((0..100).map(|_| kilobyte("r")).collect()).await.unwrap();
    }
    // The last removal is done when the next commit has begun.
    log.flush().await.unwrap();
    log.flush().await.unwrap();
    let stats = log.stats();
    assert!(stats.bytes <= 1 << 20, "{} bytes", stats.bytes);
    assert_eq!(stats.removed_by_size, 0, "no output had passed any");
    assert_eq!(stats.lost_by_size + stats.entries, 2000);
    assert!(stats.lost_by_size > 0);
    log.advance("dead", 2000).await.unwrap();
    for _ in 0..5 {
        log.append((0..100).map(|_| kilobyte("r")).collect()).await.unwrap();
        log.advance("dead", log.head()).await.unwrap();
    }
    log.flush().await.unwrap();
    assert!(log.stats().removed_by_size > 0);
}

#[tokio::test]
async fn age_removes_what_every_output_has_passed() {
    let directory = TempDir::new().unwrap();
    let config =
        LogConfig { max_age: Duration::from_hours(1), ..LogConfig::at(directory.path().join("alerts.db")) };
    let log = AlertLog::open(&config).unwrap();
    log.cursor("output").await.unwrap();
    let old = |rule| Alert { received: now() - 2 * 3_600_000_000_000, ..notice(rule) };
    log.append(vec![old("passed"), old("dead"), old("not passed"), notice("young")]).await.unwrap();
    log.note_delivery("output", 2, delivery(DeliveryState::Dead, None)).await.unwrap();
    log.advance("output", 2).await.unwrap();
    for _ in 0..3 {
        log.flush().await.unwrap();
    }
    assert_eq!(rules(&log, 0).await, ["dead", "not passed", "young"]);
    assert_eq!(log.stats().removed_by_age, 1);
    log.advance("output", 4).await.unwrap();
    log.note_delivery("output", 2, delivery(DeliveryState::Delivered, None)).await.unwrap();
    log.flush().await.unwrap();
    log.flush().await.unwrap();
    assert_eq!(rules(&log, 0).await, ["young"]);
    assert_eq!(log.stats().removed_by_age, 3);
    assert_eq!(log.deliveries(2).await.unwrap(), []);
}
