//! Fetch: what is visible from an offset on, or a wait until something is.
//!
//! Partitions are looked up anew for each request, so a topic that was deleted and made again is
//! another one. Each owning shard is asked once; if all together found less than `min_bytes` the
//! request parks until one of its partitions moves, the time is up, or the node stops. Errors are
//! answered at once. A fetch that waits holds no frame, only what it remembers, and no share of its
//! shard's requests. The first partition with records yields at least one batch, then the limits of
//! request, partition and node bind. Records are not read here: file ranges are bound when sent.
//! Deviation: fetches of replicas are refused until there is replication.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use thalweg_coordinator::metadata::image::{Image, Topic};
use thalweg_storage::disk::Disk;
use thalweg_storage::store::Isolation;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Epoch, NodeId, Offset, PartitionId, PartitionIndex, ShardId};
use thalweg_wire::messages::fetch_request::FetchRequestView;
use thalweg_wire::messages::fetch_response::FetchResponse;

use super::fetch_answer::{Found, answer_bytes, respond, throttled};
use crate::metrics::stages::Stage;
use crate::net::connection::{Link, Share};
use crate::outgoing::Answer;
use crate::quotas::Client;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{FetchJob, FetchPart, FetchedPart, Message, Reply};
use crate::shard::parked::{ParkedSlot, WatchKey, remember};
use crate::shard::sessions::{
    FETCH_PARTITIONS_MAX, Kind, PartitionKey, Session, Sessions, Told, TopicKey, Wanted,
};
use crate::shard::wait::{Either, Permit, race};

/// The first version that names topics by id.
pub(super) const BY_ID: i16 = 13;
/// Bytes of one partition in one answer: a file range is bound in one piece when it is sent, and
/// this bounds the memory that a piece which must be read takes.
const PARTITION_BYTES_MAX: usize = 2 << 20;

/// What a request wants, in numbers.
#[derive(Clone, Copy)]
struct Terms {
    bytes_min: usize,
    bytes_max: usize,
    isolation: Isolation,
    /// On the host's clock.
    deadline: u64,
}

impl Terms {
    /// At most so many bytes: more would be throttled for certain, each time anew.
    fn cap(&mut self, bytes_max: usize) {
        self.bytes_max = self.bytes_max.min(bytes_max);
        self.bytes_min = self.bytes_min.min(self.bytes_max);
    }
}

/// What a request asks for, without its frame.
struct Asked {
    kind: Kind,
    id: i32,
    session: Session,
    terms: Terms,
    is_replica: bool,
}

/// Handles the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: Request,
    link: &Link,
    share: &Share,
) -> Result<Answer, Refusal> {
    let asked = match understand(core, &request).await? {
        Ok(asked) => asked,
        Err(code) => return session_error(&request, code),
    };
    let client = Client::of(core, &request);
    // A fetch may wait for minutes: what it was said in must not stay in memory so long.
    let request = request.without_frame();
    share.frame_gone();
    let Asked {
        kind,
        id,
        mut session,
        mut terms,
        is_replica,
    } = asked;
    if let Some(bytes) = client.fetch_bytes_max(core) {
        terms.cap(bytes);
    }
    let full = !matches!(kind, Kind::Continue(_));
    let wanted = session.wanted();
    let mut found = if is_replica {
        refuse_all(wanted)
    } else {
        read(core, (link, share), wanted, &terms).await
    };
    let throttle = client.fetched(core, answer_bytes(&found), link).await;
    if throttle > 0 {
        // What was found holds memory: it goes before the client waits. Its session has been told nothing.
        drop(found);
        if let Kind::Continue(id) = kind {
            core.sessions.borrow_mut().put(id, session);
        }
        return throttled(&request, id, throttle);
    }
    found.retain(|found| {
        let told = Told {
            high_watermark: found.part.high_watermark,
            log_start: found.part.log_start,
            bytes: found.part.bytes,
            notable: found.is_notable(),
        };
        session.tell(&found.key, told, full)
    });
    let id = keep_session(core, kind, id, session);
    let done = core.host.now().mono;
    let stages = &core.metrics.stages;
    stages.record(Stage::FetchTotal, request.received.mono, done);
    respond(core, &request, id, found)
}

/// Reads the request, and its session with it.
async fn understand<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Result<Asked, ErrorCode>, Refusal> {
    let asked: FetchRequestView<'_> = request.view()?;
    let now = core.host.now();
    let kind = core
        .sessions
        .borrow_mut()
        .classify(asked.session_id, asked.session_epoch);
    let by_id = request.version >= BY_ID;
    let (mut session, id) = match kind {
        Kind::Continue(id) => match take_session(core, &asked, by_id).await {
            Ok(session) => (session, id),
            Err(code) => return Ok(Err(code)),
        },
        Kind::Sessionless | Kind::Create => (Session::new(by_id, now.wall), 0),
    };
    update(&mut session, &asked, by_id)?;
    Ok(Ok(Asked {
        kind,
        id,
        session,
        terms: terms(core, &asked, now.mono),
        is_replica: is_replica(&asked),
    }))
}

fn session_error(request: &Request, code: ErrorCode) -> Result<Answer, Refusal> {
    request.respond(&FetchResponse {
        error_code: code.code(),
        ..FetchResponse::default()
    })
}

/// Finds the session of a request, moving it here if its consumer came from another shard.
async fn take_session<D: Disk>(
    core: &Rc<ShardCore<D>>,
    asked: &FetchRequestView<'_>,
    by_id: bool,
) -> Result<Session, ErrorCode> {
    let (id, epoch) = (asked.session_id, asked.session_epoch);
    let maker = Sessions::maker(id);
    let elsewhere = maker != core.host.shard() && maker.0 < core.host.shards();
    if elsewhere
        && !core.sessions.borrow().has(id)
        && let Ok(Reply::Session(Some(session))) = core.ask(maker, Message::TakeSession(id)).await
    {
        core.sessions.borrow_mut().put(id, *session);
    }
    let now = core.host.now().wall;
    core.sessions.borrow_mut().take(id, epoch, by_id, now)
}

fn keep_session<D: Disk>(core: &ShardCore<D>, kind: Kind, id: i32, session: Session) -> i32 {
    let mut sessions = core.sessions.borrow_mut();
    match kind {
        Kind::Continue(_) => {
            sessions.put(id, session);
            id
        }
        Kind::Create => sessions.create(session, core.host.now().wall),
        Kind::Sessionless => 0,
    }
}

fn update(session: &mut Session, asked: &FetchRequestView<'_>, by_id: bool) -> Result<(), Refusal> {
    let topic_key = |name: &str, id| {
        if by_id {
            TopicKey::Id(id)
        } else {
            TopicKey::Name(name.into())
        }
    };
    for topic in asked.forgotten_topics_data.iter() {
        let name = topic_key(topic.topic, topic.topic_id);
        for index in topic.partitions.iter() {
            let topic = name.clone();
            session.forget(&PartitionKey { topic, index });
        }
    }
    for topic in asked.topics.iter() {
        let name = topic_key(topic.topic, topic.topic_id);
        for part in topic.partitions.iter() {
            let key = PartitionKey {
                topic: name.clone(),
                index: part.partition,
            };
            let wanted = Wanted {
                current_leader_epoch: Epoch(part.current_leader_epoch),
                offset: Offset(part.fetch_offset),
                last_fetched_epoch: Epoch(part.last_fetched_epoch),
                bytes_max: part.partition_max_bytes,
            };
            session.want(key, wanted);
            if session.len() > FETCH_PARTITIONS_MAX {
                return Err(Refusal::TooMuch("partitions"));
            }
        }
    }
    Ok(())
}

fn terms<D: Disk>(core: &ShardCore<D>, asked: &FetchRequestView<'_>, now: u64) -> Terms {
    let limit = core.node.settings.kafka.fetch_max_bytes;
    let bytes = |value: i32| usize::try_from(value).unwrap_or(0);
    let bytes_max = bytes(asked.max_bytes.min(limit));
    let wait = u64::try_from(asked.max_wait_ms).unwrap_or(0);
    Terms {
        bytes_min: bytes(asked.min_bytes).min(bytes_max),
        bytes_max,
        isolation: match asked.isolation_level {
            1 => Isolation::LastStable,
            _ => Isolation::HighWatermark,
        },
        deadline: gathered(now, wait.saturating_mul(1_000_000)),
    }
}

/// The end of a wait of so many nanoseconds, up to a 32nd earlier than asked: ends fall on common
/// moments, so that a shard with many idle consumers wakes for several of them at once. Clients ask
/// for a wait of at most so long.
fn gathered(now: u64, wait: u64) -> u64 {
    let end = now.saturating_add(wait);
    match (wait / 32).checked_ilog2() {
        Some(bits) => end & !((1 << bits) - 1),
        None => end,
    }
}

fn is_replica(asked: &FetchRequestView<'_>) -> bool {
    asked.replica_id >= 0 || asked.replica_state.replica_id >= 0
}

fn refuse_all(wanted: Vec<(PartitionKey, Wanted)>) -> Vec<Found> {
    let refused = |(key, _)| Found::failed(key, ErrorCode::NotLeaderOrFollower, None);
    wanted.into_iter().map(refused).collect()
}

/// Reads until there is enough, or nothing is to be waited for any more.
async fn read<D: Disk>(
    core: &Rc<ShardCore<D>>,
    (link, share): (&Link, &Share),
    wanted: Vec<(PartitionKey, Wanted)>,
    terms: &Terms,
) -> Vec<Found> {
    let mut slot: Option<ParkedSlot> = None;
    let mut room: Option<Permit> = None;
    loop {
        let left = terms.deadline.saturating_sub(core.host.now().mono);
        let waits = left > 0 && terms.bytes_min > 0;
        if waits {
            slot.get_or_insert_with(|| core.slots.enter()).reset();
        }
        let watch = slot.as_ref().filter(|_| waits).map(|slot| WatchKey {
            shard: core.host.shard(),
            slot: slot.number(),
        });
        let before = core.host.now().mono;
        let found = read_once(core, &wanted, terms, watch).await;
        let after = core.host.now().mono;
        core.metrics.stages.record(Stage::FetchRead, before, after);
        let bytes = bytes_of(&found);
        let Some(slot) = slot
            .as_ref()
            .filter(|_| waits && !is_enough(&found, terms) && !link.is_hurried())
        else {
            return found;
        };
        room = room.or_else(|| remember(&core.remembered, wanted.len()));
        if room.is_none() {
            return found;
        }
        // Records that are too few hold memory; nothing at all may be kept.
        let nothing = (bytes == 0).then_some(found);
        let time = core.host.sleep(Duration::from_nanos(left));
        let gone = race(slot.woken(), link.hurried());
        share.rests(true);
        let ended = race(gone, time).await;
        share.rests(false);
        match (ended, nothing) {
            // Nobody reads the answer, or the node stops: what there is now is the answer.
            (Either::Left(Either::Right(())), _) => {
                return read_once(core, &wanted, terms, None).await;
            }
            // The time is over and no watch fired: to look again would find nothing again.
            (Either::Right(()), Some(nothing)) => return nothing,
            // Nothing else can have become visible: what did not move was watched.
            (Either::Left(Either::Left(())), Some(nothing)) => {
                let found = look_at(core, &slot.moved(), (&wanted, nothing), terms).await;
                if is_enough(&found, terms) {
                    return found;
                }
            }
            _ => {}
        }
    }
}

fn bytes_of(found: &[Found]) -> usize {
    found.iter().map(|found| found.part.bytes).sum()
}

/// Whether what was found is an answer already.
fn is_enough(found: &[Found], terms: &Terms) -> bool {
    bytes_of(found) >= terms.bytes_min || found.iter().any(Found::is_notable)
}

/// Looks again at what `moved` (sorted) of all that was looked at before, when there were no records.
async fn look_at<D: Disk>(
    core: &Rc<ShardCore<D>>,
    moved: &[PartitionId],
    (wanted, mut before): (&[(PartitionKey, Wanted)], Vec<Found>),
    terms: &Terms,
) -> Vec<Found> {
    let has_moved = |found: &Found| {
        let partition = found.partition.as_ref();
        partition.is_some_and(|partition| moved.binary_search(partition).is_ok())
    };
    let again: Vec<(PartitionKey, Wanted)> = wanted
        .iter()
        .zip(&before)
        .filter(|(_, found)| has_moved(found))
        .map(|(wanted, _)| wanted.clone())
        .collect();
    let found = read_once(core, &again, terms, None).await;
    let places = before.iter_mut().filter(|found| has_moved(found));
    for (place, found) in places.zip(found) {
        *place = found;
    }
    before
}

/// Where a partition of the request is, or why it can't be read.
type Located = Result<PartitionId, (ErrorCode, Option<(NodeId, Epoch)>)>;

async fn read_once<D: Disk>(
    core: &Rc<ShardCore<D>>,
    wanted: &[(PartitionKey, Wanted)],
    terms: &Terms,
    watch: Option<WatchKey>,
) -> Vec<Found> {
    let image = core.image();
    let mut found: Vec<Found> = Vec::with_capacity(wanted.len());
    let mut jobs: BTreeMap<ShardId, (Vec<usize>, Vec<FetchPart>)> = BTreeMap::new();
    let mut topic: Option<(&TopicKey, Result<&Topic, ErrorCode>)> = None;
    for (at, (key, wanted)) in wanted.iter().enumerate() {
        // Partitions of a topic mostly come in a row.
        let known = topic.filter(|(last, _)| **last == key.topic);
        let (_, named) = *topic.insert(known.unwrap_or_else(|| (&key.topic, named(&image, key))));
        match named
            .map_err(|code| (code, None))
            .and_then(|topic| locate(core, topic, key.index, wanted))
        {
            Ok(partition) => {
                let (places, parts) = jobs.entry(core.owner(partition)).or_default();
                places.push(at);
                parts.push(FetchPart {
                    partition,
                    offset: wanted.offset,
                    bytes_max: usize::try_from(wanted.bytes_max)
                        .unwrap_or(0)
                        .min(PARTITION_BYTES_MAX),
                    last_fetched_epoch: wanted.last_fetched_epoch,
                });
                found.push(Found::waiting(key.clone(), partition));
            }
            Err((code, leader)) => found.push(Found::failed(key.clone(), code, leader)),
        }
    }
    // An error is answered at once: nobody will wait, so nobody needs to be woken.
    let watch = watch.filter(|_| found.iter().all(|found| found.partition.is_some()));
    let mut pending = Vec::new();
    for (shard, (places, parts)) in jobs {
        let job = FetchJob {
            watch,
            bytes_min: terms.bytes_min,
            bytes_max: terms.bytes_max,
            isolation: terms.isolation,
            parts,
        };
        pending.push((places, core.begin_ask(shard, Message::Fetch(job)).await));
    }
    for (places, reply) in pending {
        if let Ok(Reply::Fetched(parts)) = reply.await {
            for (place, part) in places.into_iter().zip(parts) {
                if let Some(slot) = found.get_mut(place) {
                    slot.part = part;
                }
            }
        }
    }
    trim(&mut found, terms.bytes_max);
    found
}

fn named<'a>(image: &'a Image, key: &PartitionKey) -> Result<&'a Topic, ErrorCode> {
    let topic = match &key.topic {
        TopicKey::Id(id) => image.topics.get(*id).ok_or(ErrorCode::UnknownTopicId),
        TopicKey::Name(name) => {
            let topic = image.topics.named(name);
            topic.ok_or(ErrorCode::UnknownTopicOrPartition)
        }
    };
    topic.map(AsRef::as_ref)
}

fn locate<D: Disk>(core: &ShardCore<D>, topic: &Topic, index: i32, wanted: &Wanted) -> Located {
    let index = PartitionIndex(index);
    let unknown = (ErrorCode::UnknownTopicOrPartition, None);
    let partition = topic.partition(index).ok_or(unknown)?;
    let leader = Some((partition.leader, partition.leader_epoch));
    if partition.leader != core.node.id {
        return Err((ErrorCode::NotLeaderOrFollower, leader));
    }
    match believed(wanted.current_leader_epoch, partition.leader_epoch) {
        Ok(()) => {}
        Err(ErrorCode::FencedLeaderEpoch) => return Err((ErrorCode::FencedLeaderEpoch, leader)),
        Err(code) => return Err((code, None)),
    }
    Ok(PartitionId {
        topic: topic.id,
        index,
    })
}

/// What a consumer believes to be the leader's epoch. In a fetch any number below 0 says that it does
/// not know (Kafka's `FetchRequest.optionalEpoch`); elsewhere only -1 does.
fn believed(epoch: Epoch, now: Epoch) -> Result<(), ErrorCode> {
    match epoch {
        Epoch(..0) => Ok(()),
        epoch if epoch < now => Err(ErrorCode::FencedLeaderEpoch),
        epoch if epoch > now => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

/// Shards planned side by side, each for the whole limit: together they may have too much.
fn trim(found: &mut [Found], bytes_max: usize) {
    let mut bytes = 0;
    for found in found {
        if bytes > 0 && bytes + found.part.bytes > bytes_max {
            found.part.drop_records();
        }
        bytes += found.part.bytes;
    }
}

impl FetchedPart {
    fn drop_records(&mut self) {
        self.pieces.clear();
        self.place = None;
        self.bytes = 0;
        if let Some(aborted) = &mut self.aborted {
            aborted.clear();
        }
    }
}

/// Brokers that an answer names as leaders.
pub(super) fn leaders(found: &[Found]) -> BTreeSet<NodeId> {
    found
        .iter()
        .filter_map(|found| found.leader)
        .map(|(node, _)| node)
        .collect()
}

#[cfg(test)]
mod tests {
    use thalweg_wire::bytes::{Message, Writer};
    use thalweg_wire::ids::TimestampMs;
    use thalweg_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};

    use super::*;

    #[test]
    fn waits_end_together_and_hardly_early() {
        let wait = 500_000_000;
        let ends: std::collections::BTreeSet<u64> = (0..1_000)
            .map(|index| {
                let now = 77_777_777 + index * 10_000;
                let end = gathered(now, wait);
                assert!(end <= now + wait && end > now + wait - wait / 32);
                end
            })
            .collect();
        assert!(ends.len() <= 3, "{}", ends.len());
        for wait in [0, 1, 31, 32, 1_000_000, u64::MAX] {
            let end = gathered(5_000, wait);
            assert!(end >= 5_000 && end <= wait.saturating_add(5_000));
        }
    }

    #[test]
    fn an_epoch_below_none_is_not_known() {
        for (epoch, told) in [
            (-2, Ok(())),
            (-1, Ok(())),
            (0, Err(ErrorCode::FencedLeaderEpoch)),
            (1, Ok(())),
            (2, Err(ErrorCode::UnknownLeaderEpoch)),
        ] {
            assert_eq!(believed(Epoch(epoch), Epoch(1)), told, "{epoch}");
        }
    }

    #[test]
    fn partitions_of_a_fetch_have_a_limit() {
        let version = 12;
        let ask = |session: &mut Session, from: usize, to: usize| {
            let partition = |index| FetchPartition {
                partition: i32::try_from(index).unwrap(),
                ..FetchPartition::default()
            };
            let request = FetchRequest {
                topics: vec![FetchTopic {
                    topic: "topic".into(),
                    partitions: (from..to).map(partition).collect(),
                    ..FetchTopic::default()
                }],
                ..FetchRequest::default()
            };
            let mut out = Writer::new();
            request.encode(version, &mut out).unwrap();
            let (bytes, _) = out.into_parts();
            let view = FetchRequestView::decode(&bytes, version).unwrap();
            update(session, &view, false)
        };
        let mut session = Session::new(false, TimestampMs(0));
        assert!(ask(&mut session, 0, FETCH_PARTITIONS_MAX).is_ok());
        // The same ones again are not more.
        assert!(ask(&mut session, 10, 20).is_ok());
        let refused = ask(&mut session, FETCH_PARTITIONS_MAX, FETCH_PARTITIONS_MAX + 1);
        assert!(matches!(refused, Err(Refusal::TooMuch(_))));
    }
}
