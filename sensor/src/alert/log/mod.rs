//! The alert log: every alert, raised here or received, is written here before any output or the web app sees it.
//!
//! One SQLite file (write-ahead log, synced at each commit), one thread that writes ([`writer`]), a few connections that
//! read ([`reader`]). Outputs, the UI and the live stream read the log, each with its own position; nothing is handed over
//! in memory, so a slow output holds nobody up.
//!
//! What is kept, and when:
//!
//! - The judging thread calls [`AlertLog::offer`]: it never blocks, and the alert is *not* durable when it returns. A killed
//!   process or a power cut loses what is offered and not committed yet: usually the last few milliseconds, while the disk is full up
//!   to the whole queue. [`AlertLog::flush`] and [`AlertLog::close`] wait for the commit.
//! - The intake calls [`AlertLog::append`]: it waits for room and for the commit, which it shares with all who wait. What
//!   was confirmed to a sender outlives a kill and a power cut (as far as the disk keeps what it says it synced).
//! - The queue has two budgets ([`queue`]), so received alerts never take the room of the sensor's own. When
//!   its own budget is used up, an offer is refused; refused and unwritten alerts are counted ([`LogStats`]).
//! - An alert whose uuid is stored is not stored again, so a sender may send twice.
//! - When writing fails (disk full), `append` says so, offered alerts wait, [`LogStats::failing`] tells why; the writer
//!   tries again every second.
//! - Old alerts go by age and size ([`retention`]). Only the size limit takes what an output still waits for; it is counted.

mod config;
mod entry;
mod error;
mod outputs;
mod queue;
mod reader;
mod retention;
mod rows;
mod schema;
mod series;
mod stats;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::Alert;
use super::query::{Facet, Query};
pub use config::{LogConfig, size_of_text};
pub use entry::{Bucket, Entry, Page, Seq};
pub use error::LogError;
pub use outputs::{DeadLetter, Delivery, DeliveryState};
pub use series::Labels;
pub use stats::LogStats;

use outputs::{Change, Cursors};
use queue::{Job, Queue};
use reader::{DEADLINE, Readers};
use retention::Retention;
use series::Series;
use stats::Counters;
use writer::{RETRY, Writer};

/// Connections that read for outputs, and for searches. Each costs some MiB while it sorts.
const FEEDS: usize = 2;
const SEARCHES: usize = 3;
/// Most buckets of a timeline.
const MAX_BUCKETS: i64 = 5000;

/// Handle on the open log; clones share it.
#[derive(Debug, Clone)]
pub struct AlertLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max_size: u64,
    queue: Queue,
    counters: Arc<Counters>,
    series: Arc<Series>,
    head: watch::Receiver<Seq>,
    /// For outputs: never behind a slow search.
    feed: Arc<Readers>,
    search: Arc<Readers>,
}

impl AlertLog {
    /// Opens the log, making it when it is missing, and starts the writer.
    pub fn open(config: &LogConfig) -> Result<Self, LogError> {
        Self::open_with(config, RETRY, DEADLINE)
    }

    fn open_with(config: &LogConfig, retry: Duration, deadline: Duration) -> Result<Self, LogError> {
        let path = config.path.clone();
        let failed = |e| LogError::from_sqlite(&path, e);
        let schema::Opened { connection, lock } = schema::open(&path)?;
        let counters = Arc::new(Counters::default());
        let entries: i64 =
            connection.query_row("SELECT count(*) FROM alert", [], |row| row.get(0)).map_err(failed)?;
        counters.entries.store(u64::try_from(entries).unwrap_or(0), Ordering::Relaxed);
        let series = Arc::new(Series::default());
        let cursors = Cursors::load(&connection, &Cursors::default()).map_err(failed)?;
        let (head, newest) = watch::channel(rows::head(&connection).map_err(failed)?);
        let (queue, jobs) = Queue::new(Arc::clone(&counters));
        let retention = Retention { max_size: config.max_size, max_age: config.max_age, steps: 0 };
        let mut writer = Writer {
            path: path.clone(),
            connection,
            lock,
            jobs,
            counters: Arc::clone(&counters),
            series: Arc::clone(&series),
            head,
            cursors,
            retention,
            retry,
        };
        writer.retain();
        std::thread::Builder::new()
            .name("alert-log".into())
            .spawn(move || writer.run())
            .map_err(|cause| LogError::Directory { path: path.clone(), cause: Arc::new(cause) })?;
        Ok(Self {
            shared: Arc::new(Shared {
                max_size: config.max_size,
                queue,
                counters,
                series,
                head: newest,
                feed: Arc::new(Readers::new(path.clone(), FEEDS, deadline)),
                search: Arc::new(Readers::new(path, SEARCHES, deadline)),
            }),
        })
    }

    /// Hands an alert to the writer without waiting. `false`: the queue is full (or the log closed) and the alert is
    /// lost, which is counted.
    pub fn offer(&self, alert: Alert) -> bool {
        self.shared.queue.offer(alert)
    }

    /// Stores alerts; they are durable when this returns. Gives the position of the last of them (of the stored one, when
    /// its uuid was stored already). All are stored or none. Waits while the queue is full.
    pub async fn append(&self, alerts: Vec<Alert>) -> Result<Seq, LogError> {
        self.shared.queue.append(alerts).await
    }

    /// Newest durable position; 0 when nothing was ever stored.
    pub fn head(&self) -> Seq {
        *self.shared.head.borrow()
    }

    /// Told of each commit that stored alerts, and of replays.
    pub fn subscribe(&self) -> watch::Receiver<Seq> {
        self.shared.head.clone()
    }

    /// Up to `limit` entries after `after`, oldest first. Fewer may come when they are large; none means there are none.
    pub async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Entry>, LogError> {
        // The common case of an output that has caught up costs nothing.
        if after >= self.head() {
            return Ok(Vec::new());
        }
        let read = move |c: &_| reader::read(c, after, limit, rows::COLUMNS, Some);
        self.shared.feed.run(read).await.map(|page| page.shown)
    }

    /// [`Self::read`] for those who show alerts: each is given to `show` as it is read, without the trace of its condition,
    /// and only what `show` makes of it stays in memory.
    pub async fn list_after<T: Send + 'static>(
        &self,
        after: Seq,
        limit: usize,
        show: impl FnMut(Entry) -> Option<T> + Send + 'static,
    ) -> Result<Page<T>, LogError> {
        self.shared.feed.run(move |c| reader::read(c, after, limit, rows::LISTED, show)).await
    }

    /// Up to which position `output` has come. A new output starts at the head at its first call.
    pub async fn cursor(&self, output: &str) -> Result<Seq, LogError> {
        self.change(Change::Cursor { output: output.to_owned() }).await
    }

    /// Moves the cursor of `output` to `to`; never back, never beyond the head.
    pub async fn advance(&self, output: &str, to: Seq) -> Result<(), LogError> {
        self.settle(output, Vec::new(), Some(to)).await
    }

    /// Notes what became of an alert at `output`. `Dead` makes a dead letter, anything else ends one.
    pub async fn note_delivery(&self, output: &str, seq: Seq, delivery: Delivery) -> Result<(), LogError> {
        self.settle(output, vec![(seq, delivery)], None).await
    }

    /// [`Self::note_delivery`] of many and [`Self::advance`], durable together.
    pub async fn settle(
        &self,
        output: &str,
        deliveries: Vec<(Seq, Delivery)>,
        to: Option<Seq>,
    ) -> Result<(), LogError> {
        self.change(Change::Settle { output: output.to_owned(), deliveries, to }).await.map(drop)
    }

    /// What became of the alert at `seq`, by output.
    pub async fn deliveries(&self, seq: Seq) -> Result<Vec<(String, Delivery)>, LogError> {
        self.shared.search.run(move |c| outputs::deliveries(c, seq)).await
    }

    /// Dead letters, newest first, of one output or all. At most 10,000 are kept, the newest.
    pub async fn dead_letters(
        &self,
        output: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, LogError> {
        let output = output.map(ToOwned::to_owned);
        self.shared.search.run(move |c| outputs::dead_letters(c, output.as_deref(), false, limit)).await
    }

    /// Asks `output` to send dead letters again; gives how many there were. Subscribers are woken.
    pub async fn replay(&self, output: &str, seqs: Vec<Seq>) -> Result<u64, LogError> {
        let marked = self.change(Change::Replay { output: output.to_owned(), seqs }).await?;
        Ok(u64::try_from(marked).unwrap_or(0))
    }

    /// Dead letters that `output` is asked to send again. Noting a delivery takes one off this list.
    pub async fn replays(&self, output: &str, limit: usize) -> Result<Vec<DeadLetter>, LogError> {
        let output = output.to_owned();
        self.shared.feed.run(move |c| outputs::dead_letters(c, Some(&output), true, limit)).await
    }

    /// Forgets cursors and dead letters of outputs that are not among `outputs`; gives how many cursors.
    pub async fn keep_outputs(&self, outputs: Vec<String>) -> Result<u64, LogError> {
        let gone = self.change(Change::Keep { outputs }).await?;
        Ok(u64::try_from(gone).unwrap_or(0))
    }

    /// The alert with this identity.
    pub async fn get(&self, uuid: Uuid) -> Result<Option<Entry>, LogError> {
        self.shared.search.run(move |c| reader::get(c, uuid)).await
    }

    /// Looks at up to `limit` matches at positions below `before`, newest first: each is given to `show` as it is read,
    /// without the trace of its condition, and only what `show` makes of it stays in memory.
    pub async fn search<T: Send + 'static>(
        &self,
        query: &Query,
        before: Option<Seq>,
        limit: usize,
        show: impl FnMut(Entry) -> Option<T> + Send + 'static,
    ) -> Result<Page<T>, LogError> {
        let query = query.clone();
        self.shared.search.run(move |c| reader::search(c, &query, before, limit, show)).await
    }

    /// How many alerts match.
    pub async fn count(&self, query: &Query) -> Result<u64, LogError> {
        let query = query.clone();
        self.shared.search.run(move |c| reader::count(c, &query)).await
    }

    /// The `limit` most frequent values among the matches, with their counts.
    pub async fn count_by(
        &self,
        query: &Query,
        by: Facet,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, LogError> {
        let query = query.clone();
        self.shared.search.run(move |c| reader::count_by(c, &query, by, limit)).await
    }

    /// Matches with `from <= time < to` counted in spans of `step` ns; empty spans are there too.
    pub async fn timeline(
        &self,
        query: &Query,
        from: i64,
        to: i64,
        step: i64,
    ) -> Result<Vec<Bucket>, LogError> {
        if step <= 0 || to < from {
            return Err(LogError::Range("the timeline needs `from` before `to` and a step above 0"));
        }
        if to.checked_sub(from).is_none_or(|range| range / step >= MAX_BUCKETS) {
            return Err(LogError::Range("the timeline has more than 5000 steps; use a larger step"));
        }
        let query = query.clone();
        self.shared.search.run(move |c| reader::timeline(c, &query, (from, to, step))).await
    }

    pub fn stats(&self) -> LogStats {
        let shared = &self.shared;
        let (queued_own, queued_received) = shared.queue.used();
        LogStats {
            head: self.head(),
            max_bytes: shared.max_size,
            queued_own,
            max_queued_own: queue::OWN as u64,
            queued_received,
            max_queued_received: queue::RECEIVED as u64,
            ..shared.counters.snapshot()
        }
    }

    /// Alerts made durable since the log was opened, by labels; at most a few thousand series.
    pub fn series(&self) -> Vec<(Labels, u64)> {
        self.shared.series.snapshot()
    }

    /// Returns when everything offered before is durable; an error when it is not.
    pub async fn flush(&self) -> Result<(), LogError> {
        self.shared.queue.ask(|reply| Job::Flush { reply }).await.map(drop)
    }

    /// Takes no more alerts, interrupts what still reads, makes everything offered durable and closes the file; other
    /// handles get [`LogError::Closed`] from now on. After an error, [`LogStats::unwritten`] tells how many were lost.
    pub async fn close(self) -> Result<(), LogError> {
        self.shared.queue.close();
        self.shared.feed.close();
        self.shared.search.close();
        self.shared.queue.ask(|reply| Job::Close { reply }).await.map(drop)
    }

    async fn change(&self, change: Change) -> Result<Seq, LogError> {
        self.shared.queue.ask(|reply| Job::Change { change, reply }).await
    }
}

#[cfg(test)]
mod tests;
