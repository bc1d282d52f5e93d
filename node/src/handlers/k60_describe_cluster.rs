//! DescribeCluster, as a broker answers it: its brokers; controllers are their own to tell.

use thalweg_coordinator::answer::cluster::describe;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::describe_cluster_request::DescribeClusterRequestView;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::viewpoint::Seat;

/// Answers the request.
pub fn handle<D: Disk>(core: &ShardCore<D>, request: &Request) -> Result<Answer, Refusal> {
    let asked: DescribeClusterRequestView = request.view()?;
    let seat = Seat::of(&core.node, &request.origin);
    request.respond(&describe(&core.image(), &seat.viewpoint(), &asked))
}
