//! Markers: a decision on its way to the partitions of its transaction, and what writes them there.
//!
//! A decision is carried until every partition that still exists has its marker durable; then the coordinator is
//! told. A partition of a group's offsets has its marker written by that group's part, so that the offsets
//! count from that moment. Deliberately absent: what decides (`thalweg_coordinator::transactions`).

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use thalweg_coordinator::groups::step::{Answer as GroupAnswer, Marker};
use thalweg_coordinator::transactions::shard::TxnShard;
use thalweg_coordinator::transactions::state::TxnPartition;
use thalweg_coordinator::transactions::step::{Answer, Ask, MarkerJob};
use thalweg_storage::disk::Disk;
use thalweg_storage::log::{AppendContext, Origin, Verification};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{PartitionId, PartitionIndex, ShardId};

use super::route::ask_part;
use crate::groups::ask::Ask as GroupAsk;
use crate::groups::gather::Gather;
use crate::groups::part::Part;
use crate::groups::run::{MARKER_BYTES, end_of, wake};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{Fault, Message, Reply};
use crate::shard::wait::answer;

/// Before what failed is tried again; doubled up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LAST: Duration = Duration::from_secs(1);

/// Carries a decision to its end, or until its part closes: who loads it next begins again.
pub async fn deliver<D: Disk>(core: Rc<ShardCore<D>>, part: Rc<Part<TxnShard>>, job: MarkerJob) {
    let mut pause = RETRY_FIRST;
    let mut left = job.partitions.clone();
    loop {
        left = attempt(&core, part.id, &job, left).await;
        if left.is_empty() {
            let done = Ask::Marked {
                id: job.id.clone(),
                producer: job.producer,
                epoch: job.epoch,
            };
            let told = ask_part(&core, &part, done).await;
            if told == Ok(Answer::Added(ErrorCode::None)) {
                return;
            }
        }
        if part.is_closed() {
            return;
        }
        core.host.sleep(pause).await;
        pause = (2 * pause).min(RETRY_LAST);
    }
}

/// Sends each shard its markers; the partitions that have to be tried again.
async fn attempt<D: Disk>(
    core: &Rc<ShardCore<D>>,
    coordinator: PartitionId,
    job: &MarkerJob,
    partitions: Vec<TxnPartition>,
) -> Vec<TxnPartition> {
    let image = core.image();
    let topic = image.topics.get(coordinator.topic);
    let leader = topic.and_then(|topic| topic.partition(coordinator.index));
    let Some(leader) = leader else {
        return partitions;
    };
    let marker = Marker {
        producer: job.producer,
        epoch: job.epoch,
        coordinator_epoch: leader.leader_epoch.0,
        commit: job.commit,
        raises_epoch: job.raises_epoch,
    };
    let mut found = Vec::new();
    for (name, index) in partitions {
        let index = PartitionIndex(index);
        let topic = image.topics.named(&name);
        // What was deleted needs no marker.
        if let Some(topic) = topic.filter(|topic| topic.partition(index).is_some()) {
            let id = PartitionId {
                topic: topic.id,
                index,
            };
            found.push((id, (name, index.0)));
        }
    }
    let wanted = found.iter().map(|(id, _)| (*id, marker)).collect();
    let codes = write_all(core, wanted).await;
    let mut left = Vec::new();
    for ((id, partition), code) in found.into_iter().zip(codes) {
        match code {
            ErrorCode::None => {}
            ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced => {
                // A later marker is there already, of a later coordinator or an administrator.
                tracing::warn!(%id, id_of = %job.id.escape_debug(), ?code, "marker not needed");
            }
            _ => left.push(partition),
        }
    }
    left
}

/// Writes markers wherever their partitions are: one message to each shard, codes in order.
pub async fn write_all<D: Disk>(
    core: &Rc<ShardCore<D>>,
    markers: Vec<(PartitionId, Marker)>,
) -> Vec<ErrorCode> {
    let mut by_shard: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
    for (at, (id, _)) in markers.iter().enumerate() {
        by_shard.entry(core.owner(*id)).or_default().push(at);
    }
    let mut codes = vec![ErrorCode::NotLeaderOrFollower; markers.len()];
    let mut pending = Vec::new();
    for (shard, places) in by_shard {
        let list = places.iter().filter_map(|at| markers.get(*at).copied());
        let message = Message::Markers(list.collect());
        pending.push((places, core.begin_ask(shard, message).await));
    }
    for (places, reply) in pending {
        if let Ok(Reply::Marked(found)) = reply.await {
            for (at, code) in places.into_iter().zip(found) {
                if let Some(slot) = codes.get_mut(at) {
                    *slot = code;
                }
            }
        }
    }
    codes
}

/// Writes markers to partitions of this shard; when it returns, those without an error are durable.
pub async fn write_here<D: Disk>(
    core: &Rc<ShardCore<D>>,
    markers: Vec<(PartitionId, Marker)>,
) -> Vec<ErrorCode> {
    let mut written = Vec::with_capacity(markers.len());
    for (id, marker) in markers {
        written.push(match core.groups.part(id) {
            Some(_) => Begun::Group(id, marker),
            None => append(core, id, &marker).await,
        });
    }
    let ticket = core.store.ticket();
    let failed = match written.iter().any(|one| matches!(one, Begun::Log(Ok(())))) {
        true => core.store.wait(ticket).await.err().map(Fault::from),
        false => None,
    };
    let mut codes = Vec::with_capacity(written.len());
    for one in written {
        codes.push(match (one, &failed) {
            (Begun::Log(Ok(())), None) => ErrorCode::None,
            (Begun::Log(Ok(())), Some(fault)) => fault.code,
            (Begun::Log(Err(code)), _) => code,
            (Begun::Group(id, marker), _) => write_to_groups(core, id, marker).await,
        });
    }
    codes
}

/// A marker under way.
enum Begun {
    Log(Result<(), ErrorCode>),
    Group(PartitionId, Marker),
}

async fn append<D: Disk>(core: &Rc<ShardCore<D>>, id: PartitionId, marker: &Marker) -> Begun {
    let image = core.image();
    let topic = image.topics.get(id.topic);
    let Some(partition) = topic.and_then(|topic| topic.partition(id.index)) else {
        return Begun::Log(Err(ErrorCode::UnknownTopicOrPartition));
    };
    let permit = match core.store.admit(MARKER_BYTES, &[id]).await {
        Ok(permit) => permit,
        Err(error) => return Begun::Log(Err(Fault::from(error).code)),
    };
    let context = AppendContext {
        leader_epoch: partition.leader_epoch,
        now: core.host.now().wall,
        origin: Origin::Coordinator,
        verification: Verification::Waived,
    };
    let appended = core.store.append_end_txn(id, &end_of(marker), &context);
    drop(permit);
    Begun::Log(match appended {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::from(error).code),
    })
}

async fn write_to_groups<D: Disk>(
    core: &Rc<ShardCore<D>>,
    id: PartitionId,
    marker: Marker,
) -> ErrorCode {
    let Some(part) = core.groups.part(id) else {
        return ErrorCode::NotLeaderOrFollower;
    };
    let (sender, waiter) = answer();
    let deliver = Box::new(move |answers| sender.send(answers));
    for place in Gather::places(1, deliver) {
        if part.submit(place, |token| GroupAsk::Marker { token, marker }) {
            wake(core, &part);
        }
    }
    let answers = waiter.await.unwrap_or_default();
    match answers.into_iter().next() {
        Some(Ok(GroupAnswer::Marked(code))) => code,
        Some(Err(code)) => code,
        _ => ErrorCode::NotLeaderOrFollower,
    }
}
