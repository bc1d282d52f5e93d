//! UpdateFeatures: levels of features raised and lowered, all or none; answered when all shards know.

use std::rc::Rc;

use thalweg_coordinator::controller::features::update;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::update_features_request::UpdateFeaturesRequestView;
use thalweg_wire::messages::update_features_response::UpdateFeaturesResponse;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: UpdateFeaturesRequestView<'_> = request.view()?;
    let version = request.version;
    let published = core.published();
    let proposed = core.propose(|image, _| {
        // The quorum's own level changes with its control records alone.
        let quorum = &published.quorum;
        let outcome = update((image, quorum), &core.node.broker_configs, &asked, version);
        (outcome.response, outcome.records)
    });
    let response = match proposed.await {
        Ok(response) => response,
        Err(fault) => UpdateFeaturesResponse {
            error_code: fault.code.code(),
            error_message: Some(fault.message.into()),
            ..UpdateFeaturesResponse::default()
        },
    };
    request.respond(&response)
}
