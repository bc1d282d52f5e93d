//! ListConfigResources: what configs can be asked of, by kind.

use thalweg_coordinator::answer::config_resources::list;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::list_config_resources_request::ListConfigResourcesRequestView;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request.
pub fn handle<D: Disk>(core: &ShardCore<D>, request: &Request) -> Result<Answer, Refusal> {
    let asked: ListConfigResourcesRequestView<'_> = request.view()?;
    request.respond(&list(&core.image(), &asked, request.version))
}
