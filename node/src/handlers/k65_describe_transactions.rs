//! DescribeTransactions: what transactional ids do, in the order of the request.

use std::collections::BTreeMap;
use std::rc::Rc;

use thalweg_coordinator::transactions::step::{Answer as Said, Ask};
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::PartitionId;
use thalweg_wire::messages::describe_transactions_request::DescribeTransactionsRequestView;
use thalweg_wire::messages::describe_transactions_response::{
    DescribeTransactionsResponse, TransactionState,
};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::transactions::route::{ask_partition, place};

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: DescribeTransactionsRequestView<'_> = request.view()?;
    let ids: Vec<String> = asked.transactional_ids.iter().map(str::to_owned).collect();
    let mut rows: Vec<TransactionState<'static>> = ids.iter().map(|id| row(id)).collect();
    let mut by_part: BTreeMap<PartitionId, Vec<usize>> = BTreeMap::new();
    for (at, (id, row)) in ids.iter().zip(&mut rows).enumerate() {
        match place(core, id) {
            _ if id.is_empty() => row.error_code = ErrorCode::InvalidRequest.code(),
            Ok(part) => by_part.entry(part).or_default().push(at),
            Err(code) => row.error_code = code.code(),
        }
    }
    for (part, places) in by_part {
        let names = places.iter().filter_map(|at| ids.get(*at).cloned());
        let said = ask_partition(core, part, Ask::Describe(names.collect())).await;
        let (found, code) = match said {
            Ok(Said::Described(found)) => (found, ErrorCode::None),
            Ok(_) => return Err(Refusal::WrongAnswer(request.api)),
            Err(code) => (Vec::new(), code),
        };
        let mut found = found.into_iter();
        for at in places {
            let Some(slot) = rows.get_mut(at) else {
                continue;
            };
            match found.next() {
                Some(row) => *slot = row,
                None => slot.error_code = code.code(),
            }
        }
    }
    request.respond(&DescribeTransactionsResponse {
        throttle_time_ms: 0,
        transaction_states: rows,
    })
}

fn row(id: &str) -> TransactionState<'static> {
    TransactionState {
        transactional_id: id.to_owned().into(),
        ..TransactionState::default()
    }
}
