//! OffsetFetch: committed offsets of one group, or from version 8 on of several, each wherever it lives.
//!
//! An answer waits until everything it shows is durable: an offset that was seen once is never
//! taken back.

use std::rc::Rc;

use thalweg_coordinator::groups::fetch::{response, wanted};
use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::offset_fetch_request::OffsetFetchRequestView;
use thalweg_wire::messages::offset_fetch_response::OffsetFetchResponseGroup;

use crate::groups::ask::refused;
use crate::groups::route::{Named, ask_many};
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
    let asked: OffsetFetchRequestView<'_> = request.view()?;
    let wanted = wanted(&asked, request.version);
    let names = wanted.iter().map(|one| one.group.group_id.as_ref());
    let said = ask_many(core, request, turn, Named::Each(names.collect())).await;
    let mut groups = vec![OffsetFetchResponseGroup::default(); wanted.len()];
    for (places, said) in said {
        let said = said.or_else(|code| refused(request, &places, code))?;
        let Said::Fetch(group) = said else {
            return Err(Refusal::WrongAnswer(request.api));
        };
        let slot = places.first().and_then(|at| groups.get_mut(*at as usize));
        if let Some(slot) = slot {
            *slot = group;
        }
    }
    request.respond(&response(request.version, &wanted, groups))
}
