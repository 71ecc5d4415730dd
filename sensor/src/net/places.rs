//! Places for connections: so many and no more, and whoever does not use his loses it.
//!
//! One table behind one lock; it is held for a few instructions at a time, and searched only when all places are taken and once per
//! [`EVERY`].

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Counters, Limits, Refusal};

/// How often connections are looked at that take too long.
const EVERY: Duration = Duration::from_millis(500);

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing, since then.
    Idle(Instant),
    /// It sends a request's head, since then.
    Head(Instant),
    /// Requests are being answered.
    Busy,
}

struct Slot {
    phase: Phase,
    /// Requests being answered.
    requests: usize,
    /// HTTP/2 has frames between requests too; they begin no head.
    http2: bool,
    /// Since when the client takes nothing of what is to be sent.
    stalled: Option<Instant>,
    lost: Arc<Notify>,
}

#[derive(Default)]
struct Table {
    /// Number of the newest connection.
    newest: u64,
    slots: HashMap<u64, Slot>,
}

/// The places of one server.
pub(super) struct Places {
    limits: Limits,
    counters: Arc<Counters>,
    table: Mutex<Table>,
    /// A place is free or can be taken away.
    freed: Notify,
}

impl Places {
    pub fn new(limits: Limits, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { limits, counters, table: Mutex::default(), freed: Notify::new() })
    }

    /// A place for a new connection, if need be that of the one that has been idle longest. Waits while all are busy.
    pub async fn take(self: &Arc<Self>) -> Place {
        loop {
            if let Some(place) = self.try_take() {
                return place;
            }
            // A place that gets free just now is remembered.
            self.freed.notified().await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Place> {
        let mut table = self.lock();
        if table.slots.len() >= self.limits.connections && !self.crowd_out(&mut table) {
            return None;
        }
        table.newest += 1;
        let number = table.newest;
        let lost = Arc::new(Notify::new());
        let phase = Phase::Idle(Instant::now());
        let slot = Slot { phase, requests: 0, http2: false, stalled: None, lost: lost.clone() };
        table.slots.insert(number, slot);
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        Some(Place { number, places: self.clone(), lost })
    }

    /// Takes the place of the connection that has been idle longest; false when all are busy. Also gives back its descriptor.
    pub fn make_room(&self) -> bool {
        self.crowd_out(&mut self.lock())
    }

    fn crowd_out(&self, table: &mut Table) -> bool {
        let idle = table.slots.iter().filter_map(|(number, slot)| match slot.phase {
            Phase::Idle(since) | Phase::Head(since) => Some((since, *number)),
            Phase::Busy => None,
        });
        let Some((_, longest)) = idle.min() else { return false };
        self.end(table, longest, Refusal::Crowded);
        true
    }

    fn end(&self, table: &mut Table, number: u64, why: Refusal) {
        if let Some(slot) = table.slots.remove(&number) {
            slot.lost.notify_one();
            self.counters.refuse(why);
        }
    }

    /// Ends connections that take too long, for ever.
    pub async fn watch(&self) {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            self.sweep(Instant::now());
        }
    }

    fn sweep(&self, now: Instant) {
        let over = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        let mut table = self.lock();
        let late: Vec<(u64, Refusal)> = table
            .slots
            .iter()
            .filter_map(|(number, slot)| {
                let why = match (slot.stalled, slot.phase) {
                    (Some(since), _) if over(since, self.limits.write_time) => Refusal::WriteTime,
                    (_, Phase::Idle(since)) if over(since, self.limits.idle_time) => Refusal::Idle,
                    (_, Phase::Head(since)) if over(since, self.limits.head_time) => Refusal::HeadTime,
                    _ => return None,
                };
                Some((*number, why))
            })
            .collect();
        for (number, why) in late {
            self.end(&mut table, number, why);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Every change is a single step, so a panic elsewhere leaves nothing half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection; free again when this is dropped.
pub(super) struct Place {
    number: u64,
    places: Arc<Places>,
    lost: Arc<Notify>,
}

impl Place {
    /// Ends when the place is taken away; the connection must end then.
    pub async fn lost(&self) {
        self.lost.notified().await;
    }

    /// The client sent something.
    pub fn heard(&self) {
        self.change(|slot| {
            if let Phase::Idle(_) = slot.phase
                && !slot.http2
            {
                slot.phase = Phase::Head(Instant::now());
            }
        });
    }

    /// Whether the client leaves what is to be sent.
    pub fn stalls(&self, stalls: bool) {
        self.change(|slot| slot.stalled = stalls.then(Instant::now));
    }

    /// A request begins; it ends when what is returned is dropped. `None`: the place is lost.
    pub fn begin(self: &Arc<Self>, http2: bool) -> Option<Busy> {
        let begun = self.change(|slot| {
            slot.requests += 1;
            slot.phase = Phase::Busy;
            slot.http2 |= http2;
        });
        begun.then(|| {
            self.places.counters.requests.fetch_add(1, Ordering::Relaxed);
            Busy(self.clone())
        })
    }

    /// Whether a request is being answered.
    pub fn busy(&self) -> bool {
        self.places.lock().slots.get(&self.number).is_some_and(|slot| slot.phase == Phase::Busy)
    }

    fn change(&self, change: impl FnOnce(&mut Slot)) -> bool {
        self.places.lock().slots.get_mut(&self.number).map(change).is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().slots.remove(&self.number);
        self.places.counters.open.fetch_sub(1, Ordering::Relaxed);
        self.places.freed.notify_one();
    }
}

/// A request that is being answered.
pub(super) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|slot| {
            slot.requests -= 1;
            if slot.requests == 0 {
                slot.phase = Phase::Idle(Instant::now());
            }
        });
        self.0.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn places(connections: usize) -> Arc<Places> {
        Places::new(Limits { connections, ..Limits::default() }, Arc::default())
    }

    async fn taken(places: &Arc<Places>) -> Arc<Place> {
        Arc::new(places.take().await)
    }

    fn lost(place: &Place) -> bool {
        place.lost().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_makes_room() {
        let places = places(3);
        let (first, second) = (taken(&places).await, taken(&places).await);
        tokio::time::advance(Duration::from_secs(1)).await;
        let third = taken(&places).await;
        // The first does something meanwhile; now the second has been idle longest.
        drop(first.begin(false));
        let fourth = taken(&places).await;
        assert_eq!([&first, &second, &third, &fourth].map(|place| lost(place)), [false, true, false, false]);
        assert!(second.begin(false).is_none(), "what is lost takes no request");
        assert_eq!(places.counters.refused(Refusal::Crowded), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn busy_connections_stay_and_new_ones_wait() {
        let places = places(1);
        let only = taken(&places).await;
        let busy = only.begin(false).unwrap();
        assert!(places.take().now_or_never().is_none());
        drop(busy);
        let next = places.take().now_or_never().expect("the other one is idle");
        assert!(lost(&only));
        drop(only);
        drop(next);
        assert_eq!(places.counters.open.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_time() {
        let places = places(9);
        let limits = places.limits.clone();
        let (idle, head, busy, stalled) =
            (taken(&places).await, taken(&places).await, taken(&places).await, taken(&places).await);
        head.heard();
        let _busy = busy.begin(false);
        let _stalled = stalled.begin(false);
        stalled.stalls(true);
        tokio::time::advance(limits.head_time.max(limits.write_time) + EVERY).await;
        // More of the same head is no new one.
        head.heard();
        places.sweep(Instant::now());
        assert_eq!([&idle, &head, &busy, &stalled].map(|place| lost(place)), [false, true, false, true]);
        tokio::time::advance(limits.idle_time).await;
        places.sweep(Instant::now());
        assert_eq!([&idle, &busy].map(|place| lost(place)), [true, false]);
        for why in [Refusal::Idle, Refusal::HeadTime, Refusal::WriteTime] {
            assert_eq!(places.counters.refused(why), 1, "{why:?}");
        }
    }
}
