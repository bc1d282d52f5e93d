//! DescribeQuorum: where the metadata log stands. Runs where it is written.

use std::rc::Rc;

use thalweg_coordinator::answer::quorum::{Leading, describe};
use thalweg_storage::disk::Disk;
use thalweg_wire::messages::describe_quorum_request::DescribeQuorumRequestView;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::runtime::effects::METADATA;
use crate::shard::core::ShardCore;

/// Answers the request.
pub fn handle<D: Disk>(core: &Rc<ShardCore<D>>, request: &Request) -> Result<Answer, Refusal> {
    let asked: DescribeQuorumRequestView<'_> = request.view()?;
    // The log is opened before the first connection is taken, and stays until the last is gone.
    let view = core.store.partition(METADATA).ok_or(Refusal::Stopping)?;
    let leading = Leading {
        node: core.node.id,
        high_watermark: view.high_watermark,
        log_end: view.log_end,
        now: core.host.now().wall,
    };
    let quorum = &core.published().quorum;
    request.respond(&describe(quorum, &leading, &asked, request.version))
}
