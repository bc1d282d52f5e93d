//! ListTransactions: the transactional ids of all partitions of this node.
//!
//! While one of them is loading there is no list, but COORDINATOR_LOAD_IN_PROGRESS. A pattern has to match the
//! whole id; its engine needs time in proportion to the id, whatever the pattern.

use std::rc::Rc;

use regex::{Regex, RegexBuilder};
use thalweg_coordinator::transactions::state::TxnState;
use thalweg_coordinator::transactions::step::{Answer as Said, Ask, Filter};
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::list_transactions_request::ListTransactionsRequestView;
use thalweg_wire::messages::list_transactions_response::ListTransactionsResponse;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::transactions::route::{ask_partition, places};

/// What a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: ListTransactionsRequestView<'_> = request.view()?;
    let states: Vec<String> = asked.state_filters.iter().map(str::to_owned).collect();
    let is_known = |name: &String| TxnState::ALL.iter().any(|state| state.name() == name);
    let unknown = states
        .iter()
        .filter(|name| !is_known(name) && !is_rare(name));
    let mut response = ListTransactionsResponse {
        unknown_state_filters: unknown.map(|name| name.clone().into()).collect(),
        ..ListTransactionsResponse::default()
    };
    let pattern = match asked
        .transactional_id_pattern
        .filter(|text| !text.is_empty())
    {
        None => None,
        Some(text) => match whole(text) {
            Ok(pattern) => Some(pattern),
            Err(_) => {
                response.error_code = ErrorCode::InvalidRegularExpression.code();
                return request.respond(&response);
            }
        },
    };
    let filter = Filter {
        states,
        producers: asked.producer_id_filters.iter().collect(),
        duration_ms: asked.duration_filter,
    };
    for part in places(core) {
        match ask_partition(core, part, Ask::List(filter.clone())).await {
            Ok(Said::Listed(rows)) => response.transaction_states.extend(rows),
            Ok(_) => return Err(Refusal::WrongAnswer(request.api)),
            // Led elsewhere by now: listed there.
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => response.error_code = code.code(),
        }
    }
    if response.error_code != 0 {
        response.transaction_states.clear();
    }
    if let Some(pattern) = pattern {
        let rows = &mut response.transaction_states;
        rows.retain(|row| pattern.is_match(&row.transactional_id));
    }
    request.respond(&response)
}

/// States of Kafka that no id has here for longer than a step.
fn is_rare(name: &str) -> bool {
    matches!(name, "Dead" | "PrepareEpochFence")
}

fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(PATTERN_BYTES_MAX)
        .build()
}
