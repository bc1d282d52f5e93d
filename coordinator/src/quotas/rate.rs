//! The two ways to count: a rate over sliding windows, and a bucket of tokens.
//!
//! Both are Kafka's to the last window: a window begins with the first value after the one before it is over, the
//! rate is taken over the time since the oldest one kept and at least over all windows but one, and a window goes
//! when nothing was counted in it for as long as all of them last.

use std::time::Duration;

/// How many windows are kept, and how long each is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Windows {
    /// Kafka's `quota.window.num`.
    pub count: u32,
    /// Kafka's `quota.window.size.seconds`, in milliseconds.
    pub millis: u64,
}

impl Windows {
    fn all(self) -> u64 {
        u64::from(self.count) * self.millis
    }

    /// What a limit allows in all windows but the one under way.
    #[must_use]
    pub fn allows(self, limit: f64) -> f64 {
        seconds(u64::from(self.count.saturating_sub(1)) * self.millis) * limit
    }
}

fn seconds(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

/// Rounded; what is no time (negative, not a number) is none, what has no end is the longest.
fn millis(seconds: f64) -> u64 {
    if seconds.is_nan() || seconds <= 0.0 {
        return 0;
    }
    let exact = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let rounded = exact.saturating_add(Duration::from_micros(500));
    u64::try_from(rounded.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Clone, Debug)]
struct Window {
    began: u64,
    last: u64,
    sum: f64,
}

impl Window {
    fn new(now: u64) -> Self {
        Self {
            began: now,
            last: now,
            sum: 0.0,
        }
    }
}

/// Something a second.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    windows: Vec<Window>,
    current: usize,
}

impl Rate {
    /// Counts `value` at `now` milliseconds; a negative one takes back what was counted.
    pub fn record(&mut self, windows: Windows, value: f64, now: u64) {
        let over = self
            .windows
            .get(self.current)
            .is_some_and(|window| now.saturating_sub(window.began) >= windows.millis);
        if over {
            // One more than are asked for: the oldest reaches into the time looked at.
            let kept = usize::try_from(windows.count).unwrap_or(usize::MAX);
            self.current = if self.current >= kept {
                0
            } else {
                self.current + 1
            };
            if let Some(window) = self.windows.get_mut(self.current) {
                *window = Window::new(now);
            }
        }
        if self.current >= self.windows.len() {
            self.current = self.windows.len();
            self.windows.push(Window::new(now));
        }
        if let Some(window) = self.windows.get_mut(self.current) {
            window.sum += value;
            window.last = now;
        }
    }

    /// What is counted a second, and the milliseconds it is counted over.
    fn measure(&mut self, windows: Windows, now: u64) -> (f64, u64) {
        for window in &mut self.windows {
            if now.saturating_sub(window.last) >= windows.all() {
                *window = Window::new(now);
            }
        }
        let oldest = self.windows.iter().map(|window| window.began).min();
        let mut span = now.saturating_sub(oldest.unwrap_or(now));
        let (full, least) = (span / windows.millis.max(1), u64::from(windows.count) - 1);
        if full < least {
            span += (least - full) * windows.millis;
        }
        let span = span.max(1);
        let sum: f64 = self.windows.iter().map(|window| window.sum).sum();
        (sum / seconds(span), span)
    }

    /// How many milliseconds nothing must be counted for the rate to be at its limit.
    pub fn excess(&mut self, windows: Windows, limit: f64, now: u64) -> u64 {
        let (rate, span) = self.measure(windows, now);
        if rate > limit {
            millis((rate - limit) / limit * seconds(span))
        } else {
            0
        }
    }

    /// True when it would count as new.
    #[must_use]
    pub fn is_idle(&self, windows: Windows, now: u64) -> bool {
        let mut all = self.windows.iter();
        all.all(|window| now.saturating_sub(window.last) >= windows.all())
    }
}

/// Tokens that come back with time, up to what all windows allow.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: f64,
    at: u64,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(windows: Windows, limit: f64, now: u64) -> Self {
        Self {
            tokens: seconds(windows.all()) * limit,
            at: now,
        }
    }

    fn refill(&mut self, windows: Windows, limit: f64, now: u64) {
        let burst = seconds(windows.all()) * limit;
        let gained = limit * seconds(now.saturating_sub(self.at));
        self.tokens = (self.tokens + gained).min(burst);
        self.at = now;
    }

    /// Takes tokens, also those that are not there.
    pub fn take(&mut self, windows: Windows, (limit, tokens): (f64, f64), now: u64) {
        self.refill(windows, limit, now);
        self.tokens -= tokens;
    }

    /// How many milliseconds until there is no debt.
    pub fn debt(&mut self, windows: Windows, limit: f64, now: u64) -> u64 {
        self.refill(windows, limit, now);
        if self.tokens < 0.0 {
            millis(-self.tokens / limit)
        } else {
            0
        }
    }

    /// True when it would be full as a new one is.
    #[must_use]
    pub fn is_full(mut self, windows: Windows, limit: f64, now: u64) -> bool {
        self.refill(windows, limit, now);
        self.tokens >= seconds(windows.all()) * limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows {
        count: 11,
        millis: 1_000,
    };

    #[test]
    fn a_burst_waits_until_its_rate_is_the_limit() {
        // Kafka's own example: 10 windows of a second, 500 a second, 5 times 1,000 at once is the limit.
        let mut rate = Rate::default();
        for _ in 0..5 {
            rate.record(WINDOWS, 1_000.0, 100);
            assert_eq!(rate.excess(WINDOWS, 500.0, 100), 0);
        }
        rate.record(WINDOWS, 1_050.0, 100);
        // 6,050 over 10 s is 605 a second: 21% of 10 s too much.
        assert_eq!(rate.excess(WINDOWS, 500.0, 100), 2_100);
        // Windows that are not over count whole, so it is less after that time, and gone when all are over.
        assert_eq!(rate.excess(WINDOWS, 500.0, 2_200), 2_000);
        assert_eq!(rate.excess(WINDOWS, 500.0, 11_100), 0);
    }

    #[test]
    fn windows_are_forgotten_and_used_again() {
        let mut rate = Rate::default();
        for second in 0..100 {
            rate.record(WINDOWS, 500.0, second * 1_000);
            assert_eq!(rate.excess(WINDOWS, 600.0, second * 1_000), 0, "{second}");
        }
        assert!(rate.windows.len() <= 12);
        assert!(!rate.is_idle(WINDOWS, 100_000));
        assert!(rate.is_idle(WINDOWS, 99_000 + 11_000));
        assert_eq!(rate.measure(WINDOWS, 200_000).0, 0.0);
    }

    #[test]
    fn what_was_taken_back_counts_no_more() {
        let mut rate = Rate::default();
        rate.record(WINDOWS, 9_000.0, 0);
        assert!(rate.excess(WINDOWS, 500.0, 0) > 0);
        rate.record(WINDOWS, -9_000.0, 0);
        assert_eq!(rate.excess(WINDOWS, 500.0, 0), 0);
    }

    #[test]
    fn tokens_may_be_owed_and_come_back() {
        let mut bucket = Bucket::new(WINDOWS, 2.0, 0);
        bucket.take(WINDOWS, (2.0, 22.0), 0);
        assert_eq!(bucket.debt(WINDOWS, 2.0, 0), 0);
        bucket.take(WINDOWS, (2.0, 5.0), 0);
        assert_eq!(bucket.debt(WINDOWS, 2.0, 0), 2_500);
        assert_eq!(bucket.debt(WINDOWS, 2.0, 2_500), 0);
        assert!(!bucket.is_full(WINDOWS, 2.0, 5_000));
        assert!(bucket.is_full(WINDOWS, 2.0, 50_000));
    }

    #[test]
    fn limits_that_are_no_numbers_stop_nobody() {
        let mut rate = Rate::default();
        rate.record(WINDOWS, 1e300, 0);
        assert_eq!(rate.excess(WINDOWS, f64::NAN, 0), 0);
        assert_eq!(millis(f64::INFINITY), u64::MAX);
    }
}
