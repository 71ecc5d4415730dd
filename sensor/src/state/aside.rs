//! Work that may hang, done beside the thread that must not.
//!
//! Reading a file under `/proc/PID/root`, or the arguments of a process, can stop for as long as a hostile process likes
//! (its root or its memory may be served by a file system that it runs itself). [`Aside::ask`] lets a helper thread do it and
//! waits a stated time at most.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// Helpers that may hang at the same time; beyond that nothing is asked any more until one comes back.
const MAX_STUCK: usize = 4;

/// A helper thread, replaced when it hangs.
pub struct Aside {
    name: &'static str,
    helper: Option<SyncSender<Job>>,
    /// One per helper that did not answer in time; disconnected once it has.
    stuck: Vec<Receiver<()>>,
}

impl Aside {
    /// No thread is started before the first question.
    pub fn new(name: &'static str) -> Self {
        Self { name, helper: None, stuck: Vec::new() }
    }

    /// What `f` returns, or `None` when it took longer than `limit` (its answer is then dropped), or when too many helpers
    /// hang already.
    pub fn ask<T: Send + 'static>(
        &mut self,
        limit: Duration,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let helper = match self.helper.take() {
            Some(helper) => helper,
            None => self.start()?,
        };
        let (answer, answered) = sync_channel(1);
        // Lives exactly as long as the job.
        let (alive, over) = sync_channel::<()>(1);
        let job: Job = Box::new(move || {
            let _alive = alive;
            // Nobody listens any more when the time was up.
            let _ = answer.send(f());
        });
        helper.send(job).ok()?;
        match answered.recv_timeout(limit) {
            Ok(value) => {
                self.helper = Some(helper);
                Some(value)
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                // The helper ends by itself after the job, as its sender is dropped here.
                self.stuck.push(over);
                None
            }
            // The job panicked, and the helper with it.
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Helpers that hang now.
    pub fn stuck(&self) -> usize {
        self.stuck.iter().filter(|s| is_running(s)).count()
    }

    fn start(&mut self) -> Option<SyncSender<Job>> {
        self.stuck.retain(is_running);
        if self.stuck.len() >= MAX_STUCK {
            return None;
        }
        let (helper, jobs) = sync_channel::<Job>(1);
        let thread = std::thread::Builder::new().name(self.name.into()).spawn(move || {
            for job in jobs {
                job();
            }
        });
        thread.is_ok().then_some(helper)
    }
}

fn is_running(job: &Receiver<()>) -> bool {
    matches!(job.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn answers_come_back() {
        let mut aside = Aside::new("test");
        assert_eq!(aside.ask(SOON, || 1), Some(1));
        assert_eq!(aside.ask(SOON, || "two"), Some("two"));
        assert_eq!(aside.stuck(), 0);
    }

    #[test]
    fn hanging_helpers_are_left_and_bounded() {
        let mut aside = Aside::new("test");
        let mut doors = Vec::new();
        for stuck in 1..=MAX_STUCK {
            let (open, door) = channel::<()>();
            doors.push(open);
            assert_eq!(aside.ask(Duration::from_millis(1), move || door.recv().is_ok()), None);
            assert_eq!(aside.stuck(), stuck);
        }
        assert_eq!(aside.ask(SOON, || 1), None, "no further helper");
        doors.pop();
        while aside.stuck() == MAX_STUCK {
            std::thread::yield_now();
        }
        assert_eq!(aside.ask(SOON, || 1), Some(1), "a place is free again");
    }

    #[test]
    fn a_panicking_job_costs_one_answer() {
        let mut aside = Aside::new("test");
        assert_eq!(aside.ask::<u8>(SOON, || panic!("deliberate")), None);
        assert_eq!(aside.ask(SOON, || 1), Some(1));
    }
}
