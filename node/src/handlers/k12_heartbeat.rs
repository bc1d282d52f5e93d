//! Heartbeat: a member is alive, and hears whether its group rebalances.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::heartbeat_request::HeartbeatRequestView;

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
    let asked: HeartbeatRequestView<'_> = request.view()?;
    match ask_one(core, request, turn, asked.group_id).await? {
        Said::Heartbeat(response) => request.respond(&response),
        _ => Err(Refusal::WrongAnswer(request.api)),
    }
}
