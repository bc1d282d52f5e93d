//! From a question to the part that its transactional id belongs to, and back.
//!
//! A question travels to its shard as a message of its own and is answered when what it depends on is durable,
//! which takes a round of the journal: nobody waits for other clients here, as members of groups do.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use thalweg_coordinator::answer::coordinator::TXN_TOPIC;
use thalweg_coordinator::groups::place::partition_of;
use thalweg_coordinator::metadata::image::Image;
use thalweg_coordinator::transactions::shard::TxnShard;
use thalweg_coordinator::transactions::step::{Answer, Ask};
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Offset, PartitionId, ProducerId};

use super::machine::TxnAsk;
use super::markers::write_here;
use super::settings::txn_config;
use crate::dispatch::COORDINATOR;
use crate::groups::gather::Gather;
use crate::groups::machine::Machine;
use crate::groups::part::Part;
use crate::groups::route::led_places;
use crate::groups::run::{open, wake};
use crate::handlers::k22_init_producer_id::next_id;
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{Message, Reply};
use crate::shard::wait::answer;

/// The partition that a transactional id belongs to.
///
/// # Errors
/// NOT_COORDINATOR while there is no topic, or if this node does not lead the partition.
pub fn place<D: Disk>(core: &ShardCore<D>, id: &str) -> Result<PartitionId, ErrorCode> {
    let image = core.image();
    let topic = image.topics.named(TXN_TOPIC);
    let topic = topic.ok_or(ErrorCode::NotCoordinator)?;
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    let index = partition_of(id, count);
    let led = topic
        .partition(index)
        .is_some_and(|partition| partition.leader == core.node.id);
    led.then_some(PartitionId {
        topic: topic.id,
        index,
    })
    .ok_or(ErrorCode::NotCoordinator)
}

/// All partitions that this node leads.
#[must_use]
pub fn places<D: Disk>(core: &ShardCore<D>) -> Vec<PartitionId> {
    led_places(core, &core.image(), TXN_TOPIC)
}

/// Asks the partition of a transactional id.
///
/// # Errors
/// Why nobody answers.
pub async fn ask<D: Disk>(
    core: &Rc<ShardCore<D>>,
    id: &str,
    question: Ask,
) -> Result<Answer, ErrorCode> {
    let partition = place(core, id)?;
    ask_partition(core, partition, question).await
}

/// Asks a partition.
///
/// # Errors
/// Why nobody answers.
pub async fn ask_partition<D: Disk>(
    core: &Rc<ShardCore<D>>,
    partition: PartitionId,
    question: Ask,
) -> Result<Answer, ErrorCode> {
    let message = Message::Transact(partition, Box::new(question));
    match core.ask(core.owner(partition), message).await {
        Ok(Reply::Transacted(answer)) => answer,
        _ => Err(ErrorCode::NotCoordinator),
    }
}

/// A producer id that nobody has.
///
/// # Errors
/// Why there is none.
pub async fn fresh_id<D: Disk>(core: &Rc<ShardCore<D>>) -> Result<ProducerId, ErrorCode> {
    match core.ask(COORDINATOR, Message::FreshProducerId).await {
        Ok(Reply::ProducerId(id)) => id.map_err(|fault| fault.code),
        _ => Err(ErrorCode::CoordinatorNotAvailable),
    }
}

/// Answers another shard's message about transactions.
pub async fn serve_message<D: Disk>(core: &Rc<ShardCore<D>>, message: Message) -> Reply {
    match message {
        Message::Transact(partition, question) => {
            Reply::Transacted(serve(core, partition, *question).await)
        }
        Message::Markers(markers) => Reply::Marked(write_here(core, markers).await),
        Message::FreshProducerId => Reply::ProducerId(next_id(core).await),
        _ => Reply::Done,
    }
}

/// Answers a question of this or another shard.
///
/// # Errors
/// NOT_COORDINATOR if this shard does not serve the partition.
pub async fn serve<D: Disk>(
    core: &Rc<ShardCore<D>>,
    partition: PartitionId,
    question: Ask,
) -> Result<Answer, ErrorCode> {
    let part = core.txns.part(partition);
    let part = part.ok_or(ErrorCode::NotCoordinator)?;
    ask_part(core, &part, question).await
}

/// Asks a part of this shard.
///
/// # Errors
/// Why it does not answer.
pub async fn ask_part<D: Disk>(
    core: &Rc<ShardCore<D>>,
    part: &Rc<Part<TxnShard>>,
    ask: Ask,
) -> Result<Answer, ErrorCode> {
    let (sender, waiter) = answer();
    let deliver = Box::new(move |answers| sender.send(answers));
    for place in Gather::places(1, deliver) {
        if part.submit(place, |token| TxnAsk {
            token,
            ask: ask.clone(),
        }) {
            wake(core, part);
        }
    }
    let answers = waiter.await.unwrap_or_default();
    let answer = answers.into_iter().next();
    answer.unwrap_or(Err(ErrorCode::NotCoordinator))
}

/// Opens and closes parts as the image says.
pub fn follow<D: Disk>(core: &Rc<ShardCore<D>>, before: &Image) {
    let image = core.image();
    let wanted: BTreeSet<PartitionId> = led_places(core, &image, TXN_TOPIC)
        .into_iter()
        .filter(|id| core.owner(*id) == core.host.shard())
        .collect();
    let (opened, gone) = core.txns.follow(&wanted);
    for part in gone {
        part.close();
    }
    if !Arc::ptr_eq(&before.configs, &image.configs) || before.features != image.features {
        let config = txn_config(&core.node.broker_configs, &image);
        for part in core.txns.parts() {
            part.change(|shard| shard.configure(config.clone()));
        }
    }
    for part in opened {
        open(core, part);
    }
}

/// A partition's high watermark moved.
pub fn moved<D: Disk>(core: &Rc<ShardCore<D>>, id: PartitionId, visible: Offset) {
    if let Some(part) = core.txns.part(id) {
        part.visible(visible);
        TxnShard::seen(core, &part, visible);
    }
}
