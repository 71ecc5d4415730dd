//! Processes that no record told of are asked for in `/proc`, and what happens to them meanwhile is kept.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};

use super::changed::Changed;
use crate::state::asking::Asking;
use crate::state::bucket::{Bucket, Rate};
use crate::state::process::Process;
use crate::state::procfs::ProcFs;

/// Longest wait for an answer. It delays the events of one process, no others.
const HOLD: Duration = Duration::from_millis(500);
/// Threads that read `/proc`.
const HELPERS: usize = 8;
/// Processes that are asked for: in a second, and at once.
const RATE: Rate = Rate::new(200, 1000);
/// Exec ids that were not found in `/proc` and are not looked for again.
const GIVEN_UP: usize = 256;
/// While processes are seeded: so long without an answer, and the rest hangs.
const QUIET: Duration = Duration::from_millis(250);

/// The end of a process.
#[derive(Clone, Copy)]
pub(super) struct Death {
    /// `CLOCK_BOOTTIME` ns.
    pub at: u64,
    /// Exec id of the process that inherited the children.
    pub reaper: u64,
}

/// A process that is asked for.
#[derive(Default)]
pub(super) struct Pending {
    /// Nobody waits any more. The answer is still taken.
    pub over: bool,
    /// It ended meanwhile.
    pub death: Option<Death>,
    /// What else changed meanwhile.
    pub changed: Changed,
}

/// What came of a question.
pub(super) struct Answer {
    pub exec_id: u64,
    pub pending: Pending,
    /// `None`: there is no such process any more.
    pub process: Option<Process>,
}

/// Who asks.
pub(super) struct Healing {
    procfs: ProcFs,
    /// By exec id; 0 for whoever has the pid.
    asking: Asking<u64, Option<Process>>,
    /// As many as there are questions at most.
    pending: HashMap<u64, Pending>,
    /// Until when each of them is waited for; the oldest first.
    deadlines: VecDeque<(Instant, u64)>,
    given_up: VecDeque<u64>,
    bucket: Bucket,
    /// Questions that were not asked, for lack of room or of a budget.
    pub not_asked: u64,
}

impl Healing {
    pub fn new(procfs: ProcFs) -> io::Result<Self> {
        Ok(Self {
            procfs,
            asking: Asking::new("procfs", HELPERS)?,
            pending: HashMap::new(),
            deadlines: VecDeque::new(),
            given_up: VecDeque::new(),
            bucket: Bucket::new(RATE, 0),
            not_asked: 0,
        })
    }

    /// Asks for a process. True when an answer can be waited for. `now`: `CLOCK_BOOTTIME` ns.
    pub fn ask(&mut self, exec_id: u64, tgid: u32, now: u64) -> bool {
        if let Some(pending) = self.pending.get(&exec_id) {
            return !pending.over;
        }
        if tgid == 0 || self.given_up.contains(&exec_id) {
            return false;
        }
        let procfs = self.procfs.clone();
        if !self.bucket.take(RATE, now) || !self.asking.ask(exec_id, move || procfs.read(tgid)) {
            self.not_asked += 1;
            return false;
        }
        self.pending.insert(exec_id, Pending::default());
        self.deadlines.push_back((Instant::now() + HOLD, exec_id));
        true
    }

    /// True while the answer is waited for.
    pub fn awaits(&self, exec_id: u64) -> bool {
        !self.pending.is_empty() && self.pending.get(&exec_id).is_some_and(|pending| !pending.over)
    }

    /// To note what happens to a process that is asked for.
    pub fn pending(&mut self, exec_id: u64) -> Option<&mut Pending> {
        self.pending.get_mut(&exec_id)
    }

    /// The answers since the last call.
    pub fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        for (exec_id, found) in self.asking.answers() {
            let Some(pending) = self.pending.remove(&exec_id) else { continue };
            // Another process may have the pid now.
            let process = found.flatten().filter(|process| process.exec_id == exec_id);
            if process.is_none() {
                if self.given_up.len() == GIVEN_UP {
                    self.given_up.pop_front();
                }
                self.given_up.push_back(exec_id);
            }
            answers.push(Answer { exec_id, pending, process });
        }
        answers
    }

    /// Ends a wait; false when there is none.
    pub fn give_up(&mut self, exec_id: u64) -> bool {
        let pending = self.pending.get_mut(&exec_id).filter(|pending| !pending.over);
        pending.is_some_and(|pending| {
            pending.over = true;
            true
        })
    }

    /// The next whose time is up.
    pub fn overdue(&mut self, now: Instant) -> Option<u64> {
        Some(self.deadlines.pop_front_if(|(until, _)| *until <= now)?.1)
    }

    /// Waits for everything that `/proc` lists, except for what hangs. Before events are judged, that is.
    pub fn read_all(&mut self, mut found: impl FnMut(Process)) {
        let mut pids = self.procfs.pids().into_iter().peekable();
        loop {
            while let Some(&tgid) = pids.peek() {
                let procfs = self.procfs.clone();
                if !self.asking.ask(0, move || procfs.read(tgid)) {
                    break;
                }
                pids.next();
            }
            if self.asking.asked() == 0 || !readable(self.asking.wake_fd(), QUIET) {
                return;
            }
            self.asking.answers().filter_map(|(_, process)| process.flatten()).for_each(&mut found);
        }
    }

    /// Processes whose answer is not there yet.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.asking.wake_fd()
    }
}

/// Waits until `fd` is readable.
fn readable(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)];
    let limit = limit.try_into().ok();
    rustix::event::poll(&mut fds, limit.as_ref()).is_ok_and(|ready| ready > 0)
}
