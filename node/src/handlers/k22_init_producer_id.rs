//! InitProducerId: a new identity for an idempotent producer.
//!
//! Ids come from blocks whose record is durable before the first of them is handed out, so an id is
//! never handed out twice. Until there are transactions a transactional id is refused with
//! UNSUPPORTED_VERSION, which clients take as final: never an id without a coordinator behind it.

use std::rc::Rc;

use thalweg_coordinator::controller::producer_ids::allocate;
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::ProducerId;
use thalweg_wire::messages::init_producer_id_request::InitProducerIdRequestView;
use thalweg_wire::messages::init_producer_id_response::InitProducerIdResponse;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::Fault;

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
        Some(_) => Err(ErrorCode::UnsupportedVersion),
        None => next_id(core).await.map_err(|fault| fault.code),
    };
    request.respond(&match given {
        Ok(id) => InitProducerIdResponse {
            producer_id: id.0,
            producer_epoch: 0,
            ..InitProducerIdResponse::default()
        },
        Err(code) => InitProducerIdResponse {
            error_code: code.code(),
            producer_epoch: -1,
            ..InitProducerIdResponse::default()
        },
    })
}

async fn next_id<D: Disk>(core: &Rc<ShardCore<D>>) -> Result<ProducerId, Fault> {
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
