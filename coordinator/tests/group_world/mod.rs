//! A shard of groups with a log in memory: what the node does with steps, without disk, clock and sockets.
//!
//! Every request goes through Kafka's bytes, so that the shard sees what a client would send. The log takes
//! records, or refuses them; its high watermark is moved by hand or follows at once; a crash loses what is above
//! it and everything that no record holds.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use thalweg_coordinator::error::ErrorCode;
use thalweg_coordinator::groups::config::GroupConfig;
use thalweg_coordinator::groups::fetch::wanted;
use thalweg_coordinator::groups::shard::GroupShard;
use thalweg_coordinator::groups::step::{Answer, Caller, Record, Reply, Scene, Step, Token};
use thalweg_coordinator::groups::time::{Moment, Steady};
use thalweg_coordinator::metadata::image::Image;
use thalweg_coordinator::metadata::replay::replay;
use thalweg_wire::bytes::{Message, Writer};
use thalweg_wire::ids::{Epoch, Offset, ProducerId, TimestampMs, Uuid};
use thalweg_wire::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatRequestView,
};
use thalweg_wire::messages::heartbeat_request::{HeartbeatRequest, HeartbeatRequestView};
use thalweg_wire::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestView};
use thalweg_wire::messages::leave_group_request::{LeaveGroupRequest, LeaveGroupRequestView};
use thalweg_wire::messages::list_groups_request::{ListGroupsRequest, ListGroupsRequestView};
use thalweg_wire::messages::metadata::MetadataRecord;
use thalweg_wire::messages::offset_commit_request::{OffsetCommitRequest, OffsetCommitRequestView};
use thalweg_wire::messages::offset_delete_request::{OffsetDeleteRequest, OffsetDeleteRequestView};
use thalweg_wire::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestView};
use thalweg_wire::messages::partition_record::PartitionRecord;
use thalweg_wire::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestView};
use thalweg_wire::messages::topic_record::TopicRecord;

/// One record of the log, and the producer whose transaction it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) producer: ProducerId,
    pub(crate) record: Record,
}

/// A bug that a test of the tests plants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// Answers do not wait for the high watermark.
    AnswerBeforeCommit,
    /// A refused append is taken for an accepted one.
    RefusalForgotten,
    /// A restart forgets the last record.
    RecordLost,
    /// Commits are taken whatever generation they name.
    GenerationUnchecked,
    /// Offsets are kept for a tenth of the time.
    ExpiredEarly,
}

/// The shard, its log, and everything that was answered.
pub(crate) struct World {
    pub(crate) shard: GroupShard,
    pub(crate) config: GroupConfig,
    pub(crate) image: Image,
    pub(crate) now: Moment,
    pub(crate) log: Vec<Logged>,
    /// The high watermark.
    pub(crate) committed: usize,
    /// Whether the high watermark follows each append at once.
    pub(crate) commits_at_once: bool,
    /// What the log says to the next append.
    pub(crate) refusal: Option<ErrorCode>,
    /// How often the log has refused a step, and how often it had when each record of its own was appended.
    pub(crate) refusals: usize,
    pub(crate) refused_before: Vec<usize>,
    pub(crate) answers: BTreeMap<Token, Answer>,
    /// How long the log was when an answer was made, which may be long before it is given.
    pub(crate) made_at: BTreeMap<Token, usize>,
    pub(crate) bug: Option<Bug>,
    held: Vec<Reply>,
    /// Requests that have no answer yet.
    pub(crate) open: BTreeSet<Token>,
    ids: Rc<Cell<u64>>,
    next_token: u64,
}

/// The id of the nth topic.
pub(crate) fn topic_id(n: u8) -> Uuid {
    Uuid([n; 16])
}

/// Topics `t1` to `t4`, of eight partitions each, with ids made of their numbers.
pub(crate) fn image() -> Image {
    let mut image = Image::default();
    for n in 1..=4_u8 {
        add_topic(&mut image, &format!("t{n}"), topic_id(n));
    }
    image
}

pub(crate) fn add_topic(image: &mut Image, name: &str, id: Uuid) {
    let mut apply = |record: MetadataRecord<'static>| {
        let offset = image.offset.plus(1);
        replay(image, offset, Epoch(1), &record).expect("a record that fits");
    };
    let topic = TopicRecord {
        name: name.to_owned().into(),
        topic_id: id,
    };
    apply(topic.into());
    for partition_id in 0..8 {
        let partition = PartitionRecord {
            partition_id,
            topic_id: id,
            replicas: vec![1],
            isr: vec![1],
            leader: 1,
            ..PartitionRecord::default()
        };
        apply(partition.into());
    }
}

/// A message in Kafka's bytes.
pub(crate) fn bytes(message: &impl Message, version: i16) -> Vec<u8> {
    let size = message
        .size(version)
        .expect("a message that this version holds");
    let mut out = Writer::with_capacity(size);
    message.encode(version, &mut out).expect("as its size said");
    out.into_parts().0
}

macro_rules! request {
    ($(#[$doc:meta])* $name:ident, $owned:ty, $view:ident, |$shard:ident, $caller:ident, $seen:ident, $scene:ident| $call:expr) => {
        $(#[$doc])*
        pub(crate) fn $name(&mut self, version: i16, request: &$owned) -> Token {
            let bytes = bytes(request, version);
            let $seen = $view::decode(&bytes, version).expect("as it was written");
            let token = self.token();
            let image = self.image.clone();
            let $scene = Scene { now: self.now, image: &image };
            let $caller = caller(token, version);
            let $shard = &mut self.shard;
            let step = $call;
            self.run(step);
            token
        }
    };
}

fn caller(token: Token, version: i16) -> Caller<'static> {
    Caller {
        token,
        version,
        client_id: "client",
        client_host: "/127.0.0.1",
    }
}

impl World {
    pub(crate) fn new(config: GroupConfig) -> Self {
        let ids = Rc::new(Cell::new(0));
        let now = Moment {
            steady: Steady(5_000),
            wall: TimestampMs(1_000_000),
        };
        let mut shard = shard(&config, &ids);
        let image = image();
        shard.loaded(Offset(0), Scene { now, image: &image });
        Self {
            shard,
            config,
            image,
            now,
            log: Vec::new(),
            committed: 0,
            commits_at_once: true,
            refusal: None,
            refusals: 0,
            refused_before: Vec::new(),
            answers: BTreeMap::new(),
            made_at: BTreeMap::new(),
            bug: None,
            held: Vec::new(),
            open: BTreeSet::new(),
            ids,
            next_token: 0,
        }
    }

    request!(
        join,
        JoinGroupRequest<'_>,
        JoinGroupRequestView,
        |shard, caller, seen, scene| { shard.join(&caller, &seen, scene.now) }
    );
    request!(
        sync,
        SyncGroupRequest<'_>,
        SyncGroupRequestView,
        |shard, caller, seen, scene| { shard.sync(&caller, &seen, scene.now) }
    );
    request!(
        heartbeat,
        HeartbeatRequest<'_>,
        HeartbeatRequestView,
        |shard, caller, seen, scene| { shard.heartbeat(&caller, &seen, scene.now) }
    );
    request!(
        consumer_heartbeat,
        ConsumerGroupHeartbeatRequest<'_>,
        ConsumerGroupHeartbeatRequestView,
        |shard, caller, seen, scene| { shard.consumer_heartbeat(&caller, &seen, scene) }
    );
    request!(
        leave,
        LeaveGroupRequest<'_>,
        LeaveGroupRequestView,
        |shard, caller, seen, scene| { shard.leave(&caller, &seen, scene.now) }
    );
    request!(
        commit,
        OffsetCommitRequest<'_>,
        OffsetCommitRequestView,
        |shard, caller, seen, scene| { shard.commit(&caller, &seen, scene) }
    );
    request!(
        /// OffsetFetch of one group.
        fetch, OffsetFetchRequest<'_>, OffsetFetchRequestView, |shard, caller, seen, scene| {
            let wanted = wanted(&seen, caller.version);
            assert_eq!(wanted.len(), 1, "one group at a time");
            shard.fetch(&caller, &wanted[0], scene)
        }
    );
    request!(
        list,
        ListGroupsRequest<'_>,
        ListGroupsRequestView,
        |shard, caller, seen, _scene| { shard.list(&caller, &seen) }
    );
    request!(
        delete_offsets,
        OffsetDeleteRequest<'_>,
        OffsetDeleteRequestView,
        |shard, caller, seen, scene| { shard.delete_offsets(&caller, &seen, scene) }
    );

    pub(crate) fn describe(&mut self, version: i16, groups: &[&str]) -> Token {
        let token = self.token();
        // As in Kafka, for whoever asks in a version that can.
        let step = self
            .shard
            .describe(&caller(token, version), groups, version >= 3);
        self.run(step);
        token
    }

    pub(crate) fn describe_consumers(&mut self, groups: &[&str]) -> Token {
        let token = self.token();
        let image = self.image.clone();
        let (now, image) = (self.now, &image);
        let scene = Scene { now, image };
        let step = self
            .shard
            .describe_consumers(&caller(token, 1), groups, scene);
        self.run(step);
        token
    }

    pub(crate) fn delete_groups(&mut self, groups: &[&str]) -> Token {
        let token = self.token();
        let step = self.shard.delete_groups(&caller(token, 2), groups);
        self.run(step);
        token
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.open.insert(token);
        token
    }

    /// What the node does with a step.
    pub(crate) fn run(&mut self, step: Step) {
        let base = Offset(i64::try_from(self.log.len()).expect("a short log"));
        let refusal = if step.records().is_empty() {
            None
        } else {
            self.refusal.take()
        };
        self.refusals += usize::from(refusal.is_some());
        let replies = match refusal {
            Some(code) if self.bug != Some(Bug::RefusalForgotten) => {
                self.shard.refused(step, code, self.now)
            }
            Some(_) => self.shard.accepted(step, base, self.now),
            None => {
                let records = step.records().iter().cloned();
                let records: Vec<_> = records
                    .map(|record| Logged {
                        producer: ProducerId::NONE,
                        record,
                    })
                    .collect();
                let replies = self.shard.accepted(step, base, self.now);
                self.log.extend(records);
                self.refused_before.resize(self.log.len(), self.refusals);
                replies
            }
        };
        for reply in &replies {
            self.made_at.insert(reply.to, self.log.len());
        }
        self.held.extend(replies);
        if self.commits_at_once {
            self.committed = self.log.len();
        }
        self.give();
    }

    /// Moves the high watermark on.
    pub(crate) fn commit_log(&mut self, to: usize) {
        self.committed = self.committed.max(to.min(self.log.len()));
        self.give();
    }

    fn give(&mut self) {
        let committed = i64::try_from(self.committed).expect("a short log");
        let early = self.bug == Some(Bug::AnswerBeforeCommit);
        let (due, held): (Vec<_>, Vec<_>) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|reply| early || reply.after.0 <= committed);
        self.held = held;
        for reply in due {
            assert!(
                self.open.remove(&reply.to),
                "{:?} is answered once",
                reply.to
            );
            self.answers.insert(reply.to, reply.answer);
        }
    }

    /// Whether an answer was given, and which.
    pub(crate) fn answer(&self, token: Token) -> Option<&Answer> {
        self.answers.get(&token)
    }

    /// Lets time pass, with all that is due on the way.
    pub(crate) fn pass(&mut self, ms: i64) {
        let end = self.now.steady.after(ms);
        while let Some(due) = self.shard.next_due().filter(|due| *due <= end) {
            self.advance(due);
            if let Some(step) = self.shard.tick(self.now) {
                self.run(step);
            }
        }
        self.advance(end);
        assert!(
            self.shard.tick(self.now).is_none(),
            "all that is due is done"
        );
    }

    fn advance(&mut self, to: Steady) {
        let ms = (to.0 - self.now.steady.0).max(0);
        self.now.steady = self.now.steady.after(ms);
        self.set_wall(ms);
    }

    /// Somebody sets the wall clock by that much, with nothing done on the way.
    pub(crate) fn set_wall(&mut self, ms: i64) {
        self.now.wall = TimestampMs(self.now.wall.0 + ms);
    }

    /// Time passes and nobody looks.
    pub(crate) fn oversleep(&mut self, ms: i64) {
        self.advance(self.now.steady.after(ms));
    }

    /// A crash: what is above the high watermark is lost, and so are all who waited.
    pub(crate) fn crash(&mut self) {
        self.log.truncate(self.committed);
        self.refused_before.truncate(self.committed);
        self.held.clear();
        self.open.clear();
        self.shard = self.reloaded();
    }

    /// A shard made of the log alone.
    pub(crate) fn reloaded(&self) -> GroupShard {
        let mut shard = shard(&self.config, &self.ids);
        if self.bug == Some(Bug::ExpiredEarly) {
            shard.configure(GroupConfig {
                offsets_retention_ms: self.config.offsets_retention_ms / 10,
                ..self.config.clone()
            });
        }
        let lost = usize::from(self.bug == Some(Bug::RecordLost));
        for (at, logged) in self
            .log
            .iter()
            .enumerate()
            .take(self.log.len().saturating_sub(lost))
        {
            let record = &logged.record;
            let at = Offset(i64::try_from(at).expect("a short log"));
            shard
                .replay(at, logged.producer, &record.key, record.value.as_deref())
                .expect("a record of the shard's own making");
        }
        shard.loaded(
            Offset(i64::try_from(self.log.len()).expect("a short log")),
            Scene {
                now: self.now,
                image: &self.image,
            },
        );
        shard
    }
}

fn shard(config: &GroupConfig, ids: &Rc<Cell<u64>>) -> GroupShard {
    let ids = Rc::clone(ids);
    let next = move || {
        ids.set(ids.get() + 1);
        Uuid(u128::from(ids.get()).to_be_bytes())
    };
    GroupShard::new(config.clone(), Box::new(next))
}
