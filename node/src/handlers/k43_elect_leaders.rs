//! ElectLeaders: answered when the elected ones lead.

use std::rc::Rc;

use thalweg_coordinator::controller::elect::elect;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::elect_leaders_request::ElectLeadersRequestView;
use thalweg_wire::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// The first version with a code for the whole request.
const WHOLE_CODE: i16 = 1;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: ElectLeadersRequestView<'_> = request.view()?;
    let proposed = core.propose(|image, _| {
        let outcome = elect(image, &asked);
        (outcome.response, outcome.records)
    });
    let response = match proposed.await {
        Ok(response) => response,
        Err(fault) => {
            let topics = asked.topic_partitions.iter().flat_map(|list| list.iter());
            let result = |partition_id| PartitionResult {
                partition_id,
                error_code: fault.code.code(),
                error_message: Some(fault.message.clone().into()),
            };
            ElectLeadersResponse {
                error_code: match request.version {
                    WHOLE_CODE.. => fault.code.code(),
                    _ => 0,
                },
                replica_election_results: topics
                    .map(|topic| ReplicaElectionResult {
                        topic: topic.topic.to_owned().into(),
                        partition_result: topic.partitions.iter().map(result).collect(),
                    })
                    .collect(),
                ..ElectLeadersResponse::default()
            }
        }
    };
    request.respond(&response)
}
