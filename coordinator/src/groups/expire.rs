//! Offsets that have outlived their group or their topic.
//!
//! A sweep walks all groups every `offsets.retention.check.interval.ms`, a deletion of topics walks them at once;
//! both in steps of at most [`TOMBSTONES_PER_STEP`] records, so that members do not wait and a batch is never
//! too large. If the log refuses a step, a sweep leaves the rest to the next one, and deleted topics are tried
//! again in a while. A deletion that nobody told the shard of (it was not loaded then) is found when it is loaded:
//! topics that offsets were committed for and that are not there any more.
//!
//! An offset expires when its group has had no members for `offsets.retention.minutes`; while there are members,
//! when it is that old and no member wants its topic; and in a group that only keeps offsets, when it is that old.
//! A group without members goes with its last offset.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use thalweg_wire::ids::{TimestampMs, Uuid};

use crate::metadata::image::Image;

use super::admin::{is_empty, push_group_tombstones, push_tombstone, wants};
use super::config::TOMBSTONES_PER_STEP;
use super::deadlines::Due;
use super::live::Phase;
use super::logged::{Committed, Logged, Offsets};
use super::shard::{Group, GroupShard};
use super::step::{Step, Then};
use super::time::Moment;

/// Groups looked at in one step.
const GROUPS_PER_STEP: usize = 10_000;
/// Bytes of the tombstones in one step: half of what `max.message.bytes` allows a batch by default.
const BYTES_PER_STEP: usize = 512 * 1024;
/// Milliseconds until the offsets of deleted topics are tried again after a refusal.
const RETRY_MS: i64 = 60_000;

/// Walks that are under way.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    walks: VecDeque<Walk>,
}

/// A way through all groups, in their order.
#[derive(Debug)]
pub(super) struct Walk {
    /// The last group that is done.
    last: Option<Arc<str>>,
    reason: Reason,
    /// There is no group behind it.
    is_done: bool,
}

impl Walk {
    fn new(reason: Reason) -> Self {
        Self {
            last: None,
            reason,
            is_done: false,
        }
    }
}

#[derive(Debug)]
enum Reason {
    /// Time has passed.
    Time,
    /// These topics are gone.
    Topics(Vec<(Uuid, Box<str>)>),
    /// These were gone when the shard was loaded, and others may have their names.
    Missed(BTreeSet<(Uuid, Box<str>)>),
}

impl GroupShard {
    /// Topics have been deleted: their offsets go with the next ticks. Offsets that were committed for a later
    /// topic of that name stay.
    pub fn topics_deleted(&mut self, topics: &[(Uuid, &str)], now: Moment) {
        let topics = topics.iter().map(|(id, name)| (*id, Box::from(*name)));
        let reason = Reason::Topics(topics.collect());
        self.sweep.walks.push_back(Walk::new(reason));
        self.deadlines.push(now.steady, Due::More);
    }

    /// Offsets that were committed for topics that are not there go with the next ticks. What was committed by name
    /// alone counts as the present topic's of that name, if there is one.
    pub(super) fn drop_missing(&mut self, image: &Image, now: Moment) {
        let mut missed = BTreeSet::new();
        for group in self.groups.values() {
            for (name, partitions) in group.logged.all_offsets().flat_map(Offsets::topics) {
                for id in partitions.values().map(|committed| committed.topic_id) {
                    let is_there = match id.is_zero() {
                        true => image.topics.named(name).is_some(),
                        false => image.topics.get(id).is_some(),
                    };
                    if !is_there {
                        missed.insert((id, Box::from(name)));
                    }
                }
            }
        }
        if !missed.is_empty() {
            self.sweep
                .walks
                .push_back(Walk::new(Reason::Missed(missed)));
            self.deadlines.push(now.steady, Due::More);
        }
    }

    pub(super) fn begin_sweep(&mut self, now: Moment) -> Step {
        self.deadlines
            .push(now.steady.after(self.config.expiry_interval_ms), Due::Sweep);
        let under_way = self
            .sweep
            .walks
            .iter()
            .any(|walk| matches!(walk.reason, Reason::Time));
        if !under_way {
            self.sweep.walks.push_back(Walk::new(Reason::Time));
            self.deadlines.push(now.steady, Due::More);
        }
        Step::new()
    }

    /// The next step of the walk that began first.
    pub(super) fn sweep_on(&mut self, now: Moment) -> Step {
        let mut step = Step::new();
        let Some(mut walk) = self.sweep.walks.pop_front() else {
            return step;
        };
        let from = match &walk.last {
            Some(last) => Bound::Excluded(last.clone()),
            None => Bound::Unbounded,
        };
        let retention = self.config.offsets_retention_ms;
        let mut room = Room::new(&mut step);
        let mut left = GROUPS_PER_STEP;
        let mut rest = self.groups.range((from, Bound::Unbounded)).peekable();
        while let Some((id, group)) = rest.next_if(|_| left > 0) {
            left -= 1;
            match &walk.reason {
                Reason::Time => expire(id, group, (now.wall, retention), &mut room),
                Reason::Topics(topics) => {
                    let gone = topics.iter().map(|(topic, name)| (*topic, &**name));
                    forget(id, group, gone, Committed::is_of, &mut room);
                }
                Reason::Missed(topics) => {
                    let gone = topics.iter().map(|(topic, name)| (*topic, &**name));
                    let is_of = |committed: &Committed, topic| committed.topic_id == topic;
                    forget(id, group, gone, is_of, &mut room);
                }
            }
            if room.is_full {
                break;
            }
            walk.last = Some(id.clone());
        }
        let is_done = !room.is_full && rest.peek().is_none();
        step.then = Then::Swept(Box::new(Walk { is_done, ..walk }));
        step
    }

    /// The log has taken a step of a walk.
    pub(super) fn walk_on(&mut self, walk: Walk, now: Moment) {
        if !walk.is_done {
            self.sweep.walks.push_front(walk);
        }
        if !self.sweep.walks.is_empty() {
            self.deadlines.push(now.steady, Due::More);
        }
    }

    /// The log has refused a step of a walk.
    pub(super) fn put_off(&mut self, walk: Walk, now: Moment) {
        if matches!(walk.reason, Reason::Topics(_) | Reason::Missed(_)) {
            self.sweep.walks.push_back(Walk::new(walk.reason));
        }
        if !self.sweep.walks.is_empty() {
            self.deadlines.push(now.steady.after(RETRY_MS), Due::More);
        }
    }
}

/// The room for tombstones in one step.
struct Room<'a> {
    step: &'a mut Step,
    bytes: usize,
    /// Something did not fit.
    is_full: bool,
}

impl<'a> Room<'a> {
    fn new(step: &'a mut Step) -> Self {
        Self {
            step,
            bytes: 0,
            is_full: false,
        }
    }

    /// Whether there is room for one more.
    fn has_more(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.is_full |= self.step.records.len() >= TOMBSTONES_PER_STEP;
        self.is_full |= self.bytes > BYTES_PER_STEP;
        !self.is_full
    }

    fn bury_offset(&mut self, group: &str, place: (&str, i32)) {
        if self.has_more(group.len() + place.0.len()) {
            push_tombstone(group, place, self.step);
        }
    }

    fn bury_group(&mut self, group: &str, logged: &Logged) {
        if self.has_more(group.len()) {
            push_group_tombstones(group, logged, self.step);
        }
    }
}

/// Expires what has outlived the retention of a group, and the group with its last offset.
fn expire(id: &str, group: &Group, time: (TimestampMs, i64), room: &mut Room<'_>) {
    let Some(age_of) = age(group) else {
        return;
    };
    let (now, retention) = time;
    let mut is_bare = group.logged.open.is_empty();
    for (topic, partitions) in group.logged.offsets.topics() {
        let wanted = wants(group, topic);
        for (partition, committed) in partitions {
            let is_over = match committed.expire_timestamp {
                -1 => now.0.saturating_sub(age_of(committed)) >= retention,
                expires => now.0 >= expires,
            };
            if is_over && !wanted && !group.logged.is_unstable(topic, *partition) {
                room.bury_offset(id, (topic, *partition));
            } else {
                is_bare = false;
            }
        }
    }
    if is_bare && is_empty(group) {
        room.bury_group(id, &group.logged);
    }
}

/// Since when an offset ages; none while a group's offsets do not.
fn age(group: &Group) -> Option<impl Fn(&Committed) -> i64> {
    let live = &group.live;
    let since_commit = match live.phase {
        _ if live.protocol_type.is_none() => true,
        Phase::Empty => false,
        Phase::Stable if live.is_consumers() && live.subscribed.is_some() => true,
        _ if group.logged.offsets.is_empty() => true,
        _ => return None,
    };
    let since = live.since.filter(|_| !since_commit);
    Some(move |committed: &Committed| since.map_or(committed.commit_timestamp, |since| since.0))
}

/// Drops the offsets that were committed for topics that are gone.
fn forget<'a>(
    id: &str,
    group: &Group,
    topics: impl Iterator<Item = (Uuid, &'a str)>,
    is_of: impl Fn(&Committed, Uuid) -> bool,
    room: &mut Room<'_>,
) {
    for (topic, name) in topics {
        for offsets in group.logged.all_offsets() {
            for (partition, committed) in offsets.of_topic(name) {
                if is_of(committed, topic) {
                    room.bury_offset(id, (name, partition));
                }
            }
        }
    }
}
