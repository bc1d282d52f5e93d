//! DeleteRecords: raises a partition's log start; answered when that is durable.
//!
//! Offset -1 is the high watermark; an offset above it, or any other negative one, is
//! OFFSET_OUT_OF_RANGE; one below the log start leaves the log as it is. A topic whose records are
//! kept by compaction alone is POLICY_VIOLATION, and an internal topic INVALID_TOPIC_EXCEPTION, as
//! in Kafka.

use std::rc::Rc;

use thalweg_coordinator::metadata::image::is_internal;
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Offset, PartitionId};
use thalweg_wire::messages::delete_records_request::DeleteRecordsRequestView;
use thalweg_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use crate::led::led_by_name;
use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{Fault, Query, QueryAnswer};
use crate::shard::questions::{Place, Questions};

/// Kafka's "everything visible".
const HIGH_WATERMARK: i64 = -1;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: DeleteRecordsRequestView<'_> = request.view()?;
    let mut questions = Questions::default();
    let mut topics = Vec::with_capacity(asked.topics.len());
    for (t, topic) in asked.topics.iter().enumerate() {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (p, part) in topic.partitions.iter().enumerate() {
            let mut row = DeleteRecordsPartitionResult {
                partition_index: part.partition_index,
                low_watermark: Offset::NONE.0,
                ..DeleteRecordsPartitionResult::default()
            };
            match check(core, topic.name, part.partition_index, part.offset) {
                Ok(id) => {
                    questions.ask((t, p), id, Query::DeleteRecords(Offset(part.offset)));
                }
                Err(code) => row.error_code = code.code(),
            }
            partitions.push(row);
        }
        topics.push(DeleteRecordsTopicResult {
            name: topic.name.to_owned().into(),
            partitions,
        });
    }
    let rows = |(t, p): Place, answer: Result<QueryAnswer, Fault>| {
        let topic = topics.get_mut(t);
        let Some(row) = topic.and_then(|topic| topic.partitions.get_mut(p)) else {
            return;
        };
        match answer {
            Ok(QueryAnswer::LogStart(start)) => row.low_watermark = start.0,
            Ok(_) => {}
            Err(fault) => row.error_code = fault.code.code(),
        }
    };
    core.fill(questions, rows).await;
    request.respond(&DeleteRecordsResponse {
        throttle_time_ms: 0,
        topics,
    })
}

fn check<D: Disk>(
    core: &ShardCore<D>,
    name: &str,
    index: i32,
    offset: i64,
) -> Result<PartitionId, ErrorCode> {
    if is_internal(name) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let image = core.image();
    let id = led_by_name(core.node.id, &image, name, index, -1)?;
    let topic = image
        .topics
        .named(name)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let config = core.topic_settings(topic).config;
    if config.compact && !config.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    if offset < HIGH_WATERMARK {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok(id)
}
