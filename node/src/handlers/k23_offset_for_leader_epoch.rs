//! OffsetForLeaderEpoch: where an epoch ended in this log, so that a client finds where its own
//! history leaves ours (KIP-320).

use std::rc::Rc;

use thalweg_storage::disk::Disk;
use thalweg_wire::ids::Epoch;
use thalweg_wire::messages::offset_for_leader_epoch_request::OffsetForLeaderEpochRequestView;
use thalweg_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use crate::led::led_by_name;
use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{Fault, Query, QueryAnswer};
use crate::shard::questions::{Place, Questions};

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: OffsetForLeaderEpochRequestView<'_> = request.view()?;
    let image = core.image();
    let mut questions = Questions::default();
    let mut topics = Vec::with_capacity(asked.topics.len());
    for (t, topic) in asked.topics.iter().enumerate() {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (p, part) in topic.partitions.iter().enumerate() {
            let mut row = EpochEndOffset {
                partition: part.partition,
                ..EpochEndOffset::default()
            };
            let expected = part.current_leader_epoch;
            match led_by_name(core.node.id, &image, topic.topic, part.partition, expected) {
                Ok(id) => {
                    questions.ask((t, p), id, Query::EpochEnd(Epoch(part.leader_epoch)));
                }
                Err(code) => row.error_code = code.code(),
            }
            partitions.push(row);
        }
        topics.push(OffsetForLeaderTopicResult {
            topic: topic.topic.to_owned().into(),
            partitions,
        });
    }
    let rows = |(t, p): Place, answer: Result<QueryAnswer, Fault>| {
        let topic = topics.get_mut(t);
        let Some(row) = topic.and_then(|topic| topic.partitions.get_mut(p)) else {
            return;
        };
        match answer {
            Ok(QueryAnswer::EpochEnd(end)) => {
                row.leader_epoch = end.epoch.0;
                row.end_offset = end.end.0;
            }
            Ok(_) => {}
            Err(fault) => row.error_code = fault.code.code(),
        }
    };
    core.fill(questions, rows).await;
    request.respond(&OffsetForLeaderEpochResponse {
        throttle_time_ms: 0,
        topics,
    })
}
