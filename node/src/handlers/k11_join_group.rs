//! JoinGroup: answered when the group's next generation is made, which may take minutes.
//!
//! While it waits it holds neither its frame nor a share of the request budget. If the connection
//! ends, nobody hears the answer, and the member is gone with its session; if the node stops, it is
//! NOT_COORDINATOR.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::join_group_request::JoinGroupRequestView;

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
        .view::<JoinGroupRequestView<'_>>()?
        .group_id
        .to_owned();
    let Held { stub, said } = hold(core, request, &group, (link, share)).await?;
    match said {
        Said::Join(response) => stub.respond(&response),
        _ => Err(Refusal::WrongAnswer(stub.api())),
    }
}
