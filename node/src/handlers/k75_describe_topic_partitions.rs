//! DescribeTopicPartitions: topics by name, page by page, with eligible leader replicas.
//!
//! A page holds at most `max.request.partition.size.limit` partitions, as in Kafka.

use thalweg_coordinator::answer::topic_partitions::describe;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequestView;
use thalweg_wire::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponse;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::viewpoint::Seat;

/// Kafka's default of `max.request.partition.size.limit`.
const PARTITIONS_MAX: i32 = 2_000;

/// Answers the request.
pub fn handle<D: Disk>(core: &ShardCore<D>, request: &Request) -> Result<Answer, Refusal> {
    let asked: DescribeTopicPartitionsRequestView<'_> = request.view()?;
    let image = core.image();
    let seat = Seat::of(&core.node, &request.origin);
    let key = "max.request.partition.size.limit";
    let limit = core.node.broker_configs.number(&image, key);
    let limit = limit.map_or(PARTITIONS_MAX, |limit| {
        i32::try_from(limit).unwrap_or(i32::MAX)
    });
    match describe(&image, &seat.viewpoint(), &asked, limit) {
        Ok(response) => request.respond(&response),
        // The whole request is refused; the response has no field for it but each topic's.
        Err(refusal) => {
            let topics = asked.topics.iter().map(|topic| {
                use thalweg_wire::messages::describe_topic_partitions_response as out;
                out::DescribeTopicPartitionsResponseTopic {
                    error_code: refusal.code.code(),
                    name: Some(topic.name.to_owned().into()),
                    ..out::DescribeTopicPartitionsResponseTopic::default()
                }
            });
            request.respond(&DescribeTopicPartitionsResponse {
                topics: topics.collect(),
                ..DescribeTopicPartitionsResponse::default()
            })
        }
    }
}
