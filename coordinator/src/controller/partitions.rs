//! CreatePartitions: more partitions for topics that exist.

use std::collections::BTreeSet;

use thalweg_wire::ids::NodeId;
use thalweg_wire::messages::create_partitions_request::{
    CreatePartitionsRequestView, CreatePartitionsTopicView,
};
use thalweg_wire::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};

use super::topics::{check_assignment, check_factor, partition_record};
use super::{Context, Outcome};
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::Image;
use crate::metadata::placement::replicas;
use crate::metadata::record::{PROPOSAL_RECORDS_MAX, Proposed};

/// Works a CreatePartitions request.
pub fn create(
    image: &Image,
    request: &CreatePartitionsRequestView<'_>,
    context: &mut Context<'_>,
) -> Outcome<CreatePartitionsResponse<'static>> {
    let mut seen = BTreeSet::new();
    let names = request.topics.iter().map(|topic| topic.name);
    let duplicates: BTreeSet<&str> = names.filter(|name| !seen.insert(*name)).collect();
    let mut records = Vec::new();
    let mut results = Vec::new();
    for topic in request
        .topics
        .iter()
        .filter(|topic| seen.remove(topic.name))
    {
        let added = match duplicates.contains(topic.name) {
            true => Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "Duplicate topic name.",
            )),
            false => add(image, &topic, PROPOSAL_RECORDS_MAX - records.len(), context),
        };
        let mut result = CreatePartitionsTopicResult {
            name: topic.name.to_owned().into(),
            ..CreatePartitionsTopicResult::default()
        };
        match added {
            Ok(added) => records.extend(added),
            Err(refusal) => {
                result.error_code = refusal.code as i16;
                result.error_message = refusal.text();
            }
        }
        results.push(result);
    }
    if request.validate_only {
        records.clear();
    }
    Outcome {
        response: CreatePartitionsResponse {
            throttle_time_ms: 0,
            results,
        },
        records,
    }
}

fn add(
    image: &Image,
    wanted: &CreatePartitionsTopicView<'_>,
    room: usize,
    context: &mut Context<'_>,
) -> Result<Vec<Proposed>, Refusal> {
    let Some(topic) = image.topics.named(wanted.name) else {
        return Err(Refusal::bare(ErrorCode::UnknownTopicOrPartition));
    };
    let have = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let refused = |message| Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    if wanted.count == have {
        return refused(format!("Topic already has {have} partition(s)."));
    }
    if wanted.count < have {
        return refused(format!(
            "The topic {} currently has {have} partition(s); {} would not be an increase.",
            wanted.name, wanted.count
        ));
    }
    let more = usize::try_from(wanted.count - have).unwrap_or(0);
    if more > room {
        let message = "Excessively large number of partitions per request.";
        return Err(Refusal::new(ErrorCode::PolicyViolation, message));
    }
    let assigned = wanted.assignments.as_ref().map(|list| list.len());
    if let Some(assigned) = assigned.filter(|assigned| *assigned != more) {
        let message = format!(
            "Attempted to add {more} additional partition(s), but only {assigned} assignment(s) were specified."
        );
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    (context.charge)(more)?;
    let factor = topic
        .partitions
        .values()
        .next()
        .map_or(1, |first| first.replicas.len());
    let placed: Vec<Vec<NodeId>> = match &wanted.assignments {
        Some(assignments) => {
            let check = |ids: Vec<i32>| check_assignment(image, &ids, Some(factor));
            let placed: Result<_, Refusal> = assignments
                .iter()
                .map(|one| check(one.broker_ids.iter().collect()))
                .collect();
            placed?
        }
        None => {
            check_factor(image, factor)?;
            (have..wanted.count)
                .map(|index| replicas(image, topic.id, index, factor))
                .collect()
        }
    };
    let placed = (have..).zip(placed);
    Ok(placed
        .map(|(index, nodes)| partition_record(image, (topic.id, index), &nodes))
        .collect())
}
