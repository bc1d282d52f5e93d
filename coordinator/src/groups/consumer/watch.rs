//! Sessions and revocations of consumer groups: what is due when, and what was looked at.
//!
//! Nothing here is logged. Entries of members that are gone are dropped when they come up.

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_wire::ids::Offset;

use crate::groups::deadlines::{Deadlines, Due};
use crate::groups::time::Steady;

/// Milliseconds until a member is fenced once more, should the log refuse it.
const RETRY_MS: i64 = 1_000;

/// All groups of a shard.
#[derive(Debug, Default)]
pub(in crate::groups) struct Watches {
    groups: BTreeMap<Arc<str>, Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    /// The metadata that its subscriptions were last held against.
    seen: Option<Offset>,
    members: BTreeMap<Arc<str>, Timer>,
}

#[derive(Debug, Default)]
struct Timer {
    session: Steady,
    queued: Option<Steady>,
    /// When it must have given up its partitions, and in which epoch it is asked to.
    revoke: Option<(Steady, i32)>,
}

impl Watches {
    pub(super) fn seen(&self, group: &str) -> Option<Offset> {
        self.groups.get(group)?.seen
    }

    pub(super) fn see(&mut self, group: &str, offset: Offset) {
        self.groups.entry(group.into()).or_default().seen = Some(offset);
    }

    /// The log refused something: what was seen may not be in it.
    pub(in crate::groups) fn forget_seen(&mut self) {
        for watch in self.groups.values_mut() {
            watch.seen = None;
        }
    }

    /// That group's subscriptions are to be looked at again.
    pub(super) fn forget_seen_of(&mut self, group: &str) {
        if let Some(watch) = self.groups.get_mut(group) {
            watch.seen = None;
        }
    }

    fn timer(&mut self, group: &str, member: &Arc<str>) -> &mut Timer {
        let watch = self.groups.entry(group.into()).or_default();
        watch.members.entry(member.clone()).or_default()
    }

    /// A member has shown life.
    pub(super) fn allow(&mut self, at: (&str, &Arc<str>), until: Steady, queue: &mut Deadlines) {
        let (group, member) = at;
        let timer = self.timer(group, member);
        timer.session = until;
        if timer.queued.is_none_or(|queued| until < queued) {
            timer.queued = Some(until);
            queue.push(until, Due::Session(group.into(), member.clone()));
        }
    }

    /// A member is to give up partitions until then, or need not any more.
    pub(super) fn revoke(
        &mut self,
        at: (&str, &Arc<str>),
        until: Option<(Steady, i32)>,
        queue: &mut Deadlines,
    ) {
        let (group, member) = at;
        self.timer(group, member).revoke = until;
        if let Some((until, _)) = until {
            queue.push(until, Due::Revoke(group.into(), member.clone()));
        }
    }

    /// Whether a member's session is over at that time.
    pub(super) fn is_over(
        &mut self,
        at: (&Arc<str>, &Arc<str>),
        now: Steady,
        queue: &mut Deadlines,
    ) -> bool {
        let (group, member) = at;
        let timer = self.timer(group, member);
        let is_over = timer.session <= now;
        if is_over {
            timer.session = now.after(RETRY_MS);
        }
        timer.queued = Some(timer.session);
        queue.push(timer.session, Due::Session(group.clone(), member.clone()));
        is_over
    }

    /// The epoch in which a member should have given up its partitions by now.
    pub(super) fn overdue(&mut self, at: (&Arc<str>, &Arc<str>), now: Steady) -> Option<i32> {
        let timer = self.timer(at.0, at.1);
        timer
            .revoke
            .filter(|(until, _)| *until <= now)
            .map(|(_, epoch)| epoch)
    }

    pub(super) fn drop_member(&mut self, at: (&Arc<str>, &Arc<str>)) {
        if let Some(watch) = self.groups.get_mut(at.0) {
            watch.members.remove(at.1);
            if watch.members.is_empty() {
                self.groups.remove(at.0);
            }
        }
    }
}
