//! Long polls that wait for records, and who is woken when some become visible.
//!
//! A fetch that found too little leaves a watch with each shard that owns partitions it asked for:
//! a key that names the waiting shard and one of its slots. When a partition's high watermark
//! moves, its watches are taken out and the slots woken; a fetch looks again and leaves new
//! watches. Nothing polls. Watches are removed by firing or by the slot's next watch on the same
//! shard, so their number is bounded by parked fetches; a wake that finds another fetch in the
//! slot is harmless. A parked fetch holds no frame and no share of the shard's requests, only what
//! it remembers of them, within [`REMEMBERED_BYTES_MAX`]. Deliberately absent: time (the fetch has its
//! own timer), what is visible.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use thalweg_wire::ids::{PartitionId, ShardId};

use super::wait::{Budget, Permit, Signal};

/// What a parked fetch keeps for each partition: what is wanted, in the session and in the order of
/// reading, and its watch on the owning shard. An estimate, rounded up.
pub const REMEMBERED_PART_BYTES: usize = 512;
/// What all parked fetches of a shard may keep. A fetch that finds no room does not wait: it is
/// answered with what there is.
pub const REMEMBERED_BYTES_MAX: usize = 64 << 20;

/// Room for what a fetch of so many partitions remembers while it waits, if there is any.
#[must_use]
pub fn remember(remembered: &Budget, partitions: usize) -> Option<Permit> {
    remembered.try_take(partitions * REMEMBERED_PART_BYTES)
}

/// A parked fetch: the shard it waits on, and its slot there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchKey {
    /// The shard that holds the connection.
    pub shard: ShardId,
    /// Its slot there.
    pub slot: u32,
}

/// Watches on the partitions of one shard.
#[derive(Debug, Default)]
pub struct Watches {
    by_partition: HashMap<PartitionId, BTreeSet<WatchKey>>,
    by_key: HashMap<WatchKey, Vec<PartitionId>>,
}

impl Watches {
    /// Wakes `key` when one of `partitions` moves; replaces what the key watched before.
    pub fn watch(&mut self, key: WatchKey, partitions: Vec<PartitionId>) {
        self.forget(key);
        for partition in &partitions {
            self.by_partition.entry(*partition).or_default().insert(key);
        }
        self.by_key.insert(key, partitions);
    }

    /// Takes out all watches of a partition that moved: each watch fires once.
    pub fn moved(&mut self, partition: PartitionId) -> Vec<WatchKey> {
        let keys: Vec<WatchKey> = self
            .by_partition
            .get(&partition)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        for key in &keys {
            self.forget(*key);
        }
        keys
    }

    fn forget(&mut self, key: WatchKey) {
        for partition in self.by_key.remove(&key).unwrap_or_default() {
            if let Some(keys) = self.by_partition.get_mut(&partition) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.by_partition.remove(&partition);
                }
            }
        }
    }

    /// How many parked fetches watch this shard.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// True if nobody watches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[derive(Default)]
struct Slot {
    woken: Cell<bool>,
    signal: Signal,
}

/// The slots of one shard's parked fetches.
#[derive(Clone, Default)]
pub struct Slots(Rc<RefCell<SlotTable>>);

#[derive(Default)]
struct SlotTable {
    slots: Vec<Rc<Slot>>,
    free: Vec<u32>,
}

impl Slots {
    /// A slot for a fetch that may park; given back when dropped.
    #[must_use]
    pub fn enter(&self) -> ParkedSlot {
        let mut table = self.0.borrow_mut();
        let number = match table.free.pop() {
            Some(number) => number,
            None => {
                table.slots.push(Rc::default());
                u32::try_from(table.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let slot = table
            .slots
            .get(number as usize)
            .map(Rc::clone)
            .unwrap_or_default();
        slot.woken.set(false);
        ParkedSlot {
            table: self.clone(),
            number,
            slot,
        }
    }

    /// Something that the fetch in this slot watches has moved.
    pub fn wake(&self, number: u32) {
        let slot = self.0.borrow().slots.get(number as usize).map(Rc::clone);
        if let Some(slot) = slot {
            slot.woken.set(true);
            slot.signal.notify();
        }
    }

    /// Slots in use.
    #[must_use]
    pub fn used(&self) -> usize {
        let table = self.0.borrow();
        table.slots.len() - table.free.len()
    }
}

/// One fetch's slot.
pub struct ParkedSlot {
    table: Slots,
    number: u32,
    slot: Rc<Slot>,
}

impl ParkedSlot {
    /// The slot's number, for watches.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Forgets earlier wakes; to be called before looking (again).
    pub fn reset(&self) {
        self.slot.woken.set(false);
    }

    /// Waits for a wake since the last reset.
    pub async fn woken(&self) {
        loop {
            let wait = self.slot.signal.wait();
            if self.slot.woken.get() {
                return;
            }
            wait.await;
        }
    }
}

impl Drop for ParkedSlot {
    fn drop(&mut self) {
        self.table.0.borrow_mut().free.push(self.number);
    }
}

/// Wakes on their way to other shards: one message per shard at a time, whatever fires meanwhile.
#[derive(Debug, Default)]
pub struct Wakes {
    pending: RefCell<BTreeMap<ShardId, BTreeSet<u32>>>,
    running: RefCell<BTreeSet<ShardId>>,
}

impl Wakes {
    /// Notes a wake; true if the caller must start a sender for this shard.
    pub fn add(&self, key: WatchKey) -> bool {
        self.pending
            .borrow_mut()
            .entry(key.shard)
            .or_default()
            .insert(key.slot);
        self.running.borrow_mut().insert(key.shard)
    }

    /// The next message of a shard's sender; `None` ends the sender.
    pub fn next(&self, shard: ShardId) -> Option<Vec<u32>> {
        let slots = self.pending.borrow_mut().remove(&shard);
        if slots.is_none() {
            self.running.borrow_mut().remove(&shard);
        }
        slots.map(|slots| slots.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use thalweg_wire::ids::{PartitionIndex, Uuid};

    use super::*;
    use crate::shard::sessions::FETCH_PARTITIONS_MAX;

    fn partition(index: i32) -> PartitionId {
        PartitionId {
            topic: Uuid::METADATA_TOPIC,
            index: PartitionIndex(index),
        }
    }

    fn key(slot: u32) -> WatchKey {
        WatchKey {
            shard: ShardId(1),
            slot,
        }
    }

    #[test]
    fn a_watch_fires_once_and_leaves_nothing_behind() {
        let mut watches = Watches::default();
        watches.watch(key(1), vec![partition(0), partition(1)]);
        watches.watch(key(2), vec![partition(1)]);
        assert_eq!(watches.moved(partition(1)), [key(1), key(2)]);
        assert!(watches.moved(partition(0)).is_empty());
        assert!(watches.is_empty());
    }

    #[test]
    fn the_next_watch_of_a_slot_replaces_the_last() {
        let mut watches = Watches::default();
        watches.watch(key(1), vec![partition(0)]);
        watches.watch(key(1), vec![partition(2)]);
        assert!(watches.moved(partition(0)).is_empty());
        assert_eq!(watches.len(), 1);
        assert_eq!(watches.moved(partition(2)), [key(1)]);
    }

    #[test]
    fn what_parked_fetches_remember_has_a_limit() {
        let remembered = Budget::new(REMEMBERED_BYTES_MAX);
        let largest = FETCH_PARTITIONS_MAX;
        let fits = REMEMBERED_BYTES_MAX / (largest * REMEMBERED_PART_BYTES);
        assert!(fits > 0, "the largest fetch may wait");
        let mut parked: Vec<Permit> = (0..fits)
            .map(|_| remember(&remembered, largest).expect("there is room"))
            .collect();
        assert!(remember(&remembered, 1).is_none());
        parked.pop();
        assert!(remember(&remembered, largest).is_some());
    }

    #[test]
    fn wakes_to_one_shard_share_a_message() {
        let wakes = Wakes::default();
        assert!(wakes.add(key(1)));
        assert!(!wakes.add(key(2)));
        assert!(!wakes.add(key(1)));
        assert_eq!(wakes.next(ShardId(1)), Some(vec![1, 2]));
        assert_eq!(wakes.next(ShardId(1)), None);
        assert!(wakes.add(key(3)));
    }
}
