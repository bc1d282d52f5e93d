//! EndTxn: a transaction commits or aborts; answered when that is decided and durable.
//!
//! Markers follow behind the answer. From version 5 on (transaction version 2) the answer names the epoch that
//! the next transaction begins with.

use std::rc::Rc;

use thalweg_coordinator::transactions::step::{Answer as Said, Ask, Identity};
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{ProducerEpoch, ProducerId};
use thalweg_wire::messages::end_txn_request::EndTxnRequestView;
use thalweg_wire::messages::end_txn_response::EndTxnResponse;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::transactions::route;

/// The first version of transaction version 2.
const RAISES_EPOCH: i16 = 5;
/// The first version that tells PRODUCER_FENCED.
const FENCED: i16 = 2;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: EndTxnRequestView<'_> = request.view()?;
    let ended = match end(core, request.version, &asked).await {
        Err(ErrorCode::ProducerFenced) if request.version < FENCED => {
            Err(ErrorCode::InvalidProducerEpoch)
        }
        ended => ended,
    };
    request.respond(&match ended {
        Ok((producer, epoch)) if request.version >= RAISES_EPOCH => EndTxnResponse {
            producer_id: producer.0,
            producer_epoch: epoch.0,
            ..EndTxnResponse::default()
        },
        Ok(_) => EndTxnResponse::default(),
        Err(code) => EndTxnResponse {
            error_code: code.code(),
            ..EndTxnResponse::default()
        },
    })
}

async fn end<D: Disk>(
    core: &Rc<ShardCore<D>>,
    version: i16,
    asked: &EndTxnRequestView<'_>,
) -> Result<(ProducerId, ProducerEpoch), ErrorCode> {
    let who = Identity {
        id: asked.transactional_id.to_owned(),
        producer: ProducerId(asked.producer_id),
        epoch: ProducerEpoch(asked.producer_epoch),
    };
    let mut fresh = None;
    loop {
        let question = Ask::End {
            who: who.clone(),
            commit: asked.committed,
            version: if version >= RAISES_EPOCH { 2 } else { 0 },
            fresh,
        };
        match route::ask(core, asked.transactional_id, question).await? {
            Said::Producer(answer) => return answer,
            Said::NeedsId if fresh.is_none() => fresh = Some(route::fresh_id(core).await?),
            _ => return Err(ErrorCode::UnknownServerError),
        }
    }
}
