//! CreatePartitions: more partitions for topics that exist; answered when they can be written to.

use std::rc::Rc;

use thalweg_coordinator::controller::partitions::create;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::create_partitions_request::CreatePartitionsRequestView;
use thalweg_wire::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};

use super::with_context;
use crate::outgoing::Answer;
use crate::quotas::Mutations;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// The first version whose clients know that a quota refuses.
const STRICT: i16 = 3;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: CreatePartitionsRequestView<'_> = request.view()?;
    let mut mutations = Mutations::of(core, request, STRICT);
    let proposed = core.propose(|image, _| {
        let outcome = with_context(core, Some(&mut mutations), |context| {
            create(image, &asked, context)
        });
        (outcome.response, outcome.records)
    });
    let mut response = match proposed.await {
        Ok(response) => response,
        Err(fault) => CreatePartitionsResponse {
            results: asked
                .topics
                .iter()
                .map(|topic| CreatePartitionsTopicResult {
                    name: topic.name.to_owned().into(),
                    error_code: fault.code.code(),
                    error_message: Some(fault.message.clone().into()),
                })
                .collect(),
            ..CreatePartitionsResponse::default()
        },
    };
    response.throttle_time_ms = mutations.throttle();
    request.respond(&response)
}
