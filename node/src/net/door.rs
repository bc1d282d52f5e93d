//! Who may come in: bounds on open connections, in all and of one address, and on new ones a second.
//!
//! One shard accepts, and its [`Door`] decides; the shard that then serves a connection holds its [`Place`],
//! which gives everything back when it is dropped, wherever that happens. Kafka's keys bound the node, and
//! [`Bounds::of_shard`] what a shard's memory can hold. Deliberately absent: sockets, and what a client is
//! told (a refused connection is closed).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use thalweg_coordinator::quotas::rate::{Rate, Windows};

/// New connections beyond the rate that may come at once: those of this long.
const BURST_NANOS: u64 = SECOND_NANOS;
const SECOND_NANOS: u64 = 1_000_000_000;
/// Addresses whose new connections are counted; beyond it an unknown one is not throttled.
const RATES_MAX: usize = 16_384;

/// The bounds that hold now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Open connections of the node (`max.connections`).
    pub of_node: usize,
    /// Open connections of one shard.
    pub of_shard: usize,
    /// Open connections of one address (`max.connections.per.ip`).
    pub of_address: usize,
    /// Other bounds for single addresses (`max.connections.per.ip.overrides`).
    pub of_addresses: BTreeMap<IpAddr, u32>,
    /// New connections a second (`max.connection.creation.rate`).
    pub a_second: u32,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The node or each of its shards has as many as it may.
    Node,
    /// Its address has.
    Address,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "there are as many connections as there may be",
            Self::Address => "its address has as many connections as it may have",
        })
    }
}

/// How many connections each shard has, and which have ended.
#[derive(Debug)]
struct Loads {
    of_shards: Vec<AtomicUsize>,
    ended: Sender<IpAddr>,
}

/// One connection's place. Given back when dropped.
#[derive(Debug)]
pub struct Place {
    loads: Arc<Loads>,
    /// The shard that is to serve it.
    pub shard: u16,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(load) = self.loads.of_shards.get(usize::from(self.shard)) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
        // Without a door nobody comes in any more, so nobody counts.
        let _no_door = self.loads.ended.send(self.address);
    }
}

/// Lets connections in, on the shard that accepts.
#[derive(Debug)]
pub struct Door {
    loads: Arc<Loads>,
    ended: Receiver<IpAddr>,
    of_addresses: HashMap<IpAddr, usize>,
    /// New connections of addresses that have a quota.
    rates: BTreeMap<IpAddr, Rate>,
    /// When the next one would be due if they came evenly.
    due: u64,
}

impl Door {
    /// For so many shards, without connections.
    #[must_use]
    pub fn new(shards: u16) -> Self {
        let (sender, ended) = channel();
        let loads = Loads {
            of_shards: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            ended: sender,
        };
        Self {
            loads: Arc::new(loads),
            ended,
            of_addresses: HashMap::new(),
            rates: BTreeMap::new(),
            due: 0,
        }
    }

    /// A place on the shard with the fewest connections.
    ///
    /// # Errors
    /// There is none.
    pub fn admit(&mut self, address: IpAddr, bounds: &Bounds) -> Result<Place, Full> {
        self.count_ended();
        let address = address.to_canonical();
        let open = self.of_addresses.get(&address).copied().unwrap_or(0);
        let bound = bounds.of_addresses.get(&address);
        let bound = bound.map_or(bounds.of_address, |bound| {
            usize::try_from(*bound).unwrap_or(usize::MAX)
        });
        if open >= bound {
            return Err(Full::Address);
        }
        let load = |load: &AtomicUsize| load.load(Ordering::Relaxed);
        let all: usize = self.loads.of_shards.iter().map(load).sum();
        let loads = self.loads.of_shards.iter().enumerate();
        let (shard, least) = loads
            .min_by_key(|(_, shard)| load(shard))
            .ok_or(Full::Node)?;
        if all >= bounds.of_node || load(least) >= bounds.of_shard {
            return Err(Full::Node);
        }
        let shard = u16::try_from(shard).or(Err(Full::Node))?;
        least.fetch_add(1, Ordering::Relaxed);
        self.of_addresses.insert(address, open + 1);
        Ok(Place {
            loads: Arc::clone(&self.loads),
            shard,
            address,
        })
    }

    /// Counts a new connection of an address with a quota at `now` nanoseconds; how long it has to wait, and then is
    /// not counted. Kafka's longest wait is a window.
    pub fn throttle(
        &mut self,
        address: IpAddr,
        (limit, windows): (f64, Windows),
        now: u64,
    ) -> Option<Duration> {
        let now = now / (SECOND_NANOS / 1_000);
        if self.rates.len() >= RATES_MAX {
            self.rates.retain(|_, rate| !rate.is_idle(windows, now));
        }
        let address = address.to_canonical();
        if self.rates.len() >= RATES_MAX && !self.rates.contains_key(&address) {
            return None;
        }
        let rate = self.rates.entry(address).or_default();
        rate.record(windows, 1.0, now);
        let wait = rate.excess(windows, limit, now).min(windows.millis);
        if wait == 0 {
            return None;
        }
        rate.record(windows, -1.0, now);
        Some(Duration::from_millis(wait))
    }

    fn count_ended(&mut self) {
        while let Ok(address) = self.ended.try_recv() {
            if let Some(open) = self.of_addresses.get_mut(&address) {
                *open -= 1;
                if *open == 0 {
                    self.of_addresses.remove(&address);
                }
            }
        }
    }

    /// Counts a new connection at `now` nanoseconds; how long the next one has to wait.
    pub fn pace(&mut self, now: u64, bounds: &Bounds) -> Option<Duration> {
        let apart = SECOND_NANOS / u64::from(bounds.a_second.max(1));
        self.due = self.due.max(now) + apart;
        let ahead = (self.due - now).checked_sub(BURST_NANOS)?;
        (ahead > 0).then(|| Duration::from_nanos(ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn bounds() -> Bounds {
        Bounds {
            of_node: usize::MAX,
            of_shard: 2,
            of_address: usize::MAX,
            of_addresses: BTreeMap::new(),
            a_second: u32::MAX,
        }
    }

    #[test]
    fn connections_go_to_the_shard_with_the_fewest_until_all_are_full() {
        let mut door = Door::new(2);
        let bounds = bounds();
        let first = door.admit(HERE, &bounds).unwrap();
        let second = door.admit(HERE, &bounds).unwrap();
        assert_eq!((first.shard, second.shard), (0, 1));
        drop(first);
        let rest: Vec<Place> = (0..3).map(|_| door.admit(HERE, &bounds).unwrap()).collect();
        let shards: Vec<u16> = rest.iter().map(|place| place.shard).collect();
        assert_eq!(shards, [0, 0, 1]);
        assert_eq!(door.admit(HERE, &bounds).unwrap_err(), Full::Node);
    }

    #[test]
    fn the_node_and_each_address_have_bounds() {
        let mut door = Door::new(2);
        let bounds = Bounds {
            of_node: 3,
            of_address: 1,
            of_addresses: [(THERE, 2)].into(),
            ..bounds()
        };
        let here = door.admit(HERE, &bounds).unwrap();
        assert_eq!(door.admit(HERE, &bounds).unwrap_err(), Full::Address);
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let there = [door.admit(THERE, &bounds), door.admit(mapped, &bounds)];
        assert!(there.iter().all(Result::is_ok));
        assert_eq!(door.admit(THERE, &bounds).unwrap_err(), Full::Address);
        let elsewhere: IpAddr = "::1".parse().unwrap();
        assert_eq!(door.admit(elsewhere, &bounds).unwrap_err(), Full::Node);
        drop(here);
        assert!(
            door.admit(HERE, &bounds).is_ok(),
            "its place was given back"
        );
        drop(there);
        door.count_ended();
        assert!(
            door.of_addresses.is_empty(),
            "nothing is kept of who is gone"
        );
    }

    #[test]
    fn an_address_with_a_quota_waits_and_others_do_not() {
        let mut door = Door::new(1);
        let windows = Windows {
            count: 11,
            millis: 1_000,
        };
        let mut knock = |address, now| door.throttle(address, (2.0, windows), now);
        assert!((0..20).all(|_| knock(HERE, 0).is_none()));
        // 21 in 10 s are half a second too many, and a refused one is not counted.
        assert_eq!(knock(HERE, 0), Some(Duration::from_millis(500)));
        assert_eq!(knock(HERE, 0), Some(Duration::from_millis(500)));
        assert_eq!(knock(THERE, 0), None);
        assert!(knock(HERE, 12 * SECOND_NANOS).is_none());
    }

    #[test]
    fn counted_addresses_have_a_bound() {
        let mut door = Door::new(1);
        let windows = Windows {
            count: 2,
            millis: 1_000,
        };
        let address = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from(n));
        let count = u32::try_from(RATES_MAX).unwrap();
        for n in 0..=count {
            door.throttle(address(n), (1.0, windows), 0);
        }
        assert_eq!(door.rates.len(), RATES_MAX);
        door.throttle(address(count), (1.0, windows), 9 * SECOND_NANOS);
        assert_eq!(door.rates.len(), 1, "idle ones make room");
    }

    #[test]
    fn new_connections_come_at_a_rate_after_a_burst() {
        let mut door = Door::new(1);
        let bounds = Bounds {
            a_second: 10,
            ..bounds()
        };
        let now = 5 * SECOND_NANOS;
        assert!((0..10).all(|_| door.pace(now, &bounds).is_none()));
        assert_eq!(door.pace(now, &bounds), Some(Duration::from_millis(100)));
        assert_eq!(door.pace(now, &bounds), Some(Duration::from_millis(200)));
        // What was not used is not saved up for ever.
        let later = now + 60 * SECOND_NANOS;
        assert!((0..10).all(|_| door.pace(later, &bounds).is_none()));
        assert!(door.pace(later, &bounds).is_some());
    }
}
