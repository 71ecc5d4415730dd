//! Blocking work off the async threads, a few pieces at a time: queries of the alert log, hashing of passwords.
//!
//! A place belongs to the work, not to whoever waits for it: when a request is aborted, its work keeps the place until it
//! ends, and learns through [`Abandoned`] that nobody wants the result any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

/// Runs a bounded number of pieces of work at once; the others wait in line. Clones share the bound.
#[derive(Debug, Clone)]
pub struct Workers {
    places: Arc<Semaphore>,
}

/// True once nobody waits for the result of a piece of work.
#[derive(Debug, Clone, Default)]
pub struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Held by the one who waits.
struct Waiting(Abandoned);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

impl Workers {
    /// At most `places` pieces of work at once.
    pub fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)) }
    }

    /// Runs `work` on a blocking thread of the current tokio runtime, when there is a place. `None` after
    /// [`Self::close`], and when `work` panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Abandoned) -> T + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let abandoned = Abandoned::default();
        let _waiting = Waiting(abandoned.clone());
        let running = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(&abandoned)
        });
        running.await.ok()
    }

    /// Takes no more work. What runs goes on.
    pub fn close(&self) {
        self.places.close();
    }

    /// Places that are free now.
    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.places.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn abandoned_work_keeps_its_place_until_it_ends() {
        let workers = Workers::new(1);
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (end, ends) = mpsc::channel::<()>();
        let (ended, end_of_work) = tokio::sync::oneshot::channel();
        let own = workers.clone();
        let asked = tokio::spawn(async move {
            own.run(move |abandoned| {
                begun.send(abandoned.clone()).unwrap();
                ends.recv().unwrap();
                ended.send(abandoned.is_set()).unwrap();
            })
            .await
        });
        let abandoned = begins.await.unwrap();
        assert!(!abandoned.is_set());
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert!(abandoned.is_set());
        assert_eq!(workers.free(), 0, "the work still runs");
        end.send(()).unwrap();
        assert!(end_of_work.await.unwrap(), "the work was told");
        assert_eq!(workers.run(|_| 7).await, Some(7), "the place is free again");
    }

    #[tokio::test]
    async fn closed_and_panicked_work_gives_nothing() {
        let workers = Workers::new(1);
        assert_eq!(workers.run(|_| panic!("as a test")).await, None::<()>);
        assert_eq!(workers.run(|_| 1).await, Some(1), "a panic gives its place back");
        workers.close();
        assert_eq!(workers.run(|_| 1).await, None);
    }
}
