//! AddOffsetsToTxn: a group's partition of `__consumer_offsets` becomes part of a transaction.

use std::rc::Rc;

use thalweg_coordinator::answer::coordinator::GROUP_TOPIC;
use thalweg_coordinator::groups::place::partition_of;
use thalweg_coordinator::transactions::step::{Answer as Said, Ask, Identity};
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{ProducerEpoch, ProducerId};
use thalweg_wire::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequestView;
use thalweg_wire::messages::add_offsets_to_txn_response::AddOffsetsToTxnResponse;

use super::k03_metadata::create_behind;
use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::transactions::route;

/// The first version that tells PRODUCER_FENCED.
const FENCED: i16 = 2;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: AddOffsetsToTxnRequestView<'_> = request.view()?;
    let code = match add(core, &asked).await {
        ErrorCode::ProducerFenced if request.version < FENCED => ErrorCode::InvalidProducerEpoch,
        code => code,
    };
    request.respond(&AddOffsetsToTxnResponse {
        error_code: code.code(),
        ..AddOffsetsToTxnResponse::default()
    })
}

async fn add<D: Disk>(
    core: &Rc<ShardCore<D>>,
    asked: &AddOffsetsToTxnRequestView<'_>,
) -> ErrorCode {
    let image = core.image();
    let Some(topic) = image.topics.named(GROUP_TOPIC) else {
        create_behind(core, vec![GROUP_TOPIC.to_owned()]);
        return ErrorCode::CoordinatorNotAvailable;
    };
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    let index = partition_of(asked.group_id, count);
    let question = Ask::Add {
        who: Identity {
            id: asked.transactional_id.to_owned(),
            producer: ProducerId(asked.producer_id),
            epoch: ProducerEpoch(asked.producer_epoch),
        },
        partitions: vec![(GROUP_TOPIC.into(), index.0)],
        version: 0,
    };
    match route::ask(core, asked.transactional_id, question).await {
        Ok(Said::Added(code)) | Err(code) => code,
        Ok(_) => ErrorCode::UnknownServerError,
    }
}
