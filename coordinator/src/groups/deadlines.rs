//! What is due when.
//!
//! Heartbeats come far more often than members fail, so a sign of life does not touch the queue: the member's
//! own deadline moves, and its one entry in the queue is moved on when it comes up. Entries of what is gone or
//! was put off are dropped or moved on when they come up, so nothing has to be cancelled.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::live::Member;
use super::time::Steady;

/// What may be due.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Due {
    /// A group's members have had time to join.
    Join(Arc<str>),
    /// A generation's members have had time to sync.
    Sync(Arc<str>),
    /// A member, or one that is pending, was silent.
    Member(Arc<str>, Arc<str>),
    /// A consumer was silent.
    Session(Arc<str>, Arc<str>),
    /// A consumer has had time to give up partitions.
    Revoke(Arc<str>, Arc<str>),
    /// Offsets may have expired.
    Sweep,
    /// More of a sweep, or of deleted topics, is to be done at once.
    More,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    queue: BTreeSet<(Steady, Due)>,
}

impl Deadlines {
    pub(super) fn next(&self) -> Option<Steady> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The first entry whose time has come.
    pub(super) fn pop(&mut self, now: Steady) -> Option<(Steady, Due)> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_first()
    }

    pub(super) fn push(&mut self, at: Steady, due: Due) {
        self.queue.insert((at, due));
    }

    /// Gives a member until then.
    pub(super) fn allow(&mut self, group: &Arc<str>, member: &mut Member, until: Steady) {
        member.deadline = until;
        if member.queued.is_none_or(|queued| until < queued) {
            member.queued = Some(until);
            self.push(until, Due::Member(group.clone(), member.id.clone()));
        }
    }
}
