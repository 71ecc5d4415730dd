//! How often the sensor speaks of itself: a token bucket that holds one alert.

use std::time::{Duration, Instant};

/// Lets one alert pass, then the next one after a while.
pub struct Pace {
    every: Duration,
    /// Of one alert, from 0 to 1.
    saved: f64,
    refilled: Instant,
}

impl Pace {
    /// One alert now, and one `every` so often.
    pub fn new(every: Duration, now: Instant) -> Self {
        Self { every, saved: 1.0, refilled: now }
    }

    /// True when an alert may go out; the next one then waits its time.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.saved = (self.saved + passed / self.every.as_secs_f64()).min(1.0);
        self.refilled = now;
        let due = self.saved >= 1.0;
        if due {
            self.saved -= 1.0;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_and_the_next_waits() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(30), start);
        let mut at = |seconds| pace.take(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(29), at(31), at(32)], [true, false, false, true, false]);
        // Silence saves up no more than one.
        assert_eq!([at(500), at(501)], [true, false]);
    }
}
