//! SyncGroup: answered when the group's leader has said who gets what.
//!
//! Waits as JoinGroup does.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::sync_group_request::SyncGroupRequestView;

use crate::groups::route::{Held, hold};
use crate::net::connection::{Link, Share};
use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request. It holds its turn until it is answered: what the same connection asks of
/// groups next is worked after it, as in Kafka.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: Request,
    link: &Rc<Link>,
    share: &Share,
) -> Result<Answer, Refusal> {
    let group = request
        .view::<SyncGroupRequestView<'_>>()?
        .group_id
        .to_owned();
    let Held { stub, said } = hold(core, request, &group, (link, share)).await?;
    match said {
        Said::Sync(response) => stub.respond(&response),
        _ => Err(Refusal::WrongAnswer(stub.api())),
    }
}
