//! Long polls that wait for records, and who is woken when some become visible.
//!
//! A fetch that found too little leaves watches with each shard that owns partitions it asked for,
//! under a key that names the waiting shard and one of its slots. When a partition's high watermark
//! moves, its watches fire: they are taken out and the slots woken, each told which partition it was,
//! so that the fetch looks at what moved and at nothing else. A key's watches on other partitions
//! stay: what moves until the fetch looks is noted as well. Nothing polls. A watch fires once; a key
//! has watches for its last list alone, so their number is bounded by the slots; a wake that finds
//! another fetch in the slot is harmless. A fetch that watches the same partitions again, as one
//! consumer does all day, puts back only the watches that fired. A parked fetch holds no frame and no
//! share of the shard's requests, only what it remembers of them, within [`REMEMBERED_BYTES_MAX`].
//! Deliberately absent: time (the fetch has its own timer), what is visible.

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
    /// Emptied entries stay: most partitions that were watched once are watched again.
    by_partition: HashMap<PartitionId, Vec<WatchKey>>,
    by_key: HashMap<WatchKey, Watched>,
}

#[derive(Debug)]
struct Watched {
    /// Sorted, each once.
    partitions: Vec<PartitionId>,
    /// Those whose watch is not there any more.
    fired: Vec<PartitionId>,
}

impl Watches {
    /// Wakes `key` when one of `partitions` moves; replaces what the key watched before.
    pub fn watch(&mut self, key: WatchKey, mut partitions: Vec<PartitionId>) {
        partitions.sort_unstable();
        partitions.dedup();
        let missing = match self.by_key.get_mut(&key) {
            Some(before) if before.partitions == partitions => std::mem::take(&mut before.fired),
            _ => {
                self.forget(key);
                let watched = Watched {
                    partitions: partitions.clone(),
                    fired: Vec::new(),
                };
                self.by_key.insert(key, watched);
                partitions
            }
        };
        for partition in missing {
            self.by_partition.entry(partition).or_default().push(key);
        }
    }

    /// Takes out all watches of a partition that moved: each watch fires once.
    pub fn moved(&mut self, partition: PartitionId) -> Vec<WatchKey> {
        let keys: Vec<WatchKey> = match self.by_partition.get_mut(&partition) {
            Some(keys) => std::mem::take(keys),
            None => Vec::new(),
        };
        for key in &keys {
            if let Some(watched) = self.by_key.get_mut(key) {
                watched.fired.push(partition);
            }
        }
        keys
    }

    /// The partition is deleted: as [`Watches::moved`], and nothing is kept for it.
    pub fn gone(&mut self, partition: PartitionId) -> Vec<WatchKey> {
        let keys = self.moved(partition);
        self.by_partition.remove(&partition);
        keys
    }

    fn forget(&mut self, key: WatchKey) {
        let Some(watched) = self.by_key.remove(&key) else {
            return;
        };
        for partition in watched.partitions {
            let keys = self.by_partition.get_mut(&partition);
            let Some(keys) = keys else { continue };
            if let Some(at) = keys.iter().position(|other| *other == key) {
                keys.swap_remove(at);
            }
        }
    }

    /// How many slots have or had watches on this shard.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// True if nobody ever watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[derive(Default)]
struct Slot {
    woken: Cell<bool>,
    /// What moved since the last reset; bounded by the watches, each of which fires once.
    moved: RefCell<Vec<PartitionId>>,
    signal: Signal,
}

impl Slot {
    fn reset(&self) {
        self.woken.set(false);
        self.moved.borrow_mut().clear();
    }
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
        slot.reset();
        ParkedSlot {
            table: self.clone(),
            number,
            slot,
        }
    }

    /// A partition that the fetch in this slot watches has moved.
    pub fn wake(&self, number: u32, partition: PartitionId) {
        let slot = self.0.borrow().slots.get(number as usize).map(Rc::clone);
        if let Some(slot) = slot {
            slot.woken.set(true);
            slot.moved.borrow_mut().push(partition);
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
        self.slot.reset();
    }

    /// What moved since the last reset, sorted. May name what another fetch watched.
    #[must_use]
    pub fn moved(&self) -> Vec<PartitionId> {
        let mut moved = self.slot.moved.take();
        moved.sort_unstable();
        moved
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
    pending: RefCell<BTreeMap<ShardId, Vec<(u32, PartitionId)>>>,
    running: RefCell<BTreeSet<ShardId>>,
}

impl Wakes {
    /// Notes a wake; true if the caller must start a sender for this shard.
    pub fn add(&self, key: WatchKey, partition: PartitionId) -> bool {
        self.pending
            .borrow_mut()
            .entry(key.shard)
            .or_default()
            .push((key.slot, partition));
        self.running.borrow_mut().insert(key.shard)
    }

    /// The next message of a shard's sender; `None` ends the sender.
    pub fn next(&self, shard: ShardId) -> Option<Vec<(u32, PartitionId)>> {
        let slots = self.pending.borrow_mut().remove(&shard);
        if slots.is_none() {
            self.running.borrow_mut().remove(&shard);
        }
        slots
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
    fn a_watch_fires_once_and_the_others_of_its_key_stay() {
        let mut watches = Watches::default();
        watches.watch(key(1), vec![partition(0), partition(1)]);
        watches.watch(key(2), vec![partition(1)]);
        assert_eq!(watches.moved(partition(1)), [key(1), key(2)]);
        assert!(watches.moved(partition(1)).is_empty());
        // What moves until the fetch looks is noted as well.
        assert_eq!(watches.moved(partition(0)), [key(1)]);
        assert!(watches.moved(partition(0)).is_empty());
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
    fn the_same_list_again_puts_back_what_fired_and_nothing_twice() {
        let mut watches = Watches::default();
        let all = || vec![partition(2), partition(0), partition(1), partition(1)];
        watches.watch(key(1), all());
        assert_eq!(watches.moved(partition(1)), [key(1)]);
        watches.watch(key(1), all());
        watches.watch(key(1), all());
        for index in 0..3 {
            assert_eq!(watches.moved(partition(index)), [key(1)], "{index}");
            assert!(watches.moved(partition(index)).is_empty(), "{index}");
        }
    }

    #[test]
    fn a_deleted_partition_fires_and_is_not_kept() {
        let mut watches = Watches::default();
        watches.watch(key(1), vec![partition(0), partition(1)]);
        assert_eq!(watches.gone(partition(0)), [key(1)]);
        assert!(!watches.by_partition.contains_key(&partition(0)));
        assert_eq!(watches.moved(partition(1)), [key(1)]);
    }

    #[test]
    fn a_slot_is_told_what_moved_since_it_was_reset() {
        let slots = Slots::default();
        let slot = slots.enter();
        slots.wake(slot.number(), partition(4));
        slot.reset();
        slots.wake(slot.number(), partition(3));
        slots.wake(slot.number(), partition(1));
        assert_eq!(slot.moved(), [partition(1), partition(3)]);
        slots.wake(slot.number(), partition(5));
        let number = slot.number();
        drop(slot);
        let next = slots.enter();
        assert_eq!(next.number(), number);
        assert!(next.moved().is_empty());
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
        assert!(wakes.add(key(1), partition(0)));
        assert!(!wakes.add(key(2), partition(0)));
        assert!(!wakes.add(key(1), partition(1)));
        let first = vec![(1, partition(0)), (2, partition(0)), (1, partition(1))];
        assert_eq!(wakes.next(ShardId(1)), Some(first));
        assert_eq!(wakes.next(ShardId(1)), None);
        assert!(wakes.add(key(3), partition(0)));
    }
}
