//! The counters of one shard: for whom it counts, within a bound of memory.
//!
//! Client ids are whatever clients say, so a default quota could make counters without end: those that would count
//! as new are forgotten when there is no room, and who finds none even then is not counted.

use std::collections::BTreeMap;

use super::Kind;
use super::rate::{Bucket, Rate, Windows};

/// Bytes of one shard's counters, names included.
pub const COUNTER_BYTES_MAX: usize = 16 << 20;
/// Bytes of a counter apart from its names: its windows at Kafka's default number.
const COUNTER_BYTES: usize = 512;

/// Whose counter of what.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Whose {
    /// What is counted.
    pub kind: Kind,
    /// The user, or empty.
    pub user: String,
    /// The client id, or empty.
    pub client: String,
}

/// What is counted, when, and against which limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Charge {
    /// A second.
    pub limit: f64,
    /// Bytes, percent, partitions.
    pub value: f64,
    /// The windows that hold.
    pub windows: Windows,
    /// Milliseconds on a clock that never goes back.
    pub now: u64,
}

#[derive(Clone, Debug)]
enum Counter {
    Rate(Rate),
    Bucket(Bucket, f64),
}

/// The counters of one shard.
#[derive(Debug)]
pub struct Counters {
    counters: BTreeMap<Whose, Counter>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for Counters {
    fn default() -> Self {
        Self::new(COUNTER_BYTES_MAX)
    }
}

impl Counters {
    /// None yet, and so many bytes of them at most.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            counters: BTreeMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Counts; milliseconds to wait. Without `keep`, or when there is something to wait for and `kind` is Fetch, the
    /// value is taken back again: an answer that is not sent does not count.
    pub fn charge(&mut self, whose: Whose, charge: Charge, keep: bool) -> u64 {
        let Charge {
            limit,
            value,
            windows,
            now,
        } = charge;
        let kind = whose.kind;
        let Some(Counter::Rate(rate)) = self.counter(whose, charge) else {
            return 0;
        };
        rate.record(windows, value, now);
        let mut wait = rate.excess(windows, limit, now);
        if !keep || (wait > 0 && kind == Kind::Fetch) {
            rate.record(windows, -value, now);
        }
        if kind == Kind::Request {
            wait = wait.min(windows.millis);
        }
        wait
    }

    /// Takes tokens for changes of metadata; milliseconds to wait. A strict one that finds a debt takes nothing.
    pub fn mutate(&mut self, whose: Whose, charge: Charge, strict: bool) -> u64 {
        let Charge {
            limit,
            value,
            windows,
            now,
        } = charge;
        let Some(Counter::Bucket(bucket, held)) = self.counter(whose, charge) else {
            return 0;
        };
        *held = limit;
        if strict {
            let debt = bucket.debt(windows, limit, now);
            if debt == 0 {
                bucket.take(windows, (limit, value), now);
            }
            return debt;
        }
        bucket.take(windows, (limit, value), now);
        bucket.debt(windows, limit, now)
    }

    /// Forgets those that would count as new.
    fn forget_idle(&mut self, windows: Windows, now: u64) {
        let bytes = &mut self.bytes;
        self.counters.retain(|whose, counter| {
            let idle = match counter {
                Counter::Rate(rate) => rate.is_idle(windows, now),
                Counter::Bucket(bucket, limit) => bucket.is_full(windows, *limit, now),
            };
            if idle {
                *bytes -= size(whose);
            }
            !idle
        });
    }

    fn counter(&mut self, whose: Whose, charge: Charge) -> Option<&mut Counter> {
        let Charge {
            limit,
            windows,
            now,
            ..
        } = charge;
        if !self.counters.contains_key(&whose) {
            let more = size(&whose);
            if self.bytes + more > self.bytes_max {
                self.forget_idle(windows, now);
            }
            if self.bytes + more > self.bytes_max {
                return None;
            }
            self.bytes += more;
        }
        let fresh = match whose.kind {
            Kind::Mutation => Counter::Bucket(Bucket::new(windows, limit, now), limit),
            _ => Counter::Rate(Rate::default()),
        };
        Some(self.counters.entry(whose).or_insert(fresh))
    }
}

fn size(whose: &Whose) -> usize {
    COUNTER_BYTES + whose.user.len() + whose.client.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(kind: Kind, client: &str) -> Whose {
        Whose {
            kind,
            user: String::new(),
            client: client.to_owned(),
        }
    }

    fn charge(value: f64, now: u64) -> Charge {
        Charge {
            limit: 10.0,
            value,
            windows: Windows {
                count: 11,
                millis: 1_000,
            },
            now,
        }
    }

    #[test]
    fn each_has_its_own_and_a_fetch_that_waits_counts_nothing() {
        let mut counters = Counters::default();
        let mut bytes =
            |kind, client, value| counters.charge(whose(kind, client), charge(value, 5), true);
        assert_eq!(bytes(Kind::Produce, "a", 100.0), 0);
        assert_eq!(bytes(Kind::Produce, "a", 100.0), 10_000);
        assert_eq!(bytes(Kind::Produce, "b", 100.0), 0);
        assert_eq!(bytes(Kind::Fetch, "a", 200.0), 10_000);
        assert_eq!(bytes(Kind::Fetch, "a", 100.0), 0);
        // The time of requests is made up for a window at a time.
        assert_eq!(bytes(Kind::Request, "a", 200.0), 1_000);
    }

    #[test]
    fn a_strict_change_is_refused_and_a_permissive_one_waits() {
        let mut counters = Counters::default();
        let mut take = |value, now, strict| {
            counters.mutate(whose(Kind::Mutation, "a"), charge(value, now), strict)
        };
        assert_eq!(take(200.0, 0, true), 0, "a full bucket lends");
        assert_eq!(take(1.0, 0, true), 9_000);
        assert_eq!(take(1.0, 9_000, true), 0);
        assert_eq!(take(9.0, 9_000, false), 1_000);
    }

    #[test]
    fn counters_have_a_bound_and_idle_ones_make_room() {
        let mut counters = Counters::new(2 * (COUNTER_BYTES + 1));
        let mut count =
            |client, now| counters.charge(whose(Kind::Produce, client), charge(1e6, now), true);
        assert!(count("a", 0) > 0 && count("b", 0) > 0);
        assert_eq!(count("c", 0), 0, "no room");
        assert!(count("c", 20_000) > 0, "the others were forgotten");
        assert!(count("d", 20_000) > 0);
        assert_eq!(count("e", 20_000), 0);
    }
}
