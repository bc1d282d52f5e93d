//! The groups of one partition of `__consumer_offsets`: the face that the node sees, and the life of a shard.
//!
//! The module's head says in which order the calls come. What members and administrators ask is in the files
//! named after it; each is a step of `(state, request, now)`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use thalweg_wire::ids::{Offset, ProducerId, Uuid};

use crate::error::ErrorCode;

use super::config::GroupConfig;
use super::consumer::{Change, Watches};
use super::deadlines::{Deadlines, Due};
use super::expire::Sweep;
use super::live::Live;
use super::logged::{Committed, Generation, Logged};
use super::record::{Entry, ReplayError, read};
use super::step::{Answer, Asker, Pending, Record, Reply, Scene, Step, Then};
use super::time::{Moment, Steady};
use super::work::Work;

/// Gives random ids, of which member ids are made.
pub type IdSource = Box<dyn FnMut() -> Uuid>;

/// One group: what the records say of it, and what they do not.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) logged: Logged,
    pub(super) live: Live,
}

/// The groups of one partition, and their offsets.
pub struct GroupShard {
    pub(super) config: GroupConfig,
    pub(super) ids: IdSource,
    pub(super) groups: BTreeMap<Arc<str>, Group>,
    pub(super) deadlines: Deadlines,
    pub(super) sweep: Sweep,
    pub(super) watches: Watches,
    /// Groups in which a producer has offsets that wait for its transaction's end.
    producers: BTreeMap<ProducerId, BTreeSet<Arc<str>>>,
    /// The first offset that the log has not given out yet.
    log_end: Offset,
}

impl fmt::Debug for GroupShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupShard")
            .field("log_end", &self.log_end)
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}

/// The life of a shard.
impl GroupShard {
    /// A shard that knows no groups yet. `ids` gives random ids.
    #[must_use]
    pub fn new(config: GroupConfig, ids: IdSource) -> Self {
        Self {
            config,
            ids,
            groups: BTreeMap::new(),
            deadlines: Deadlines::default(),
            sweep: Sweep::default(),
            watches: Watches::default(),
            producers: BTreeMap::new(),
            log_end: Offset(0),
        }
    }

    /// Applies a record, in the order of the log: the only writer of logged state. The node calls it at the start;
    /// on the running node [`Self::accepted`] does. `producer` is that of the record's batch if the batch is
    /// transactional, else none. Control batches go to [`Self::end_transaction`] instead.
    ///
    /// # Errors
    /// A record that cannot be read; nothing has changed.
    pub fn replay(
        &mut self,
        at: Offset,
        producer: ProducerId,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), ReplayError> {
        match read(key, value)? {
            Entry::Offset(key, Some(value)) => {
                let group = self.group_id(key.group);
                let committed = Committed::read(at, &value);
                self.logged(&group)
                    .commit(producer, (key.topic, key.partition), committed);
                if producer != ProducerId::NONE {
                    self.producers.entry(producer).or_default().insert(group);
                }
            }
            Entry::Offset(key, None) => {
                if let Some(group) = self.groups.get_mut(key.group) {
                    group.logged.forget(key.topic, key.partition);
                }
            }
            Entry::Group(id, Some(value)) => {
                let group = self.group_id(id);
                self.logged(&group).generation = Some(Generation::read(&value));
            }
            Entry::Group(id, None) => {
                if let Some(group) = self.groups.get_mut(id) {
                    group.logged.generation = None;
                    group.live = Live::empty(None);
                }
                self.drop_if_gone(id);
            }
            Entry::Consumer(id, change) => self.change(id, change),
            Entry::Other => {}
        }
        self.log_end = at.plus(1);
        Ok(())
    }

    /// Applies the marker that ends a producer's transaction.
    pub fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        for id in self.producers.remove(&producer).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&id) {
                group.logged.end_transaction(producer, committed);
            }
        }
    }

    /// Everything below the high watermark has been replayed: the groups come to life, and every member is given
    /// one session timeout to show up. `end` is the log's end. Offsets of topics that are not in the scene any more
    /// go with the next ticks: nobody told this shard when they were deleted.
    pub fn loaded(&mut self, end: Offset, scene: Scene<'_>) {
        let now = scene.now;
        self.log_end = end;
        let ids: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for id in ids {
            let max = self.config.members_max;
            let Some(mut work) = self.work(&id, now) else {
                continue;
            };
            work.wake();
            let len = work.live.len();
            if len > max {
                // `group.max.size` was lowered: the members that join last will find no room.
                work.prepare();
            }
            debug_assert!(work.step.records.is_empty() && work.step.replies.is_empty());
            self.wake_consumers(&id, scene);
        }
        self.drop_missing(scene.image, now);
        self.deadlines
            .push(now.steady.after(self.config.expiry_interval_ms), Due::Sweep);
    }

    /// This node is not the coordinator of these groups any more: everybody who waits is told so.
    #[must_use]
    pub fn unload(mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        for group in self.groups.values_mut() {
            let waiters = group.live.take_waiters();
            replies.extend(refusals(waiters, ErrorCode::NotCoordinator));
        }
        replies
            .into_iter()
            .map(|pending| pending.finish(Offset(0)))
            .collect()
    }

    /// The broker's configuration has changed. What is under way goes on as it began.
    pub fn configure(&mut self, config: GroupConfig) {
        self.config = config;
    }

    /// The log has taken the step's records, the first of them at `base` (which does not matter if there are
    /// none): applies them and gives the replies.
    ///
    /// # Panics
    /// If a record of our own making cannot be read.
    #[must_use]
    pub fn accepted(&mut self, step: Step, base: Offset, now: Moment) -> Vec<Reply> {
        let producer = step
            .transaction
            .map_or(ProducerId::NONE, |txn| txn.producer);
        self.apply(&step.records, producer, base);
        if let Some(marker) = step.marker {
            self.end_transaction(marker.producer, marker.commit);
            self.log_end = self.log_end.max(base.plus(1));
        }
        let mut replies = step.replies;
        match step.then {
            Then::Nothing | Then::Created(_) => {}
            Then::Swept(walk) => self.walk_on(*walk, now),
            Then::Assigned(group, assignments) => {
                replies.extend(self.settle(&group, now, |work| work.assign(&assignments)));
            }
            Then::Replaced(new) => {
                replies.extend(self.settle(&new.group, now, |work| work.replace(&new)));
            }
        }
        let end = self.log_end;
        replies
            .into_iter()
            .map(|pending| pending.finish(end))
            .collect()
    }

    /// The replies of a heartbeat: the one step that may come while the log has not said yet what becomes of the
    /// step before.
    ///
    /// # Panics
    /// If the step is not that of a heartbeat: its records would be out of order.
    #[must_use]
    pub fn beaten(&mut self, step: Step) -> Vec<Reply> {
        assert!(
            step.records.is_empty() && matches!(step.then, Then::Nothing),
            "a heartbeat changes nothing that is logged"
        );
        let end = self.log_end;
        let replies = step.replies.into_iter();
        replies.map(|pending| pending.finish(end)).collect()
    }

    /// The log has refused the step's records, and none of them will ever be in it. `code` is what a producer
    /// would have been told (`KAFKA_STORAGE_ERROR`, `NOT_LEADER_OR_FOLLOWER`, ...).
    #[must_use]
    pub fn refused(&mut self, step: Step, code: ErrorCode, now: Moment) -> Vec<Reply> {
        let code = coordinator_code(code);
        self.watches.forget_seen();
        let mut replies = Vec::new();
        for pending in step.replies {
            let answer = if pending.logged {
                pending.answer.refused(code)
            } else {
                pending.answer
            };
            replies.push(Pending {
                answer,
                logged: false,
                ..pending
            });
        }
        match step.then {
            Then::Nothing | Then::Replaced(_) => {}
            Then::Swept(walk) => self.put_off(*walk, now),
            Then::Created(id) => {
                if let Some(mut group) = self.groups.remove(&id) {
                    replies.extend(refusals(group.live.take_waiters(), code));
                }
            }
            Then::Assigned(group, _) => {
                replies.extend(self.settle(&group, now, |work| work.fail_assignment(code)));
            }
        }
        replies
            .into_iter()
            .map(|pending| pending.finish(Offset(0)))
            .collect()
    }

    /// When [`Self::tick`] has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<Steady> {
        self.deadlines.next()
    }

    /// Does the next thing that is due; to be called until it gives nothing.
    pub fn tick(&mut self, now: Moment) -> Option<Step> {
        let (at, due) = self.deadlines.pop(now.steady)?;
        let step = match due {
            Due::Join(group) => self.on_group(&group, now, |work| work.join_is_due(at)),
            Due::Sync(group) => self.on_group(&group, now, |work| work.sync_is_due(at)),
            Due::Member(group, member) => {
                self.on_group(&group, now, |work| work.member_is_due(&member, at))
            }
            Due::Session(..) | Due::Revoke(..) => self.consumer_is_due(&due, now),
            Due::Sweep => self.begin_sweep(now),
            Due::More => self.sweep_on(now),
        };
        Some(step)
    }

    /// What the records say of a group.
    #[must_use]
    pub fn logged_group(&self, id: &str) -> Option<&Logged> {
        self.groups.get(id).map(|group| &group.logged)
    }

    /// The ids of all groups, in order.
    pub fn group_ids(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(|id| &**id)
    }
}

/// Inside.
impl GroupShard {
    fn apply(&mut self, records: &[Record], producer: ProducerId, base: Offset) {
        let mut at = base;
        for record in records {
            let value = record.value.as_deref();
            self.replay(at, producer, &record.key, value)
                .expect("a record of our own making can be read");
            at = at.plus(1);
        }
    }

    /// Tombstones of what is not there any more bring nothing back.
    fn change(&mut self, id: &str, change: Change) {
        let is_there = self
            .groups
            .get(id)
            .is_some_and(|group| group.logged.consumer.is_some());
        if change == Change::Epoch(None) {
            if let Some(group) = self.groups.get_mut(id) {
                group.logged.consumer = None;
            }
            self.drop_if_gone(id);
        } else if is_there || !change.is_tombstone() {
            let group = self.group_id(id);
            self.logged(&group)
                .consumer
                .get_or_insert_default()
                .apply(change);
        }
    }

    fn drop_if_gone(&mut self, id: &str) {
        if self
            .groups
            .get(id)
            .is_some_and(|group| group.logged.is_gone() && group.live.is_bare())
        {
            self.groups.remove(id);
        }
    }

    fn group_id(&self, id: &str) -> Arc<str> {
        self.groups
            .get_key_value(id)
            .map_or_else(|| Arc::from(id), |(id, _)| id.clone())
    }

    fn logged(&mut self, id: &Arc<str>) -> &mut Logged {
        let group = self.groups.entry(id.clone()).or_insert_with(|| Group {
            logged: Logged::default(),
            live: Live::empty(None),
        });
        &mut group.logged
    }

    /// A group to be worked on.
    pub(super) fn work(&mut self, id: &str, now: Moment) -> Option<Work<'_>> {
        let id = self.group_id(id);
        let group = self.groups.get_mut(&id)?;
        Some(Work {
            id,
            logged: &group.logged,
            live: &mut group.live,
            config: &self.config,
            deadlines: &mut self.deadlines,
            now,
            step: Step::new(),
        })
    }

    fn on_group(&mut self, id: &str, now: Moment, what: impl FnOnce(&mut Work<'_>)) -> Step {
        let Some(mut work) = self.work(id, now) else {
            return Step::new();
        };
        what(&mut work);
        work.step
    }

    /// What follows from the log's verdict: replies, and never more records.
    fn settle(&mut self, id: &str, now: Moment, what: impl FnOnce(&mut Work<'_>)) -> Vec<Pending> {
        let step = self.on_group(id, now, what);
        assert!(
            step.records.is_empty(),
            "a verdict of the log leads to no records"
        );
        step.replies
    }
}

/// Who waits in a group: for a join and for a sync.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    pub(super) joins: Vec<(Arc<str>, Asker)>,
    pub(super) syncs: Vec<Asker>,
}

fn refusals(waiters: Waiters, code: ErrorCode) -> Vec<Pending> {
    let joins = waiters.joins.into_iter();
    let joins = joins.map(|(member, to)| Pending {
        to,
        answer: Answer::Join(super::work::refused_join(&member, code)),
        logged: false,
    });
    let syncs = waiters.syncs.into_iter().map(|to| Pending {
        to,
        answer: Answer::Sync(super::work::refused_sync(code)),
        logged: false,
    });
    joins.chain(syncs).collect()
}

/// What a client of the coordinator is told when the log refuses a record, as Kafka translates it.
#[must_use]
pub fn coordinator_code(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge
        | ErrorCode::RecordListTooLarge
        | ErrorCode::InvalidFetchSize => ErrorCode::UnknownServerError,
        other => other,
    }
}
