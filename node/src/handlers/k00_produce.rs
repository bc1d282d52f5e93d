//! Produce: batches are checked here, appended on the shards that own them, answered when durable.
//!
//! Each batch is checked whole on the shard that received it, and brought into the topic's codec if it has
//! one; compressed ones off the latency queue.
//! Appends of one connection keep the order of its requests whatever each of them waits for (its
//! turn ends when all parts are appended here or sent to their shard). acks=1 and acks=-1 wait for
//! the disk; acks=0 gets no answer, and an error on it closes the connection, as in Kafka.
//! Refusals come in Kafka's order (`handleProduceRequest`): what concerns all of the request, then per
//! partition the topic, the shape of the records, acks, and what only the log knows.
//! A batch that would begin a transaction in its partition waits until the transaction's coordinator was
//! asked (`transactions::verify`); the requests behind it wait too, so that the order stays.

use std::collections::BTreeMap;
use std::rc::Rc;

use thalweg_coordinator::metadata::image::{Image, Partition, Topic};
use thalweg_storage::disk::Disk;
use thalweg_storage::log::Verification;
use thalweg_wire::batch::{
    BatchError, BatchRef, Codec, FirstLook, RecompressLimits, check_produce, check_shape,
    first_look, recompress,
};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{NodeId, PartitionId, PartitionIndex, ShardId, Uuid};
use thalweg_wire::messages::produce_request::{
    PartitionProduceDataView, ProduceRequestView, TopicProduceDataView,
};
use thalweg_wire::messages::produce_response::{
    NodeEndpoint, ProduceResponse, TopicProduceResponse,
};

use super::produce_answer::{Refused, partition_response};
use crate::metrics::stages::Stage;
use crate::net::connection::Link;
use crate::outgoing::Answer;
use crate::quotas::Client;
use crate::request::{Frame, Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::host::{Gone, PendingReply, Queue};
use crate::shard::mailbox::{
    AppendJob, AppendPart, AppendResult, AppendedPart, Fault, Message, Reply,
};
use crate::shard::partition::Begun;
use crate::shard::wait::{Turn, answer, yield_now};
use crate::transactions::verify::verify_batches;

/// The first version that names topics by id.
const BY_ID: i16 = 13;
/// The first version that may carry zstd.
const ZSTD: i16 = 7;
/// The only client that may write to Kafka's own topics, as in Kafka.
const ADMIN_CLIENT: &str = "__admin_client";
/// The first version that tells the new leader.
const LEADER: i16 = 10;

/// Handles the request; `turn` is its place in the order of its connection's appends.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    link: &Link,
    turn: Turn,
) -> Result<Answer, Refusal> {
    let asked: ProduceRequestView<'_> = request.view()?;
    let acks = asked.acks;
    let mut plan = if has_compressed(&asked) || has_recompressed(core, request, &asked) {
        plan_aside(core, request).await?
    } else {
        plan(core, request)?
    };
    let checked = core.host.now().mono;
    turn.arrive().await;
    let ordered = core.host.now().mono;
    if let Some(id) = asked.transactional_id {
        let parts = plan.jobs.values().flat_map(|(_, parts)| parts);
        let verified = verify_batches(core, (id, request.version), parts).await;
        plan.take_verified(verified);
    }
    let jobs = std::mem::take(&mut plan.jobs);
    let sent = send(core, request, acks, jobs).await;
    drop(turn);
    let appended = core.host.now().mono;
    collect(core, acks, &mut plan, sent).await;
    let stages = &core.metrics.stages;
    stages.record(Stage::ProduceCheck, request.received.mono, checked);
    stages.record(Stage::ProduceOrder, checked, ordered);
    stages.record(Stage::ProduceAppend, ordered, appended);
    let done = core.host.now().mono;
    stages.record(Stage::ProduceFlush, appended, done);
    stages.record(Stage::ProduceTotal, request.received.mono, done);
    let client = Client::of(core, request);
    let throttle = client
        .produced(core, (request.frame.len(), acks), link)
        .await;
    if acks == 0 {
        return match plan.first_error() {
            Some(fault) => Err(Refusal::Unacknowledged(fault.to_string())),
            None => Ok(Answer::Silent),
        };
    }
    let mut response = respond(core, request, &asked, plan);
    response.throttle_time_ms = throttle;
    request.respond(&response)
}

/// What is to be appended where, and the results by the place in the request.
#[derive(Default)]
struct Plan {
    results: Vec<Option<Result<AppendedPart, Refused>>>,
    jobs: BTreeMap<ShardId, (Vec<usize>, Vec<AppendPart>)>,
}

impl Plan {
    fn first_error(&self) -> Option<&Fault> {
        self.results
            .iter()
            .flatten()
            .find_map(|result| match result {
                Err(refused) => Some(&refused.fault),
                Ok(_) => None,
            })
    }

    /// What became of the transactional batches, in the order of the jobs.
    fn take_verified(&mut self, verified: Vec<Result<Verification, Fault>>) {
        let mut verified = verified.into_iter();
        for (places, parts) in self.jobs.values_mut() {
            let mut kept = (Vec::new(), Vec::new());
            for (place, mut part) in places.drain(..).zip(parts.drain(..)) {
                let outcome = match part.summary.is_transactional() {
                    true => verified.next().unwrap_or(Ok(Verification::Missing)),
                    false => Ok(Verification::Missing),
                };
                match (outcome, self.results.get_mut(place)) {
                    (Err(fault), Some(slot)) => *slot = Some(Err(fault.into())),
                    (Err(_), None) => {}
                    (Ok(verification), _) => {
                        part.verification = verification;
                        kept.0.push(place);
                        kept.1.push(part);
                    }
                }
            }
            (*places, *parts) = kept;
        }
        self.jobs.retain(|_, (places, _)| !places.is_empty());
    }

    fn set(&mut self, places: &[usize], results: Vec<AppendResult>) {
        for (place, result) in places.iter().zip(results) {
            if let Some(slot) = self.results.get_mut(*place) {
                *slot = Some(result.map_err(Refused::from));
            }
        }
    }
}

fn has_compressed(asked: &ProduceRequestView<'_>) -> bool {
    let compressed = |part: PartitionProduceDataView<'_>| {
        let batch = part
            .records
            .and_then(|records| BatchRef::first(records).ok());
        batch.is_some_and(|batch| batch.header().attributes().codec() != Ok(Codec::None))
    };
    asked
        .topic_data
        .iter()
        .any(|topic| topic.partition_data.iter().any(compressed))
}

/// Whether a topic of the request wants another codec than none.
fn has_recompressed<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    asked: &ProduceRequestView<'_>,
) -> bool {
    if !core.recompresses() {
        return false;
    }
    let image = core.image();
    let wants = |topic: TopicProduceDataView<'_>| {
        let known = find_topic(&image, request.version, &topic);
        known.is_ok_and(|known| {
            let settings = core.topic_settings(known);
            settings.compression_anew(Codec::None).is_some()
        })
    };
    asked.topic_data.iter().any(wants)
}

/// Inflating and compressing take long: it is done where nobody waits for the next request.
async fn plan_aside<D: Disk>(core: &Rc<ShardCore<D>>, request: &Request) -> Result<Plan, Refusal> {
    let (sender, waiter) = answer();
    let task = {
        let (core, request) = (Rc::clone(core), request.clone());
        async move {
            yield_now().await;
            sender.send(plan(&core, &request));
        }
    };
    core.host.spawn(Queue::Reads, Box::pin(task));
    waiter.await.unwrap_or(Err(Refusal::Stopping))
}

fn plan<D: Disk>(core: &Rc<ShardCore<D>>, request: &Request) -> Result<Plan, Refusal> {
    let asked: ProduceRequestView<'_> = request.view()?;
    let image = core.image();
    let refused = whole_refusal(&asked);
    let mut plan = Plan::default();
    for topic in asked.topic_data.iter() {
        let known = find_topic(&image, request.version, &topic);
        for part in topic.partition_data.iter() {
            let checked = match (&refused, &known) {
                (Some(fault), _) | (None, Err(fault)) => Err(Refused::from(fault.clone())),
                (None, Ok(known)) => check(core, request, asked.acks, known, &part),
            };
            let place = plan.results.len();
            match checked {
                Ok(append) => {
                    let (places, parts) =
                        plan.jobs.entry(core.owner(append.partition)).or_default();
                    places.push(place);
                    parts.push(append);
                    plan.results.push(None);
                }
                Err(refused) => plan.results.push(Some(Err(refused))),
            }
        }
    }
    Ok(plan)
}

/// Why nothing of the request is appended: Kafka looks at the first batch of each partition, known or
/// not, until it finds one of a transaction, and stops at one that it cannot tell the end of. A
/// batch of a transaction without a transactional id is a question of rights there.
fn whole_refusal(asked: &ProduceRequestView<'_>) -> Option<Fault> {
    let parts = asked.topic_data.iter();
    for part in parts.flat_map(|topic| topic.partition_data.iter()) {
        match first_look(part.records.unwrap_or_default()) {
            Ok(FirstLook::Plain) => {}
            Ok(FirstLook::Transactional) if asked.transactional_id.is_none() => {
                let words = "a batch of a transaction, and the request has no transactional id";
                let code = ErrorCode::TransactionalIdAuthorizationFailed;
                return Some(Fault::new(code, words));
            }
            Ok(FirstLook::Transactional) => break,
            Err(cause) => return Some(Fault::from(BatchError::Split(cause))),
        }
    }
    None
}

fn known_acks(acks: i16) -> Result<(), Fault> {
    if matches!(acks, -1..=1) {
        return Ok(());
    }
    let words = format!("acks is {acks}, not -1, 0 or 1");
    Err(Fault::new(ErrorCode::InvalidRequiredAcks, words))
}

fn find_topic<'a>(
    image: &'a Image,
    version: i16,
    topic: &TopicProduceDataView<'_>,
) -> Result<&'a Topic, Fault> {
    if version >= BY_ID {
        let found = image.topics.get(topic.topic_id);
        return found
            .map(AsRef::as_ref)
            .ok_or_else(|| Fault::new(ErrorCode::UnknownTopicId, "no topic has this id"));
    }
    let found = image.topics.named(topic.name);
    found
        .map(AsRef::as_ref)
        .ok_or_else(|| Fault::new(ErrorCode::UnknownTopicOrPartition, "there is no such topic"))
}

fn check<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    acks: i16,
    topic: &Topic,
    part: &PartitionProduceDataView<'_>,
) -> Result<AppendPart, Refused> {
    let index = PartitionIndex(part.index);
    let partition = topic.partition(index).ok_or_else(|| {
        Fault::new(
            ErrorCode::UnknownTopicOrPartition,
            "there is no such partition",
        )
    })?;
    let records = part.records.unwrap_or_default();
    let zstd_allowed = request.version >= ZSTD;
    check_shape(records, zstd_allowed)?;
    known_acks(acks)?;
    if topic.is_internal() && request.client_id() != ADMIN_CLIENT {
        let words = format!("Cannot append to internal topic {}", topic.name);
        return Err(Fault::new(ErrorCode::InvalidTopicException, words).into());
    }
    led_here(core.node.id, partition)?;
    let settings = core.topic_settings(topic);
    let isr = i64::try_from(partition.isr.len()).unwrap_or(i64::MAX);
    if acks == -1 && isr < settings.config.min_insync_replicas {
        let words = format!("{isr} replicas are in sync, fewer than min.insync.replicas");
        return Err(Fault::new(ErrorCode::NotEnoughReplicas, words).into());
    }
    let limits = settings.limits(core.host.now().wall, zstd_allowed);
    let scratch = &mut core.scratch.borrow_mut();
    let mut summary = check_produce(records, &limits, scratch)?;
    let mut anew = None;
    if let Some(wanted) = settings.compression_anew(summary.codec) {
        let bounds = RecompressLimits {
            batch_bytes_max: limits.batch_bytes_max,
            inflated_bytes_max: limits.inflated_bytes_max,
        };
        let batch = BatchRef::first(records).map_err(BatchError::Split)?;
        let (bytes, its) = recompress(&batch, &summary, wanted, bounds, scratch)?;
        summary = its;
        anew = Some(Frame::new(bytes));
    }
    Ok(AppendPart {
        partition: PartitionId {
            topic: topic.id,
            index,
        },
        batch: request.frame.range_of(records),
        anew,
        summary,
        leader_epoch: partition.leader_epoch,
        verification: Verification::Missing,
    })
}

fn led_here(node: NodeId, partition: &Partition) -> Result<(), Refused> {
    if partition.leader == node {
        return Ok(());
    }
    Err(Refused {
        leader: Some((partition.leader, partition.leader_epoch.0)),
        ..Refused::from(Fault::new(
            ErrorCode::NotLeaderOrFollower,
            "another node leads this partition",
        ))
    })
}

/// Parts that are under way.
struct Sent {
    here: Option<(Vec<usize>, Begun)>,
    there: Vec<(Vec<usize>, Result<PendingReply, Gone>)>,
}

/// Appends what is ours and sends the rest; when it returns, the order is settled everywhere.
async fn send<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    acks: i16,
    jobs: BTreeMap<ShardId, (Vec<usize>, Vec<AppendPart>)>,
) -> Sent {
    let mut sent = Sent {
        here: None,
        there: Vec::new(),
    };
    let mut own = None;
    for (shard, (places, parts)) in jobs {
        let job = AppendJob {
            frame: request.frame.clone(),
            durable: acks != 0,
            parts,
        };
        if shard == core.host.shard() {
            own = Some((places, job));
        } else {
            let pending = core.host.send(shard, Message::Append(job)).await;
            sent.there.push((places, pending));
        }
    }
    if let Some((places, job)) = own {
        sent.here = Some((places, core.begin_append(&job).await));
    }
    sent
}

async fn collect<D: Disk>(core: &Rc<ShardCore<D>>, acks: i16, plan: &mut Plan, sent: Sent) {
    if let Some((places, begun)) = sent.here {
        let results = core.finish_append(begun, acks != 0).await;
        plan.set(&places, results);
    }
    for (places, pending) in sent.there {
        let reply = match pending {
            Ok(pending) => pending.await,
            Err(gone) => Err(gone),
        };
        let results = match reply {
            Ok(Reply::Appended(results)) => results,
            _ => places.iter().map(|_| Err(Fault::from(Gone))).collect(),
        };
        plan.set(&places, results);
    }
}

fn respond<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    asked: &ProduceRequestView<'_>,
    plan: Plan,
) -> ProduceResponse<'static> {
    let tells_leader = request.version >= LEADER;
    let mut results = plan.results.into_iter();
    let mut leaders = Vec::new();
    let mut partition = |part: PartitionProduceDataView<'_>| {
        let result = results.next().flatten();
        let result = result.unwrap_or_else(|| Err(Fault::from(Gone).into()));
        if let (true, Err(refused)) = (tells_leader, &result) {
            leaders.extend(refused.leader.map(|(node, _)| node));
        }
        partition_response(part.index, result, tells_leader)
    };
    let topics = asked.topic_data.iter().map(|topic| TopicProduceResponse {
        name: topic.name.to_owned().into(),
        topic_id: if request.version >= BY_ID {
            topic.topic_id
        } else {
            Uuid::ZERO
        },
        partition_responses: topic.partition_data.iter().map(&mut partition).collect(),
    });
    let responses = topics.collect();
    leaders.sort_unstable();
    leaders.dedup();
    let endpoints = leaders.into_iter().filter_map(|node| {
        let (host, port, rack) = core.endpoint_of(node, request.origin.listener)?;
        Some(NodeEndpoint {
            node_id: node.0,
            host: host.into(),
            port,
            rack: rack.map(Into::into),
        })
    });
    ProduceResponse {
        responses,
        throttle_time_ms: 0,
        node_endpoints: endpoints.collect(),
    }
}
