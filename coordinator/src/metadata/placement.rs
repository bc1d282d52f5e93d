//! Where a partition lives: on which brokers, and on which shard of a broker. Pure.
//!
//! The shard follows from the topic's id alone, so every shard computes it without asking. A topic's
//! partitions go round the shards from a start that its id chooses: few partitions spread evenly, and many
//! topics of one partition do too. The metadata log is shard 0's, where the coordinator runs; on larger
//! machines that shard owns nothing else, so that no load on partitions delays the coordinator.
//! Deliberately absent: racks, and moving what is placed.

use thalweg_wire::ids::{NodeId, PartitionId, ShardId, Uuid};

use super::image::Image;

/// With so many shards or more the coordinator's owns no partitions, if nothing else is wished.
pub const OWN_SHARD_FROM: u16 = 4;

/// The shards of a node, as far as placing partitions goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shards {
    count: u16,
    /// The first shard that owns partitions.
    first: u16,
}

impl Shards {
    /// `own`: whether the coordinator's shard owns the metadata log alone; without a wish, from
    /// [`OWN_SHARD_FROM`] shards on. A lone shard owns everything.
    #[must_use]
    pub fn new(count: u16, own: Option<bool>) -> Self {
        let own = own.unwrap_or(count >= OWN_SHARD_FROM) && count > 1;
        Self {
            count: count.max(1),
            first: u16::from(own),
        }
    }

    /// The shard that owns the partition. The metadata log is shard 0's.
    #[must_use]
    pub fn owner(self, partition: PartitionId) -> ShardId {
        if partition.topic == Uuid::METADATA_TOPIC {
            return ShardId(0);
        }
        let index = u64::from(partition.index.0.unsigned_abs());
        let at = (start(partition.topic) + index) % u64::from(self.count - self.first);
        ShardId(self.first + u16::try_from(at).unwrap_or(0))
    }
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
        Shards::new(shards, Some(false))
            .owner(PartitionId {
                topic,
                index: PartitionIndex(index),
            })
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
    fn from_four_shards_on_the_coordinators_is_its_own() {
        let first = |count, own| Shards::new(count, own).first;
        assert_eq!((first(3, None), first(4, None)), (0, 1));
        assert_eq!((first(2, Some(true)), first(8, Some(false))), (1, 0));
        assert_eq!((first(1, Some(true)), first(0, None)), (0, 0));
        let shards = Shards::new(4, None);
        let mut seen: Vec<u16> = (0..6)
            .map(|index| {
                let topic = Uuid(0x1234_5678_9abc_u128.to_be_bytes());
                let index = PartitionIndex(index);
                shards.owner(PartitionId { topic, index }).0
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 1, 2, 2, 3, 3]);
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
