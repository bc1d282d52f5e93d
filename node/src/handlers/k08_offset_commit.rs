//! OffsetCommit: answered when the offsets are durable in `__consumer_offsets`.
//!
//! Commits of many groups share a round of the journal. Topics that do not exist are told so,
//! partition by partition, and the rest is kept.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::offset_commit_request::OffsetCommitRequestView;

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
    let asked: OffsetCommitRequestView<'_> = request.view()?;
    match ask_one(core, request, turn, asked.group_id).await? {
        Said::Commit(response) => request.respond(&response),
        _ => Err(Refusal::WrongAnswer(request.api)),
    }
}
