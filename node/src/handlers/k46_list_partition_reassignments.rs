//! ListPartitionReassignments: those that a log from elsewhere may hold.

use thalweg_coordinator::controller::reassign::list;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequestView;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request.
pub fn handle<D: Disk>(core: &ShardCore<D>, request: &Request) -> Result<Answer, Refusal> {
    let asked: ListPartitionReassignmentsRequestView<'_> = request.view()?;
    request.respond(&list(&core.image(), &asked))
}
