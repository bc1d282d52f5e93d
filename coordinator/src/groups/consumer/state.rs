//! What the records say of a consumer group.
//!
//! Invariant: `owners` names, for every partition in a current assignment, the member whose it is, and `instances`
//! exactly the static members; both follow from `members`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thalweg_wire::ids::Uuid;

use crate::error::ErrorCode;

use super::change::Change;

/// Partitions by topic.
pub type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// Partitions by topic, each with the epoch in which the member got it.
pub type Epochs = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// The epoch of a static member that is away.
pub(super) const AWAY: i32 = -2;
/// The epoch of a member that leaves.
pub(super) const GONE: i32 = -1;

/// Where a member stands on its way to its target. The numbers are the record's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// It has all that its epoch gives it.
    #[default]
    Stable,
    /// It is to give up partitions first.
    Unrevoked,
    /// Others have not given up yet what it is to get.
    Unreleased,
    /// A later version wrote it.
    Unknown,
}

/// What a member asks for, as it last said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subscription {
    /// The name that a static member keeps over restarts.
    pub instance: Option<Arc<str>>,
    /// Where it runs.
    pub rack: Option<Arc<str>>,
    /// Its client's id.
    pub client_id: Arc<str>,
    /// Its client's address.
    pub client_host: Arc<str>,
    /// Topics by name.
    pub topics: BTreeSet<Arc<str>>,
    /// Topics by pattern; not empty.
    pub regex: Option<Arc<str>>,
    /// How long it may take to give up partitions.
    pub rebalance_timeout_ms: i32,
    /// The assignor it would like.
    pub assignor: Option<Arc<str>>,
}

/// What a member has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Current {
    /// Its epoch.
    pub epoch: i32,
    /// The epoch before.
    pub previous: i32,
    /// Where it stands.
    pub state: State,
    /// What it may read.
    pub assigned: Epochs,
    /// What it is to give up.
    pub revoking: Epochs,
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConsumerMember {
    /// What it asks for.
    pub subscription: Arc<Subscription>,
    /// What it has.
    pub current: Arc<Current>,
}

/// A pattern and the topics that it matched.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Regex {
    /// Their names.
    pub topics: BTreeSet<Arc<str>>,
    /// The offset of the metadata that was looked at.
    pub version: i64,
    /// When.
    pub timestamp: i64,
}

/// Kafka's names for the states of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Nobody is in it.
    Empty,
    /// Its target assignment is behind its members.
    Assigning,
    /// Members are behind the target assignment.
    Reconciling,
    /// Everybody has what he is to have.
    Stable,
}

impl Phase {
    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// Before the first member: Kafka counts from here since 4.3, so that nobody is in a group's first
/// epoch without having been told of it.
const FIRST_EPOCH: i32 = 1;

/// A consumer group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerGroup {
    /// Its epoch: it goes up with every change of its members' wishes or of their topics.
    pub epoch: i32,
    /// A hash of the topics subscribed to.
    pub metadata_hash: i64,
    /// The epoch that the target assignment is for.
    pub assignment_epoch: i32,
    /// When it was made; 0 if that is not known.
    pub assignment_timestamp: i64,
    /// Members by id.
    pub members: BTreeMap<Arc<str>, ConsumerMember>,
    /// What each member is to have.
    pub targets: BTreeMap<Arc<str>, Arc<Assignment>>,
    /// Patterns and what they matched.
    pub regexes: BTreeMap<Arc<str>, Arc<Regex>>,
    instances: BTreeMap<Arc<str>, Arc<str>>,
    owners: BTreeMap<(Uuid, i32), Arc<str>>,
}

impl Default for ConsumerGroup {
    fn default() -> Self {
        Self {
            epoch: FIRST_EPOCH,
            metadata_hash: 0,
            assignment_epoch: 0,
            assignment_timestamp: 0,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            regexes: BTreeMap::new(),
            instances: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }
}

impl ConsumerGroup {
    /// The only writer of this state.
    pub(in crate::groups) fn apply(&mut self, change: Change) {
        match change {
            Change::Epoch(value) => {
                (self.epoch, self.metadata_hash) = value.unwrap_or((FIRST_EPOCH, 0));
            }
            Change::Member(id, Some(subscription)) => self.subscribe(id, subscription),
            Change::Member(id, None) => {
                self.hold(&id, Arc::default());
                if let Some(member) = self.members.remove(&id) {
                    self.forget_instance(&id, &member.subscription);
                }
            }
            Change::TargetEpoch(value) => {
                (self.assignment_epoch, self.assignment_timestamp) = value.unwrap_or_default();
            }
            Change::Target(id, Some(target)) => {
                self.targets.insert(id, target);
            }
            Change::Target(id, None) => {
                self.targets.remove(&id);
            }
            Change::Current(id, Some(current)) => {
                self.members.entry(id.clone()).or_default();
                self.hold(&id, current);
            }
            Change::Current(id, None) => self.hold(&id, Arc::default()),
            Change::Regex(text, Some(regex)) => {
                self.regexes.insert(text, regex);
            }
            Change::Regex(text, None) => {
                self.regexes.remove(&text);
            }
            Change::PartitionMetadata => {}
        }
    }

    fn subscribe(&mut self, id: Arc<str>, subscription: Arc<Subscription>) {
        if let Some(old) = self.members.get(&id) {
            let old = old.subscription.clone();
            self.forget_instance(&id, &old);
        }
        if let Some(instance) = &subscription.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.members.entry(id).or_default().subscription = subscription;
    }

    fn forget_instance(&mut self, id: &str, subscription: &Subscription) {
        if let Some(instance) = &subscription.instance
            && self
                .instances
                .get(instance)
                .is_some_and(|owner| **owner == *id)
        {
            self.instances.remove(instance);
        }
    }

    fn hold(&mut self, id: &Arc<str>, current: Arc<Current>) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut member.current, current.clone());
        for place in places(&old) {
            if self.owners.get(&place) == Some(id) {
                self.owners.remove(&place);
            }
        }
        for place in places(&current) {
            self.owners.insert(place, id.clone());
        }
    }

    /// Whose current assignment holds a partition.
    #[must_use]
    pub fn owner(&self, topic: Uuid, partition: i32) -> Option<&Arc<str>> {
        self.owners.get(&(topic, partition))
    }

    /// The member that bears a static member's name.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Arc<str>> {
        self.instances.get(name)
    }

    /// What a member is to have.
    pub(super) fn target(&self, id: &str) -> Arc<Assignment> {
        self.targets.get(id).cloned().unwrap_or_default()
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let is_there = |member: &ConsumerMember| {
            member.current.state == State::Stable && member.current.epoch == self.assignment_epoch
        };
        if self.members.is_empty() {
            Phase::Empty
        } else if self.epoch > self.assignment_epoch {
            Phase::Assigning
        } else if self.members.values().all(is_there) {
            Phase::Stable
        } else {
            Phase::Reconciling
        }
    }

    /// Whether a member wants that topic.
    #[must_use]
    pub fn wants(&self, topic: &str) -> bool {
        let by_name = |member: &ConsumerMember| member.subscription.topics.contains(topic);
        self.members.values().any(by_name)
            || self
                .regexes
                .values()
                .any(|regex| regex.topics.contains(topic))
    }

    /// Whether a commit of that partition may come from that member in that epoch. A commit that was under way
    /// while its member moved on is good if the member had the partition already then.
    pub(in crate::groups) fn may_commit(
        &self,
        (id, epoch): (&str, i32),
        (topic, partition): (Uuid, i32),
    ) -> Result<(), ErrorCode> {
        let member = self.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
        let current = &member.current;
        if epoch == current.epoch {
            return Ok(());
        }
        let since = |epochs: &Epochs| epochs.get(&topic)?.get(&partition).copied();
        let since = since(&current.assigned).or_else(|| since(&current.revoking));
        match since {
            Some(since) if since <= epoch && epoch < current.epoch => Ok(()),
            _ => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    /// Whether who says to be that member, in that epoch, may read offsets.
    pub(in crate::groups) fn may_fetch(
        &self,
        member: Option<&str>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        if member.is_none() && epoch < 0 {
            return Ok(());
        }
        let member = self.members.get(member.unwrap_or_default());
        match member.ok_or(ErrorCode::UnknownMemberId)?.current.epoch == epoch {
            true => Ok(()),
            false => Err(ErrorCode::StaleMemberEpoch),
        }
    }
}

fn places(current: &Current) -> impl Iterator<Item = (Uuid, i32)> {
    let topics = current.assigned.iter().chain(&current.revoking);
    topics.flat_map(|(topic, partitions)| partitions.keys().map(|partition| (*topic, *partition)))
}
