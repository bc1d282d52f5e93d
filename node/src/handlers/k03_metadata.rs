//! Metadata: brokers and topics, and creation of topics on first use.
//!
//! A missing topic is answered UNKNOWN_TOPIC_OR_PARTITION even if it is about to be made: creation
//! goes on behind the answer, once per name at a time, and the client asks again (kafka-notes
//! D 13). With `auto.create.topics.enable=false`, or if the client says so, nothing is made.

use std::rc::Rc;

use thalweg_coordinator::answer::metadata::{Answer as Found, metadata};
use thalweg_coordinator::controller::topics::create_missing;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::metadata_request::MetadataRequestView;

use super::with_context;
use crate::dispatch::COORDINATOR;
use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::host::Queue;
use crate::shard::mailbox::Message;
use crate::viewpoint::Seat;

/// Names that one request may have created; the client asks again for the rest.
pub const CREATED_NAMES_MAX: usize = 1_000;

/// Answers the request.
pub fn handle<D: Disk>(core: &Rc<ShardCore<D>>, request: &Request) -> Result<Answer, Refusal> {
    let asked: MetadataRequestView<'_> = request.view()?;
    let image = core.image();
    let seat = Seat::of(&core.node, &request.origin);
    let Found { response, missing } = metadata(&image, &seat.viewpoint(), &asked, request.version);
    if core.node.settings.kafka.auto_create_topics_enable {
        create_behind(core, first_of(missing));
    }
    request.respond(&response)
}

fn first_of(mut missing: Vec<String>) -> Vec<String> {
    missing.truncate(CREATED_NAMES_MAX);
    missing
}

/// Has the coordinator make topics while the client already has its answer.
pub(super) fn create_behind<D: Disk>(core: &Rc<ShardCore<D>>, names: Vec<String>) {
    if names.is_empty() {
        return;
    }
    let asker = Rc::clone(core);
    let task = async move {
        // A node that stops makes no topics; the client asks whoever comes next.
        let _gone = asker.ask(COORDINATOR, Message::AutoCreate(names)).await;
    };
    core.host.spawn(Queue::Network, Box::pin(task));
}

/// Makes the topics that are still missing. Only on the coordinator's shard.
pub async fn create<D: Disk>(core: &Rc<ShardCore<D>>, names: Vec<String>) {
    let proposed = core.propose(|image, _| {
        let missing: Vec<String> = names
            .into_iter()
            .filter(|name| image.topics.named(name).is_none())
            .collect();
        let outcome = with_context(core, None, |context| {
            create_missing(image, &missing, context)
        });
        (outcome.response, outcome.records)
    });
    match proposed.await {
        Err(fault) => complain(core, |suppressed| {
            tracing::warn!(suppressed, "topics were not created on first use: {fault}");
        }),
        Ok(response) => {
            for topic in response.topics.iter().filter(|topic| topic.error_code != 0) {
                let words = topic.error_message.as_deref().unwrap_or("");
                complain(core, |suppressed| {
                    tracing::warn!(
                        topic = %topic.name.escape_debug(),
                        code = topic.error_code,
                        suppressed,
                        "a topic was not created on first use: {words}"
                    );
                });
            }
        }
    }
}

/// Clients ask again and again: a few lines a second are enough.
fn complain<D: Disk>(core: &ShardCore<D>, line: impl FnOnce(u64)) {
    if let Some(suppressed) = core.complaints.admit(core.host.now().mono) {
        line(suppressed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_made_for_one_request_have_a_limit() {
        let names = |count: usize| -> Vec<String> { (0..count).map(|n| n.to_string()).collect() };
        assert_eq!(first_of(names(CREATED_NAMES_MAX)), names(CREATED_NAMES_MAX));
        assert_eq!(
            first_of(names(CREATED_NAMES_MAX + 1)),
            names(CREATED_NAMES_MAX)
        );
    }
}
