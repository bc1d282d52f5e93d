//! What anyone was told, and whether a later answer contradicts it: promises 1 to 3 of the design.
//!
//! The ledger outlives the node's lives. Per (topic id, partition) it holds each offset anyone was
//! told of with its value and epoch, the highest end shown, the highest log start answered and the
//! highest that was ever asked for. Rules: an offset has one value for ever; a value has one offset
//! (idempotent producers retry, others never send twice); an end that was shown is never taken back;
//! what lies between log start and end is all there; a deleted topic stays away; ids and producer
//! ids are new; leader epochs grow with each start. The first contradiction is kept and ends the
//! run. Deliberately absent: I/O.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::groups::Offsets;
use thalweg_storage::testing::Prng;
use thalweg_wire::batch::{BatchRef, Codec, InflateError, Records, Scratch, inflate, split};
use thalweg_wire::ids::Uuid;

/// A partition as the ledger names it.
pub(crate) type Key = (Uuid, i32);

/// Bytes of a value at least: its number.
const NUMBER_BYTES: usize = 8;

/// The bytes of a value: its number, then noise that only this number has.
pub(crate) fn bytes_of(value: u64) -> Vec<u8> {
    let mut prng = Prng::new(value);
    let longest = [40, 40, 200, 200, 3_000, 12_000][prng.below(6)];
    let mut bytes = vec![0; NUMBER_BYTES + prng.below(longest)];
    prng.fill(&mut bytes);
    bytes[..NUMBER_BYTES].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// The records of a batch, inflated.
fn plain<'a>(batch: &BatchRef<'a>) -> Result<Cow<'a, [u8]>, InflateError> {
    match batch.header().attributes().codec() {
        Ok(Codec::None) | Err(_) => Ok(batch.payload().into()),
        Ok(codec) => {
            let inflated = inflate(codec, batch.payload(), 1 << 20, &mut Scratch::default())?;
            Ok(inflated.into())
        }
    }
}

/// What one record is told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    value: u64,
    /// Leader epoch of its batch, once a fetch showed it.
    epoch: Option<i32>,
}

/// What is known of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partition {
    told: BTreeMap<i64, Told>,
    /// End of the log as far as anyone was shown.
    pub(crate) shown: i64,
    /// Highest log start anyone was told.
    pub(crate) start: i64,
    /// Highest log start anyone asked for.
    pub(crate) asked: i64,
    leader_epoch: i32,
}

/// Whether a topic is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It must be there.
    There,
    /// Its deletion was asked for and not answered.
    Dying,
    /// Its deletion was answered, or it was found gone.
    Gone,
}

/// What is known of one topic id.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) life: Life,
    pub(crate) partitions: Vec<Partition>,
}

/// Who sent a value, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    key: Key,
    producer: i64,
}

/// The ledger; see the module's head.
#[derive(Default)]
pub(crate) struct Checker {
    pub(crate) topics: BTreeMap<Uuid, Topic>,
    /// Names whose creation was asked for and not answered.
    pub(crate) making: BTreeSet<String>,
    producers: BTreeSet<i64>,
    sent: Vec<Sent>,
    placed: BTreeMap<u64, i64>,
    violation: Option<String>,
    /// Committed offsets.
    pub(crate) offsets: Offsets,
    /// Records whose place anyone was told.
    pub(crate) records: u64,
    /// Answers that were compared with the ledger.
    pub(crate) answers: u64,
}

/// One partition of a fetch's answer.
pub(crate) struct Fetched<'a> {
    pub(crate) key: Key,
    /// Offset that was asked for.
    pub(crate) offset: i64,
    /// End that was shown before the request was sent.
    pub(crate) shown_before: i64,
    pub(crate) high_watermark: i64,
    pub(crate) records: &'a [u8],
}

impl Checker {
    /// The first contradiction.
    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// Keeps a contradiction, if it is the first.
    pub(crate) fn fail(&mut self, text: String) {
        self.violation.get_or_insert(text);
    }

    fn expect(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.fail(text());
        }
    }

    /// A partition that the ledger knows.
    pub(crate) fn partition(&self, key: Key) -> Option<&Partition> {
        let topic = self.topics.get(&key.0)?;
        topic.partitions.get(usize::try_from(key.1).ok()?)
    }

    fn partition_mut(&mut self, key: Key) -> Option<&mut Partition> {
        let topic = self.topics.get_mut(&key.0)?;
        topic.partitions.get_mut(usize::try_from(key.1).ok()?)
    }

    /// What the ledger thinks of a topic id.
    pub(crate) fn life(&self, topic: Uuid) -> Life {
        self.topics
            .get(&topic)
            .map_or(Life::Gone, |topic| topic.life)
    }

    /// The live topic of a name, if it is known without doubt.
    pub(crate) fn named(&self, name: &str) -> Option<Uuid> {
        let mut topics = self.topics.iter();
        let found = topics.find(|(_, topic)| topic.name == name && topic.life != Life::Gone)?;
        (found.1.life == Life::There).then_some(*found.0)
    }

    /// A new value, about to be sent.
    pub(crate) fn new_value(&mut self, key: Key, producer: i64) -> u64 {
        self.sent.push(Sent { key, producer });
        self.sent.len() as u64 - 1
    }

    /// A producer id was handed out.
    pub(crate) fn producer(&mut self, id: i64) {
        let new = id >= 0 && self.producers.insert(id);
        self.expect(new, || format!("producer id {id} was handed out twice"));
    }

    /// A topic was made, or found after its creation was asked for.
    pub(crate) fn made(&mut self, name: &str, id: Uuid, partitions: usize) {
        self.making.remove(name);
        let topic = Topic {
            name: name.to_owned(),
            life: Life::There,
            partitions: vec![Partition::default(); partitions],
        };
        let known = self.topics.insert(id, topic).is_some();
        self.expect(!known, || format!("topic {name}: id {id} was used before"));
    }

    /// The deletion of a topic: asked for, answered.
    pub(crate) fn set_life(&mut self, id: Uuid, life: Life) {
        if let Some(topic) = self.topics.get_mut(&id)
            && topic.life != Life::Gone
        {
            topic.life = life;
        }
    }

    /// All topics that a new life shows: name, id, leader epoch of each partition.
    pub(crate) fn found(&mut self, found: &[(String, Uuid, Vec<i32>)]) {
        for (name, id, epochs) in found {
            match self.topics.get(id).map(|topic| topic.life) {
                None if self.making.contains(name) => self.made(name, *id, epochs.len()),
                None => self.fail(format!("topic {name} {id} was never asked for")),
                Some(Life::Gone) => self.fail(format!("topic {name} {id} is back from deletion")),
                // The deletion was never answered, and did not happen.
                Some(Life::Dying) => self.set_life(*id, Life::There),
                Some(Life::There) => {}
            }
            self.epochs(*id, epochs);
        }
        self.making.clear();
        let ids: BTreeSet<Uuid> = found.iter().map(|(_, id, _)| *id).collect();
        let missing: Vec<(Uuid, Life)> = self
            .topics
            .iter()
            .filter(|(id, topic)| topic.life != Life::Gone && !ids.contains(id))
            .map(|(id, topic)| (*id, topic.life))
            .collect();
        for (id, life) in missing {
            self.expect(life == Life::Dying, || format!("topic {id} is lost"));
            self.set_life(id, Life::Gone);
        }
    }

    /// A start raises the leader epoch of each partition.
    fn epochs(&mut self, topic: Uuid, epochs: &[i32]) {
        let expected = self.topics.get(&topic).map(|topic| topic.partitions.len());
        self.expect(expected == Some(epochs.len()), || {
            format!(
                "topic {topic} has {} partitions, not {expected:?}",
                epochs.len()
            )
        });
        for (index, epoch) in (0..).zip(epochs) {
            let Some(partition) = self.partition_mut((topic, index)) else {
                continue;
            };
            // A partition of a topic whose creation was never answered shows its first epoch here.
            let before = std::mem::replace(&mut partition.leader_epoch, *epoch);
            self.expect(before < *epoch, || {
                format!("partition {index} of {topic}: a start left epoch {before} at {epoch}")
            });
        }
    }

    /// A log end was shown.
    pub(crate) fn end(&mut self, key: Key, shown_before: i64, end: i64) {
        self.answers += 1;
        let Some(partition) = self.partition_mut(key) else {
            return;
        };
        partition.shown = partition.shown.max(end);
        self.expect(end >= shown_before, || {
            format!("{key:?}: end {end} was shown after end {shown_before}")
        });
    }

    /// Somebody asks for this log start.
    pub(crate) fn ask_start(&mut self, key: Key, offset: i64) {
        if let Some(partition) = self.partition_mut(key) {
            partition.asked = partition.asked.max(offset);
        }
    }

    /// A log start was shown; `before` is what had been answered when the request was sent. Only an
    /// answered DeleteRecords binds: others may see a log start on its way to the disk.
    pub(crate) fn start(&mut self, key: Key, before: i64, start: i64, binds: bool) {
        self.answers += 1;
        let Some(partition) = self.partition_mut(key) else {
            return;
        };
        let asked = partition.asked;
        if binds {
            partition.start = partition.start.max(start);
        }
        self.expect(start >= before, || {
            format!("{key:?}: log start {start} was told after {before}: deleted records are back")
        });
        self.expect(start <= asked, || {
            format!("{key:?}: log start {start}, but only {asked} was asked for: records are lost")
        });
    }

    /// A record has this place.
    fn place(&mut self, key: Key, offset: i64, value: u64, epoch: Option<i32>) {
        let Some(sent) = usize::try_from(value)
            .ok()
            .and_then(|at| self.sent.get(at))
            .copied()
        else {
            return self.fail(format!(
                "{key:?} offset {offset}: value {value} was never sent"
            ));
        };
        self.expect(sent.key == key, || {
            format!(
                "{key:?} offset {offset}: value {value} was sent to {:?}",
                sent.key
            )
        });
        let place = *self.placed.entry(value).or_insert(offset);
        self.expect(place == offset, || {
            format!(
                "{key:?}: value {value} of producer {} is at {place} and at {offset}",
                sent.producer
            )
        });
        let Some(partition) = self.partition_mut(key) else {
            return;
        };
        let new = !partition.told.contains_key(&offset);
        let told = partition
            .told
            .entry(offset)
            .or_insert(Told { value, epoch });
        let before = *told;
        told.epoch = told.epoch.or(epoch);
        self.records += u64::from(new);
        self.expect(before.value == value, || {
            format!(
                "{key:?} offset {offset} was value {}, is value {value}",
                before.value
            )
        });
        let same = epoch.is_none() || before.epoch.is_none() || before.epoch == epoch;
        self.expect(same, || {
            format!(
                "{key:?} offset {offset} was of epoch {:?}, is of {epoch:?}",
                before.epoch
            )
        });
    }

    /// These values were acknowledged from `base` on.
    pub(crate) fn acknowledged(&mut self, key: Key, base: i64, values: &[u64]) {
        self.answers += 1;
        for (offset, value) in (base..).zip(values) {
            self.place(key, offset, *value, None);
        }
        let end = base + values.len() as i64;
        if let Some(partition) = self.partition_mut(key) {
            partition.shown = partition.shown.max(end);
        }
    }

    /// A fetch was answered: the offsets it showed, and where it goes on.
    pub(crate) fn fetched(&mut self, fetched: &Fetched<'_>) -> (Vec<i64>, i64) {
        let (key, offset) = (fetched.key, fetched.offset);
        let mut shown = Vec::new();
        self.end(key, fetched.shown_before, fetched.high_watermark);
        let mut next = None;
        for batch in split(fetched.records) {
            let Ok(batch) = batch else {
                // Cut by a limit, which only whole batches of this node ever are.
                self.fail(format!("{key:?} from {offset}: {batch:?}"));
                break;
            };
            let head = batch.header();
            let base = head.base_offset().0;
            self.expect(batch.crc_matches(), || {
                format!("{key:?} batch {base}: bad checksum")
            });
            let due = next.unwrap_or(base);
            let reaches = next.is_some() || (base <= offset && head.next_offset().0 > offset);
            self.expect(base == due && reaches, || {
                format!("{key:?} from {offset}: batch {base}, due was {due}")
            });
            next = Some(head.next_offset().0);
            let epoch = Some(head.leader_epoch().0);
            let payload = match plain(&batch) {
                Ok(payload) => payload,
                Err(error) => {
                    self.fail(format!("{key:?} batch {base}: {error}"));
                    break;
                }
            };
            for record in Records::new(&payload, head.record_count()) {
                let Ok(record) = record else {
                    self.fail(format!("{key:?} batch {base}: {record:?}"));
                    break;
                };
                let at = base + i64::from(record.offset_delta);
                let bytes = record.value.unwrap_or_default();
                let number = bytes
                    .first_chunk()
                    .map_or(u64::MAX, |n| u64::from_le_bytes(*n));
                self.place(key, at, number, epoch);
                shown.push(at);
                self.expect(bytes == bytes_of(number), || {
                    format!("{key:?} offset {at}: the bytes of value {number} are others")
                });
            }
        }
        let next = next.unwrap_or(offset);
        self.expect(next <= fetched.high_watermark, || {
            format!(
                "{key:?}: records up to {next}, high watermark {}",
                fetched.high_watermark
            )
        });
        (shown, next)
    }

    /// Everything from `start` to `end` was just fetched: is all there that anyone was told of?
    pub(crate) fn complete(&mut self, key: Key, read: &BTreeSet<i64>, start: i64) {
        let Some(partition) = self.partition(key) else {
            return;
        };
        let lost = partition
            .told
            .range(start..)
            .map(|(at, told)| (*at, told.value));
        let lost = lost.into_iter().find(|(at, _)| !read.contains(at));
        if let Some((at, value)) = lost {
            self.fail(format!("{key:?} offset {at}: value {value} is lost"));
        }
    }

    /// Idempotent producers' values are in the order of their sequence numbers.
    pub(crate) fn in_order(&mut self) {
        let mut disorder = None;
        for (id, topic) in &self.topics {
            for partition in &topic.partitions {
                let mut last: BTreeMap<i64, u64> = BTreeMap::new();
                for told in partition.told.values() {
                    let Some(sent) = self.sent.get(told.value as usize) else {
                        continue;
                    };
                    let before = last.insert(sent.producer, told.value);
                    if sent.producer >= 0 && before.is_some_and(|before| before > told.value) {
                        disorder = Some((*id, sent.producer, told.value));
                    }
                }
            }
        }
        if let Some((id, producer, value)) = disorder {
            self.fail(format!(
                "topic {id}: value {value} of producer {producer} is out of order"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid([7; 16]);
    const KEY: Key = (ID, 0);

    /// A ledger with one topic and the values 0 to 9 of one producer sent to it.
    fn ledger() -> Checker {
        let mut checker = Checker::default();
        checker.making.insert("t".to_owned());
        checker.made("t", ID, 1);
        for _ in 0..10 {
            checker.new_value(KEY, 5);
        }
        checker
    }

    #[test]
    fn each_contradiction_is_seen() {
        type Case = (&'static str, fn(&mut Checker));
        let cases: [Case; 11] = [
            ("was value", |c| {
                c.acknowledged(KEY, 0, &[0]);
                c.acknowledged(KEY, 0, &[1]);
            }),
            ("is at 0 and at 3", |c| {
                c.acknowledged(KEY, 0, &[0]);
                c.acknowledged(KEY, 3, &[0]);
            }),
            ("never sent", |c| c.acknowledged(KEY, 0, &[99])),
            ("was shown after", |c| {
                c.end(KEY, 0, 4);
                c.end(KEY, 4, 3);
            }),
            ("deleted records are back", |c| {
                c.ask_start(KEY, 4);
                c.start(KEY, 0, 4, true);
                c.start(KEY, 4, 2, false);
            }),
            ("records are lost", |c| c.start(KEY, 0, 4, false)),
            ("is lost", |c| {
                c.acknowledged(KEY, 0, &[0, 1, 2]);
                c.complete(KEY, &BTreeSet::from([0, 2]), 0);
            }),
            ("is lost", |c| c.found(&[])),
            ("back from deletion", |c| {
                c.set_life(ID, Life::Gone);
                c.found(&[("t".to_owned(), ID, vec![1])]);
            }),
            ("left epoch 1 at 1", |c| {
                c.found(&[("t".to_owned(), ID, vec![1])]);
                c.found(&[("t".to_owned(), ID, vec![1])]);
            }),
            ("out of order", |c| {
                c.acknowledged(KEY, 0, &[1]);
                c.acknowledged(KEY, 1, &[0]);
                c.in_order();
            }),
        ];
        for (text, act) in cases {
            let mut checker = ledger();
            act(&mut checker);
            let violation = checker.violation().unwrap_or_default();
            assert!(violation.contains(text), "{text}: {violation}");
        }
    }

    #[test]
    fn an_honest_history_passes() {
        let mut checker = ledger();
        checker.found(&[("t".to_owned(), ID, vec![1])]);
        checker.acknowledged(KEY, 0, &[0, 1]);
        checker.acknowledged(KEY, 0, &[0, 1]);
        checker.end(KEY, 2, 2);
        checker.ask_start(KEY, 1);
        checker.start(KEY, 0, 1, true);
        checker.complete(KEY, &BTreeSet::from([1]), 1);
        checker.set_life(ID, Life::Dying);
        checker.found(&[]);
        checker.in_order();
        assert_eq!(checker.violation(), None);
    }
}
