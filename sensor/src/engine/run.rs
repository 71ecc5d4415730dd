//! The event thread: drains the lanes, judges, sleeps when there is nothing to do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::cuts::Cuts;
use super::drops::Drops;
use super::foreign::Foreign;
use super::judge::Judge;
use super::orders::Orders;
use super::stats::Stats;
use crate::probe::{Counted, Lanes};

/// Records taken before answers are looked at again.
const BATCH: usize = 4096;
/// Longest sleep: the deadlines of what waits and the clock are looked at at least this often.
const SLEEP: Duration = Duration::from_millis(100);
/// After a drain the thread lets records gather this long before it asks again: a wake-up costs more than a record.
const GATHER: Duration = Duration::from_millis(5);
const TICK: Duration = Duration::from_secs(1);

/// The lanes and the judge, not yet running.
pub struct Engine {
    pub lanes: Lanes,
    pub judge: Judge,
    pub counters: Arc<Counted>,
    pub stats: Arc<Stats>,
}

/// The event thread.
pub struct Running {
    stop: Arc<AtomicBool>,
    orders: Orders,
    thread: JoinHandle<io::Result<()>>,
}

impl Engine {
    /// Starts the thread.
    pub fn start(self) -> io::Result<Running> {
        let stop = Arc::new(AtomicBool::new(false));
        let orders = Orders::default();
        let (stopped, taken) = (stop.clone(), orders.clone());
        let thread =
            std::thread::Builder::new().name("events".into()).spawn(move || self.run(&stopped, &taken))?;
        Ok(Running { stop, orders, thread })
    }

    fn run(mut self, stop: &AtomicBool, orders: &Orders) -> io::Result<()> {
        let _open = orders.open();
        let mut ticked = Instant::now();
        let (mut drops, mut cuts, mut foreign) =
            (Drops::new(ticked), Cuts::new(ticked), Foreign::new(ticked));
        loop {
            orders.follow(&mut self.judge);
            let judge = &mut self.judge;
            let taken = self.lanes.drain(BATCH, |record| {
                judge.record(&record);
                cuts.note(&record, &judge.processes);
            });
            self.judge.poll();
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.judge.tick();
                self.judge.tell(|_, hostname| drops.check(self.counters.total(), ticked, hostname));
                self.judge.tell(|_, hostname| cuts.check(ticked, hostname));
                let calls = self.counters.foreign();
                self.judge.tell(|processes, hostname| foreign.check(calls, processes, ticked, hostname));
                self.stats.malformed.store(self.lanes.malformed(), Ordering::Relaxed);
            }
            if taken == 0 {
                // What was there when the stop came has been judged.
                if stop.load(Ordering::Relaxed) {
                    self.judge.finish();
                    return Ok(());
                }
                self.lanes.wait(SLEEP, &self.judge.wake_fds())?;
            } else if taken < BATCH {
                std::thread::sleep(GATHER);
            }
        }
    }
}

impl Running {
    /// Judges what is in the lanes, then ends. The probe must be detached first, or there is no end to it.
    pub fn stop(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the event thread panicked")))
    }

    /// How to ask something of the thread.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// True when the thread ended by itself.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}
