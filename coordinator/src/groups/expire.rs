//! Offsets that have outlived their group or their topic.
//!
//! A sweep walks all groups every `offsets.retention.check.interval.ms`, a deletion of topics walks them at once;
//! both in steps of some [`TOMBSTONES_PER_STEP`] records, so that members do not wait. What the log refuses is
//! left for the next sweep.
//!
//! An offset expires when its group has had no members for `offsets.retention.minutes`; while there are members,
//! when it is that old and no member wants its topic; and in a group that only keeps offsets, when it is that old.
//! A group without members goes with its last offset.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use thalweg_wire::ids::{TimestampMs, Uuid};

use super::admin::{push_group_tombstone, push_tombstone};
use super::config::TOMBSTONES_PER_STEP;
use super::deadlines::{Due, after};
use super::live::Phase;
use super::logged::Committed;
use super::shard::{Group, GroupShard};
use super::step::Step;

/// Groups looked at in one step.
const GROUPS_PER_STEP: usize = 10_000;

/// Walks that are under way.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    walks: VecDeque<Walk>,
}

#[derive(Debug)]
struct Walk {
    /// The last group that was looked at.
    last: Option<Arc<str>>,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    /// Time has passed.
    Time,
    /// These topics are gone.
    Topics(Vec<(Uuid, Box<str>)>),
}

impl GroupShard {
    /// Topics have been deleted: their offsets go with the next ticks. Offsets that were committed for a later
    /// topic of that name stay.
    pub fn topics_deleted(&mut self, topics: &[(Uuid, &str)], now: TimestampMs) {
        let topics = topics.iter().map(|(id, name)| (*id, Box::from(*name)));
        self.begin_walk(Reason::Topics(topics.collect()), now);
    }

    pub(super) fn begin_sweep(&mut self, now: TimestampMs) -> Step {
        self.deadlines
            .push(after(now, self.config.expiry_interval_ms), Due::Sweep);
        let under_way = self
            .sweep
            .walks
            .iter()
            .any(|walk| matches!(walk.reason, Reason::Time));
        if !under_way {
            self.begin_walk(Reason::Time, now);
        }
        Step::new()
    }

    fn begin_walk(&mut self, reason: Reason, now: TimestampMs) {
        self.sweep.walks.push_back(Walk { last: None, reason });
        self.deadlines.push(now, Due::More);
    }

    /// The next step of the walk that began first.
    pub(super) fn sweep_on(&mut self, now: TimestampMs) -> Step {
        let mut step = Step::new();
        let Some(walk) = self.sweep.walks.front_mut() else {
            return step;
        };
        let from = match &walk.last {
            Some(last) => Bound::Excluded(last.clone()),
            None => Bound::Unbounded,
        };
        let retention = self.config.offsets_retention_ms;
        let mut left = GROUPS_PER_STEP;
        let mut is_done = true;
        for (id, group) in self.groups.range((from, Bound::Unbounded)) {
            if left == 0 || step.records.len() >= TOMBSTONES_PER_STEP {
                is_done = false;
                break;
            }
            left -= 1;
            walk.last = Some(id.clone());
            match &walk.reason {
                Reason::Time => expire(id, group, (now, retention), &mut step),
                Reason::Topics(topics) => forget(id, group, topics, &mut step),
            }
        }
        if is_done {
            self.sweep.walks.pop_front();
        }
        if !self.sweep.walks.is_empty() {
            self.deadlines.push(now, Due::More);
        }
        step
    }
}

/// Expires what has outlived the retention of a group, and the group with its last offset.
fn expire(id: &str, group: &Group, time: (TimestampMs, i64), step: &mut Step) {
    let Some(age_of) = age(group) else {
        return;
    };
    let (now, retention) = time;
    let mut is_bare = group.logged.open.is_empty();
    for (topic, partitions) in group.logged.offsets.topics() {
        let wanted = group.live.wants(topic);
        for (partition, committed) in partitions {
            let is_over = match committed.expire_timestamp {
                -1 => now.0.saturating_sub(age_of(committed)) >= retention,
                expires => now.0 >= expires,
            };
            if is_over && !wanted && !group.logged.is_unstable(topic, *partition) {
                push_tombstone(id, (topic, *partition), step);
            } else {
                is_bare = false;
            }
        }
    }
    if is_bare && group.live.phase == Phase::Empty {
        push_group_tombstone(id, step);
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
fn forget(id: &str, group: &Group, topics: &[(Uuid, Box<str>)], step: &mut Step) {
    for (topic, name) in topics {
        for offsets in std::iter::once(&group.logged.offsets).chain(group.logged.open.values()) {
            for (partition, committed) in offsets.of_topic(name) {
                if committed.is_of(*topic) {
                    push_tombstone(id, (name, partition), step);
                }
            }
        }
    }
}
