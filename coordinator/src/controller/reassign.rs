//! AlterPartitionReassignments and ListPartitionReassignments, in what they mean without replication.
//!
//! Replicas in another order, or fewer of them with one in sync, is done at once; the same ones is done already.
//! Replicas that would have to be filled are refused, since nothing fills them: an answer of success would leave the
//! change open for ever. On a node of its own no other broker is registered, so Kafka refuses them too.

use thalweg_wire::ids::{NodeId, PartitionIndex};
use thalweg_wire::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequestView, ReassignablePartitionView,
};
use thalweg_wire::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use thalweg_wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequestView;
use thalweg_wire::messages::list_partition_reassignments_response::{
    ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
};
use thalweg_wire::messages::partition_change_record::PartitionChangeRecord;

use super::Outcome;
use super::topics::check_assignment;
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::{Image, Partition, Topic, raw};
use crate::metadata::record::{PROPOSAL_RECORDS_MAX, Proposed};

/// Works an AlterPartitionReassignments request.
#[must_use]
pub fn alter(
    image: &Image,
    request: &AlterPartitionReassignmentsRequestView<'_>,
) -> Outcome<AlterPartitionReassignmentsResponse<'static>> {
    let mut records = Vec::new();
    let mut responses = Vec::new();
    for topic in request.topics.iter() {
        let mut partitions = Vec::new();
        for wanted in topic.partitions.iter() {
            let changed = change(
                image,
                topic.name,
                &wanted,
                request.allow_replication_factor_change,
            );
            let refusal = match changed {
                Ok(Some(_)) if records.len() >= PROPOSAL_RECORDS_MAX => {
                    let message = "More partitions than one request may change.";
                    Some(Refusal::new(ErrorCode::PolicyViolation, message))
                }
                Ok(record) => {
                    records.extend(record.map(|record| Proposed::new(record, 2)));
                    None
                }
                Err(refusal) => Some(refusal),
            };
            partitions.push(ReassignablePartitionResponse {
                partition_index: wanted.partition_index,
                error_code: refusal.as_ref().map_or(0, |refusal| refusal.code.code()),
                error_message: refusal.and_then(|refusal| refusal.text()),
            });
        }
        responses.push(ReassignableTopicResponse {
            name: topic.name.to_owned().into(),
            partitions,
        });
    }
    Outcome {
        response: AlterPartitionReassignmentsResponse {
            allow_replication_factor_change: request.allow_replication_factor_change,
            error_message: None,
            responses,
            ..AlterPartitionReassignmentsResponse::default()
        },
        records,
    }
}

fn change(
    image: &Image,
    name: &str,
    wanted: &ReassignablePartitionView<'_>,
    any_factor: bool,
) -> Result<Option<PartitionChangeRecord>, Refusal> {
    let unknown = |message| Refusal::new(ErrorCode::UnknownTopicOrPartition, message);
    let topic = image.topics.named(name);
    let topic = topic.ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
    let index = PartitionIndex(wanted.partition_index);
    let partition = topic
        .partition(index)
        .ok_or_else(|| unknown(format!("Unable to find partition {name}:{index}.")))?;
    let Some(replicas) = &wanted.replicas else {
        return cancel(partition);
    };
    let ids: Vec<i32> = replicas.iter().collect();
    let target = check_assignment(image, &ids, None)?;
    if !any_factor && target.len() != settled(partition).len() {
        let message = format!(
            "The replication factor is changed from {} to {}",
            settled(partition).len(),
            target.len()
        );
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    }
    if target == partition.replicas && !is_open(partition) {
        return Ok(None);
    }
    let isr: Vec<NodeId> = partition
        .isr
        .iter()
        .filter(|node| target.contains(node))
        .copied()
        .collect();
    let new = target.iter().find(|node| !partition.isr.contains(node));
    if let Some(new) = new {
        let message =
            format!("There is no replication yet that would fill a replica on broker {new}.");
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    Ok(Some(record((topic, index), partition, &target, &isr)))
}

/// Replicas as they are when nothing is under way.
fn settled(partition: &Partition) -> Vec<NodeId> {
    let replicas = partition.replicas.iter();
    let stays = replicas.filter(|node| !partition.adding.contains(node));
    stays.copied().collect()
}

fn is_open(partition: &Partition) -> bool {
    !partition.adding.is_empty() || !partition.removing.is_empty()
}

fn cancel(partition: &Partition) -> Result<Option<PartitionChangeRecord>, Refusal> {
    if !is_open(partition) {
        let message = "No partition reassignment is in progress.";
        return Err(Refusal::new(ErrorCode::NoReassignmentInProgress, message));
    }
    let message = "A reassignment that another broker began is not taken back here.";
    Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message))
}

fn record(
    (topic, index): (&Topic, PartitionIndex),
    partition: &Partition,
    target: &[NodeId],
    isr: &[NodeId],
) -> PartitionChangeRecord {
    let mut record = PartitionChangeRecord {
        topic_id: topic.id,
        partition_id: index.0,
        replicas: Some(raw(target)),
        ..PartitionChangeRecord::default()
    };
    if isr != partition.isr {
        record.isr = Some(raw(isr));
    }
    if !isr.contains(&partition.leader)
        && let Some(leader) = target.iter().find(|node| isr.contains(node))
    {
        record.leader = leader.0;
    }
    if is_open(partition) {
        record.adding_replicas = Some(Vec::new());
        record.removing_replicas = Some(Vec::new());
    }
    record
}

/// Answers a ListPartitionReassignments request.
#[must_use]
pub fn list(
    image: &Image,
    request: &ListPartitionReassignmentsRequestView<'_>,
) -> ListPartitionReassignmentsResponse<'static> {
    let topics = match &request.topics {
        None => image
            .topics
            .iter()
            .filter_map(|topic| open(topic, topic.partitions.keys().copied()))
            .collect(),
        Some(asked) => asked
            .iter()
            .filter_map(|asked| {
                let topic = image.topics.named(asked.name)?;
                open(topic, asked.partition_indexes.iter().map(PartitionIndex))
            })
            .collect(),
    };
    ListPartitionReassignmentsResponse {
        error_message: None,
        topics,
        ..ListPartitionReassignmentsResponse::default()
    }
}

fn open(
    topic: &Topic,
    indexes: impl Iterator<Item = PartitionIndex>,
) -> Option<OngoingTopicReassignment<'static>> {
    let found = indexes.filter_map(|index| {
        let partition = topic.partition(index).filter(|one| is_open(one))?;
        Some(OngoingPartitionReassignment {
            partition_index: index.0,
            replicas: raw(&partition.replicas),
            adding_replicas: raw(&partition.adding),
            removing_replicas: raw(&partition.removing),
        })
    });
    let partitions: Vec<OngoingPartitionReassignment> = found.collect();
    (!partitions.is_empty()).then(|| OngoingTopicReassignment {
        name: topic.name.to_string().into(),
        partitions,
    })
}
