//! FindCoordinator: where the state of a group or a transactional id lives; makes its topic on first need.
//!
//! While the topic is being made behind the answer, that is COORDINATOR_NOT_AVAILABLE, and the
//! client asks again.

use std::rc::Rc;

use thalweg_coordinator::answer::coordinator::find;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequestView;

use super::k03_metadata::create_behind;
use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::viewpoint::Seat;

/// Answers the request.
pub fn handle<D: Disk>(core: &Rc<ShardCore<D>>, request: &Request) -> Result<Answer, Refusal> {
    let asked: FindCoordinatorRequestView<'_> = request.view()?;
    let seat = Seat::of(&core.node, &request.origin);
    let found = find(&core.image(), &seat.viewpoint(), &asked, request.version);
    if let Some(topic) = found.missing {
        create_behind(core, vec![topic.to_owned()]);
    }
    request.respond(&found.response)
}
