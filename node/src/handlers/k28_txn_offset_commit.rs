//! TxnOffsetCommit: offsets of a group that count once the transaction commits.
//!
//! The group's partition is part of the transaction like any other that is written to: from version 5 on it is
//! added here, before that the client has added it, which is verified.

use std::rc::Rc;

use thalweg_coordinator::answer::coordinator::GROUP_TOPIC;
use thalweg_coordinator::groups::shard::coordinator_code;
use thalweg_coordinator::groups::step::Answer as Said;
use thalweg_coordinator::transactions::step::Identity;
use thalweg_storage::disk::Disk;
use thalweg_storage::log::Verification;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{ProducerEpoch, ProducerId, Sequence};
use thalweg_wire::messages::txn_offset_commit_request::TxnOffsetCommitRequestView;

use crate::groups::ask::refused;
use crate::groups::route::{ask_guarded, place};
use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::wait::Turn;
use crate::transactions::verify::{Candidate, Way, verify};

/// The first version of transaction version 2.
const ADDS: i16 = 5;
/// The first version that knows TRANSACTION_ABORTABLE.
const ABORTABLE: i16 = 4;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    turn: Turn,
) -> Result<Answer, Refusal> {
    let asked: TxnOffsetCommitRequestView<'_> = request.view()?;
    let said = match guard(core, request.version, &asked).await {
        Ok(guard) => ask_guarded(core, request, turn, (asked.group_id, guard)).await?,
        Err(code) => refused(request, &[0], code)?,
    };
    match said {
        Said::TxnCommit(response) => request.respond(&response),
        _ => Err(Refusal::WrongAnswer(request.api)),
    }
}

/// What the log of the group's partition gives for the batch, if it wants to be shown anything.
async fn guard<D: Disk>(
    core: &Rc<ShardCore<D>>,
    version: i16,
    asked: &TxnOffsetCommitRequestView<'_>,
) -> Result<Option<u64>, ErrorCode> {
    if asked.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let partition = place(core, asked.group_id)?;
    let who = Identity {
        id: asked.transactional_id.to_owned(),
        producer: ProducerId(asked.producer_id),
        epoch: ProducerEpoch(asked.producer_epoch),
    };
    let way = match version {
        ADDS.. => Way::Add,
        ABORTABLE => Way::Verify,
        _ => Way::VerifyPlain,
    };
    let candidate = Candidate {
        partition,
        named: (GROUP_TOPIC.into(), partition.index.0),
        sequence: Sequence::NONE,
    };
    let verified = verify(core, &who, way, &[candidate]).await;
    match verified.into_iter().next() {
        Some(Ok(Verification::Guard(guard))) => Ok(Some(guard)),
        Some(Ok(_)) => Ok(None),
        Some(Err(fault)) => Err(coordinator_code(fault.code)),
        None => Err(ErrorCode::NotCoordinator),
    }
}
