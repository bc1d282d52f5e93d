//! What is due when.
//!
//! Heartbeats come far more often than members fail, so a sign of life does not touch the queue: the member's
//! own deadline moves, and its one entry in the queue is moved on when it comes up. Entries of what is gone or
//! was put off are dropped or moved on when they come up, so nothing has to be cancelled.

use std::collections::BTreeSet;
use std::sync::Arc;

use thalweg_wire::ids::TimestampMs;

use super::live::Member;

/// What may be due.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Due {
    /// A group's members have had time to join.
    Join(Arc<str>),
    /// A generation's members have had time to sync.
    Sync(Arc<str>),
    /// A member, or one that is pending, was silent.
    Member(Arc<str>, Arc<str>),
    /// Offsets may have expired.
    Sweep,
    /// More of a sweep, or of deleted topics, is to be done at once.
    More,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    queue: BTreeSet<(TimestampMs, Due)>,
}

impl Deadlines {
    pub(super) fn next(&self) -> Option<TimestampMs> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The first entry whose time has come.
    pub(super) fn pop(&mut self, now: TimestampMs) -> Option<(TimestampMs, Due)> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_first()
    }

    pub(super) fn push(&mut self, at: TimestampMs, due: Due) {
        self.queue.insert((at, due));
    }

    /// Gives a member until then.
    pub(super) fn allow(&mut self, group: &Arc<str>, member: &mut Member, until: TimestampMs) {
        member.deadline = until;
        if member.queued.is_none_or(|queued| until < queued) {
            member.queued = Some(until);
            self.push(until, Due::Member(group.clone(), member.id.clone()));
        }
    }
}

/// The time that many milliseconds on.
pub(super) fn after(now: TimestampMs, ms: i64) -> TimestampMs {
    TimestampMs(now.0.saturating_add(ms))
}
