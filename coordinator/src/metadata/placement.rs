//! Where a partition lives: on which brokers, and on which shard of a broker. Pure.
//!
//! The shard follows from the topic's id alone, so every shard computes it without asking. A topic's
//! partitions go round the shards from a start that its id chooses: few partitions spread evenly, and many
//! topics of one partition do too. Deliberately absent: racks, and moving what is placed.

use thalweg_wire::ids::{NodeId, PartitionId, ShardId, Uuid};

use super::image::Image;

/// The shard that owns the partition. The metadata log is shard 0's.
#[must_use]
pub fn shard_of(partition: PartitionId, shards: u16) -> ShardId {
    if partition.topic == Uuid::METADATA_TOPIC || shards <= 1 {
        return ShardId(0);
    }
    let index = u64::from(partition.index.0.unsigned_abs());
    let at = (start(partition.topic) + index) % u64::from(shards);
    ShardId(u16::try_from(at).unwrap_or(0))
}

/// A number that the topic's id chooses; ids are random, so folding is mixing enough.
fn start(topic: Uuid) -> u64 {
    let value = u128::from_be_bytes(topic.0);
    let bytes = ((value >> 64) ^ value).to_be_bytes();
    let [.., a, b, c, d] = bytes;
    u64::from(u32::from_be_bytes([a, b, c, d]))
}

/// Why replicas cannot be placed, in Kafka's words.
pub(crate) fn placement_refusal(image: &Image, factor: usize) -> Option<String> {
    let usable = image.active_brokers().count();
    if image.brokers.is_empty() || usable == 0 {
        return Some("All brokers are currently fenced.".to_owned());
    }
    let registered = image.brokers.len();
    (factor > registered).then(|| {
        format!(
            "The target replication factor of {factor} cannot be reached because only \
             {registered} broker(s) are registered."
        )
    })
}

/// The replicas of a topic's partition: active brokers in turn, then fenced ones if they must.
pub(crate) fn replicas(image: &Image, topic: Uuid, index: i32, factor: usize) -> Vec<NodeId> {
    let active: Vec<NodeId> = image.active_brokers().map(|broker| broker.id).collect();
    let fenced = image.brokers.values().filter(|broker| !broker.is_active());
    let first = start(topic).wrapping_add(u64::from(index.unsigned_abs()));
    let turn = usize::try_from(first % (active.len().max(1) as u64)).unwrap_or(0);
    let turned = active.iter().cycle().skip(turn).take(active.len()).copied();
    turned
        .chain(fenced.map(|broker| broker.id))
        .take(factor)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_wire::ids::PartitionIndex;

    fn of(topic: u128, index: i32, shards: u16) -> u16 {
        let topic = Uuid(topic.to_be_bytes());
        shard_of(
            PartitionId {
                topic,
                index: PartitionIndex(index),
            },
            shards,
        )
        .0
    }

    #[test]
    fn a_topics_partitions_go_round_the_shards() {
        let mut seen: Vec<u16> = (0..4).map(|index| of(0x1234_5678_9abc, index, 4)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
        assert_eq!(of(1, 17, 8), 0, "the metadata log is shard 0's");
        assert_eq!(of(99, 5, 1), 0);
    }

    #[test]
    fn topics_of_one_partition_spread() {
        let mut counts = [0; 4];
        for topic in 0..400_u128 {
            counts[usize::from(of((topic * 7919) << 40 | topic, 0, 4))] += 1;
        }
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    }
}
