//! Producer ids: taken from the log in blocks, handed out one by one.
//!
//! The block's record is durable before the first id of it is handed out, so no id is handed out twice,
//! whatever is lost: the rest of a block is simply never used.

use thalweg_wire::ids::{NodeId, ProducerId};
use thalweg_wire::messages::producer_ids_record::ProducerIdsRecord;

use super::Outcome;
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::Image;
use crate::metadata::record::Proposed;

/// Ids of a block, as Kafka's.
pub const BLOCK_IDS: i32 = 1_000;

/// Ids that may be handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Block {
    next: i64,
    end: i64,
}

impl Block {
    /// The next id; none when the block is used up.
    pub fn take(&mut self) -> Option<ProducerId> {
        (self.next < self.end).then(|| {
            self.next += 1;
            ProducerId(self.next - 1)
        })
    }

    /// The first id left, and how many there are.
    #[must_use]
    pub const fn rest(&self) -> (ProducerId, i64) {
        (ProducerId(self.next), self.end - self.next)
    }
}

/// Takes a block for a broker; it may be used once the record is durable.
///
/// # Errors
/// The broker is not registered, or every id is used up.
pub fn allocate(image: &Image, node: NodeId) -> Result<Outcome<Block>, Refusal> {
    let Some(broker) = image.brokers.get(&node) else {
        return Err(Refusal::bare(ErrorCode::BrokerIdNotRegistered));
    };
    let next = image.next_producer_id.0;
    let Some(end) = next.checked_add(i64::from(BLOCK_IDS)) else {
        let message = "Exhausted all producerIds as the next block's end producerId has exceeded long type limit";
        return Err(Refusal::new(ErrorCode::UnknownServerError, message));
    };
    let record = ProducerIdsRecord {
        broker_id: node.0,
        broker_epoch: broker.epoch,
        next_producer_id: end,
    };
    Ok(Outcome {
        response: Block { next, end },
        records: vec![Proposed::new(record, 0)],
    })
}
