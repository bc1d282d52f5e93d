//! DescribeGroups: state and members of groups, each wherever it lives.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::describe_groups_request::DescribeGroupsRequestView;
use thalweg_wire::messages::describe_groups_response::{DescribeGroupsResponse, DescribedGroup};

use super::GROUP_OPERATIONS;
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
    let asked: DescribeGroupsRequestView<'_> = request.view()?;
    let names: Vec<&str> = asked.groups.iter().collect();
    let mut rows = vec![DescribedGroup::default(); names.len()];
    for (places, said) in ask_many(core, request, turn, Named::ByPart(names)).await {
        let said = said.or_else(|code| refused(request, &places, code))?;
        let Said::Describe(found) = said else {
            return Err(Refusal::WrongAnswer(request.api));
        };
        for (at, row) in places.into_iter().zip(found) {
            if let Some(slot) = rows.get_mut(at as usize) {
                *slot = row;
            }
        }
    }
    if asked.include_authorized_operations {
        for row in rows.iter_mut().filter(|row| row.error_code == 0) {
            row.authorized_operations = GROUP_OPERATIONS;
        }
    }
    request.respond(&DescribeGroupsResponse {
        throttle_time_ms: 0,
        groups: rows,
    })
}
