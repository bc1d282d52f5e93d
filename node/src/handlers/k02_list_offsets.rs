//! ListOffsets: an offset by time, or by one of Kafka's names for times.
//!
//! Names below zero are valid from the version that introduced them: -1 latest, -2 earliest, -3 the
//! record with the largest timestamp (7), -4 earliest local (8), -5 latest tiered (9), -6 earliest
//! pending upload (11); any other is UNSUPPORTED_VERSION. Without tiered storage -4 is -2, and -5
//! and -6 find nothing. A consumer sees what is durable and below the high watermark, or below the
//! last stable offset; a partition that stands twice in one request is INVALID_REQUEST.

use std::collections::BTreeMap;
use std::rc::Rc;

use thalweg_storage::disk::Disk;
use thalweg_storage::log::TimestampQuery;
use thalweg_storage::store::Isolation;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{PartitionId, TimestampMs};
use thalweg_wire::messages::list_offsets_request::{
    ListOffsetsPartitionView, ListOffsetsRequestView,
};
use thalweg_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use crate::led::led_by_name;
use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{Fault, Query, QueryAnswer};
use crate::shard::questions::{Place, Questions};

/// The first version that tells the epoch.
const EPOCH: i16 = 4;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: ListOffsetsRequestView<'_> = request.view()?;
    let isolation = match asked.isolation_level {
        1 => Isolation::LastStable,
        _ => Isolation::HighWatermark,
    };
    let doubles = doubles(&asked);
    let mut questions = Questions::default();
    let mut topics = Vec::with_capacity(asked.topics.len());
    for (t, topic) in asked.topics.iter().enumerate() {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (p, part) in topic.partitions.iter().enumerate() {
            let double = doubles.contains_key(&(topic.name, part.partition_index));
            let (row, question) = plan(core, request.version, (topic.name, double), &part);
            if let Some((id, query)) = question {
                questions.ask((t, p), id, Query::Offset(query, isolation));
            }
            partitions.push(row);
        }
        topics.push(ListOffsetsTopicResponse {
            name: topic.name.to_owned().into(),
            partitions,
        });
    }
    let rows = |(t, p): Place, answer| {
        let topic = topics.get_mut(t);
        if let Some(row) = topic.and_then(|topic| topic.partitions.get_mut(p)) {
            fill(row, answer, request.version);
        }
    };
    core.fill(questions, rows).await;
    request.respond(&ListOffsetsResponse {
        throttle_time_ms: 0,
        topics,
    })
}

/// Partitions that are named more than once.
fn doubles<'a>(asked: &ListOffsetsRequestView<'a>) -> BTreeMap<(&'a str, i32), usize> {
    let mut counts = BTreeMap::new();
    for topic in asked.topics.iter() {
        for part in topic.partitions.iter() {
            *counts
                .entry((topic.name, part.partition_index))
                .or_insert(0) += 1;
        }
    }
    counts.retain(|_, count| *count > 1);
    counts
}

type Planned = (
    ListOffsetsPartitionResponse,
    Option<(PartitionId, TimestampQuery)>,
);

fn plan<D: Disk>(
    core: &ShardCore<D>,
    version: i16,
    (topic, double): (&str, bool),
    part: &ListOffsetsPartitionView,
) -> Planned {
    let row = ListOffsetsPartitionResponse {
        partition_index: part.partition_index,
        ..ListOffsetsPartitionResponse::default()
    };
    let refused = |code: ErrorCode| {
        let row = ListOffsetsPartitionResponse {
            error_code: code.code(),
            ..row.clone()
        };
        (row, None)
    };
    if double {
        return refused(ErrorCode::InvalidRequest);
    }
    let Some(query) = query(part.timestamp, version) else {
        return refused(ErrorCode::UnsupportedVersion);
    };
    let image = core.image();
    let epoch = part.current_leader_epoch;
    match led_by_name(core.node.id, &image, topic, part.partition_index, epoch) {
        Err(code) => refused(code),
        Ok(id) => (row, query.map(|query| (id, query))),
    }
}

/// What a timestamp asks for in that version: `Some(None)` finds nothing, `None` is not served.
#[expect(
    clippy::option_option,
    reason = "unknown names and names of nothing differ"
)]
fn query(timestamp: i64, version: i16) -> Option<Option<TimestampQuery>> {
    let since = |first: i16, query| (version >= first).then_some(query);
    match timestamp {
        LATEST => Some(Some(TimestampQuery::Latest)),
        EARLIEST => Some(Some(TimestampQuery::Earliest)),
        MAX_TIMESTAMP => since(7, Some(TimestampQuery::Max)),
        EARLIEST_LOCAL => since(8, Some(TimestampQuery::Earliest)),
        LATEST_TIERED => since(9, None),
        EARLIEST_PENDING_UPLOAD => since(11, None),
        time if time >= 0 => Some(Some(TimestampQuery::AtOrAfter(TimestampMs(time)))),
        _ => None,
    }
}

fn fill(row: &mut ListOffsetsPartitionResponse, answer: Result<QueryAnswer, Fault>, version: i16) {
    match answer {
        Ok(QueryAnswer::Offset(Some(found))) => {
            row.timestamp = found.timestamp.0;
            row.offset = found.offset.0;
            if version >= EPOCH {
                row.leader_epoch = found.epoch.0;
            }
        }
        // No record is that late: offset and timestamp stay -1.
        Ok(_) => {}
        Err(fault) => row.error_code = fault.code.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_times_begin_with_their_version() {
        for (timestamp, first) in [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
            for version in 1..=11 {
                let known = query(timestamp, version).is_some();
                assert_eq!(known, version >= first, "{timestamp} in {version}");
            }
        }
        assert_eq!(query(-7, 11), None);
        assert_eq!(query(i64::MIN, 11), None);
        let time = TimestampQuery::AtOrAfter(TimestampMs(0));
        assert_eq!(query(0, 1), Some(Some(time)));
    }
}
