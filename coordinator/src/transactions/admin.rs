//! DescribeTransactions and ListTransactions: what the records say, for administrators.

use std::collections::BTreeMap;

use thalweg_wire::ids::TimestampMs;
use thalweg_wire::messages::describe_transactions_response::{
    TopicData, TransactionState as Described,
};
use thalweg_wire::messages::list_transactions_response::TransactionState as Listed;

use super::shard::TxnShard;
use super::state::{Txn, TxnState};
use super::step::{Answer, Filter};
use crate::error::ErrorCode;

impl TxnShard {
    pub(super) fn describe(&self, ids: &[String]) -> Answer {
        let rows = ids.iter().map(|id| match (id.is_empty(), self.txn(id)) {
            (true, _) => failed(id, ErrorCode::InvalidRequest),
            (false, None) => failed(id, ErrorCode::TransactionalIdNotFound),
            (false, Some(txn)) => described(id, txn),
        });
        Answer::Described(rows.collect())
    }

    pub(super) fn list(&self, filter: &Filter, now: TimestampMs) -> Answer {
        let states = known_states(filter);
        let is_wanted = |txn: &Txn| {
            let runs = now.0.saturating_sub(txn.started.0);
            (filter.producers.is_empty() || filter.producers.contains(&txn.producer.0))
                && (filter.states.is_empty() || states.contains(&txn.state))
                && (filter.duration_ms < 0 || runs > filter.duration_ms)
        };
        let rows = self.txns().filter(|(_, txn)| is_wanted(txn));
        let rows = rows.map(|(id, txn)| Listed {
            transactional_id: id.to_owned().into(),
            producer_id: txn.producer.0,
            transaction_state: txn.state.name().into(),
        });
        Answer::Listed(rows.collect())
    }
}

fn known_states(filter: &Filter) -> Vec<TxnState> {
    let named = |state: &TxnState| filter.states.iter().any(|name| name == state.name());
    TxnState::ALL.into_iter().filter(named).collect()
}

fn failed(id: &str, code: ErrorCode) -> Described<'static> {
    Described {
        transactional_id: id.to_owned().into(),
        error_code: code as i16,
        ..Described::default()
    }
}

fn described(id: &str, txn: &Txn) -> Described<'static> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &txn.partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| TopicData {
        topic: topic.to_owned().into(),
        partitions,
    });
    Described {
        error_code: 0,
        transactional_id: id.to_owned().into(),
        transaction_state: txn.state.name().into(),
        transaction_timeout_ms: txn.timeout_ms,
        transaction_start_time_ms: txn.started.0,
        producer_id: txn.producer.0,
        producer_epoch: txn.epoch.0,
        topics: topics.collect(),
    }
}
