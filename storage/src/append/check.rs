//! Sequence and epoch of a batch against the producer's state. Pure.
//!
//! Rules, in Kafka's order: a batch that is remembered is a duplicate, whatever else holds; an
//! epoch below the held one is refused; in the held epoch the sequence must follow, in a new one it
//! must be 0; without state any sequence is taken (the state may have expired, or retention may
//! have removed it). Only clients' sequences are checked.

use thalweg_wire::batch::BatchSummary;
use thalweg_wire::ids::{ProducerEpoch, Sequence};

use crate::log::{AppendError, EndTxn, Origin};
use crate::producers::{BatchMemo, ProducerEntry};

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Append it.
    New,
    /// It is in the log already.
    Duplicate(BatchMemo),
}

/// Judges a data batch with a producer id.
pub(crate) fn check_batch(
    entry: Option<&ProducerEntry>,
    batch: &BatchSummary,
    origin: Origin,
) -> Result<Verdict, AppendError> {
    if origin == Origin::Replica {
        return Ok(Verdict::New);
    }
    let Some(entry) = entry else {
        // Whoever is not known yet holds no epoch, and nothing is below that.
        return match batch.producer_epoch < ProducerEpoch::NONE {
            true => Err(AppendError::InvalidProducerEpoch {
                producer: batch.producer_id,
                current: ProducerEpoch::NONE,
                got: batch.producer_epoch,
            }),
            false => Ok(Verdict::New),
        };
    };
    if origin == Origin::Client && batch.producer_epoch == entry.epoch {
        let found = entry.batch_with(batch.base_sequence, batch.last_sequence());
        if let Some(memo) = found {
            return Ok(Verdict::Duplicate(*memo));
        }
    }
    if batch.producer_epoch < entry.epoch {
        return Err(AppendError::InvalidProducerEpoch {
            producer: batch.producer_id,
            current: entry.epoch,
            got: batch.producer_epoch,
        });
    }
    if origin == Origin::Client && !follows(entry, batch) {
        return Err(AppendError::OutOfOrderSequence {
            producer: batch.producer_id,
            last: entry.last_batch().map_or(-1, |b| b.last_sequence.0),
            got: batch.base_sequence.0,
        });
    }
    if entry.txn_first.is_some() && !batch.is_transactional() {
        return Err(AppendError::InvalidTxnState {
            producer: batch.producer_id,
        });
    }
    Ok(Verdict::New)
}

/// What to do with a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkerVerdict {
    /// Append it.
    New,
    /// It was written before, and its transaction is over.
    Written,
}

/// Judges a marker. One that raises the epoch is written once: where the epoch is held already and no
/// transaction is open, its coordinator asks again because it did not hear the answer. (Kafka takes
/// such a marker and writes it twice; readers see no difference.)
pub(crate) fn check_marker(
    entry: Option<&ProducerEntry>,
    marker: &EndTxn,
) -> Result<MarkerVerdict, AppendError> {
    let Some(entry) = entry else {
        return Ok(MarkerVerdict::New);
    };
    let is_held = marker.raises_epoch && marker.epoch == entry.epoch;
    let is_last = marker.epoch.0 == i16::MAX;
    if marker.epoch < entry.epoch || (is_held && entry.txn_first.is_some() && !is_last) {
        return Err(AppendError::InvalidProducerEpoch {
            producer: marker.producer,
            current: entry.epoch,
            got: marker.epoch,
        });
    }
    if marker.coordinator_epoch < entry.coordinator_epoch {
        return Err(AppendError::CoordinatorFenced {
            producer: marker.producer,
            current: entry.coordinator_epoch,
            got: marker.coordinator_epoch,
        });
    }
    match is_held && entry.txn_first.is_none() {
        true => Ok(MarkerVerdict::Written),
        false => Ok(MarkerVerdict::New),
    }
}

fn follows(entry: &ProducerEntry, batch: &BatchSummary) -> bool {
    if entry.epoch == ProducerEpoch::NONE {
        return true;
    }
    let last = match entry.last_batch() {
        Some(last) if batch.producer_epoch == entry.epoch => last.last_sequence,
        _ => return batch.base_sequence == Sequence(0),
    };
    batch.base_sequence == last.plus(1)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use thalweg_wire::batch::{Attributes, Codec};
    use thalweg_wire::ids::{Offset, ProducerId, TimestampMs};

    use super::*;

    /// A producer in epoch 2 whose last batch had these sequences at offsets 100 and on.
    fn held(base: i32, last: i32) -> ProducerEntry {
        let delta = last.wrapping_sub(base) & i32::MAX;
        ProducerEntry {
            epoch: ProducerEpoch(2),
            coordinator_epoch: 5,
            last_timestamp: TimestampMs(0),
            txn_first: None,
            batches: VecDeque::from([BatchMemo {
                last_sequence: Sequence(last),
                last_offset: Offset(100 + i64::from(delta)),
                offset_delta: delta,
                timestamp: TimestampMs(0),
            }]),
            changed_at: Offset(0),
        }
    }

    fn batch(epoch: i16, base: i32, count: i32) -> BatchSummary {
        BatchSummary {
            bytes: 100,
            attributes: Attributes(0),
            codec: Codec::None,
            record_count: count,
            last_offset_delta: count - 1,
            base_timestamp: TimestampMs(0),
            max_timestamp: TimestampMs(0),
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(base),
        }
    }

    fn judge(entry: &ProducerEntry, batch: &BatchSummary) -> String {
        match check_batch(Some(entry), batch, Origin::Client) {
            Ok(Verdict::New) => "new".to_owned(),
            Ok(Verdict::Duplicate(memo)) => format!("duplicate of {}", memo.base_offset()),
            Err(AppendError::OutOfOrderSequence { last, .. }) => format!("gap after {last}"),
            Err(AppendError::InvalidProducerEpoch { current, .. }) => {
                format!("fenced by {current}")
            }
            Err(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn sequences_of_clients() {
        let wrap = i32::MAX;
        for (entry, batch, verdict) in [
            (held(0, 9), batch(2, 10, 3), "new"),
            (held(0, 9), batch(2, 0, 10), "duplicate of 100"),
            (held(0, 9), batch(2, 0, 9), "gap after 9"),
            (held(0, 9), batch(2, 11, 1), "gap after 9"),
            (held(0, 9), batch(1, 10, 1), "fenced by 2"),
            // A stale epoch is told so even with a remembered sequence.
            (held(0, 9), batch(1, 0, 10), "fenced by 2"),
            (held(0, 9), batch(3, 0, 1), "new"),
            (held(0, 9), batch(3, 10, 1), "gap after 9"),
            // After 2^31-1 comes 0, and a batch may lie across.
            (held(wrap - 1, wrap), batch(2, 0, 1), "new"),
            (held(wrap - 1, 2), batch(2, 3, 1), "new"),
            (held(wrap - 1, 2), batch(2, wrap - 1, 5), "duplicate of 100"),
        ] {
            assert_eq!(judge(&entry, &batch), verdict, "{entry:?} {batch:?}");
        }
        let unknown = check_batch(None, &batch(0, 77, 1), Origin::Client);
        assert_eq!(unknown, Ok(Verdict::New));
    }

    #[test]
    fn an_epoch_known_from_a_marker_starts_at_zero() {
        let mut entry = held(0, 9);
        entry.batches.clear();
        assert_eq!(judge(&entry, &batch(2, 0, 1)), "new");
        assert_eq!(judge(&entry, &batch(2, 10, 1)), "gap after -1");
        entry.epoch = ProducerEpoch::NONE;
        assert_eq!(judge(&entry, &batch(2, 10, 1)), "new");
    }

    #[test]
    fn coordinators_have_no_sequence_but_an_epoch() {
        let entry = held(0, 9);
        let judged = |epoch, origin| check_batch(Some(&entry), &batch(epoch, -1, 1), origin);
        assert_eq!(judged(2, Origin::Coordinator), Ok(Verdict::New));
        assert!(judged(1, Origin::Coordinator).is_err());
        assert_eq!(judged(1, Origin::Replica), Ok(Verdict::New));
    }

    #[test]
    fn who_is_not_known_has_an_epoch_all_the_same() {
        let judged = |epoch, origin| check_batch(None, &batch(epoch, 0, 1), origin);
        assert_eq!(judged(0, Origin::Client), Ok(Verdict::New));
        assert_eq!(judged(-1, Origin::Client), Ok(Verdict::New));
        assert_eq!(judged(-2, Origin::Replica), Ok(Verdict::New));
        let refused = AppendError::InvalidProducerEpoch {
            producer: ProducerId(7),
            current: ProducerEpoch::NONE,
            got: ProducerEpoch(-2),
        };
        assert_eq!(judged(-2, Origin::Client), Err(refused));
    }

    #[test]
    fn an_open_transaction_takes_no_plain_batch() {
        let mut entry = held(0, 9);
        entry.txn_first = Some(Offset(100));
        let refused = AppendError::InvalidTxnState {
            producer: ProducerId(7),
        };
        let judged = check_batch(Some(&entry), &batch(2, 10, 1), Origin::Client);
        assert_eq!(judged, Err(refused));
    }

    #[test]
    fn markers_by_epochs() {
        let marker = |epoch, coordinator_epoch| EndTxn {
            producer: ProducerId(7),
            epoch: ProducerEpoch(epoch),
            coordinator_epoch,
            commit: true,
            raises_epoch: false,
        };
        let entry = held(0, 9);
        let is_new = Ok(MarkerVerdict::New);
        assert_eq!(check_marker(Some(&entry), &marker(2, 5)), is_new);
        assert_eq!(check_marker(None, &marker(0, 0)), is_new);
        assert!(matches!(
            check_marker(Some(&entry), &marker(1, 5)),
            Err(AppendError::InvalidProducerEpoch { .. })
        ));
        assert!(matches!(
            check_marker(Some(&entry), &marker(2, 4)),
            Err(AppendError::CoordinatorFenced { got: 4, .. })
        ));
    }

    #[test]
    fn markers_that_raise_the_epoch_are_written_once() {
        let marker = |epoch| EndTxn {
            producer: ProducerId(7),
            epoch: ProducerEpoch(epoch),
            coordinator_epoch: 5,
            commit: false,
            raises_epoch: true,
        };
        let mut entry = held(0, 9);
        let judged = |entry: &ProducerEntry, epoch| check_marker(Some(entry), &marker(epoch));
        assert_eq!(judged(&entry, 2), Ok(MarkerVerdict::Written));
        assert_eq!(judged(&entry, 3), Ok(MarkerVerdict::New));
        entry.txn_first = Some(Offset(100));
        assert!(matches!(
            judged(&entry, 2),
            Err(AppendError::InvalidProducerEpoch { .. })
        ));
        assert_eq!(judged(&entry, 3), Ok(MarkerVerdict::New));
        entry.epoch = ProducerEpoch(i16::MAX);
        assert_eq!(judged(&entry, i16::MAX), Ok(MarkerVerdict::New));
    }
}
