//! DescribeTopicPartitions: topics by name, page by page.

use thalweg_wire::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequestView;
use thalweg_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

use super::{Leader, TOPIC_OPERATIONS, Viewpoint, offline};
use crate::controller::names::check_name;
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::{Image, Partition, Topic, is_internal, raw};

/// Answers a DescribeTopicPartitions request with at most `limit` partitions.
///
/// # Errors
/// INVALID_REQUEST when the cursor points before a topic's first partition, or to a topic that is not
/// among those named.
pub fn describe(
    image: &Image,
    viewpoint: &Viewpoint<'_>,
    request: &DescribeTopicPartitionsRequestView<'_>,
    limit: i32,
) -> Result<DescribeTopicPartitionsResponse<'static>, Refusal> {
    let cursor = request
        .cursor
        .map(|cursor| (cursor.topic_name, cursor.partition_index));
    if let Some((_, index)) = cursor.filter(|(_, index)| *index < 0) {
        let message =
            format!("DescribeTopicPartitionsRequest cursor partition must be valid: {index}");
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let mut names: Vec<&str> = request.topics.iter().map(|topic| topic.name).collect();
    let all = names.is_empty();
    if all {
        names = image
            .topics
            .iter()
            .map(|topic| topic.name.as_ref())
            .collect();
    }
    names.sort_unstable();
    names.dedup();
    let first = cursor.map_or("", |(name, _)| name);
    if cursor.is_some() && !all && !names.contains(&first) {
        let message = format!(
            "DescribeTopicPartitionsRequest topic list should contain the cursor topic: {first}"
        );
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let names = names.into_iter().filter(|name| *name >= first);
    // Asked for none or fewer, a page still makes progress.
    let room = request.response_partition_limit.min(limit).max(1);
    let mut room = usize::try_from(room).unwrap_or(1);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        if room == 0 {
            response.next_cursor = Some(next(name, 0));
            break;
        }
        let Some(topic) = image.topics.named(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        let from = cursor
            .filter(|(first, _)| *first == name)
            .map_or(0, |(_, index)| index);
        let mut partitions = topic.partitions.iter().filter(|(index, _)| index.0 >= from);
        let page = partitions.by_ref().take(room);
        let page: Vec<_> = page
            .map(|(index, p)| partition(image, viewpoint, index.0, p))
            .collect();
        room -= page.len();
        response.topics.push(of_topic(topic, page));
        if let Some((index, _)) = partitions.next() {
            response.next_cursor = Some(next(name, index.0));
            break;
        }
    }
    Ok(response)
}

fn next(name: &str, partition_index: i32) -> Cursor<'static> {
    Cursor {
        topic_name: name.to_owned().into(),
        partition_index,
    }
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic<'static> {
    let error = check_name(name)
        .err()
        .map_or(ErrorCode::UnknownTopicOrPartition, |r| r.code);
    DescribeTopicPartitionsResponseTopic {
        error_code: error as i16,
        name: Some(name.to_owned().into()),
        is_internal: is_internal(name),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn of_topic(
    topic: &Topic,
    partitions: Vec<DescribeTopicPartitionsResponsePartition>,
) -> DescribeTopicPartitionsResponseTopic<'static> {
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None as i16,
        name: Some(topic.name.to_string().into()),
        topic_id: topic.id,
        is_internal: topic.is_internal(),
        partitions,
        topic_authorized_operations: TOPIC_OPERATIONS,
    }
}

fn partition(
    image: &Image,
    viewpoint: &Viewpoint<'_>,
    index: i32,
    partition: &Partition,
) -> DescribeTopicPartitionsResponsePartition {
    let (leader, error) = match viewpoint.leader(image, partition) {
        Leader::At(leader) => (leader.0, ErrorCode::None),
        Leader::OtherListener => (-1, ErrorCode::ListenerNotFound),
        Leader::None => (-1, ErrorCode::LeaderNotAvailable),
    };
    DescribeTopicPartitionsResponsePartition {
        error_code: error as i16,
        partition_index: index,
        leader_id: leader,
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: raw(&partition.replicas),
        isr_nodes: raw(&partition.isr),
        eligible_leader_replicas: Some(raw(&partition.eligible)),
        last_known_elr: Some(raw(&partition.last_known_eligible)),
        offline_replicas: offline(image, partition),
    }
}
