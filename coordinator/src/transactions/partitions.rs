//! Partitions of a transaction: added by the client or by the broker it writes to, and verified for the latter.

use thalweg_wire::ids::TimestampMs;

use super::shard::{Change, Slot, TxnShard, Worked, check_id};
use super::state::{Txn, TxnPartition, TxnState};
use super::step::{Answer, Identity};
use crate::error::ErrorCode;

impl TxnShard {
    pub(super) fn add(
        &self,
        who: &Identity,
        partitions: &[TxnPartition],
        version: i16,
        now: TimestampMs,
    ) -> Worked {
        let slot = match self.of_producer(who) {
            Ok(slot) => slot,
            Err(code) => return Worked::Answer(Answer::Added(code)),
        };
        let current = &slot.txn;
        if current.state.is_prepared() {
            return Worked::Answer(Answer::Added(ErrorCode::ConcurrentTransactions));
        }
        let is_open = current.state == TxnState::Ongoing;
        if is_open
            && partitions
                .iter()
                .all(|one| current.partitions.contains(one))
        {
            return Worked::Answer(Answer::Added(ErrorCode::None));
        }
        let mut txn = Txn {
            started: if is_open { current.started } else { now },
            version,
            ..current.to(TxnState::Ongoing, now)
        };
        txn.partitions.extend(partitions.iter().cloned());
        Worked::Change(Box::new(Change {
            id: who.id.clone(),
            txn,
            last_epoch: slot.last_epoch,
            answer: Answer::Added(ErrorCode::None),
        }))
    }

    pub(super) fn verify(&self, who: &Identity, partitions: &[TxnPartition]) -> Answer {
        let all = |code| Answer::Verified(partitions.iter().map(|_| code).collect());
        let current = match self.of_producer(who) {
            Ok(slot) => &slot.txn,
            Err(code) => return all(code),
        };
        if current.state.is_prepared() {
            return all(ErrorCode::ConcurrentTransactions);
        }
        let codes = partitions
            .iter()
            .map(|one| match current.partitions.contains(one) {
                true => ErrorCode::None,
                false => ErrorCode::TransactionAbortable,
            });
        Answer::Verified(codes.collect())
    }

    /// The id of a producer that is who it says it is.
    fn of_producer(&self, who: &Identity) -> Result<&Slot, ErrorCode> {
        check_id(&who.id)?;
        let slot = self.ids.get(&*who.id);
        let slot = slot.ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if slot.txn.producer != who.producer {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if slot.txn.epoch != who.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(slot)
    }
}
