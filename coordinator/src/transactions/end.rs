//! The end of a transaction: decided by the client or by the coordinator, complete once its markers are written.
//!
//! With version 2 the end raises the epoch, so the epoch that a request names tells a repeated request from the
//! next one, and a transaction without partitions may be aborted: a client that does not know whether its batch
//! began one has to end it.

use thalweg_wire::ids::{ProducerEpoch, ProducerId, TimestampMs};

use super::shard::{Change, TxnShard, Worked, answered, check_id};
use super::state::{EPOCH_LAST, RAISES_EPOCH, Txn, TxnState};
use super::step::{Answer, Identity, Step};
use crate::error::ErrorCode;
use crate::groups::step::Token;

/// What an end comes to before anything is written.
enum Verdict {
    /// It is the repetition of one that is complete.
    Done,
    /// The transaction is decided; `empty`: it never began.
    Decide { empty: bool },
}

impl TxnShard {
    pub(super) fn end(
        &self,
        who: &Identity,
        (commit, version): (bool, i16),
        fresh: Option<ProducerId>,
        now: TimestampMs,
    ) -> Worked {
        let refused = |code| Worked::Answer(Answer::Producer(Err(code)));
        if let Err(code) = check_id(&who.id) {
            return refused(code);
        }
        let Some(slot) = self.ids.get(&*who.id) else {
            return refused(ErrorCode::InvalidProducerIdMapping);
        };
        let current = &slot.txn;
        let raises = version >= RAISES_EPOCH;
        let verdict = match raises {
            true => judge(current, who, commit),
            false => judge_plain(current, who, commit),
        };
        let empty = match verdict {
            Err(code) => return refused(code),
            Ok(Verdict::Done) => {
                let same = (current.producer, current.epoch);
                return Worked::Answer(Answer::Producer(Ok(same)));
            }
            Ok(Verdict::Decide { empty }) => empty,
        };
        let next = match (raises && current.is_exhausted(), fresh) {
            (false, _) => ProducerId::NONE,
            (true, Some(fresh)) => fresh,
            (true, None) => return Worked::Answer(Answer::NeedsId),
        };
        let state = match commit {
            true => TxnState::PrepareCommit,
            false => TxnState::PrepareAbort,
        };
        let mut txn = Txn {
            next,
            version,
            ..current.to(state, now)
        };
        let mut last_epoch = slot.last_epoch;
        if raises {
            txn.epoch = raised(current.epoch);
            last_epoch = current.epoch;
        }
        if empty {
            txn.started = now;
        }
        let told = match next {
            ProducerId::NONE => (txn.producer, txn.epoch),
            next => (next, ProducerEpoch(0)),
        };
        Worked::Change(Box::new(Change {
            id: who.id.clone(),
            txn,
            last_epoch,
            answer: Answer::Producer(Ok(told)),
        }))
    }

    /// The abort by the coordinator, with an epoch that fences the producer.
    pub(super) fn aborted(&self, id: &str, current: &Txn, now: TimestampMs) -> Change {
        let mut txn = current.to(TxnState::PrepareAbort, now);
        txn.epoch = raised(current.epoch);
        txn.version = self.config.level.max(txn.version);
        let last_epoch = match txn.version >= RAISES_EPOCH {
            true => current.epoch,
            false => ProducerEpoch::NONE,
        };
        Change {
            id: id.to_owned(),
            txn,
            last_epoch,
            answer: Answer::Producer(Err(ErrorCode::ConcurrentTransactions)),
        }
    }

    /// Aborts a transaction that took too long, if it is still open.
    pub(super) fn abort_overdue(&self, id: &str, now: TimestampMs) -> Step {
        match self.ids.get(id) {
            Some(slot) if slot.txn.state == TxnState::Ongoing => {
                self.propose(self.aborted(id, &slot.txn, now), None)
            }
            _ => Step::default(),
        }
    }

    /// All markers are written: the transaction is complete. Who tells hears when that is logged.
    pub(super) fn marked(
        &self,
        token: Token,
        id: &str,
        job: (ProducerId, ProducerEpoch),
        now: TimestampMs,
    ) -> Step {
        let answer = Answer::Added(ErrorCode::None);
        let slot = self.ids.get(id);
        let is_due = |txn: &Txn| txn.state.is_prepared() && (txn.producer, txn.epoch) == job;
        let Some(slot) = slot.filter(|slot| is_due(&slot.txn)) else {
            return answered(token, answer);
        };
        let current = &slot.txn;
        let state = match current.commits() {
            true => TxnState::CompleteCommit,
            false => TxnState::CompleteAbort,
        };
        let mut txn = current.to(state, now);
        txn.partitions.clear();
        if current.next != ProducerId::NONE {
            txn.producer = current.next;
            txn.next = ProducerId::NONE;
            txn.epoch = ProducerEpoch(0);
        }
        let change = Change {
            id: id.to_owned(),
            txn,
            last_epoch: slot.last_epoch,
            answer,
        };
        self.propose(change, Some(token))
    }
}

/// The epoch after; the last one stays.
fn raised(epoch: ProducerEpoch) -> ProducerEpoch {
    ProducerEpoch(epoch.0.saturating_add(1))
}

/// Version 0 and 1: the epoch is the same before and after the end.
fn judge_plain(current: &Txn, who: &Identity, commit: bool) -> Result<Verdict, ErrorCode> {
    if current.producer != who.producer {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if current.epoch != who.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match current.state {
        TxnState::Ongoing => Ok(Verdict::Decide { empty: false }),
        TxnState::Empty => Err(ErrorCode::InvalidTxnState),
        _ if current.commits() != commit => Err(ErrorCode::InvalidTxnState),
        TxnState::PrepareCommit | TxnState::PrepareAbort => Err(ErrorCode::ConcurrentTransactions),
        TxnState::CompleteCommit | TxnState::CompleteAbort => Ok(Verdict::Done),
    }
}

/// Version 2.
fn judge(current: &Txn, who: &Identity, commit: bool) -> Result<Verdict, ErrorCode> {
    let raises = current.version >= RAISES_EPOCH;
    let is_same = who.epoch == current.epoch;
    // The answer to the request that raised the epoch was not heard, or that which gave a new id.
    let is_behind = raises && i32::from(current.epoch.0) == i32::from(who.epoch.0) + 1;
    let is_rotated = raises
        && current.previous == who.producer
        && current.producer != who.producer
        && who.epoch.0 == EPOCH_LAST
        && current.epoch.0 == 0;
    let is_known = match current.state {
        TxnState::Ongoing | TxnState::Empty => is_same,
        TxnState::PrepareCommit | TxnState::PrepareAbort => is_behind,
        TxnState::CompleteCommit | TxnState::CompleteAbort => is_same || is_behind || is_rotated,
    };
    if current.producer != who.producer && !is_rotated {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if !is_known {
        return Err(ErrorCode::ProducerFenced);
    }
    let is_retry = is_behind || is_rotated;
    match current.state {
        TxnState::Ongoing => Ok(Verdict::Decide { empty: false }),
        TxnState::Empty if commit => Err(ErrorCode::InvalidTxnState),
        TxnState::Empty => Ok(Verdict::Decide { empty: true }),
        TxnState::PrepareCommit | TxnState::PrepareAbort => match current.commits() == commit {
            true => Err(ErrorCode::ConcurrentTransactions),
            false => Err(ErrorCode::InvalidTxnState),
        },
        TxnState::CompleteCommit | TxnState::CompleteAbort => {
            match (is_retry, current.commits() == commit) {
                (true, true) => Ok(Verdict::Done),
                (false, _) if !commit => Ok(Verdict::Decide { empty: true }),
                _ => Err(ErrorCode::InvalidTxnState),
            }
        }
    }
}
