//! AlterClientQuotas: answered when all shards go by them.

use std::rc::Rc;

use thalweg_coordinator::quotas::alter::alter;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::alter_client_quotas_request::AlterClientQuotasRequestView;
use thalweg_wire::messages::alter_client_quotas_response::{
    AlterClientQuotasResponse, EntityData, EntryData,
};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: AlterClientQuotasRequestView<'_> = request.view()?;
    let proposed = core.propose(|image, _| {
        let outcome = alter(image, &asked);
        (outcome.response, outcome.records)
    });
    let response = match proposed.await {
        Ok(response) => response,
        Err(fault) => AlterClientQuotasResponse {
            entries: asked
                .entries
                .iter()
                .map(|entry| EntryData {
                    error_code: fault.code.code(),
                    error_message: Some(fault.message.clone().into()),
                    entity: entry
                        .entity
                        .iter()
                        .map(|part| EntityData {
                            entity_type: part.entity_type.to_owned().into(),
                            entity_name: part.entity_name.map(|name| name.to_owned().into()),
                        })
                        .collect(),
                })
                .collect(),
            ..AlterClientQuotasResponse::default()
        },
    };
    request.respond(&response)
}
