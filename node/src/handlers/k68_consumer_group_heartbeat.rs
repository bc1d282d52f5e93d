//! ConsumerGroupHeartbeat: a member of a consumer group joins, reconciles, shows life or leaves.
//!
//! Refused as a whole, with UNSUPPORTED_VERSION, while consumer groups are switched off.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequestView;

use crate::groups::ask::refused;
use crate::groups::route::ask_one;
use crate::groups::settings::serves_consumers;
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
    let asked: ConsumerGroupHeartbeatRequestView<'_> = request.view()?;
    let said = if serves_consumers(&core.node.broker_configs, &core.image()) {
        ask_one(core, request, turn, asked.group_id).await?
    } else {
        refused(request, &[0], ErrorCode::UnsupportedVersion)?
    };
    match said {
        Said::ConsumerHeartbeat(response) => request.respond(&response),
        _ => Err(Refusal::WrongAnswer(request.api)),
    }
}
