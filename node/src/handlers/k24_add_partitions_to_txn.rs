//! AddPartitionsToTxn: partitions become part of a transaction, or are asked about.
//!
//! Clients before transaction version 2 send it before they write (versions 0 to 3, one transaction); brokers
//! send it for theirs, several transactions at once. A partition that does not exist leaves the others untried.

use std::rc::Rc;
use std::sync::Arc;

use thalweg_coordinator::transactions::state::TxnPartition;
use thalweg_coordinator::transactions::step::{Answer as Said, Ask, Identity};
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{PartitionIndex, ProducerEpoch, ProducerId};
use thalweg_wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequestView, AddPartitionsToTxnTopicView,
};
use thalweg_wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::transactions::route;

/// The first version that names several transactions.
const BATCHED: i16 = 4;
/// The first version of transaction version 2.
const RAISES_EPOCH: i16 = 5;
/// The first version that tells PRODUCER_FENCED.
const FENCED: i16 = 2;

/// One transaction of the request.
struct Asked {
    who: Identity,
    verify: bool,
    partitions: Vec<TxnPartition>,
}

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: AddPartitionsToTxnRequestView<'_> = request.view()?;
    let mut response = AddPartitionsToTxnResponse::default();
    if request.version < BATCHED {
        let who = Identity {
            id: asked.v3_and_below_transactional_id.to_owned(),
            producer: ProducerId(asked.v3_and_below_producer_id),
            epoch: ProducerEpoch(asked.v3_and_below_producer_epoch),
        };
        let one = Asked {
            who,
            verify: false,
            partitions: named(asked.v3_and_below_topics.iter()),
        };
        let codes = work(core, request.version, &one).await;
        response.results_by_topic_v3_and_below = rows(&one.partitions, &codes);
        return request.respond(&response);
    }
    for transaction in asked.transactions.iter() {
        let one = Asked {
            who: Identity {
                id: transaction.transactional_id.to_owned(),
                producer: ProducerId(transaction.producer_id),
                epoch: ProducerEpoch(transaction.producer_epoch),
            },
            verify: transaction.verify_only,
            partitions: named(transaction.topics.iter()),
        };
        let codes = work(core, request.version, &one).await;
        response
            .results_by_transaction
            .push(AddPartitionsToTxnResult {
                transactional_id: one.who.id.clone().into(),
                topic_results: rows(&one.partitions, &codes),
            });
    }
    request.respond(&response)
}

fn named<'a>(topics: impl Iterator<Item = AddPartitionsToTxnTopicView<'a>>) -> Vec<TxnPartition> {
    let mut list = Vec::new();
    for topic in topics {
        let name: Arc<str> = topic.name.into();
        let partitions = topic.partitions.iter();
        list.extend(partitions.map(|index| (Arc::clone(&name), index)));
    }
    list
}

/// A code for each partition, in order.
async fn work<D: Disk>(core: &Rc<ShardCore<D>>, version: i16, asked: &Asked) -> Vec<ErrorCode> {
    let count = asked.partitions.len();
    let image = core.image();
    let exists = |(name, index): &TxnPartition| {
        let topic = image.topics.named(name);
        topic.is_some_and(|topic| topic.partition(PartitionIndex(*index)).is_some())
    };
    if !asked.partitions.iter().all(exists) {
        let codes = asked.partitions.iter().map(|one| match exists(one) {
            true => ErrorCode::OperationNotAttempted,
            false => ErrorCode::UnknownTopicOrPartition,
        });
        return codes.collect();
    }
    let (who, partitions) = (asked.who.clone(), asked.partitions.clone());
    let question = match asked.verify {
        true => Ask::Verify { who, partitions },
        false => Ask::Add {
            who,
            partitions,
            version: if version >= RAISES_EPOCH { 2 } else { 0 },
        },
    };
    let code = match route::ask(core, &asked.who.id, question).await {
        Ok(Said::Added(ErrorCode::ProducerFenced)) if version < FENCED => {
            ErrorCode::InvalidProducerEpoch
        }
        Ok(Said::Added(code)) => code,
        Ok(Said::Verified(codes)) => return codes,
        Ok(_) => ErrorCode::UnknownServerError,
        Err(code) => code,
    };
    vec![code; count]
}

/// Rows by topic, in the order of the request.
fn rows(
    partitions: &[TxnPartition],
    codes: &[ErrorCode],
) -> Vec<AddPartitionsToTxnTopicResult<'static>> {
    let mut topics: Vec<AddPartitionsToTxnTopicResult<'static>> = Vec::new();
    for ((name, index), code) in partitions.iter().zip(codes) {
        if topics.last().is_none_or(|last| *last.name != **name) {
            topics.push(AddPartitionsToTxnTopicResult {
                name: name.to_string().into(),
                results_by_partition: Vec::new(),
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic
                .results_by_partition
                .push(AddPartitionsToTxnPartitionResult {
                    partition_index: *index,
                    partition_error_code: code.code(),
                });
        }
    }
    topics
}
