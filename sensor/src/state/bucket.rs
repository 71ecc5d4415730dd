//! A token bucket: so many a second in the long run, so many at once.

const SECOND: u64 = 1_000_000_000;

/// What a bucket lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Time that pays for one, ns.
    price: u64,
    /// Most time that is saved up, ns.
    most: u64,
}

impl Rate {
    /// `per_second` in the long run and `burst` at once; each counts as 1 at least.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        let price = SECOND / if per_second == 0 { 1 } else { per_second as u64 };
        let price = if price == 0 { 1 } else { price };
        Self { price, most: price.saturating_mul(if burst == 0 { 1 } else { burst as u64 }) }
    }
}

/// A bucket; full at first. The caller has the clock, so that a replay runs on that of its capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    saved: u64,
    at: u64,
}

impl Bucket {
    /// `now`: ns of any clock, the same for all calls.
    pub fn new(rate: Rate, now: u64) -> Self {
        Self { saved: rate.most, at: now }
    }

    /// Takes one; false when there is none left. Time that goes back counts as standing still.
    pub fn take(&mut self, rate: Rate, now: u64) -> bool {
        self.fill(rate, now);
        let enough = self.saved >= rate.price;
        if enough {
            self.saved -= rate.price;
        }
        enough
    }

    /// True when nothing was taken for so long that the bucket is as good as new.
    pub fn is_full(&mut self, rate: Rate, now: u64) -> bool {
        self.fill(rate, now);
        self.saved >= rate.most
    }

    fn fill(&mut self, rate: Rate, now: u64) {
        self.saved = self.saved.saturating_add(now.saturating_sub(self.at)).min(rate.most);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate::new(100, 3);
        let mut bucket = Bucket::new(rate, SECOND);
        let mut taken = |now| (0..10).filter(|_| bucket.take(rate, now)).count();
        assert_eq!(taken(SECOND), 3);
        assert_eq!(taken(SECOND + 9 * MS), 0);
        assert_eq!(taken(SECOND + 10 * MS), 1);
        assert_eq!(taken(SECOND), 0, "time that goes back gives nothing");
        assert_eq!(taken(SECOND + 10 * MS), 0, "and is not paid twice");
        assert_eq!(taken(100 * SECOND), 3, "no more than a burst is saved up");
    }

    #[test]
    fn rates_at_the_edges() {
        for (per_second, burst, at_once) in [(0, 0, 1), (1, 5, 5), (u32::MAX, u32::MAX, 10)] {
            let rate = Rate::new(per_second, burst);
            let mut bucket = Bucket::new(rate, 0);
            assert!(bucket.is_full(rate, 0));
            assert_eq!((0..10).filter(|_| bucket.take(rate, 0)).count(), at_once);
            assert!(bucket.is_full(rate, u64::MAX));
        }
    }
}
