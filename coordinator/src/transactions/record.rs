//! The records of `__transaction_state` in Kafka's bytes, as Kafka 4.3.0 writes them, and back.
//!
//! Values are written in version 1 while `transaction.version` is finalized at 1 or more, else in version 0, which
//! has no tagged fields. Both are read. Topics of a value are in the order of their names, partitions in the order
//! of their numbers, where Kafka takes a hash map's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thalweg_wire::bytes::{DecodeError, EncodeError};
use thalweg_wire::ids::{ProducerEpoch, ProducerId, TimestampMs};
use thalweg_wire::messages::coordinator::{
    decode_key, decode_value, encode_key, encode_value, record_type,
};
use thalweg_wire::messages::transaction_log_key::{TransactionLogKey, TransactionLogKeyView};
use thalweg_wire::messages::transaction_log_value::{
    PartitionsSchema, TransactionLogValue, TransactionLogValueView,
};

use super::state::{Txn, TxnState};
use crate::groups::step::Record;

/// The only type of keys.
const TYPE_TXN: i16 = 0;

/// A record that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayError {
    /// Its bytes are not what its version says.
    Decode(DecodeError),
    /// A state that Kafka does not have, or never writes.
    State(i8),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(cause) => write!(f, "transaction record: {cause:?}"),
            Self::State(code) => write!(f, "transaction record with the unknown state {code}"),
        }
    }
}

impl std::error::Error for ReplayError {}

impl From<DecodeError> for ReplayError {
    fn from(cause: DecodeError) -> Self {
        Self::Decode(cause)
    }
}

/// The record of an id; without a transaction: that there is no such id any more.
pub(super) fn record(id: &str, txn: Option<&Txn>, level: i16) -> Result<Record, EncodeError> {
    let key = TransactionLogKey {
        transactional_id: id.to_owned().into(),
    };
    let version = i16::from(level >= 1);
    let value = txn.map(|txn| encode_value(&value(txn, version), version));
    Ok(Record {
        key: encode_key(&key)?,
        value: value.transpose()?,
    })
}

fn value(txn: &Txn, version: i16) -> TransactionLogValue<'static> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &txn.partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let partitions = topics.into_iter().map(|(topic, ids)| PartitionsSchema {
        topic: topic.to_owned().into(),
        partition_ids: ids,
    });
    let base = TransactionLogValue {
        producer_id: txn.producer.0,
        producer_epoch: txn.epoch.0,
        transaction_timeout_ms: txn.timeout_ms,
        transaction_status: txn.state as i8,
        transaction_partitions: (txn.state != TxnState::Empty).then(|| partitions.collect()),
        transaction_last_update_timestamp_ms: txn.updated.0,
        transaction_start_timestamp_ms: txn.started.0,
        ..TransactionLogValue::default()
    };
    if version == 0 {
        return base;
    }
    TransactionLogValue {
        previous_producer_id: txn.previous.0,
        next_producer_id: txn.next.0,
        client_transaction_version: txn.version,
        ..base
    }
}

/// Reads a record; `None` is one that nobody here keeps.
pub(super) fn read<'a>(
    key: &'a [u8],
    value: Option<&[u8]>,
) -> Result<Option<(&'a str, Option<Txn>)>, ReplayError> {
    if record_type(key)?.0 != TYPE_TXN {
        return Ok(None);
    }
    let key: TransactionLogKeyView<'_> = decode_key(key)?;
    let Some(value) = value else {
        return Ok(Some((key.transactional_id, None)));
    };
    let (value, _) = decode_value::<TransactionLogValueView<'_>>(value)?;
    let code = value.transaction_status;
    let state = TxnState::from_code(code).ok_or(ReplayError::State(code))?;
    let mut txn = Txn {
        producer: ProducerId(value.producer_id),
        previous: ProducerId(value.previous_producer_id),
        next: ProducerId(value.next_producer_id),
        epoch: ProducerEpoch(value.producer_epoch),
        timeout_ms: value.transaction_timeout_ms,
        state,
        started: TimestampMs(value.transaction_start_timestamp_ms),
        updated: TimestampMs(value.transaction_last_update_timestamp_ms),
        version: value.client_transaction_version,
        ..Txn::fresh(ProducerId::NONE, TimestampMs::NONE)
    };
    for topic in value.transaction_partitions.iter().flatten() {
        let name: Arc<str> = topic.topic.into();
        let ids = topic.partition_ids.iter();
        txn.partitions.extend(ids.map(|id| (name.clone(), id)));
    }
    Ok(Some((key.transactional_id, Some(txn))))
}
