//! CreateTopics: answered when the topics are durable in the metadata log and made on their shards.
//!
//! Runs on the coordinator's shard. The request's timeout is not a deadline here: creation takes one
//! round of the journal, and the answer says what came of it.

use std::rc::Rc;

use thalweg_coordinator::controller::topics::create;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::create_topics_request::CreateTopicsRequestView;
use thalweg_wire::messages::create_topics_response::{CreatableTopicResult, CreateTopicsResponse};

use super::with_context;
use crate::outgoing::Answer;
use crate::quotas::Mutations;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// The first version whose clients know that a quota refuses.
const STRICT: i16 = 6;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: CreateTopicsRequestView<'_> = request.view()?;
    let mut mutations = Mutations::of(core, request, STRICT);
    let proposed = core.propose(|image, _| {
        let outcome = with_context(core, Some(&mut mutations), |context| {
            create(image, &asked, context)
        });
        (outcome.response, outcome.records)
    });
    let mut response = match proposed.await {
        Ok(response) => response,
        Err(fault) => CreateTopicsResponse {
            topics: asked
                .topics
                .iter()
                .map(|topic| CreatableTopicResult {
                    name: topic.name.to_owned().into(),
                    error_code: fault.code.code(),
                    error_message: Some(fault.message.clone().into()),
                    ..CreatableTopicResult::default()
                })
                .collect(),
            ..CreateTopicsResponse::default()
        },
    };
    response.throttle_time_ms = mutations.throttle();
    request.respond(&response)
}
