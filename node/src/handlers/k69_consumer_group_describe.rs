//! ConsumerGroupDescribe: state, members and assignments of consumer groups, each wherever it lives.
//!
//! Every group is refused, with UNSUPPORTED_VERSION, while consumer groups are switched off.

use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::consumer_group_describe_request::ConsumerGroupDescribeRequestView;
use thalweg_wire::messages::consumer_group_describe_response::{
    ConsumerGroupDescribeResponse, DescribedGroup,
};

use super::GROUP_OPERATIONS;
use crate::groups::ask::refused;
use crate::groups::gather::PartAnswer;
use crate::groups::route::{Named, ask_many};
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
    let asked: ConsumerGroupDescribeRequestView<'_> = request.view()?;
    let names: Vec<&str> = asked.group_ids.iter().collect();
    let mut rows = vec![DescribedGroup::default(); names.len()];
    for (places, said) in ask(core, request, turn, names).await {
        let said = said.or_else(|code| refused(request, &places, code))?;
        let Said::DescribeConsumers(found) = said else {
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
    request.respond(&ConsumerGroupDescribeResponse {
        throttle_time_ms: 0,
        groups: rows,
    })
}

async fn ask<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    turn: Turn,
    names: Vec<&str>,
) -> Vec<(Vec<u32>, PartAnswer)> {
    if serves_consumers(&core.node.broker_configs, &core.image()) {
        return ask_many(core, request, turn, Named::ByPart(names)).await;
    }
    let places = (0_u32..).zip(names).map(|(at, _)| at).collect();
    vec![(places, Err(ErrorCode::UnsupportedVersion))]
}
