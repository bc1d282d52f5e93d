//! InitProducerId: a new identity for an idempotent producer, a new epoch for a transactional one.
//!
//! Ids come from blocks whose record is durable before the first of them is handed out, so an id is
//! never handed out twice. What becomes of a transactional id its own coordinator says.

use std::rc::Rc;

use thalweg_coordinator::controller::producer_ids::allocate;
use thalweg_coordinator::transactions::step::{Answer as Said, Ask};
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{ProducerEpoch, ProducerId};
use thalweg_wire::messages::init_producer_id_request::InitProducerIdRequestView;
use thalweg_wire::messages::init_producer_id_response::InitProducerIdResponse;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::Fault;
use crate::transactions::route;

/// The first version that tells PRODUCER_FENCED.
const FENCED: i16 = 4;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: InitProducerIdRequestView<'_> = request.view()?;
    // An old id and its epoch go together: one without the other is refused before anything else, and
    // both without a transactional id are of no interest (Kafka's `handleInitProducerIdRequest`).
    let is_half = (asked.producer_id == -1) != (asked.producer_epoch == -1);
    let given = match asked.transactional_id {
        _ if is_half => Err(ErrorCode::InvalidRequest),
        Some("") => Err(ErrorCode::InvalidRequest),
        Some(id) => match begin(core, id, &asked).await {
            Err(ErrorCode::ProducerFenced) if request.version < FENCED => {
                Err(ErrorCode::InvalidProducerEpoch)
            }
            given => given,
        },
        None => match next_id(core).await {
            Ok(id) => Ok((id, ProducerEpoch(0))),
            Err(fault) => Err(fault.code),
        },
    };
    request.respond(&match given {
        Ok((id, epoch)) => InitProducerIdResponse {
            producer_id: id.0,
            producer_epoch: epoch.0,
            ..InitProducerIdResponse::default()
        },
        Err(code) => InitProducerIdResponse {
            error_code: code.code(),
            producer_epoch: -1,
            ..InitProducerIdResponse::default()
        },
    })
}

/// A producer of a transactional id begins, or goes on.
async fn begin<D: Disk>(
    core: &Rc<ShardCore<D>>,
    id: &str,
    asked: &InitProducerIdRequestView<'_>,
) -> Result<(ProducerId, ProducerEpoch), ErrorCode> {
    let expected = (asked.producer_id != -1).then_some((
        ProducerId(asked.producer_id),
        ProducerEpoch(asked.producer_epoch),
    ));
    let mut fresh = None;
    loop {
        let question = Ask::Init {
            id: id.to_owned(),
            timeout_ms: asked.transaction_timeout_ms,
            expected,
            fresh,
        };
        match route::ask(core, id, question).await? {
            Said::Producer(answer) => return answer,
            Said::NeedsId if fresh.is_none() => {
                fresh = Some(next_id(core).await.map_err(|fault| fault.code)?);
            }
            _ => return Err(ErrorCode::UnknownServerError),
        }
    }
}

/// The next id of this node's blocks. Only on the coordinator's shard.
///
/// # Errors
/// Why there is none.
pub async fn next_id<D: Disk>(core: &Rc<ShardCore<D>>) -> Result<ProducerId, Fault> {
    let coordinator = core
        .coordinator()
        .ok_or_else(|| Fault::new(ErrorCode::NotController, "not the coordinator's shard"))?;
    loop {
        if let Some(id) = coordinator.take_producer_id() {
            return Ok(id);
        }
        let allocated = core.propose(|image, _| match allocate(image, core.node.id) {
            Ok(outcome) => (Ok(outcome.response), outcome.records),
            Err(refusal) => (Err(refusal), Vec::new()),
        });
        let block = allocated
            .await?
            .map_err(|refusal| Fault::new(refusal.code, refusal.to_string()))?;
        coordinator.refill_producer_ids(block);
    }
}
