//! What a log knows of transactions: which were aborted, whose batches were verified, who writes.
//!
//! A transactional batch of a client is appended only if its producer's transaction is open in this
//! log already, or if the transaction's coordinator was asked *meanwhile* (KIP-890): who asks it
//! first takes a guard here, and shows it with the batch. A marker takes the guard away, so that a
//! batch which was on its way while its transaction ended never begins a new one that nobody ends.
//! Guards are memory only: after a restart the coordinator is asked again.
//!
//! Deliberately absent: the coordinator (the node asks it), markers (see `write.rs`).

use std::collections::BTreeMap;

use thalweg_wire::batch::BatchSummary;
use thalweg_wire::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::{AbortedSpan, AppendContext, AppendError, Log, Origin};
use crate::journal::entry::Place;
use crate::segment::segment::Indexes;
use crate::segment::txn_index::AbortedTxn;

/// Producers of one log that are verified at the same time. One more takes the place of another, whose batch
/// is then refused as unverified, and whose transaction is to be tried again.
const VERIFYING_MAX: usize = 10_000;

/// What shows that a transaction's coordinator was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// It need not be: `transaction.partition.verification.enable=false`, or no transaction.
    Waived,
    /// It was not asked.
    #[default]
    Missing,
    /// It was, by who holds this guard of [`Log::begin_verification`].
    Guard(u64),
}

/// A producer, as administrators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Its last sequence, -1 for none.
    pub last_sequence: Sequence,
    /// When it wrote last.
    pub last_timestamp: TimestampMs,
    /// Epoch of the coordinator that wrote its last marker, -1 for none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub txn_first: Option<Offset>,
}

/// One producer whose first batch of a transaction is being verified.
#[derive(Clone, Copy, Debug)]
struct Verifying {
    guard: u64,
    epoch: ProducerEpoch,
    /// The lowest sequence that anybody asked with: none above it may come first.
    lowest: Sequence,
    since: TimestampMs,
}

/// Guards by producer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verifications {
    open: BTreeMap<ProducerId, Verifying>,
    given: u64,
}

impl Verifications {
    fn guard_for(&mut self, batch: (ProducerId, ProducerEpoch, Sequence), now: TimestampMs) -> u64 {
        let (producer, epoch, sequence) = batch;
        if self.open.len() >= VERIFYING_MAX && !self.open.contains_key(&producer) {
            self.open.pop_first();
        }
        let given = &mut self.given;
        let entry = self.open.entry(producer).or_insert_with(|| {
            *given += 1;
            Verifying {
                guard: *given,
                epoch,
                lowest: sequence,
                since: now,
            }
        });
        if epoch > entry.epoch {
            entry.epoch = epoch;
            entry.lowest = sequence;
        } else if epoch == entry.epoch && sequence < entry.lowest {
            entry.lowest = sequence;
        }
        entry.guard
    }

    /// The producer's transaction has begun or ended here.
    pub(super) fn end(&mut self, producer: ProducerId) {
        self.open.remove(&producer);
    }

    pub(super) fn expire(&mut self, horizon: TimestampMs) {
        self.open.retain(|_, entry| entry.since > horizon);
    }
}

impl Log {
    /// Whether the coordinator must be asked before this producer's batch is appended; if so, the
    /// guard to show with it.
    pub fn begin_verification(
        &mut self,
        batch: (ProducerId, ProducerEpoch, Sequence),
        now: TimestampMs,
    ) -> Option<u64> {
        let (producer, epoch, _) = batch;
        let is_open = self.has_open_transaction(producer, epoch);
        (!is_open).then(|| self.verifications.guard_for(batch, now))
    }

    fn has_open_transaction(&self, producer: ProducerId, epoch: ProducerEpoch) -> bool {
        let entry = self.producers.get(producer);
        entry.is_some_and(|entry| entry.txn_first.is_some() && entry.epoch == epoch)
    }

    /// Refuses a transactional batch that nobody verified.
    pub(super) fn check_verified(
        &self,
        batch: &BatchSummary,
        context: &AppendContext,
    ) -> Result<(), AppendError> {
        let producer = batch.producer_id;
        if !batch.is_transactional()
            || context.origin == Origin::Replica
            || self.has_open_transaction(producer, batch.producer_epoch)
        {
            return Ok(());
        }
        let held = self.verifications.open.get(&producer);
        match context.verification {
            Verification::Waived => Ok(()),
            Verification::Guard(guard) if held.is_some_and(|held| held.guard == guard) => Ok(()),
            Verification::Guard(_) | Verification::Missing => {
                Err(AppendError::Unverified { producer })
            }
        }
    }

    /// Refuses a batch that would come before one of lower sequence which is still verified.
    pub(super) fn check_first(
        &self,
        batch: &BatchSummary,
        origin: Origin,
    ) -> Result<(), AppendError> {
        let held = self.verifications.open.get(&batch.producer_id);
        match held {
            Some(held)
                if origin == Origin::Client
                    && batch.is_transactional()
                    && batch.producer_epoch == held.epoch
                    && batch.base_sequence > held.lowest =>
            {
                Err(AppendError::OutOfOrderSequence {
                    producer: batch.producer_id,
                    last: held.lowest.0.saturating_sub(1),
                    got: batch.base_sequence.0,
                })
            }
            _ => Ok(()),
        }
    }

    /// Aborted transactions with records in the offsets from `from` to below `upper`.
    #[must_use]
    pub fn aborted(&self, from: Offset, upper: Offset) -> Vec<AbortedSpan> {
        let spans = self.aborted_txns(from, upper).into_iter();
        spans
            .map(|txn| AbortedSpan {
                producer: txn.producer,
                first: txn.first,
            })
            .collect()
    }

    /// The same with their markers' offsets, in the order of those: for who rewrites segments. A
    /// transaction whose records or marker lie in the range only in part is in it too.
    #[must_use]
    pub fn aborted_txns(&self, from: Offset, upper: Offset) -> Vec<AbortedTxn> {
        let mut found = Vec::new();
        for segment in self.segments.iter().filter(|s| s.next > from || !s.sealed) {
            for txn in segment.txn.entries() {
                if txn.last >= from && txn.first < upper {
                    found.push(*txn);
                }
                if txn.last_stable >= upper {
                    return found;
                }
            }
        }
        found
    }

    /// Aborted transactions that may have records among the `bytes` bytes at `place`, which begin
    /// with the batch of `from` and end below `upper`. As in Kafka, the end is looked for in the
    /// index: a few more are listed than there are.
    #[must_use]
    pub fn aborted_in(
        &self,
        (from, upper): (Offset, Offset),
        place: Place,
        bytes: usize,
    ) -> Vec<AbortedSpan> {
        let Some(segment) = self.segments.get(place.segment) else {
            return self.aborted(from, upper);
        };
        let end = place.position + bytes as u64;
        let indexed = match &segment.indexes {
            Indexes::Held(index, _) => index.offset_from(end),
            Indexes::OnDisk => None,
        };
        self.aborted(from, upper.min(indexed.unwrap_or(segment.next)))
    }

    /// All producers that are remembered, by id.
    #[must_use]
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        let rows = self.producers.iter().map(|(producer, entry)| {
            let last = entry.last_batch();
            ActiveProducer {
                producer,
                epoch: entry.epoch,
                last_sequence: last.map_or(Sequence::NONE, |batch| batch.last_sequence),
                last_timestamp: entry.last_timestamp,
                coordinator_epoch: entry.coordinator_epoch,
                txn_first: entry.txn_first,
            }
        });
        rows.collect()
    }
}
