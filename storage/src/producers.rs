//! Producer state: who wrote what last, and which transactions are open. Pure.
//!
//! The last [`BATCHES_KEPT`] batches of a producer are remembered, so that a retry is recognised;
//! the newest of them says which sequence comes next. A producer is forgotten when it wrote
//! nothing for `producer.id.expiration.ms` and has no open transaction. A transaction is *open*
//! until its marker is appended and *undecided for readers* until the marker is below the high
//! watermark: the last stable offset stops at the first of either.
//!
//! Deliberately absent: judgement (see `append::check`) and files (see
//! [`crate::files::producers`]).

use std::collections::{BTreeMap, VecDeque};

use thalweg_wire::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Batches remembered per producer: a client has at most five requests in flight.
pub const BATCHES_KEPT: usize = 5;
/// Coordinator epoch of a producer that no marker was written for.
pub const NO_COORDINATOR_EPOCH: i32 = -1;

/// What is remembered of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMemo {
    /// Sequence of its last record.
    pub last_sequence: Sequence,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Last offset less the first.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: TimestampMs,
}

impl BatchMemo {
    /// Offset of its first record.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }

    /// Sequence of its first record.
    #[must_use]
    pub fn base_sequence(&self) -> Sequence {
        // Counting back from 3 by 5 ends at 2^31-2, as counting forth would wrap to 0.
        let base = i64::from(self.last_sequence.0) - i64::from(self.offset_delta);
        Sequence((base & 0x7fff_ffff) as i32)
    }
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Its epoch, -1 if only a coordinator is known.
    pub epoch: ProducerEpoch,
    /// Epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: i32,
    /// When it wrote last.
    pub last_timestamp: TimestampMs,
    /// First offset of its open transaction.
    pub txn_first: Option<Offset>,
    /// Its last batches in this epoch, oldest first.
    pub batches: VecDeque<BatchMemo>,
    /// Offset of the last change, for [`Producers::changed_since`].
    pub changed_at: Offset,
}

impl ProducerEntry {
    /// The newest batch.
    #[must_use]
    pub fn last_batch(&self) -> Option<&BatchMemo> {
        self.batches.back()
    }

    /// The remembered batch with exactly these sequences.
    #[must_use]
    pub fn batch_with(&self, base: Sequence, last: Sequence) -> Option<&BatchMemo> {
        let same = |b: &&BatchMemo| b.last_sequence == last && b.base_sequence() == base;
        self.batches.iter().find(same)
    }

    fn take_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

/// A data batch that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataBatch {
    /// The producer.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// True for a part of a transaction.
    pub transactional: bool,
    /// What to remember.
    pub memo: BatchMemo,
}

/// A marker that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The producer.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Epoch of the coordinator.
    pub coordinator_epoch: i32,
    /// The marker's offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
}

/// A transaction that a marker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedTxn {
    /// Its first record.
    pub first: Offset,
    /// The last stable offset as far as open transactions limit it, right after the marker.
    pub last_stable: Offset,
}

/// All producers of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    entries: BTreeMap<ProducerId, ProducerEntry>,
    /// First offset -> producer, of open transactions.
    open: BTreeMap<Offset, ProducerId>,
    /// First offset -> marker's offset, of ended transactions whose marker is not yet shown.
    ended: BTreeMap<Offset, Offset>,
}

impl Producers {
    /// A producer's state.
    #[must_use]
    pub fn get(&self, producer: ProducerId) -> Option<&ProducerEntry> {
        self.entries.get(&producer)
    }

    /// All producers by id.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// Number of producers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without producers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts a producer as it was saved.
    pub fn restore(&mut self, producer: ProducerId, entry: ProducerEntry) {
        let before = self.entries.get(&producer).and_then(|e| e.txn_first);
        if let Some(first) = before {
            self.open.remove(&first);
        }
        if let Some(first) = entry.txn_first {
            self.open.insert(first, producer);
        }
        self.entries.insert(producer, entry);
    }

    /// A batch with a producer id was appended. Batches that are known already (a scan that
    /// begins before a snapshot's offset) must not be given again.
    pub fn on_batch(&mut self, batch: &DataBatch) {
        let memo = batch.memo;
        let entry = self.entry(batch.producer, memo.last_offset);
        entry.take_epoch(batch.epoch);
        if entry.batches.len() == BATCHES_KEPT {
            entry.batches.pop_front();
        }
        entry.batches.push_back(memo);
        entry.last_timestamp = memo.timestamp;
        if batch.transactional && entry.txn_first.is_none() {
            entry.txn_first = Some(memo.base_offset());
            self.open.insert(memo.base_offset(), batch.producer);
        }
    }

    /// A marker was appended; the transaction that it ended, if it had records.
    pub fn on_marker(&mut self, marker: &Marker) -> Option<EndedTxn> {
        let entry = self.entry(marker.producer, marker.offset);
        entry.take_epoch(marker.epoch);
        entry.coordinator_epoch = marker.coordinator_epoch;
        entry.last_timestamp = marker.timestamp;
        let first = entry.txn_first.take()?;
        self.open.remove(&first);
        self.ended.insert(first, marker.offset);
        let first_open = self.open.keys().next().copied();
        Some(EndedTxn {
            first,
            last_stable: first_open.unwrap_or(marker.offset.plus(1)),
        })
    }

    /// The high watermark moved: markers below it are shown.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.ended.retain(|_, marker| *marker >= high_watermark);
    }

    /// The first offset that readers of committed records must not reach.
    #[must_use]
    pub fn first_unstable(&self) -> Option<Offset> {
        let open = self.open.keys().next();
        let ended = self.ended.keys().next();
        open.into_iter().chain(ended).min().copied()
    }

    /// Forgets producers that wrote nothing since `horizon` and have no open transaction.
    pub fn expire(&mut self, horizon: TimestampMs) {
        self.entries
            .retain(|_, entry| entry.txn_first.is_some() || entry.last_timestamp > horizon);
    }

    /// Producers that changed at `offset` or later.
    pub fn changed_since(
        &self,
        offset: Offset,
    ) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.iter()
            .filter(move |(_, entry)| entry.changed_at >= offset)
    }

    fn entry(&mut self, producer: ProducerId, changed_at: Offset) -> &mut ProducerEntry {
        let entry = self.entries.entry(producer).or_insert(ProducerEntry {
            epoch: ProducerEpoch::NONE,
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp: TimestampMs::NONE,
            txn_first: None,
            batches: VecDeque::new(),
            changed_at,
        });
        entry.changed_at = changed_at;
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(producer: i64, base: i64, transactional: bool) -> DataBatch {
        DataBatch {
            producer: ProducerId(producer),
            epoch: ProducerEpoch(0),
            transactional,
            memo: BatchMemo {
                last_sequence: Sequence(base as i32 + 1),
                last_offset: Offset(base + 1),
                offset_delta: 1,
                timestamp: TimestampMs(base),
            },
        }
    }

    fn marker(producer: i64, offset: i64) -> Marker {
        Marker {
            producer: ProducerId(producer),
            epoch: ProducerEpoch(0),
            coordinator_epoch: 3,
            offset: Offset(offset),
            timestamp: TimestampMs(offset),
        }
    }

    #[test]
    fn five_batches_are_remembered_and_wrapped_sequences_found() {
        let mut producers = Producers::default();
        for base in [0, 2, 4, 6, 8, 10] {
            producers.on_batch(&batch(1, base, false));
        }
        let entry = producers.get(ProducerId(1)).unwrap();
        assert_eq!(entry.batches.len(), BATCHES_KEPT);
        assert!(entry.batch_with(Sequence(0), Sequence(1)).is_none());
        let found = entry.batch_with(Sequence(2), Sequence(3)).unwrap();
        assert_eq!(found.base_offset(), Offset(2));
        assert!(entry.batch_with(Sequence(2), Sequence(5)).is_none());
        let memo = BatchMemo {
            last_sequence: Sequence(3),
            offset_delta: 5,
            ..*found
        };
        assert_eq!(memo.base_sequence(), Sequence(i32::MAX - 1));
    }

    #[test]
    fn unstable_until_the_marker_is_shown() {
        let mut producers = Producers::default();
        producers.on_batch(&batch(1, 0, false));
        assert_eq!(producers.first_unstable(), None);
        producers.on_batch(&batch(2, 2, true));
        producers.on_batch(&batch(3, 4, true));
        producers.on_batch(&batch(2, 6, true));
        assert_eq!(producers.first_unstable(), Some(Offset(2)));
        let ended = producers.on_marker(&marker(2, 8)).unwrap();
        assert_eq!((ended.first, ended.last_stable), (Offset(2), Offset(4)));
        assert_eq!(producers.first_unstable(), Some(Offset(2)));
        producers.on_high_watermark(Offset(8));
        assert_eq!(producers.first_unstable(), Some(Offset(2)));
        producers.on_high_watermark(Offset(9));
        assert_eq!(producers.first_unstable(), Some(Offset(4)));
        let ended = producers.on_marker(&marker(3, 9)).unwrap();
        assert_eq!(ended.last_stable, Offset(10));
        assert_eq!(producers.on_marker(&marker(3, 10)), None);
        producers.on_high_watermark(Offset(11));
        assert_eq!(producers.first_unstable(), None);
    }

    #[test]
    fn expiry_spares_open_transactions() {
        let mut producers = Producers::default();
        producers.on_batch(&batch(1, 10, false));
        producers.on_batch(&batch(2, 12, true));
        producers.on_batch(&batch(3, 20, false));
        producers.expire(TimestampMs(15));
        let left: Vec<_> = producers.iter().map(|(id, _)| id.0).collect();
        assert_eq!(left, [2, 3]);
        let changed: Vec<_> = producers
            .changed_since(Offset(14))
            .map(|(id, _)| id.0)
            .collect();
        assert_eq!(changed, [3]);
    }

    #[test]
    fn a_new_epoch_forgets_the_old_batches() {
        let mut producers = Producers::default();
        producers.on_batch(&batch(1, 0, false));
        producers.on_marker(&Marker {
            epoch: ProducerEpoch(1),
            ..marker(1, 2)
        });
        let entry = producers.get(ProducerId(1)).unwrap();
        assert_eq!((entry.epoch.0, entry.batches.len()), (1, 0));
        assert_eq!(entry.coordinator_epoch, 3);
    }
}
