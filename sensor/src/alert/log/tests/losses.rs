//! What is refused, what waits, and what is counted when it is lost.

use super::*;

/// Lets the runtime go on until `there`.
async fn until(mut there: impl FnMut() -> bool) {
    while !there() {
        tokio::task::yield_now().await;
    }
}

fn other_connection(directory: &TempDir) -> rusqlite::Connection {
    rusqlite::Connection::open(directory.path().join("log/alerts.db")).unwrap()
}

/// A log in which writing fails, and which pauses for `retry` after that.
fn failing(directory: &TempDir, retry: Duration) -> AlertLog {
    let config = LogConfig::at(directory.path().join("log/alerts.db"));
    let log = AlertLog::open_with(&config, retry, DEADLINE).unwrap();
    other_connection(directory)
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON alert BEGIN SELECT RAISE(ABORT, 'as a test'); END",
        )
        .unwrap();
    log
}

fn mend(directory: &TempDir) {
    other_connection(directory).execute_batch("DROP TRIGGER broken").unwrap();
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn received_alerts_never_take_the_room_of_own_ones() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    // While another writes, nothing leaves the queue.
    let other = other_connection(&directory);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let flood: Vec<Alert> = (0..20_000).map(|_| notice("received")).collect();
    let intake = tokio::spawn({
        let log = log.clone();
        async move { log.append(flood).await }
    });
    until(|| log.stats().queued_received == queue::RECEIVED as u64).await;
    let more = tokio::spawn({
        let log = log.clone();
        async move { log.append(vec![notice("received")]).await }
    });
    for _ in 0..1000 {
        assert!(log.offer(notice("own")));
    }
    assert_eq!(log.stats().queued_own, 1000 * 4096);
    assert_eq!(log.stats().refused, 0);
    other.execute_batch("COMMIT").unwrap();
    intake.await.unwrap().unwrap();
    more.await.unwrap().unwrap();
    log.flush().await.unwrap();
    assert_eq!(log.stats().entries, 21_001);
    assert_eq!((log.stats().queued_own, log.stats().queued_received), (0, 0));
}

#[tokio::test]
async fn the_end_tries_once_more_and_counts_what_it_cannot_write() {
    let directory = TempDir::new().unwrap();
    for mended in [false, true] {
        let log = failing(&directory, HOUR);
        assert!(log.offer(notice("first")));
        until(|| log.stats().failing.is_some_and(|(why, _)| why.contains("as a test"))).await;
        for _ in 0..9 {
            assert!(log.offer(notice("more")));
        }
        if mended {
            mend(&directory);
        }
        assert_eq!(log.clone().close().await.is_ok(), mended);
        let stats = log.stats();
        let (unwritten, entries) = if mended { (0, 10) } else { (10, 0) };
        assert_eq!((stats.unwritten, stats.entries), (unwritten, entries));
        assert_eq!(stats.failed_commits, if mended { 1 } else { 2 }, "one try before the end, one at it");
        assert!(!log.offer(notice("late")));
        assert_eq!(log.stats().refused, 1);
        if !mended {
            mend(&directory);
        }
    }
}

#[tokio::test]
async fn after_the_pause_what_waits_is_written() {
    let directory = TempDir::new().unwrap();
    let log = failing(&directory, Duration::from_millis(1));
    assert!(log.offer(notice("waits")));
    until(|| log.stats().failed_commits > 2).await;
    let error = log.append(vec![notice("asks")]).await.unwrap_err();
    assert!(error.to_string().contains("as a test"), "{error}");
    mend(&directory);
    let mut head = log.subscribe();
    head.wait_for(|seq| *seq == 1).await.unwrap();
    assert_eq!(rules(&log, 0).await, ["waits"]);
    assert_eq!(log.stats().failing, None);
    log.close().await.unwrap();
}
