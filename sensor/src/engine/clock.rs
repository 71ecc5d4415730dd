//! From the kernel's `CLOCK_BOOTTIME` to the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// The boot clock's distance from the wall clock; sampled anew now and then, because the wall clock is set and slewed.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Wall clock minus boot clock, ns.
    offset: i64,
    /// What a clock that stands says, boot time.
    stands: Option<u64>,
}

impl Clock {
    /// Reads both clocks.
    pub fn sample() -> Self {
        let before = boot();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let after = boot();
        let wall = i64::try_from(wall).unwrap_or(i64::MAX);
        let middle = before + (after - before) / 2;
        Self { offset: wall.saturating_sub(i64::try_from(middle).unwrap_or(0)), stands: None }
    }

    /// A clock that stands at the boot time `now` and is `offset` ns ahead of it: a moment of a capture.
    pub fn standing(offset: i64, now: u64) -> Self {
        Self { offset, stands: Some(now) }
    }

    /// Wall clock minus boot clock, ns.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Boot time now, ns.
    pub fn now(&self) -> u64 {
        self.stands.unwrap_or_else(boot)
    }

    /// ns since the epoch of a boot time.
    pub fn wall(&self, boot: u64) -> i64 {
        i64::try_from(boot).unwrap_or(i64::MAX).saturating_add(self.offset)
    }
}

/// `CLOCK_BOOTTIME` now, ns.
pub fn boot() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_becomes_the_time_of_day() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let told = Clock::sample().wall(boot());
        assert!(told.abs_diff(i64::try_from(now).unwrap()) < 1_000_000_000, "{told} {now}");
        let standing = Clock::standing(5, 2);
        assert_eq!((standing.wall(2), standing.now()), (7, 2));
    }
}
