//! ListGroups: the groups of all partitions of this node.
//!
//! While one of them is loading there is no list, but COORDINATOR_LOAD_IN_PROGRESS: half a list
//! would pass for a whole one.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::list_groups_request::ListGroupsRequestView;
use thalweg_wire::messages::list_groups_response::ListGroupsResponse;

use crate::groups::route::{GroupPart, ask_all, places};
use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::wait::Turn;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    turn: Turn,
) -> Result<Answer, Refusal> {
    let _checked: ListGroupsRequestView<'_> = request.view()?;
    let parts = places(core).into_iter().map(|id| GroupPart {
        id,
        groups: Vec::new(),
    });
    let mut response = ListGroupsResponse::default();
    for (_, said) in ask_all(core, request, turn, parts).await {
        match said {
            Ok(Said::List(groups)) => response.groups.extend(groups),
            Ok(_) => return Err(Refusal::WrongAnswer(request.api)),
            // Led elsewhere by now: listed there.
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => response.error_code = code.code(),
        }
    }
    if response.error_code != 0 {
        response.groups.clear();
    }
    request.respond(&response)
}
