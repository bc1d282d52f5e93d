//! DescribeClientQuotas: from the image.

use thalweg_coordinator::quotas::describe::describe;
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::describe_client_quotas_request::DescribeClientQuotasRequestView;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;

/// Answers the request.
pub fn handle<D: Disk>(core: &ShardCore<D>, request: &Request) -> Result<Answer, Refusal> {
    let asked: DescribeClientQuotasRequestView<'_> = request.view()?;
    request.respond(&describe(&core.image(), &asked))
}
