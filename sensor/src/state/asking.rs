//! Questions whose answer may take for ever, looked into beside the thread that must not wait.
//!
//! Reading a file under `/proc/PID/root`, or the arguments of a process, can stop for as long as a hostile process likes
//! (its root or its memory may be served by a file system that it runs itself). So whoever judges events asks, and fetches the
//! answer later. A helper that hangs is out of service until it comes back; when all of them hang, questions queue up, and
//! what does not fit is refused. How long an answer is worth waiting for is up to whoever asks.

use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::wake::Wake;

/// Questions that are not answered yet, and answers that are not fetched, at most.
pub const MAX_ASKED: usize = 256;

/// Looks something up, on a helper's thread.
type Job<A> = Box<dyn FnOnce() -> A + Send>;
/// Questions that no helper has taken yet.
type Waiting<K, A> = Arc<Mutex<Receiver<(K, Job<A>)>>>;

/// A few helper threads, and the questions to them. `K` tells which question an answer belongs to.
pub struct Asking<K, A> {
    name: &'static str,
    /// Most helpers, and how many were started.
    helpers: usize,
    started: usize,
    questions: SyncSender<(K, Job<A>)>,
    waiting: Waiting<K, A>,
    answer: Sender<(K, Option<A>)>,
    answers: Receiver<(K, Option<A>)>,
    /// Questions whose answer was not fetched.
    asked: usize,
    wake: Wake,
}

impl<K: Send + 'static, A: Send + 'static> Asking<K, A> {
    /// `helpers` threads at most, started when they are needed and named `name`. Fails when there is no file descriptor left.
    pub fn new(name: &'static str, helpers: usize) -> io::Result<Self> {
        let (questions, waiting) = sync_channel(MAX_ASKED);
        let (answer, answers) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let wake = Wake::new()?;
        Ok(Self { name, helpers, started: 0, questions, waiting, answer, answers, asked: 0, wake })
    }

    /// Asks. False when too much is asked already, or no thread can be started.
    pub fn ask(&mut self, key: K, job: impl FnOnce() -> A + Send + 'static) -> bool {
        if self.asked >= MAX_ASKED {
            return false;
        }
        // All of them may be at work.
        if self.asked >= self.started && self.started < self.helpers && self.start().is_ok() {
            self.started += 1;
        }
        let taken = self.started > 0
            && match self.questions.try_send((key, Box::new(job))) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            };
        self.asked += usize::from(taken);
        taken
    }

    /// The answers since the last call; `None` where looking into it panicked.
    pub fn answers(&mut self) -> impl Iterator<Item = (K, Option<A>)> {
        if self.asked > 0 {
            self.wake.clear();
        }
        let asked = &mut self.asked;
        self.answers.try_iter().inspect(|_| *asked -= 1)
    }

    /// Questions whose answer was not fetched.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// Readable when there are answers.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.fd()
    }

    fn start(&self) -> io::Result<()> {
        let (waiting, answer, wake) = (self.waiting.clone(), self.answer.clone(), self.wake.clone());
        let help = move || {
            loop {
                // One helper waits with the lock, the others for the lock: that is the same.
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((key, job)) = next else { return };
                let found = catch_unwind(AssertUnwindSafe(job)).ok();
                if answer.send((key, found)).is_err() {
                    return;
                }
                wake.wake();
            }
        };
        std::thread::Builder::new().name(self.name.into()).spawn(help).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Sleeps until there is an answer.
    fn next(asking: &mut Asking<u32, u32>) -> (u32, Option<u32>) {
        loop {
            if let Some(answer) = asking.answers().next() {
                return answer;
            }
            let mut fds =
                [rustix::event::PollFd::from_borrowed_fd(asking.wake_fd(), rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, None).unwrap();
        }
    }

    #[test]
    fn answers_come_back_with_their_question() {
        let mut asking = Asking::new("test", 1).unwrap();
        assert!(asking.answers().next().is_none());
        assert!(asking.ask(1, || 10) && asking.ask(2, || 20));
        assert_eq!(asking.asked(), 2);
        assert_eq!((next(&mut asking), next(&mut asking)), ((1, Some(10)), (2, Some(20))));
        assert_eq!(asking.asked(), 0);
    }

    #[test]
    fn one_that_hangs_does_not_keep_the_others() {
        let mut asking = Asking::new("test", 2).unwrap();
        let (open, door) = channel::<()>();
        assert!(asking.ask(1, move || u32::from(door.recv().is_err())));
        for n in 2..50 {
            assert!(asking.ask(n, move || n));
            assert_eq!(next(&mut asking), (n, Some(n)));
        }
        drop(open);
        assert_eq!(next(&mut asking), (1, Some(1)));
    }

    #[test]
    fn when_all_hang_questions_are_refused_at_last() {
        let mut asking = Asking::new("test", 2).unwrap();
        let mut doors = Vec::new();
        for n in 0..2 {
            let (open, door) = channel::<()>();
            doors.push(open);
            assert!(asking.ask(n, move || u32::from(door.recv().is_err())));
        }
        let taken = (0..1000).filter(|n| asking.ask(100 + n, || 7)).count();
        assert_eq!(taken, MAX_ASKED - 2);
        assert!(asking.answers().next().is_none());
        doors.clear();
        for _ in 0..MAX_ASKED {
            next(&mut asking);
        }
        assert!(asking.ask(1, || 1), "there is room again");
    }

    #[test]
    fn a_panic_costs_one_answer() {
        let mut asking = Asking::new("test", 1).unwrap();
        assert!(asking.ask(1, || panic!("deliberate")));
        assert_eq!(next(&mut asking), (1, None));
        assert!(asking.ask(2, || 2));
        assert_eq!(next(&mut asking), (2, Some(2)));
    }
}
