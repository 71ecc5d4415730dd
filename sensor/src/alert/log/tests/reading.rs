//! How reading is bounded: in time, in memory, and by whoever waits for it.

use super::reader::Readers;
use super::*;

const HOUR: Duration = Duration::from_hours(1);
/// A query that never ends by itself.
const ENDLESS: &str =
    "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";

fn endless(connection: &rusqlite::Connection) -> rusqlite::Result<i64> {
    connection.query_row(ENDLESS, [], |row| row.get(0))
}

async fn readers(directory: &TempDir, deadline: Duration) -> Arc<Readers> {
    open(directory).close().await.unwrap();
    Arc::new(Readers::new(directory.path().join("log/alerts.db"), 1, deadline))
}

#[tokio::test]
async fn an_abandoned_query_is_interrupted_and_keeps_its_connection_until_then() {
    let directory = TempDir::new().unwrap();
    let readers = readers(&directory, HOUR).await;
    let (begun, begins) = tokio::sync::oneshot::channel();
    let (ended, ends) = tokio::sync::oneshot::channel();
    let asked = tokio::spawn({
        let readers = Arc::clone(&readers);
        async move {
            let query = move |connection: &_| {
                begun.send(()).unwrap();
                let result = endless(connection);
                ended.send(result.unwrap_err().sqlite_error_code()).unwrap();
                Ok(())
            };
            readers.run(query).await
        }
    });
    begins.await.unwrap();
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    // The only connection is free for the next one when the query has ended, which nothing but the abort made it do.
    assert_eq!(readers.run(|_| Ok(7)).await.unwrap(), 7);
    assert_eq!(ends.await.unwrap(), Some(rusqlite::ErrorCode::OperationInterrupted));
}

#[tokio::test]
async fn a_slow_query_ends_at_the_deadline() {
    let directory = TempDir::new().unwrap();
    let readers = readers(&directory, Duration::ZERO).await;
    assert!(matches!(readers.run(endless).await, Err(LogError::TooSlow)));
}

#[tokio::test]
async fn closing_interrupts_what_reads() {
    let directory = TempDir::new().unwrap();
    let readers = readers(&directory, HOUR).await;
    let (begun, begins) = tokio::sync::oneshot::channel();
    let asked = tokio::spawn({
        let readers = Arc::clone(&readers);
        async move {
            let query = move |connection: &_| {
                begun.send(()).unwrap();
                endless(connection)
            };
            readers.run(query).await
        }
    });
    begins.await.unwrap();
    readers.close();
    assert!(matches!(asked.await.unwrap(), Err(LogError::Closed)));
    assert!(matches!(readers.run(|_| Ok(())).await, Err(LogError::Closed)));
}

#[tokio::test]
async fn pages_of_large_alerts_are_short_and_nothing_is_left_out() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    for _ in 0..10 {
        log.append(vec![Alert { output: "x".repeat(1 << 20), ..notice("large") }]).await.unwrap();
    }
    assert_eq!(log.read(0, 100).await.unwrap().len(), 4);
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = log.search(&Query::all(), before, 100, |entry| Some(entry.seq)).await.unwrap();
        assert!(page.shown.len() <= 4, "{:?}", page.shown);
        found.extend(page.shown);
        before = page.last;
        if !page.more {
            break;
        }
    }
    assert_eq!(found, (1..=10).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn lists_leave_out_the_trace_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    let mut full = notice("r");
    full.context = Some(json!({"process": {"pid": 1}, "condition": {"kind": "and"}, "big": u64::MAX}));
    let plain = notice("plain");
    log.append(vec![full.clone(), plain.clone()]).await.unwrap();
    let listed = log.list_after(0, 10, Some).await.unwrap().shown;
    assert_eq!(listed[0].alert.context, Some(json!({"process": {"pid": 1}, "big": u64::MAX})));
    assert_eq!(*listed[1].alert, plain);
    assert_eq!(*log.get(full.uuid).await.unwrap().unwrap().alert, full);
}
