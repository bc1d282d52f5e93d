//! From a request to the parts that its groups belong to, and back.
//!
//! Requests of one connection reach a part in their order: the message to another shard is on its
//! way (or in line for the channel) when the handler is first polled, and a part works in the order
//! of arrival. Each shard that is concerned gets one message.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use thalweg_coordinator::answer::coordinator::GROUP_TOPIC;
use thalweg_coordinator::groups::place::partition_of;
use thalweg_coordinator::groups::step::Answer;
use thalweg_coordinator::metadata::image::Image;
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Offset, PartitionId, ShardId, Uuid};

use super::ask::{Ask, refused};
use super::gather::{Deliver, Gather, PartAnswer};
use super::run::{open, wake};
use super::settings::group_config;
use super::table::GroupTable;
use crate::net::connection::{Link, Share};
use crate::request::{Refusal, Request, Stub};
use crate::shard::core::ShardCore;
use crate::shard::host::Queue;
use crate::shard::mailbox::Message;
use crate::shard::wait::{AnswerWaiter, Either, LocalFuture, Turn, race};

/// The part of a request that one shard works on.
#[derive(Debug)]
pub struct GroupJob {
    /// Who waits on the sending shard.
    pub number: u64,
    /// The whole request.
    pub request: Request,
    /// The partitions concerned, each with the places of its groups in the request.
    pub parts: Vec<GroupPart>,
    /// For TxnOffsetCommit: what the log gave for the batch.
    pub guard: Option<u64>,
}

/// One partition of a [`GroupJob`].
#[derive(Clone, Debug)]
pub struct GroupPart {
    /// The partition.
    pub id: PartitionId,
    /// Places of its groups in the request, where that names several.
    pub groups: Vec<u32>,
}

/// Takes a waiting request out of the table when nobody waits any more.
struct Waiting {
    table: Rc<GroupTable>,
    number: u64,
    waiter: AnswerWaiter<Vec<PartAnswer>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.table.forget(self.number);
    }
}

/// The partition that a group belongs to.
///
/// # Errors
/// NOT_COORDINATOR while there is no topic, or if this node does not lead the partition.
pub fn place<D: Disk>(core: &ShardCore<D>, group: &str) -> Result<PartitionId, ErrorCode> {
    let image = core.image();
    let topic = image.topics.named(GROUP_TOPIC);
    let topic = topic.ok_or(ErrorCode::NotCoordinator)?;
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    let index = partition_of(group, count);
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
    led_places(core, &core.image(), GROUP_TOPIC)
}

/// The partitions of an internal topic that this node leads.
pub fn led_places<D: Disk>(core: &ShardCore<D>, image: &Image, topic: &str) -> Vec<PartitionId> {
    let topic = image.topics.named(topic).into_iter();
    topic
        .flat_map(|topic| {
            let led = topic.partitions.iter();
            led.filter(|(_, partition)| partition.leader == core.node.id)
                .map(|(index, _)| PartitionId {
                    topic: topic.id,
                    index: *index,
                })
        })
        .collect()
}

/// Asks the partition of the request's only group.
pub async fn ask_one<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    turn: Turn,
    group: &str,
) -> Result<Answer, Refusal> {
    ask_guarded(core, request, turn, (group, None)).await
}

/// The same, with what the log gave for a transaction's batch.
pub async fn ask_guarded<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    turn: Turn,
    (group, guard): (&str, Option<u64>),
) -> Result<Answer, Refusal> {
    let said = match place(core, group) {
        Err(code) => Err(code),
        Ok(id) => {
            let groups = vec![0];
            let parts = vec![GroupPart { id, groups }];
            let said = begin_guarded(core, request.clone(), parts, guard).await;
            drop(turn);
            first(said.await)
        }
    };
    said.or_else(|code| refused(request, &[0], code))
}

/// An answer that came without its request's frame.
pub struct Held {
    /// What it takes to send it.
    pub stub: Stub,
    /// The answer.
    pub said: Answer,
}

/// Asks the partition of the request's only group, and waits for as long as it takes without the
/// request's frame; until the peer is gone or the node stops.
pub async fn hold<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: Request,
    group: &str,
    (link, share): (&Link, &Share),
) -> Result<Held, Refusal> {
    let stub = request.stub();
    let refusal = |code| refused(&request, &[0], code);
    let gone = refusal(ErrorCode::NotCoordinator)?;
    let id = match place(core, group) {
        Ok(id) => id,
        Err(code) => {
            let said = refusal(code)?;
            return Ok(Held { stub, said });
        }
    };
    let groups = vec![0];
    let said = begin(core, request, vec![GroupPart { id, groups }]).await;
    share.frame_gone();
    share.rests(true);
    let said = race(said, link.hurried()).await;
    share.rests(false);
    let said = match said {
        Either::Left(said) => first(said),
        Either::Right(()) => Err(ErrorCode::NotCoordinator),
    };
    let said = said.unwrap_or_else(|code| gone.refused(code));
    Ok(Held { stub, said })
}

/// What the only partition asked has to say.
pub fn first(said: Vec<PartAnswer>) -> PartAnswer {
    let said = said.into_iter().next();
    said.unwrap_or(Err(ErrorCode::NotCoordinator))
}

/// The groups that a request names.
pub enum Named<'a> {
    /// Each is asked for by itself.
    Each(Vec<&'a str>),
    /// Those of one partition are asked for together.
    ByPart(Vec<&'a str>),
}

/// Asks for several groups of a request, wherever they are: each part's places in the request, and
/// what it said. Groups without a partition come as parts of their own.
pub async fn ask_many<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    turn: Turn,
    groups: Named<'_>,
) -> Vec<(Vec<u32>, PartAnswer)> {
    let mut said = Vec::new();
    let mut by_part: BTreeMap<(PartitionId, u32), Vec<u32>> = BTreeMap::new();
    let (groups, alone) = match groups {
        Named::Each(groups) => (groups, true),
        Named::ByPart(groups) => (groups, false),
    };
    for (at, group) in (0_u32..).zip(groups) {
        match place(core, group) {
            Ok(id) => {
                let own = if alone { at } else { 0 };
                by_part.entry((id, own)).or_default().push(at);
            }
            Err(code) => said.push((vec![at], Err(code))),
        }
    }
    let parts = by_part
        .into_iter()
        .map(|((id, _), groups)| GroupPart { id, groups });
    said.extend(ask_all(core, request, turn, parts).await);
    said
}

/// Asks these parts: one message to each shard.
pub async fn ask_all<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    turn: Turn,
    parts: impl Iterator<Item = GroupPart>,
) -> Vec<(Vec<u32>, PartAnswer)> {
    let mut by_shard: BTreeMap<ShardId, Vec<GroupPart>> = BTreeMap::new();
    for part in parts {
        by_shard.entry(core.owner(part.id)).or_default().push(part);
    }
    let mut pending = Vec::new();
    for parts in by_shard.into_values() {
        let places: Vec<Vec<u32>> = parts.iter().map(|part| part.groups.clone()).collect();
        pending.push((places, begin(core, request.clone(), parts).await));
    }
    drop(turn);
    let mut said = Vec::new();
    for (places, answers) in pending {
        let answers = answers.await;
        let none = || Err(ErrorCode::NotCoordinator);
        let answers = answers.into_iter().chain(std::iter::repeat_with(none));
        said.extend(places.into_iter().zip(answers));
    }
    said
}

/// Sends a request on its way to the parts of one shard, which may be this one; the answers come
/// with what this resolves to.
pub async fn begin<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: Request,
    parts: Vec<GroupPart>,
) -> LocalFuture<Vec<PartAnswer>> {
    begin_guarded(core, request, parts, None).await
}

async fn begin_guarded<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: Request,
    parts: Vec<GroupPart>,
    guard: Option<u64>,
) -> LocalFuture<Vec<PartAnswer>> {
    let Some(shard) = parts.first().map(|part| core.owner(part.id)) else {
        return Box::pin(std::future::ready(Vec::new()));
    };
    let (number, waiter) = core.groups.ask();
    let mut waiting = Waiting {
        table: Rc::clone(&core.groups),
        number,
        waiter,
    };
    let job = GroupJob {
        number,
        request,
        parts,
        guard,
    };
    if shard == core.host.shard() {
        let table = Rc::clone(&core.groups);
        let deliver = move |answers| table.answered(vec![(number, answers)]);
        submit(core, job, Box::new(deliver));
    } else {
        // The reply only says that the message arrived.
        let sent = core.host.send(shard, Message::Group(Box::new(job))).await;
        if sent.is_err() {
            return Box::pin(std::future::ready(Vec::new()));
        }
    }
    Box::pin(async move { (&mut waiting.waiter).await.unwrap_or_default() })
}

/// Gives a job to the parts of this shard.
fn submit<D: Disk>(core: &Rc<ShardCore<D>>, job: GroupJob, deliver: Deliver) {
    let places = Gather::places(job.parts.len(), deliver);
    for (part, place) in job.parts.into_iter().zip(places) {
        match core.groups.part(part.id) {
            Some(found) => {
                let request = Box::new(job.request.clone());
                let (groups, guard) = (part.groups, job.guard);
                let ask = |token| Ask::Request {
                    token,
                    request,
                    groups,
                    guard,
                };
                if found.submit(place, ask) {
                    wake(core, &found);
                }
            }
            None => place.fill(Err(ErrorCode::NotCoordinator)),
        }
    }
}

/// Takes a job from another shard; its answers go back in a message of their own.
pub fn serve<D: Disk>(core: &Rc<ShardCore<D>>, from: ShardId, job: GroupJob) {
    let answering = Rc::clone(core);
    let number = job.number;
    let deliver = move |answers| post(&answering, from, (number, answers));
    submit(core, job, Box::new(deliver));
}

fn post<D: Disk>(core: &Rc<ShardCore<D>>, to: ShardId, parcel: (u64, Vec<PartAnswer>)) {
    if !core.groups.post(to, parcel) {
        return;
    }
    let core_sending = Rc::clone(core);
    let sender = async move {
        let core = core_sending;
        while let Some(parcels) = core.groups.posted(to) {
            let message = Message::GroupAnswers(parcels);
            if core.ask(to, message).await.is_err() {
                return;
            }
        }
    };
    core.host.spawn(Queue::Network, Box::pin(sender));
}

/// Opens and closes parts as the image says, and tells them of deleted topics.
pub fn follow<D: Disk>(core: &Rc<ShardCore<D>>, before: &Image) {
    let image = core.image();
    let wanted: BTreeSet<PartitionId> = led_places(core, &image, GROUP_TOPIC)
        .into_iter()
        .filter(|id| core.owner(*id) == core.host.shard())
        .collect();
    let (opened, gone) = core.groups.follow(&wanted);
    for part in gone {
        part.close();
    }
    let deleted: Arc<[(Uuid, String)]> = before
        .topics
        .iter()
        .filter(|topic| image.topics.get(topic.id).is_none())
        .map(|topic| (topic.id, topic.name.to_string()))
        .collect();
    if !deleted.is_empty() {
        for part in core.groups.parts() {
            part.tell(Ask::TopicsDeleted(Arc::clone(&deleted)));
            wake(core, &part);
        }
    }
    if !Arc::ptr_eq(&before.configs, &image.configs) {
        let config = group_config(&core.node.broker_configs, &image);
        for part in core.groups.parts() {
            part.change(|groups| groups.configure(config.clone()));
        }
    }
    for part in opened {
        open(core, part);
    }
}

/// A partition's high watermark moved.
pub fn moved<D: Disk>(core: &Rc<ShardCore<D>>, id: PartitionId, visible: Offset) {
    if let Some(part) = core.groups.part(id) {
        part.visible(visible);
    }
}
