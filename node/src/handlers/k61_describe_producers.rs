//! DescribeProducers: who writes to a partition, and since which offset a transaction is open there.

use std::rc::Rc;

use thalweg_storage::disk::Disk;
use thalweg_storage::log::ActiveProducer;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{PartitionId, PartitionIndex};
use thalweg_wire::messages::describe_producers_request::DescribeProducersRequestView;
use thalweg_wire::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{Query, QueryAnswer};
use crate::shard::questions::Questions;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: DescribeProducersRequestView<'_> = request.view()?;
    let image = core.image();
    let mut questions = Questions::default();
    let mut response = DescribeProducersResponse::default();
    for (t, topic) in asked.topics.iter().enumerate() {
        let known = image.topics.named(topic.name);
        let mut partitions = Vec::new();
        for (p, index) in topic.partition_indexes.iter().enumerate() {
            let index = PartitionIndex(index);
            let found = known.and_then(|topic| Some((topic.id, topic.partition(index)?)));
            let code = match found {
                None => ErrorCode::UnknownTopicOrPartition,
                Some((_, partition)) if partition.leader != core.node.id => {
                    ErrorCode::NotLeaderOrFollower
                }
                Some((topic, _)) => {
                    questions.ask((t, p), PartitionId { topic, index }, Query::Producers);
                    ErrorCode::None
                }
            };
            partitions.push(PartitionResponse {
                partition_index: index.0,
                error_code: code.code(),
                ..PartitionResponse::default()
            });
        }
        response.topics.push(TopicResponse {
            name: topic.name.to_owned().into(),
            partitions,
        });
    }
    core.fill(questions, |(t, p), answer| {
        let topic = response.topics.get_mut(t);
        let Some(row) = topic.and_then(|topic| topic.partitions.get_mut(p)) else {
            return;
        };
        match answer {
            Ok(QueryAnswer::Producers(producers)) => {
                row.active_producers = producers.iter().map(state).collect();
            }
            Ok(_) => row.error_code = ErrorCode::UnknownServerError.code(),
            Err(fault) => row.error_code = fault.code.code(),
        }
    })
    .await;
    request.respond(&response)
}

fn state(producer: &ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.producer.0,
        producer_epoch: i32::from(producer.epoch.0),
        last_sequence: producer.last_sequence.0,
        last_timestamp: producer.last_timestamp.0,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.txn_first.map_or(-1, |first| first.0),
    }
}
