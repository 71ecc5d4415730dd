//! Pauses between tries: exponential with full jitter, or what the destination asked for.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// No destination may silence an output for longer than this.
const LONGEST_ASKED: Duration = Duration::from_hours(1);
/// Jitter can make a pause vanish; this much always remains, so that a failing output never spins.
const SHORTEST: Duration = Duration::from_millis(10);

/// The bounds between which pauses grow.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// Upper end of the first pause.
    pub first: Duration,
    /// Upper end of every later pause.
    pub longest: Duration,
}

/// Counts failures in a row.
#[derive(Debug)]
pub struct Backoff {
    range: Range,
    failures: u32,
}

impl Backoff {
    pub fn new(range: Range) -> Self {
        Self { range, failures: 0 }
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure. `asked` is the destination's `Retry-After`.
    pub fn failed(&mut self, asked: Option<Duration>) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        let jitter = ceiling.mul_f64(rand::random_range(0.0..1.0));
        match asked {
            // Never earlier than asked; a little later, so that several senders do not return together.
            Some(asked) => asked.min(LONGEST_ASKED) + jitter.min(Duration::from_secs(1)),
            None => jitter.max(SHORTEST),
        }
    }

    fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.range.first.saturating_mul(factor).min(self.range.longest)
    }
}

/// Reads a `Retry-After` header: seconds, or an HTTP date compared with `now`.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if value.starts_with(|c: char| c.is_ascii_digit())
        && let Ok(seconds) = value.parse::<f64>()
    {
        return Duration::try_from_secs_f64(seconds.min(LONGEST_ASKED.as_secs_f64())).ok();
    }
    let at = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range { first: Duration::from_secs(2), longest: Duration::from_mins(5) };

    #[test]
    fn pauses_grow_to_the_longest_and_start_again() {
        let mut backoff = Backoff::new(RANGE);
        for ceiling in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(backoff.ceiling(), Duration::from_secs(ceiling));
            assert!(backoff.failed(None) <= Duration::from_secs(ceiling));
        }
        for _ in 0..100 {
            assert!(backoff.failed(None) <= RANGE.longest);
        }
        backoff.succeeded();
        assert_eq!(backoff.ceiling(), RANGE.first);
    }

    #[test]
    fn pauses_are_spread() {
        let pauses: std::collections::BTreeSet<Duration> =
            (0..50).map(|_| Backoff::new(RANGE).failed(None)).collect();
        assert!(pauses.len() > 40, "{pauses:?}");
    }

    #[test]
    fn what_the_destination_asks_is_kept() {
        let mut backoff = Backoff::new(RANGE);
        let pause = backoff.failed(Some(Duration::from_secs(17)));
        assert!((17.0..=18.0).contains(&pause.as_secs_f64()), "{pause:?}");
        let pause = backoff.failed(Some(Duration::from_secs(1_000_000)));
        assert!(pause <= Duration::from_secs(3601), "{pause:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-10-21T07:27:30Z".parse().unwrap();
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(retry_after("120", now), seconds(120));
        assert_eq!(retry_after(" 1.5 ", now), Some(Duration::from_millis(1500)));
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:28:00 GMT", now), seconds(30));
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:00:00 GMT", now), seconds(0));
        assert_eq!(retry_after("99999999999999999999", now), seconds(3600));
        for bad in ["", "soon", "-5", "NaN", "Wed, 21 Foo 2026 07:28:00 GMT"] {
            assert_eq!(retry_after(bad, now), None, "{bad}");
        }
    }
}
