//! OffsetDelete: an administrator takes back committed offsets of topics nobody subscribes to.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::offset_delete_request::OffsetDeleteRequestView;

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
    let asked: OffsetDeleteRequestView<'_> = request.view()?;
    match ask_one(core, request, turn, asked.group_id).await? {
        Said::DeleteOffsets(response) => request.respond(&response),
        _ => Err(Refusal::WrongAnswer(request.api)),
    }
}
