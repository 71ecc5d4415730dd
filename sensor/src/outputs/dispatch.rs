//! The task of one output: read ahead from its cursor, send in order, settle verdicts, move the cursor.
//!
//! The window holds the alerts between the cursor and the read position; it is bounded, and when it is full nothing more
//! is read: the log is the queue. The cursor only passes alerts that have a verdict (delivered, filtered or dead), so
//! whatever happens between two settles is sent again after a restart: at least once, never less.
//!
//! **Outage or poison?** A destination that answers 5xx or never answers may be down, or may choke on this one alert. As long as the
//! alert at the front fails, it is tried again. After [`Limits::suspect_tries`] failures of a request that did reach the
//! destination, each further try is followed by one with the next alert alone. If that one fails too, it is an outage and
//! nothing is given up. If it is taken, the alert at the front gets one last try and is then given up with the reason.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::alert::log::LogError;
use crate::alert::trial::TEST_RULE;
use crate::alert::{Alert, now};

use super::backoff::Backoff;
use super::journal::{Entry, Fate, Journal, Seq, Verdict};
use super::output::{Output, Plan, SendError};
use super::status::{Cell, State};

/// Bounds of a dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long an output may go on sending after shutdown was signalled.
    pub grace: Duration,
    /// Failed tries after which the alert at the front is suspected to be the cause.
    pub suspect_tries: u32,
    /// Verdicts are settled at the latest this long after the last time.
    pub settle_every: Duration,
    /// ... or when this many are unsettled.
    pub settle_at: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(5),
            suspect_tries: 8,
            settle_every: Duration::from_millis(200),
            settle_at: 64,
        }
    }
}

/// Failures in a row from which an output is called failing.
const FAILING_FROM: u32 = 5;
/// While an output keeps failing, its error is logged this often.
const REMIND_EVERY: Duration = Duration::from_mins(1);
/// Dead letters that are to be sent again are looked for at most this often.
const REPLAYS_EVERY: Duration = Duration::from_secs(1);
/// ... and taken up this many at a time.
const REPLAYS: usize = 16;
/// Pause after the log itself failed.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// Runs `output` until shutdown, until it stops itself, or until the log is closed. A new output gets the alerts stored
/// after this call, though the future may be polled later.
pub fn run<J: Journal>(
    output: Box<dyn Output>,
    journal: J,
    status: Cell,
    limits: Limits,
    shutdown: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send {
    let heads = journal.subscribe();
    let head = journal.head();
    let mut task = Dispatcher {
        backoff: Backoff::new(output.pauses()),
        output,
        journal,
        status,
        limits,
        stop: Stop { shutdown, grace: limits.grace, deadline: None },
        heads,
        window: VecDeque::new(),
        cursor: head,
        passed: 0,
        settled_at: Instant::now(),
        replays: Replays { due: true, looked_at: None },
        reminded_at: None,
    };
    async move {
        if task.find_cursor().await {
            task.work().await;
        }
    }
}

/// An alert between the cursor and the read position.
struct Item {
    seq: Seq,
    alert: Arc<Alert>,
    tries: u32,
    /// Failed tries that may have been this alert's fault.
    suspicions: u32,
    /// A later alert was accepted after many of them.
    outlived: bool,
    /// A dead letter that is sent again: it stands before the cursor.
    replay: bool,
    verdict: Option<Verdict>,
}

impl Item {
    fn new(entry: Entry, replay: bool) -> Self {
        let Entry { seq, alert } = entry;
        Self { seq, alert, tries: 0, suspicions: 0, outlived: false, replay, verdict: None }
    }

    fn decide(&mut self, fate: Fate) {
        self.verdict = Some(Verdict { seq: self.seq, fate, tries: self.tries, at: now() });
    }
}

/// What a round of requests came to.
enum Round {
    /// Everything asked for was decided.
    Done,
    /// Something must be tried again after this pause.
    Pause(Duration),
    /// The output has stopped itself.
    Stop,
}

/// When dead letters to be sent again are looked for. The log wakes its readers for them, as for new alerts.
#[derive(Clone, Copy)]
struct Replays {
    due: bool,
    looked_at: Option<Instant>,
}

struct Dispatcher<J> {
    output: Box<dyn Output>,
    journal: J,
    status: Cell,
    limits: Limits,
    stop: Stop,
    heads: watch::Receiver<Seq>,
    /// In order of the log.
    window: VecDeque<Item>,
    /// Stored position: everything up to it has been settled.
    cursor: Seq,
    /// Everything up to it was found removed from the log.
    passed: Seq,
    settled_at: Instant,
    replays: Replays,
    backoff: Backoff,
    reminded_at: Option<Instant>,
}

impl<J: Journal> Dispatcher<J> {
    /// False when shutdown came first.
    async fn find_cursor(&mut self) -> bool {
        loop {
            match self.journal.cursor(self.output.name()).await {
                Ok(cursor) => {
                    // No stored cursor lies beyond the head of the start, but that of a new output begins at the head of now.
                    self.cursor = self.cursor.min(cursor);
                    return true;
                }
                Err(error) => self.log_failed("read its position from the alert log", &error),
            }
            if self.stop.pause(LOG_PAUSE).await {
                return false;
            }
        }
    }

    async fn work(&mut self) {
        loop {
            self.replays.due |= self.heads.has_changed().unwrap_or(false);
            self.heads.borrow_and_update();
            if let Err(error) = self.fill().await {
                self.log_failed("read the alert log", &error);
                if self.stop.pause(LOG_PAUSE).await {
                    return;
                }
                continue;
            }
            let round = self.round().await;
            let pending = self.window.iter().any(|item| item.verdict.is_none());
            let due = !pending
                || !matches!(round, Round::Done)
                || self.settled_at.elapsed() >= self.limits.settle_every;
            let settled = self.settle(due).await;
            self.count_waiting();
            let over = match round {
                Round::Stop => {
                    self.status.enter(State::Stopped);
                    return;
                }
                Round::Pause(pause) => self.stop.pause(pause).await,
                Round::Done if !settled => self.stop.pause(LOG_PAUSE).await,
                Round::Done if self.window.is_empty() && self.read_position() >= self.journal.head() => {
                    self.stop.requested() || self.wait_for_alerts().await
                }
                Round::Done => self.stop.overdue(),
            };
            if over {
                return;
            }
        }
    }

    /// Takes up dead letters that somebody asked to send again.
    async fn take_replays(&mut self) -> Result<(), LogError> {
        if !self.replays.due || self.replays.looked_at.is_some_and(|at| at.elapsed() < REPLAYS_EVERY) {
            return Ok(());
        }
        let entries = self.journal.replays(self.output.name(), REPLAYS).await?;
        self.replays = Replays { due: entries.len() == REPLAYS, looked_at: Some(Instant::now()) };
        for entry in entries {
            if !self.window.iter().any(|item| item.seq == entry.seq) {
                self.window.push_front(Item::new(entry, true));
            }
        }
        Ok(())
    }

    /// Reads until the window is full or the log is exhausted.
    async fn fill(&mut self) -> Result<(), LogError> {
        self.take_replays().await?;
        let room = self.output.window().saturating_sub(self.window.len());
        // Refilled by halves, not by ones.
        if room * 2 < self.output.window() || self.read_position() >= self.journal.head() {
            return Ok(());
        }
        let minimum = self.output.minimum_priority();
        let head = self.journal.head();
        let entries = self.journal.read(self.read_position(), room).await?;
        if entries.is_empty() {
            // All that was stored up to `head` has been removed.
            self.count_lost(head - self.read_position());
            self.passed = head;
        }
        for entry in entries {
            self.count_lost(entry.seq - self.read_position() - 1);
            let mut item = Item::new(entry, false);
            if minimum.is_some_and(|m| !item.alert.priority.at_least(m)) && item.alert.rule != TEST_RULE {
                item.decide(Fate::Filtered);
                self.status.update(|s| s.filtered += 1);
            }
            self.window.push_back(item);
        }
        Ok(())
    }

    fn read_position(&self) -> Seq {
        let position = self.cursor.max(self.passed);
        self.window.back().map_or(position, |item| item.seq.max(position))
    }

    fn count_lost(&self, gap: Seq) {
        if let Ok(gap @ 1..) = u64::try_from(gap) {
            self.status.update(|s| s.lost += gap);
            let output = self.output.name();
            tracing::warn!(output, gap, "alerts left the log by its limits before they could be sent");
        }
    }

    /// Sends the next requests, and puts down what came of them.
    async fn round(&mut self) -> Round {
        let groups = self.next_groups();
        if groups.is_empty() {
            return Round::Done;
        }
        // A probe must come after the suspect, or it proves nothing.
        let at_once = if self.suspect().is_some() { 1 } else { groups.len() };
        let batches: Vec<Vec<Arc<Alert>>> = groups
            .iter()
            .map(|g| g.iter().filter_map(|&i| Some(self.window.get(i)?.alert.clone())).collect())
            .collect();
        // Futures first, stream second: a closure in the stream's type keeps the task from being `Send`.
        let mut sends = Vec::with_capacity(batches.len());
        for batch in &batches {
            sends.push(self.output.send(batch));
        }
        let sending = futures_util::stream::iter(sends).buffered(at_once).collect::<Vec<_>>();
        let Some(results) = self.stop.within_grace(sending).await else { return Round::Done };
        self.judge(&groups, results)
    }

    /// Positions in the window of the alerts of each next request.
    fn next_groups(&self) -> Vec<Vec<usize>> {
        let pending: Vec<usize> =
            self.window.iter().enumerate().filter(|(_, i)| i.verdict.is_none()).map(|(n, _)| n).collect();
        let plan = match self.suspect() {
            Some(suspect) => Plan { requests: if suspect.outlived { 1 } else { 2 }, alerts: 1 },
            None => self.output.plan(pending.len()),
        };
        pending.chunks(plan.alerts.max(1)).take(plan.requests.max(1)).map(<[usize]>::to_vec).collect()
    }

    /// The alert at the front, if it may be the cause of the failures.
    fn suspect(&self) -> Option<&Item> {
        let front = self.window.iter().find(|item| item.verdict.is_none())?;
        (front.suspicions >= self.limits.suspect_tries).then_some(front)
    }

    fn judge(&mut self, groups: &[Vec<usize>], results: Vec<Result<(), SendError>>) -> Round {
        let last_success = results.iter().rposition(Result::is_ok);
        let mut asked: Option<Duration> = None;
        let mut failure: Option<String> = None;
        let mut stop = false;
        for (n, (group, result)) in groups.iter().zip(results).enumerate() {
            let works_for_later = last_success.is_some_and(|last| last > n);
            for &index in group {
                let Some(item) = self.window.get_mut(index) else { continue };
                item.tries = item.tries.saturating_add(1);
                match &result {
                    Ok(()) => item.decide(Fate::Delivered),
                    Err(SendError::Permanent { reason }) => item.decide(Fate::Dead(reason.clone())),
                    Err(SendError::Retry { suspect, reason, .. }) => {
                        item.suspicions = item.suspicions.saturating_add(u32::from(*suspect));
                        if *suspect && item.outlived {
                            let tries = item.tries;
                            item.decide(Fate::Dead(format!(
                                "failed {tries} times, also after a later alert was accepted: {reason}"
                            )));
                        } else if works_for_later && item.suspicions >= self.limits.suspect_tries {
                            item.outlived = true;
                        }
                    }
                    Err(SendError::Stop { .. }) => {}
                }
            }
            let undecided = group.iter().any(|&i| self.window.get(i).is_some_and(|i| i.verdict.is_none()));
            let alerts = group.len() as u64;
            match result {
                Ok(()) => self.status.update(|s| {
                    s.delivered += alerts;
                    s.last_delivery = Some(now());
                }),
                Err(error) => {
                    let text = error.to_string();
                    self.status.update(|s| {
                        if undecided {
                            s.failed_tries += 1;
                        } else {
                            s.dead += alerts;
                        }
                        s.last_error = Some(text.clone());
                        s.last_error_at = Some(now());
                    });
                    if !undecided {
                        let output = self.output.name();
                        tracing::warn!(output, alerts, error = text, "given up: now in the dead-letter list");
                    }
                    match error {
                        SendError::Retry { after, .. } if undecided => {
                            asked = asked.max(after);
                            failure.get_or_insert(text);
                        }
                        SendError::Stop { .. } => {
                            let output = self.output.name();
                            tracing::warn!(
                                output,
                                error = text,
                                "output stopped; its alerts stay in the log"
                            );
                            stop = true;
                        }
                        SendError::Retry { .. } | SendError::Permanent { .. } => {}
                    }
                }
            }
        }
        if stop {
            return Round::Stop;
        }
        // Probing a suspect does not end an outage unless the probe passed.
        if last_success.is_some() || failure.is_none() {
            self.backoff.succeeded();
        }
        let Some(error) = failure else {
            self.recovered();
            return Round::Done;
        };
        let pause = self.backoff.failed(asked);
        self.failed(&error, pause);
        Round::Pause(pause)
    }

    fn recovered(&mut self) {
        if self.status.enter(State::Healthy).is_some() {
            tracing::info!(output = self.output.name(), "output works again");
        }
        self.reminded_at = None;
    }

    fn failed(&mut self, error: &str, pause: Duration) {
        let state = if self.backoff.failures() >= FAILING_FROM { State::Failing } else { State::Retrying };
        self.status.enter(state);
        if self.reminded_at.is_none_or(|at| at.elapsed() >= REMIND_EVERY) {
            self.reminded_at = Some(Instant::now());
            let waiting = self.journal.head() - self.cursor;
            tracing::warn!(
                output = self.output.name(),
                error,
                ?pause,
                waiting,
                "not delivered; trying again"
            );
        }
    }

    /// Stores the verdicts at the front of the window if `due` or if there are many. False when the log refused.
    async fn settle(&mut self, due: bool) -> bool {
        let decided = self.window.iter().take_while(|item| item.verdict.is_some()).count();
        if decided == 0 || (!due && decided < self.limits.settle_at) {
            return true;
        }
        let notes = self.output.notes_deliveries();
        let verdicts: Vec<Verdict> = self
            .window
            .iter()
            .take(decided)
            .filter_map(|item| Some((item.replay, item.verdict.clone()?)))
            .filter(|(replay, verdict)| notes || *replay || matches!(verdict.fate, Fate::Dead(_)))
            .map(|(_, verdict)| verdict)
            .collect();
        let Some(to) = self.window.get(decided - 1).map(|item| item.seq.max(self.cursor)) else {
            return true;
        };
        match self.journal.settle(self.output.name(), &verdicts, to).await {
            Ok(()) => {
                self.window.drain(..decided);
                self.cursor = to;
                self.settled_at = Instant::now();
                true
            }
            Err(error) => {
                self.log_failed("store its position in the alert log", &error);
                false
            }
        }
    }

    fn count_waiting(&self) {
        let read_ahead = self.window.iter().filter(|item| item.verdict.is_none());
        let unread = u64::try_from(self.journal.head() - self.read_position()).unwrap_or(0);
        let oldest = read_ahead.clone().next().map(|item| item.alert.received);
        let waiting = read_ahead.count() as u64 + unread;
        self.status.update(|s| {
            s.waiting = waiting;
            s.oldest_waiting = oldest;
        });
    }

    /// Waits for new alerts; true when there will be none.
    async fn wait_for_alerts(&mut self) -> bool {
        let replays = self.replays;
        let look = async {
            match replays.looked_at {
                Some(at) if replays.due => tokio::time::sleep_until(at + REPLAYS_EVERY).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.heads.changed() => {
                self.replays.due = true;
                changed.is_err()
            }
            () = look => false,
            () = Stop::signal(&mut self.stop.shutdown) => false,
        }
    }

    fn log_failed(&self, what: &str, error: &LogError) {
        self.status.update(|s| {
            s.last_error = Some(format!("cannot {what}: {error}"));
            s.last_error_at = Some(now());
        });
        tracing::error!(output = self.output.name(), %error, "cannot {what}; trying again");
    }
}

/// When to end.
struct Stop {
    shutdown: watch::Receiver<bool>,
    grace: Duration,
    /// Set when shutdown was first seen.
    deadline: Option<Instant>,
}

impl Stop {
    /// Completes when shutdown is signalled.
    async fn signal(shutdown: &mut watch::Receiver<bool>) {
        // A sender that is gone means the same.
        _ = shutdown.wait_for(|stop| *stop).await;
    }

    fn requested(&mut self) -> bool {
        let requested = *self.shutdown.borrow() || self.shutdown.has_changed().is_err();
        if requested && self.deadline.is_none() {
            self.deadline = Some(Instant::now() + self.grace);
        }
        requested
    }

    fn overdue(&mut self) -> bool {
        self.requested() && self.deadline.is_some_and(|at| Instant::now() >= at)
    }

    /// Pauses; true when shutdown is or was signalled: a failing destination is not waited for at the end.
    async fn pause(&mut self, pause: Duration) -> bool {
        if self.requested() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = Self::signal(&mut self.shutdown) => true,
        }
    }

    /// Runs `work`; gives it up (`None`) when the grace period ends.
    async fn within_grace<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        if !self.requested() {
            tokio::select! {
                result = &mut work => return Some(result),
                () = Self::signal(&mut self.shutdown) => {}
            }
        }
        self.requested();
        let deadline = self.deadline?;
        tokio::time::timeout_at(deadline, work).await.ok()
    }
}

#[cfg(test)]
mod tests;
