//! InitProducerId with a transactional id: a new epoch, and nobody else has it.
//!
//! An open transaction is aborted first, with an epoch that nobody is given; the client asks again until its
//! markers are written. A repeated request is known by the epoch it names.

use std::collections::BTreeSet;

use thalweg_wire::ids::{ProducerEpoch, ProducerId, TimestampMs};

use super::shard::{Change, TxnShard, Worked, check_id};
use super::state::{EPOCH_LAST, Txn, TxnState};
use super::step::Answer;
use crate::error::ErrorCode;

impl TxnShard {
    pub(super) fn init(
        &self,
        (id, timeout_ms): (&str, i32),
        expected: Option<(ProducerId, ProducerEpoch)>,
        fresh: Option<ProducerId>,
        now: TimestampMs,
    ) -> Worked {
        let refused = |code| Worked::Answer(Answer::Producer(Err(code)));
        if let Err(code) = check_id(id) {
            return refused(code);
        }
        if timeout_ms <= 0 || timeout_ms > self.config.timeout_ms_max {
            return refused(ErrorCode::InvalidTransactionTimeout);
        }
        let (current, last_epoch) = match (self.ids.get(id), fresh) {
            (Some(slot), _) => (slot.txn.clone(), slot.last_epoch),
            (None, _) if self.ids.len() >= self.config.ids_max => {
                return refused(ErrorCode::CoordinatorNotAvailable);
            }
            (None, Some(fresh)) => (Txn::fresh(fresh, now), ProducerEpoch::NONE),
            (None, None) => return Worked::Answer(Answer::NeedsId),
        };
        if expected.is_some_and(|expected| !may_go_on(&current, expected)) {
            return refused(ErrorCode::ProducerFenced);
        }
        match current.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort => {
                return refused(ErrorCode::ConcurrentTransactions);
            }
            TxnState::Ongoing => return self.fence(id, &current, now),
            TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort => {}
        }
        let expected = expected.map(|(_, epoch)| epoch);
        let next = match next_producer(&current, (expected, last_epoch), fresh) {
            Ok(next) => next,
            Err(answer) => return Worked::Answer(answer),
        };
        let txn = Txn {
            producer: next.producer,
            next: ProducerId::NONE,
            epoch: next.epoch,
            timeout_ms,
            partitions: BTreeSet::new(),
            started: TimestampMs::NONE,
            ..current.to(TxnState::Empty, now)
        };
        Worked::Change(Box::new(Change {
            id: id.to_owned(),
            answer: Answer::Producer(Ok((txn.producer, txn.epoch))),
            last_epoch: next.last_epoch,
            txn,
        }))
    }

    fn fence(&self, id: &str, current: &Txn, now: TimestampMs) -> Worked {
        let mut change = self.aborted(id, current, now);
        change.answer = Answer::Producer(Err(ErrorCode::ConcurrentTransactions));
        Worked::Change(Box::new(change))
    }
}

/// Whether a producer that says who it was may go on: it is the current one, or the one before whose epochs are
/// used up, and which may not have heard of its new id.
fn may_go_on(current: &Txn, (producer, epoch): (ProducerId, ProducerEpoch)) -> bool {
    current.epoch == ProducerEpoch::NONE
        || producer == current.producer
        || (producer == current.previous && epoch.0 >= EPOCH_LAST)
}

struct Next {
    producer: ProducerId,
    epoch: ProducerEpoch,
    last_epoch: ProducerEpoch,
}

fn next_producer(
    current: &Txn,
    (expected, last_epoch): (Option<ProducerEpoch>, ProducerEpoch),
    fresh: Option<ProducerId>,
) -> Result<Next, Answer> {
    let is_current = expected.is_none_or(|epoch| epoch == current.epoch);
    if current.is_exhausted() && is_current {
        return Ok(Next {
            producer: fresh.ok_or(Answer::NeedsId)?,
            epoch: ProducerEpoch(0),
            last_epoch: expected.map_or(ProducerEpoch::NONE, |_| current.epoch),
        });
    }
    let bumped = ProducerEpoch(current.epoch.0.saturating_add(1));
    let (epoch, last_epoch) = match expected {
        None => (bumped, ProducerEpoch::NONE),
        Some(epoch) if current.epoch == ProducerEpoch::NONE || epoch == current.epoch => {
            (bumped, current.epoch)
        }
        Some(epoch) if epoch == last_epoch => (current.epoch, last_epoch),
        Some(_) => return Err(Answer::Producer(Err(ErrorCode::ProducerFenced))),
    };
    Ok(Next {
        producer: current.producer,
        epoch,
        last_epoch,
    })
}
