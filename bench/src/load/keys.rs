//! Where records go: in turn, a batch at a time, or as their keys say.
//!
//! Keys are made before the run. Which partition a key belongs to is Kafka's rule, murmur2 of its
//! bytes, so that hot keys make hot partitions as they would with any client. Numbers are drawn
//! from a seed, so that two runs send the same.

use crate::settings::{Keys, Partitioner};

/// Bytes of every key.
pub(super) const KEY_BYTES: usize = 16;

/// Where one producer's next record goes, and under which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index among the partitions of the broker.
    pub(super) slot: usize,
    pub(super) key: u32,
}

/// Chooses places, record by record.
#[derive(Debug)]
pub(super) struct Spread {
    slots: usize,
    next: u64,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    RoundRobin,
    Sticky { batch_records: u64 },
    Keyed(Keyed),
}

/// The keys whose partitions this broker leads.
#[derive(Debug)]
struct Keyed {
    places: Vec<Place>,
    /// Rising sums of the keys' weights, when they are not all alike.
    sums: Vec<f64>,
    in_turn: bool,
    state: u64,
}

/// What a spread is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    pub(super) keys: Keys,
    pub(super) partitioner: Partitioner,
    pub(super) batch_records: usize,
    /// Of the whole topic.
    pub(super) partitions: usize,
    /// Those that the broker leads.
    pub(super) led: &'a [i32],
    pub(super) producer: usize,
    pub(super) producers: usize,
}

impl Plan<'_> {
    /// Which part of all records goes to this broker.
    pub(super) fn share(&self) -> f64 {
        let Some((keys, weight)) = weights(self.keys) else {
            return self.led.len() as f64 / self.partitions.max(1) as f64;
        };
        let (mut here, mut all) = (0.0, 0.0);
        for key in 0..keys {
            all += weight(key);
            if self.slot_of(key).is_some() {
                here += weight(key);
            }
        }
        here / all
    }

    pub(super) fn spread(&self) -> Spread {
        let rule = match weights(self.keys) {
            Some((keys, weight)) => Rule::Keyed(self.keyed(keys, &weight)),
            None if self.partitioner == Partitioner::RoundRobin => Rule::RoundRobin,
            None => Rule::Sticky {
                batch_records: self.batch_records as u64,
            },
        };
        // Producers begin at different partitions.
        let first = (self.producer * self.led.len() / self.producers) as u64;
        let next = match rule {
            Rule::Sticky { batch_records } => first * batch_records,
            _ => first,
        };
        Spread {
            slots: self.led.len(),
            next,
            rule,
        }
    }

    fn keyed(&self, keys: u32, weight: &dyn Fn(u32) -> f64) -> Keyed {
        let mut sum = 0.0;
        let (mut places, mut sums) = (Vec::new(), Vec::new());
        for key in 0..keys {
            if let Some(slot) = self.slot_of(key) {
                sum += weight(key);
                places.push(Place { slot, key });
                sums.push(sum);
            }
        }
        if !matches!(self.keys, Keys::Zipf(..)) {
            sums.clear();
        }
        Keyed {
            places,
            sums,
            in_turn: matches!(self.keys, Keys::RoundRobin(_)),
            state: 0x9e37_79b9_7f4a_7c15 ^ ((self.producer as u64 + 1) << 32),
        }
    }

    fn slot_of(&self, key: u32) -> Option<usize> {
        let positive = murmur2(&key_bytes(key)) & 0x7fff_ffff;
        let partition = positive as usize % self.partitions.max(1);
        self.led.binary_search(&(partition as i32)).ok()
    }
}

/// How often a key comes, compared with others.
type Weight = Box<dyn Fn(u32) -> f64>;

/// How many keys there are and how often each comes; none without keys.
fn weights(keys: Keys) -> Option<(u32, Weight)> {
    match keys {
        Keys::None => None,
        Keys::RoundRobin(keys) | Keys::Uniform(keys) => Some((keys, Box::new(|_| 1.0))),
        Keys::Zipf(keys, exponent) => Some((
            keys,
            Box::new(move |key| (f64::from(key) + 1.0).powf(-exponent)),
        )),
    }
}

impl Spread {
    /// The place of the next record, without taking it.
    pub(super) fn peek(&self) -> Place {
        let slots = self.slots.max(1) as u64;
        let slot = |turn: u64| Place {
            slot: (turn % slots) as usize,
            key: 0,
        };
        match &self.rule {
            Rule::RoundRobin => slot(self.next),
            Rule::Sticky { batch_records } => slot(self.next / batch_records),
            Rule::Keyed(keyed) => keyed.place(self.next),
        }
    }

    pub(super) fn advance(&mut self) {
        self.next += 1;
        if let Rule::Keyed(keyed) = &mut self.rule {
            keyed.state = xorshift(keyed.state);
        }
    }

    /// How many records from now on until a partition has a batch full, when that is known.
    pub(super) fn until_full(&self, batch_records: usize) -> Option<u64> {
        let batch = batch_records as u64;
        match self.rule {
            Rule::RoundRobin => Some(batch * self.slots as u64),
            Rule::Sticky { .. } => Some(batch - self.next % batch),
            Rule::Keyed(_) => None,
        }
    }
}

impl Keyed {
    fn place(&self, next: u64) -> Place {
        let count = self.places.len().max(1);
        let index = if self.in_turn {
            (next % count as u64) as usize
        } else if let Some(all) = self.sums.last() {
            let drawn = (self.state >> 11) as f64 / (1u64 << 53) as f64 * all;
            self.sums.partition_point(|sum| *sum <= drawn)
        } else {
            ((u128::from(self.state) * count as u128) >> 64) as usize
        };
        let last = Place { slot: 0, key: 0 };
        self.places.get(index).copied().unwrap_or(last)
    }
}

fn xorshift(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}

/// Text, so that any tool can show it.
pub(super) fn key_bytes(key: u32) -> [u8; KEY_BYTES] {
    let mut bytes = *b"key-000000000000";
    let mut rest = key;
    for digit in bytes.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    bytes
}

/// The hash by which Kafka's clients choose a key's partition.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(keys: Keys, partitioner: Partitioner, led: &[i32]) -> Plan<'_> {
        Plan {
            keys,
            partitioner,
            batch_records: 2,
            partitions: led.len(),
            led,
            producer: 0,
            producers: 1,
        }
    }

    fn slots(mut spread: Spread, count: usize) -> Vec<usize> {
        let mut found = Vec::new();
        for _ in 0..count {
            found.push(spread.peek().slot);
            spread.advance();
        }
        found
    }

    #[test]
    fn sticky_fills_a_batch_before_it_moves_on() {
        let led = [0, 1, 2];
        let sticky = plan(Keys::None, Partitioner::Sticky, &led);
        assert_eq!(slots(sticky.spread(), 6), [0, 0, 1, 1, 2, 2]);
        let second = Plan {
            producer: 2,
            producers: 3,
            ..sticky
        };
        assert_eq!(slots(second.spread(), 4), [2, 2, 0, 0]);
        let robin = plan(Keys::None, Partitioner::RoundRobin, &led);
        assert_eq!(slots(robin.spread(), 4), [0, 1, 2, 0]);
        assert_eq!(sticky.spread().until_full(2), Some(2));
        assert_eq!(robin.spread().until_full(2), Some(6));
    }

    /// The values of Kafka's own tests of its hash.
    #[test]
    fn keys_are_hashed_as_kafka_does() {
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
        assert_eq!(&key_bytes(1_204), b"key-000000001204");
        assert_eq!(&key_bytes(0), b"key-000000000000");
    }

    #[test]
    fn two_brokers_share_the_keys() {
        let keys = Keys::Zipf(1000, 1.0);
        let all = Plan {
            partitions: 4,
            ..plan(keys, Partitioner::Sticky, &[0, 1])
        };
        let rest = Plan {
            led: &[2, 3],
            ..all
        };
        assert!((all.share() + rest.share() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn hot_keys_come_as_often_as_they_should() {
        let led = [0];
        let mut spread = plan(Keys::Zipf(100, 1.0), Partitioner::Sticky, &led).spread();
        let mut first = 0;
        for _ in 0..100_000 {
            first += u32::from(spread.peek().key == 0);
            spread.advance();
        }
        // 1 / H(100) = 0.1928.
        assert!((18_000..20_600).contains(&first), "{first}");
        let uniform = plan(Keys::Uniform(4), Partitioner::Sticky, &led);
        let mut seen = [0; 4];
        let mut spread = uniform.spread();
        for _ in 0..4000 {
            seen[spread.peek().key as usize] += 1;
            spread.advance();
        }
        assert!(
            seen.iter().all(|count| (850..1150).contains(count)),
            "{seen:?}"
        );
    }
}
