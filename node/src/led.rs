//! Which partition a request means, and whether this node may answer for it.
//!
//! One rule for every API that goes to a partition's leader: the topic and partition exist, this
//! node leads, and the client's idea of the leader epoch is ours (kafka-notes D 15, KIP-320).
//! Deliberately absent: topics by id (the handlers that have ids look them up themselves).

use thalweg_coordinator::metadata::image::{Image, Topic};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Epoch, NodeId, PartitionId, PartitionIndex};

/// The partition of `topic`, if this node leads it in the epoch the client expects.
///
/// # Errors
/// UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH.
pub fn led(
    node: NodeId,
    topic: &Topic,
    index: PartitionIndex,
    expected: Epoch,
) -> Result<PartitionId, ErrorCode> {
    let partition = topic
        .partition(index)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if partition.leader != node {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    if expected != Epoch::UNKNOWN {
        if expected < partition.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if expected > partition.leader_epoch {
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
    }
    Ok(PartitionId {
        topic: topic.id,
        index,
    })
}

/// The same for a topic named by the client.
///
/// # Errors
/// As [`led`].
pub fn led_by_name(
    node: NodeId,
    image: &Image,
    name: &str,
    index: i32,
    expected: i32,
) -> Result<PartitionId, ErrorCode> {
    let topic = image
        .topics
        .named(name)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    led(node, topic, PartitionIndex(index), Epoch(expected))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use thalweg_coordinator::metadata::image::Partition;
    use thalweg_wire::ids::Uuid;

    use super::*;

    #[test]
    fn epochs_and_leaders_are_checked() {
        let partition = Partition {
            leader: NodeId(1),
            leader_epoch: Epoch(5),
            ..Partition::default()
        };
        let topic = Topic {
            id: Uuid([7; 16]),
            name: "t".into(),
            partitions: BTreeMap::from([(PartitionIndex(0), Arc::new(partition))]),
        };
        let ask =
            |node, index, epoch| led(NodeId(node), &topic, PartitionIndex(index), Epoch(epoch));
        let here = PartitionId {
            topic: topic.id,
            index: PartitionIndex(0),
        };
        for (node, index, epoch, expected) in [
            (1, 0, -1, Ok(here)),
            (1, 0, 5, Ok(here)),
            (1, 0, 4, Err(ErrorCode::FencedLeaderEpoch)),
            (1, 0, 6, Err(ErrorCode::UnknownLeaderEpoch)),
            (1, 1, -1, Err(ErrorCode::UnknownTopicOrPartition)),
            (2, 0, -1, Err(ErrorCode::NotLeaderOrFollower)),
        ] {
            assert_eq!(ask(node, index, epoch), expected, "{node} {index} {epoch}");
        }
    }
}
