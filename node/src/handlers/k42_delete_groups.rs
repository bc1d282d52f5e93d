//! DeleteGroups: groups without members go, with their offsets; answered when that is durable.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::delete_groups_request::DeleteGroupsRequestView;
use thalweg_wire::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};

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
    let asked: DeleteGroupsRequestView<'_> = request.view()?;
    let names: Vec<&str> = asked.groups_names.iter().collect();
    let mut rows = vec![DeletableGroupResult::default(); names.len()];
    for (places, said) in ask_many(core, request, turn, Named::ByPart(names)).await {
        let said = said.or_else(|code| refused(request, &places, code))?;
        let Said::DeleteGroups(found) = said else {
            return Err(Refusal::WrongAnswer(request.api));
        };
        for (at, row) in places.into_iter().zip(found) {
            if let Some(slot) = rows.get_mut(at as usize) {
                *slot = row;
            }
        }
    }
    request.respond(&DeleteGroupsResponse {
        throttle_time_ms: 0,
        results: rows,
    })
}
