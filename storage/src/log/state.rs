//! Producer state as it leaves the log: snapshots and producer-state entries.
//!
//! A snapshot is a whole state, in Kafka's file. A state entry holds what changed since the newest
//! snapshot on disk, in our own encoding (version 1, little-endian, documented by `encode`): all
//! remembered batches of the producers that changed, the aborted transactions whose index is not
//! on disk, and the largest timestamp of the active segment. Snapshot, then entry, then the batches
//! from the entry's offset on are the state again.

use std::collections::VecDeque;

use thalweg_wire::batch::build::ControlType;
use thalweg_wire::batch::{BatchHeader, Records};
use thalweg_wire::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::Log;
use super::listing::Listing;
use crate::files::producers::{encode_snapshot, snapshot_of};
use crate::journal::entry::{Entry, EntrySink};
use crate::producers::{BATCHES_KEPT, BatchMemo, DataBatch, Marker, ProducerEntry};
use crate::segment::name::Kind;
use crate::segment::segment::Indexes;
use crate::segment::time_index::TimeEntry;
use crate::segment::txn_index::AbortedTxn;

/// Version of the entry's encoding.
const VERSION: u8 = 1;

/// What a batch means to producer state.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Records.
    Data(DataBatch),
    /// The end of a transaction.
    Marker {
        /// The marker.
        marker: Marker,
        /// Commit, or abort.
        commit: bool,
    },
}

/// What the batch means, if it has a producer id. `payload` is only read of control batches.
pub(super) fn event_of(header: &BatchHeader, payload: &[u8]) -> Option<Event> {
    let producer = header.producer_id();
    if producer.0 < 0 {
        return None;
    }
    if !header.attributes().is_control() {
        let delta = header.last_offset_delta();
        let last_sequence = match header.base_sequence() {
            Sequence(base) if base < 0 => Sequence::NONE,
            base => base.plus(delta),
        };
        return Some(Event::Data(DataBatch {
            producer,
            epoch: header.producer_epoch(),
            transactional: header.attributes().is_transactional(),
            memo: BatchMemo {
                last_sequence,
                last_offset: header.last_offset(),
                offset_delta: delta,
                timestamp: header.max_timestamp(),
            },
        }));
    }
    let record = Records::new(payload, header.record_count()).next()?.ok()?;
    let commit = match ControlType::of_key(record.key?)? {
        ControlType::Commit => true,
        ControlType::Abort => false,
        _ => return None,
    };
    // The value: version (2 bytes), then the coordinator's epoch.
    let epoch = *record.value?.get(2..)?.first_chunk::<4>()?;
    Some(Event::Marker {
        marker: Marker {
            producer,
            epoch: header.producer_epoch(),
            coordinator_epoch: i32::from_be_bytes(epoch),
            offset: header.base_offset(),
            timestamp: header.max_timestamp(),
        },
        commit,
    })
}

/// A state entry, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StateEntry {
    /// Batches from this offset on are not in it.
    pub(super) as_of: Offset,
    /// The segment that was active.
    pub(super) segment: Offset,
    /// Its largest timestamp.
    pub(super) max: Option<TimeEntry>,
    pub(super) producers: Vec<(ProducerId, ProducerEntry)>,
    pub(super) aborted: Vec<AbortedTxn>,
}

impl StateEntry {
    /// Without what the log cleaner took out since: aborted transactions that the file of a complete
    /// segment does not list.
    pub(super) fn without_cleaned(mut self, log: &Log, listing: &Listing) -> Self {
        self.aborted.retain(|txn| {
            let segment = log.segments.floor(txn.last);
            segment.is_none_or(|segment| {
                !matches!(segment.indexes, Indexes::OnDisk)
                    || listing.bytes(segment.base, Kind::TxnIndex).is_none()
            })
        });
        self
    }
}

impl Log {
    /// Tells the sink all state that is newer than the files on disk: log start, leader epochs,
    /// producers. Entries so far may be forgotten once these are durable.
    pub fn state_entries(&self, sink: &mut impl EntrySink) {
        let partition = self.spec.id;
        if self.log_start.0 > 0 {
            sink.push(Entry::LogStart {
                partition,
                offset: self.log_start,
            });
        }
        for entry in self.epochs.entries() {
            if !self.epochs_on_disk.entries().contains(entry) {
                sink.push(Entry::EpochStart {
                    partition,
                    epoch: entry.epoch,
                    start_offset: entry.start,
                });
            }
        }
        if self.next > self.snapshot_on_disk {
            let bytes = encode(&self.state_entry());
            sink.push(Entry::ProducerState {
                partition,
                bytes: &bytes,
            });
        }
    }

    fn state_entry(&self) -> StateEntry {
        let active = self.segments.active();
        let from = self.snapshot_on_disk;
        let unwritten = self.segments.iter().flat_map(|s| s.txn.entries());
        StateEntry {
            as_of: self.next,
            segment: active.base,
            max: active.max,
            producers: self
                .producers
                .changed_since(from)
                .map(|(id, entry)| (id, entry.clone()))
                .collect(),
            aborted: unwritten.filter(|txn| txn.last >= from).copied().collect(),
        }
    }

    /// The producer snapshot as of the log's end.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        encode_snapshot(
            self.producers
                .iter()
                .map(|(id, entry)| snapshot_of(id, entry)),
        )
    }

    pub(super) fn restore(&mut self, entry: StateEntry) {
        for (id, producer) in entry.producers {
            self.producers.restore(id, producer);
        }
        for txn in entry.aborted {
            if let Some(segment) = self.segments.holding_mut(txn.last) {
                segment.txn.push(txn);
            }
        }
    }
}

fn encode(entry: &StateEntry) -> Vec<u8> {
    let mut out = vec![VERSION];
    let max = entry.max.unwrap_or(TimeEntry {
        timestamp: TimestampMs::NONE,
        offset: Offset::NONE,
    });
    for number in [
        entry.as_of.0,
        entry.segment.0,
        max.timestamp.0,
        max.offset.0,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    put_count(&mut out, entry.producers.len());
    for (id, producer) in &entry.producers {
        encode_producer(&mut out, *id, producer);
    }
    put_count(&mut out, entry.aborted.len());
    for txn in &entry.aborted {
        for number in [txn.producer.0, txn.first.0, txn.last.0, txn.last_stable.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
    out
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("producers of a partition fit a u32");
    out.extend_from_slice(&count.to_le_bytes());
}

fn encode_producer(out: &mut Vec<u8>, id: ProducerId, producer: &ProducerEntry) {
    let txn_first = producer.txn_first.unwrap_or(Offset::NONE);
    out.extend_from_slice(&id.0.to_le_bytes());
    out.extend_from_slice(&producer.epoch.0.to_le_bytes());
    out.extend_from_slice(&producer.coordinator_epoch.to_le_bytes());
    out.extend_from_slice(&producer.last_timestamp.0.to_le_bytes());
    out.extend_from_slice(&txn_first.0.to_le_bytes());
    out.extend_from_slice(&producer.changed_at.0.to_le_bytes());
    put_count(out, producer.batches.len());
    for batch in &producer.batches {
        out.extend_from_slice(&batch.last_sequence.0.to_le_bytes());
        out.extend_from_slice(&batch.last_offset.0.to_le_bytes());
        out.extend_from_slice(&batch.offset_delta.to_le_bytes());
        out.extend_from_slice(&batch.timestamp.0.to_le_bytes());
    }
}

/// The entry, or `None` if it is not one of this version.
pub(super) fn decode(bytes: &[u8]) -> Option<StateEntry> {
    let mut input = Input { bytes };
    if input.take()? != [VERSION] {
        return None;
    }
    let mut entry = StateEntry {
        as_of: Offset(input.i64()?),
        segment: Offset(input.i64()?),
        ..StateEntry::default()
    };
    let timestamp = TimestampMs(input.i64()?);
    let offset = Offset(input.i64()?);
    entry.max = Some(TimeEntry { timestamp, offset });
    for _ in 0..input.i32()? {
        entry.producers.push(decode_producer(&mut input)?);
    }
    for _ in 0..input.i32()? {
        entry.aborted.push(AbortedTxn {
            producer: ProducerId(input.i64()?),
            first: Offset(input.i64()?),
            last: Offset(input.i64()?),
            last_stable: Offset(input.i64()?),
        });
    }
    input.bytes.is_empty().then_some(entry)
}

fn decode_producer(input: &mut Input<'_>) -> Option<(ProducerId, ProducerEntry)> {
    let id = ProducerId(input.i64()?);
    let mut producer = ProducerEntry {
        epoch: ProducerEpoch(i16::from_le_bytes(input.take()?)),
        coordinator_epoch: input.i32()?,
        last_timestamp: TimestampMs(input.i64()?),
        txn_first: Some(Offset(input.i64()?)).filter(|first| first.0 >= 0),
        changed_at: Offset(input.i64()?),
        batches: VecDeque::new(),
    };
    let count = input.i32()?;
    if usize::try_from(count).ok()? > BATCHES_KEPT {
        return None;
    }
    for _ in 0..count {
        producer.batches.push_back(BatchMemo {
            last_sequence: Sequence(input.i32()?),
            last_offset: Offset(input.i64()?),
            offset_delta: input.i32()?,
            timestamp: TimestampMs(input.i64()?),
        });
    }
    Some((id, producer))
}

/// What is left to decode.
struct Input<'a> {
    bytes: &'a [u8],
}

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*front)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_journal_and_cut_ones_are_refused() {
        let memo = BatchMemo {
            last_sequence: Sequence(4),
            last_offset: Offset(1004),
            offset_delta: 4,
            timestamp: TimestampMs(77),
        };
        let producer = ProducerEntry {
            epoch: ProducerEpoch(3),
            coordinator_epoch: 9,
            last_timestamp: TimestampMs(77),
            txn_first: Some(Offset(1000)),
            batches: VecDeque::from([memo, memo]),
            changed_at: Offset(1004),
        };
        let entry = StateEntry {
            as_of: Offset(1005),
            segment: Offset(900),
            max: Some(TimeEntry {
                timestamp: TimestampMs(99),
                offset: Offset(950),
            }),
            producers: vec![(ProducerId(5), producer)],
            aborted: vec![AbortedTxn {
                producer: ProducerId(6),
                first: Offset(901),
                last: Offset(905),
                last_stable: Offset(906),
            }],
        };
        let bytes = encode(&entry);
        assert_eq!(decode(&bytes), Some(entry));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
    }
}
