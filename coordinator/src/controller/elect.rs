//! ElectLeaders: another leader for partitions, among the brokers that are up.
//!
//! On a node of its own every partition has its leader, so the answer is that there is nothing to elect. A directory
//! that had other brokers may hold partitions without one: those are elected as Kafka would.

use thalweg_wire::ids::{NodeId, PartitionId, PartitionIndex};
use thalweg_wire::messages::elect_leaders_request::ElectLeadersRequestView;
use thalweg_wire::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use thalweg_wire::messages::partition_change_record::PartitionChangeRecord;

use super::Outcome;
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::{Image, LEADER_NONE, Partition, Topic, raw};
use crate::metadata::record::{PROPOSAL_RECORDS_MAX, Proposed};

/// Who may lead.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Election {
    /// The first replica, if it is in sync.
    Preferred,
    /// Anybody, for partitions that have no leader.
    Unclean,
}

/// Works an ElectLeaders request.
#[must_use]
pub fn elect(
    image: &Image,
    request: &ElectLeadersRequestView<'_>,
) -> Outcome<ElectLeadersResponse<'static>> {
    let election = match request.election_type {
        0 => Ok(Election::Preferred),
        1 => Ok(Election::Unclean),
        other => {
            let message = format!("Unknown election type {other}");
            Err(Refusal::new(ErrorCode::InvalidRequest, message))
        }
    };
    let mut work = Work {
        image,
        records: Vec::new(),
    };
    let replica_election_results = match &request.topic_partitions {
        Some(topics) => topics
            .iter()
            .map(|topic| {
                let indexes = topic.partitions.iter();
                let results = indexes.map(|index| {
                    let elected = election.clone();
                    let elected = elected.and_then(|way| work.named(topic.topic, index, way));
                    result(index, elected.err())
                });
                ReplicaElectionResult {
                    topic: topic.topic.to_owned().into(),
                    partition_result: results.collect(),
                }
            })
            .collect(),
        None => match &election {
            Ok(way) => image
                .topics
                .iter()
                .map(|topic| work.all(topic, *way))
                .collect(),
            Err(_) => Vec::new(),
        },
    };
    Outcome {
        response: ElectLeadersResponse {
            throttle_time_ms: 0,
            error_code: election.err().map_or(0, |refusal| refusal.code.code()),
            replica_election_results,
        },
        records: work.records,
    }
}

fn result(partition_id: i32, refusal: Option<Refusal>) -> PartitionResult<'static> {
    PartitionResult {
        partition_id,
        error_code: refusal.as_ref().map_or(0, |refusal| refusal.code.code()),
        error_message: refusal.and_then(|refusal| refusal.text()),
    }
}

struct Work<'a> {
    image: &'a Image,
    records: Vec<Proposed>,
}

impl Work<'_> {
    /// Partitions that have the leader they should have are not answered when nobody named them.
    fn all(&mut self, topic: &Topic, way: Election) -> ReplicaElectionResult<'static> {
        let indexes: Vec<PartitionIndex> = topic.partitions.keys().copied().collect();
        let mut results = Vec::new();
        for index in indexes {
            let refusal = self.one(topic, index, way).err();
            if refusal.as_ref().map(|refusal| refusal.code) != Some(ErrorCode::ElectionNotNeeded) {
                results.push(result(index.0, refusal));
            }
        }
        ReplicaElectionResult {
            topic: topic.name.to_string().into(),
            partition_result: results,
        }
    }

    fn named(&mut self, name: &str, index: i32, way: Election) -> Result<(), Refusal> {
        let Some(topic) = self.image.topics.named(name) else {
            let message = format!("No such topic as {name}");
            return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, message));
        };
        self.one(topic, PartitionIndex(index), way)
    }

    fn one(&mut self, topic: &Topic, index: PartitionIndex, way: Election) -> Result<(), Refusal> {
        let Some(partition) = topic.partition(index) else {
            let message = format!("No such partition as {}-{index}", topic.name);
            return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, message));
        };
        let settled = match way {
            Election::Preferred => partition.replicas.first() == Some(&partition.leader),
            Election::Unclean => partition.leader != LEADER_NONE,
        };
        if settled {
            let message = "Leader election not needed for topic partition.";
            return Err(Refusal::new(ErrorCode::ElectionNotNeeded, message));
        }
        let id = PartitionId {
            topic: topic.id,
            index,
        };
        let Some(record) = change(self.image, partition, way) else {
            return Err(match way {
                Election::Preferred => {
                    let message = "The preferred leader was not available.";
                    Refusal::new(ErrorCode::PreferredLeaderNotAvailable, message)
                }
                Election::Unclean => {
                    let message = "Eligible topic partition leaders are not available.";
                    Refusal::new(ErrorCode::EligibleLeadersNotAvailable, message)
                }
            });
        };
        if self.records.len() >= PROPOSAL_RECORDS_MAX {
            let message = "More elections than one request may hold.";
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
        let record = PartitionChangeRecord {
            topic_id: id.topic,
            partition_id: id.index.0,
            ..record
        };
        self.records.push(Proposed::new(record, 2));
        Ok(())
    }
}

/// The change that elects; none if nobody can be elected, or nobody better than who leads.
fn change(image: &Image, partition: &Partition, way: Election) -> Option<PartitionChangeRecord> {
    let up = |node: &NodeId| image.brokers.get(node).is_some_and(|b| b.is_active());
    let clean = |node: &NodeId| up(node) && partition.isr.contains(node);
    let preferred = partition.replicas.first().filter(|node| clean(node));
    let stays = partition.leader != LEADER_NONE && clean(&partition.leader);
    let any = partition.replicas.iter().find(|node| clean(node));
    let elected = match (preferred, stays) {
        (Some(node), _) => Some((*node, true)),
        (None, true) => None,
        (None, false) => any.map(|node| (*node, true)),
    };
    let unclean = || {
        let any = partition.replicas.iter().find(|node| up(node));
        any.filter(|_| way == Election::Unclean)
            .map(|node| (*node, false))
    };
    let (leader, is_clean) = elected.or_else(unclean)?;
    let mut record = PartitionChangeRecord {
        leader: leader.0,
        ..PartitionChangeRecord::default()
    };
    if !is_clean {
        // What the others had is lost; the log says that this leader had to recover.
        record.isr = Some(raw(&[leader]));
        record.leader_recovery_state = 1;
    }
    Some(record)
}
