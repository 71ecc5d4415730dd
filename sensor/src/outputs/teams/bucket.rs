//! A token bucket: `burst` at once after a quiet time, `rate` per second in the long run.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub struct Bucket {
    /// Time for one token.
    interval: Duration,
    burst: u32,
    /// When the bucket would be full again. Tokens are missing in proportion to how far this lies ahead.
    full_at: Mutex<Instant>,
}

impl Bucket {
    /// `rate` must be above 0 and `burst` at least 1.
    pub fn new(rate: f64, burst: u32) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX);
        Self { interval, burst, full_at: Mutex::new(Instant::now()) }
    }

    /// Takes a token, waiting for it if there is none.
    pub async fn take(&self) {
        let wait_until = {
            let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            *full_at = (*full_at).max(now) + self.interval;
            full_at.checked_sub(self.interval.saturating_mul(self.burst)).unwrap_or(now)
        };
        tokio::time::sleep_until(wait_until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_the_rate() {
        let bucket = Bucket::new(2.0, 3);
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..5 {
            bucket.take().await;
            times.push(start.elapsed().as_millis());
        }
        // tokio's timer counts whole milliseconds and rounds up.
        let expected = [0, 0, 0, 500, 1000];
        assert!(times.iter().zip(expected).all(|(t, e)| (e..=e + 2).contains(t)), "{times:?}");
        tokio::time::sleep(Duration::from_mins(1)).await;
        let start = Instant::now();
        for _ in 0..3 {
            bucket.take().await;
        }
        assert!(start.elapsed() < Duration::from_millis(5));
    }
}
