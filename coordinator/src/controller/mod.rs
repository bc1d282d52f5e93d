//! What a request makes of the cluster: an image and a request in, a response and records out.
//!
//! No handler changes anything. The caller appends the records, waits until they are durable, applies them
//! through the log reader and only then sends the response.

use thalweg_wire::ids::{NodeId, Uuid};

use crate::configs::effective::BrokerConfigs;
use crate::error::Refusal;
use crate::metadata::image::Image;
use crate::metadata::record::Proposed;

pub mod features;
pub mod names;
pub mod topics;
pub mod delete;
pub mod partitions;
pub mod configs;
mod small_configs;
pub mod brokers;
pub mod elect;
pub mod reassign;
pub mod producer_ids;

/// What a handler wants: to be sent once the records, if there are any, are durable and applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<R> {
    /// The answer.
    pub response: R,
    /// What changes; empty for nothing. They belong into one batch.
    pub records: Vec<Proposed>,
}

/// What a handler needs besides image and request.
pub struct Context<'a> {
    /// This node's broker keys: defaults for what a request leaves out.
    pub broker: &'a BrokerConfigs,
    /// Makes a random id that was never used, and is none of Kafka's 100 reserved ones.
    pub new_id: &'a mut dyn FnMut() -> Uuid,
    /// Counts partitions that are made or deleted against the client's quota.
    pub charge: &'a mut dyn FnMut(usize) -> Result<(), Refusal>,
}

/// The charge of who has no quota.
///
/// # Errors
/// None.
pub fn free(_partitions: usize) -> Result<(), Refusal> {
    Ok(())
}

/// The log directory a broker puts a new partition into, when it has only one.
fn directory(image: &Image, node: NodeId) -> Uuid {
    match image
        .brokers
        .get(&node)
        .map(|broker| broker.log_dirs.as_slice())
    {
        Some([only]) => *only,
        _ => Uuid::ZERO,
    }
}
