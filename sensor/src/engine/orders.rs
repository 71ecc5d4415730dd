//! What other threads ask of the event thread. It looks between two records, at one flag when there is nothing.
//!
//! Whoever asks waits for the answer; when the event thread has ended, or ends meanwhile, the answer is [`Ended`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::judge::Judge;
use super::sights::Watch;
use crate::rules::RuleSet;

/// The event thread has ended.
#[derive(Debug, thiserror::Error)]
#[error("the event thread has ended")]
pub struct Ended;

/// One request.
enum Order {
    /// Judge by these rules; the old ones go back, so that they are not taken apart on the event thread.
    Rules(Arc<RuleSet>, Sender<Arc<RuleSet>>),
    /// Report on a rule, from the answer on.
    Watch(Watch, oneshot::Sender<()>),
}

/// The requests that wait. Cloned freely.
#[derive(Clone, Default)]
pub struct Orders(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: AtomicBool,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    orders: Vec<Order>,
    ended: bool,
}

impl Orders {
    /// Exchanges the rules between two records and returns the old ones, which judge nothing any more.
    pub fn exchange(&self, rules: Arc<RuleSet>) -> Result<Arc<RuleSet>, Ended> {
        let (done, answer) = mpsc::channel();
        self.give(Order::Rules(rules, done))?;
        answer.recv().map_err(|_| Ended)
    }

    /// Watches a rule; whatever happens after the return is reported.
    pub async fn watch(&self, watch: Watch) -> Result<(), Ended> {
        let (done, answer) = oneshot::channel();
        self.give(Order::Watch(watch, done))?;
        answer.await.map_err(|_| Ended)
    }

    fn give(&self, order: Order) -> Result<(), Ended> {
        let mut list = self.list();
        if list.ended {
            return Err(Ended);
        }
        list.orders.push(order);
        self.0.waiting.store(true, Ordering::Release);
        Ok(())
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event thread's side: does what was asked.
    pub(super) fn follow(&self, judge: &mut Judge) {
        if !self.0.waiting.load(Ordering::Acquire) {
            return;
        }
        let orders = {
            let mut list = self.list();
            self.0.waiting.store(false, Ordering::Relaxed);
            std::mem::take(&mut list.orders)
        };
        for order in orders {
            match order {
                Order::Rules(rules, done) => {
                    // Nobody waits any more when the process ends.
                    let _ = done.send(judge.exchange(rules));
                }
                Order::Watch(watch, done) => {
                    judge.watch(watch);
                    // The client may have gone.
                    let _ = done.send(());
                }
            }
        }
    }

    /// Tells whoever asks, until the value is dropped at the end of the event thread.
    pub(super) fn open(&self) -> Open<'_> {
        Open(self)
    }
}

/// Ends the taking of orders when dropped.
pub(super) struct Open<'a>(&'a Orders);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut list = self.0.list();
        list.ended = true;
        list.orders.clear();
    }
}
