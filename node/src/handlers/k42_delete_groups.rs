//! DeleteGroups: groups without members go, with their offsets; answered when that is durable.
//!
//! A group that is named twice is deleted once and has one row, as in Kafka.

use std::collections::BTreeMap;
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
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        first.entry(*name).or_insert(at);
    }
    let mut rows: Vec<Option<DeletableGroupResult<'static>>> = vec![None; names.len()];
    for (places, said) in ask_many(core, request, turn, Named::ByPart(names)).await {
        let said = said.or_else(|code| refused(request, &places, code))?;
        let Said::DeleteGroups(found) = said else {
            return Err(Refusal::WrongAnswer(request.api));
        };
        for row in found {
            let place = first.get(row.group_id.as_ref()).copied();
            if let Some(slot) = place.and_then(|at| rows.get_mut(at)) {
                *slot = Some(row);
            }
        }
    }
    request.respond(&DeleteGroupsResponse {
        throttle_time_ms: 0,
        results: rows.into_iter().flatten().collect(),
    })
}
