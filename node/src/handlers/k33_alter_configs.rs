//! AlterConfigs: a resource's configs replaced as a whole; answered when all shards go by them.

use std::rc::Rc;

use thalweg_coordinator::controller::configs::legacy;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::alter_configs_request::AlterConfigsRequestView;
use thalweg_wire::messages::alter_configs_response::{
    AlterConfigsResourceResponse, AlterConfigsResponse,
};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: AlterConfigsRequestView<'_> = request.view()?;
    let proposed = core.propose(|image, _| {
        let outcome = legacy(image, &core.node.broker_configs, &asked);
        (outcome.response, outcome.records)
    });
    let response = match proposed.await {
        Ok(response) => response,
        Err(fault) => AlterConfigsResponse {
            responses: asked
                .resources
                .iter()
                .map(|one| AlterConfigsResourceResponse {
                    error_code: fault.code.code(),
                    error_message: Some(fault.message.clone().into()),
                    resource_type: one.resource_type,
                    resource_name: one.resource_name.to_owned().into(),
                })
                .collect(),
            ..AlterConfigsResponse::default()
        },
    };
    request.respond(&response)
}
