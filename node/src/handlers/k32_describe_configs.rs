//! DescribeConfigs, for topics and for this broker: values, sources, synonyms.

use thalweg_coordinator::configs::describe::describe;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::describe_configs_request::DescribeConfigsRequestView;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request.
pub fn handle<D: Disk>(core: &ShardCore<D>, request: &Request) -> Result<Answer, Refusal> {
    let asked: DescribeConfigsRequestView<'_> = request.view()?;
    request.respond(&describe(&core.image(), &core.node.broker_configs, &asked))
}
