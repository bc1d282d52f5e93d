//! AlterPartitionReassignments: answered when what can be done at once is done.

use std::rc::Rc;

use thalweg_coordinator::controller::reassign::alter;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::alter_partition_reassignments_request::AlterPartitionReassignmentsRequestView;
use thalweg_wire::messages::alter_partition_reassignments_response::AlterPartitionReassignmentsResponse;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: AlterPartitionReassignmentsRequestView<'_> = request.view()?;
    let proposed = core.propose(|image, _| {
        let outcome = alter(image, &asked);
        (outcome.response, outcome.records)
    });
    let response = proposed
        .await
        .unwrap_or_else(|fault| AlterPartitionReassignmentsResponse {
            error_code: fault.code.code(),
            error_message: Some(fault.message.into()),
            ..AlterPartitionReassignmentsResponse::default()
        });
    request.respond(&response)
}
