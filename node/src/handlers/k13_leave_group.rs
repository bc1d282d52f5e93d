//! LeaveGroup: one member, or from version 3 on several, named by id or by instance.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::leave_group_request::LeaveGroupRequestView;

use crate::groups::route::ask_one;
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
    let asked: LeaveGroupRequestView<'_> = request.view()?;
    match ask_one(core, request, turn, asked.group_id).await? {
        Said::Leave(response) => request.respond(&response),
        _ => Err(Refusal::WrongAnswer(request.api)),
    }
}
