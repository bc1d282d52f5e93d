//! AlterReplicaLogDirs: a node has one log directory, so a partition is there already or can't go anywhere.

use std::collections::BTreeMap;

use thalweg_coordinator::metadata::image::Image;
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{NodeId, PartitionIndex};
use thalweg_wire::messages::alter_replica_log_dirs_request::AlterReplicaLogDirsRequestView;
use thalweg_wire::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Bytes of a directory's name.
const NAME_BYTES_MAX: usize = 255;
/// What Kafka puts behind topic and partition while it moves one: a dot, an id, `-future`.
const FUTURE_BYTES: usize = 1 + 32 + "-future".len();

/// Answers the request.
pub fn handle<D: Disk>(core: &ShardCore<D>, request: &Request) -> Result<Answer, Refusal> {
    let asked: AlterReplicaLogDirsRequestView<'_> = request.view()?;
    let here = core.node.log_dir().display().to_string();
    let image = core.image();
    // A partition named twice goes where it was named last.
    let mut wanted: BTreeMap<(&str, i32), &str> = BTreeMap::new();
    for dir in asked.dirs.iter() {
        for topic in dir.topics.iter() {
            for index in topic.partitions.iter() {
                wanted.insert((topic.name, index), dir.path);
            }
        }
    }
    let mut results: Vec<AlterReplicaLogDirTopicResult<'static>> = Vec::new();
    for ((topic, index), path) in wanted {
        let code = judge(&image, core.node.id, (topic, index), path == here);
        if results.last().is_none_or(|last| last.topic_name != topic) {
            results.push(AlterReplicaLogDirTopicResult {
                topic_name: topic.to_owned().into(),
                partitions: Vec::new(),
            });
        }
        if let Some(last) = results.last_mut() {
            last.partitions.push(AlterReplicaLogDirPartitionResult {
                partition_index: index,
                error_code: code.code(),
            });
        }
    }
    request.respond(&AlterReplicaLogDirsResponse {
        throttle_time_ms: 0,
        results,
    })
}

/// In Kafka's order.
fn judge(image: &Image, node: NodeId, (topic, index): (&str, i32), is_here: bool) -> ErrorCode {
    if topic.len() + 1 + index.to_string().len() + FUTURE_BYTES > NAME_BYTES_MAX {
        return ErrorCode::InvalidTopicException;
    }
    if !is_here {
        return ErrorCode::LogDirNotFound;
    }
    let partition = image.topics.named(topic);
    match partition.and_then(|topic| topic.partition(PartitionIndex(index))) {
        None => ErrorCode::UnknownTopicOrPartition,
        Some(partition) if !partition.replicas.contains(&node) => ErrorCode::ReplicaNotAvailable,
        Some(_) => ErrorCode::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found_in_kafkas_order() {
        let image = Image::default();
        let code = |topic: &str, is_here| judge(&image, NodeId(1), (topic, 0), is_here);
        assert_eq!(code(&"a".repeat(213), false), ErrorCode::LogDirNotFound);
        assert_eq!(
            code(&"a".repeat(214), false),
            ErrorCode::InvalidTopicException
        );
        assert_eq!(code("a", true), ErrorCode::UnknownTopicOrPartition);
    }
}
