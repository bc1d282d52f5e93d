//! IncrementalAlterConfigs: single keys set, taken away or edited; answered when all shards go by them.

use std::rc::Rc;

use thalweg_coordinator::controller::configs::incremental;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::incremental_alter_configs_request::IncrementalAlterConfigsRequestView;
use thalweg_wire::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: IncrementalAlterConfigsRequestView<'_> = request.view()?;
    let proposed = core.propose(|image, _| {
        let outcome = incremental(image, &core.node.broker_configs, &asked);
        (outcome.response, outcome.records)
    });
    let response = match proposed.await {
        Ok(response) => response,
        Err(fault) => IncrementalAlterConfigsResponse {
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
            ..IncrementalAlterConfigsResponse::default()
        },
    };
    request.respond(&response)
}
