//! DeleteTopics, by name or id: answered when the topic is gone from the metadata log and its
//! partitions' ends are durable; the files go behind the answer.

use std::rc::Rc;

use thalweg_coordinator::controller::delete::delete;
use thalweg_storage::disk::Disk;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::delete_topics_request::DeleteTopicsRequestView;
use thalweg_wire::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};

use super::with_context;
use crate::outgoing::Answer;
use crate::quotas::Mutations;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::Fault;

/// The first version whose clients know that a quota refuses.
const STRICT: i16 = 5;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: DeleteTopicsRequestView<'_> = request.view()?;
    let mut mutations = Mutations::of(core, request, STRICT);
    let proposed = core.propose(|image, _| {
        let outcome = with_context(core, Some(&mut mutations), |context| {
            delete(image, &asked, request.version, context)
        });
        (outcome.response, outcome.records)
    });
    let mut response = match proposed.await {
        Ok(response) => response,
        Err(fault) => refused(&asked, &fault),
    };
    response.throttle_time_ms = mutations.throttle();
    request.respond(&response)
}

fn refused(asked: &DeleteTopicsRequestView<'_>, fault: &Fault) -> DeleteTopicsResponse<'static> {
    let names = asked
        .topic_names
        .iter()
        .map(|name| (Some(name), Uuid::ZERO));
    let topics = asked
        .topics
        .iter()
        .map(|topic| (topic.name, topic.topic_id));
    let row = |(name, topic_id): (Option<&str>, Uuid)| DeletableTopicResult {
        name: name.map(|name| name.to_owned().into()),
        topic_id,
        error_code: fault.code.code(),
        error_message: Some(fault.message.clone().into()),
    };
    DeleteTopicsResponse {
        responses: names.chain(topics).map(row).collect(),
        ..DeleteTopicsResponse::default()
    }
}
