//! What no record holds of a group: who waits for whom, votes, deadlines.
//!
//! The phases are Kafka's:
//!
//! ```text
//!            first join               all joined, or time is up          the leader's assignment is logged
//! Empty ----------------> Preparing --------------------------> Completing ----------------------> Stable
//!   ^                     ^   |                                     |                                 |
//!   |   nobody joined     |   |        a member joins, leaves, fails or does not sync                 |
//!   +---------------------+---+<------------------------------------+---------------------------------+
//! ```
//!
//! "Dead" is no phase here: a dead group is gone.
//!
//! Invariants: `joining` counts the members that wait for a join; `supported` counts the members that support a
//! protocol; `instances` names exactly the static members; a member that is pending is not a member yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thalweg_wire::ids::TimestampMs;

use crate::error::ErrorCode;

use super::logged::{Generation, LoggedMember, time_or_none};
use super::shard::Waiters;
use super::step::Asker;
use super::time::Steady;

/// Where a group stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nobody is in it.
    Empty,
    /// Members are being collected. The first time, more time is given, and nobody hurries it.
    Preparing { first: bool },
    /// A generation is made; its leader's assignment is awaited.
    Completing,
    /// Every member can know its assignment.
    Stable,
}

impl Phase {
    /// Kafka's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing { .. } => "PreparingRebalance",
            Self::Completing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A protocol that a member supports, and what it says in it.
pub(super) type Protocol = (Arc<str>, Arc<[u8]>);

/// A member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: Arc<str>,
    pub(super) instance: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// In the order in which it likes them.
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Arc<[u8]>,
    /// It has not been in a generation yet, so it may not wait for ever.
    pub(super) is_new: bool,
    /// Who is to be told of the next generation.
    join: Option<Asker>,
    /// Who is to be told the assignment.
    pub(super) sync: Option<Asker>,
    /// When it is given up. Moves with every sign of life.
    pub(super) deadline: Steady,
    /// The entry that the deadlines' queue holds for it, at or before `deadline`.
    pub(super) queued: Option<Steady>,
}

impl Member {
    /// A member that joins for the first time. `client` is its client's id and address.
    pub(super) fn new(
        id: Arc<str>,
        instance: Option<&str>,
        client: (&str, &str),
        news: MemberNews,
    ) -> Self {
        Self {
            id,
            instance: instance.map(Arc::from),
            client_id: client.0.into(),
            client_host: client.1.into(),
            rebalance_timeout_ms: news.rebalance_timeout_ms,
            session_timeout_ms: news.session_timeout_ms,
            protocols: news.protocols,
            assignment: Arc::default(),
            is_new: true,
            join: None,
            sync: None,
            deadline: Steady::default(),
            queued: None,
        }
    }

    pub(super) fn waits_for_join(&self) -> bool {
        self.join.is_some()
    }

    /// Silence is no failure while it waits for us; a new member's wait has an end all the same.
    pub(super) fn is_excused(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    pub(super) fn metadata(&self, protocol: &str) -> Option<&Arc<[u8]>> {
        let mut protocols = self.protocols.iter();
        protocols
            .find(|(name, _)| &**name == protocol)
            .map(|(_, metadata)| metadata)
    }

    fn from_logged(member: &LoggedMember, protocol: Option<&Arc<str>>) -> Self {
        let protocol = protocol.cloned().unwrap_or_default();
        Self {
            id: member.id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            protocols: vec![(protocol, member.subscription.clone())],
            assignment: member.assignment.clone(),
            is_new: false,
            join: None,
            sync: None,
            deadline: Steady::default(),
            queued: None,
        }
    }
}

/// When the collecting of members ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct JoinDue {
    pub(super) at: Steady,
    /// In a group's first rebalance: the delay that is running and what may still be added to it.
    pub(super) first: Option<FirstDelay>,
}

/// The delay of a first rebalance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FirstDelay {
    pub(super) delay_ms: i64,
    pub(super) remaining_ms: i64,
}

/// The live state of a group.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) phase: Phase,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<Arc<str>>,
    pub(super) protocol: Option<Arc<str>>,
    pub(super) leader: Option<Arc<str>>,
    /// Since when it is in this phase.
    pub(super) since: Option<TimestampMs>,
    members: BTreeMap<Arc<str>, Member>,
    instances: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids that were given out and have not come back yet, each with its end.
    pub(super) pending: BTreeMap<Arc<str>, Steady>,
    /// Members of the generation whose SyncGroup has not come.
    pub(super) unsynced: BTreeSet<Arc<str>>,
    /// A member came during the delay of the first rebalance, which is therefore prolonged.
    pub(super) is_growing: bool,
    /// Topics that the members want; none if that is unknown.
    pub(super) subscribed: Option<BTreeSet<Box<str>>>,
    pub(super) join_due: Option<JoinDue>,
    pub(super) sync_due: Option<Steady>,
    joining: usize,
    /// How many members support each protocol.
    pub(super) supported: BTreeMap<Arc<str>, usize>,
}

impl Live {
    /// A group without members.
    pub(super) fn empty(since: Option<TimestampMs>) -> Self {
        Self {
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            since,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            is_growing: false,
            subscribed: None,
            join_due: None,
            sync_due: None,
            joining: 0,
            supported: BTreeMap::new(),
        }
    }

    /// A group as its last record left it.
    pub(super) fn from_logged(generation: &Generation) -> Self {
        let mut live = Self::empty(None);
        for member in &generation.members {
            live.add(
                Member::from_logged(member, generation.protocol.as_ref()),
                None,
            );
        }
        live.phase = if generation.members.is_empty() {
            Phase::Empty
        } else {
            Phase::Stable
        };
        live.generation = generation.number;
        live.protocol_type.clone_from(&generation.protocol_type);
        live.protocol.clone_from(&generation.protocol);
        live.leader.clone_from(&generation.leader);
        live.since = Some(TimestampMs(generation.since)).filter(|at| *at != TimestampMs::NONE);
        live.subscribed = live.read_subscriptions();
        live
    }

    /// The generation to be logged, with these assignments; members without one get an empty one.
    pub(super) fn to_logged(&self, assignments: &BTreeMap<Arc<str>, Arc<[u8]>>) -> Generation {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.values().map(|member| LoggedMember {
            id: member.id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol).cloned().unwrap_or_default(),
            assignment: assignments.get(&member.id).cloned().unwrap_or_default(),
        });
        Generation {
            protocol_type: self.protocol_type.clone(),
            number: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            since: time_or_none(self.since.map(|since| since.0)),
            members: members.collect(),
        }
    }

    pub(super) fn enter(&mut self, phase: Phase, now: TimestampMs) {
        let allowed = match phase {
            Phase::Empty | Phase::Completing => matches!(self.phase, Phase::Preparing { .. }),
            Phase::Preparing { first } => match self.phase {
                Phase::Empty => first,
                Phase::Completing | Phase::Stable => !first,
                Phase::Preparing { .. } => false,
            },
            Phase::Stable => self.phase == Phase::Completing,
        };
        assert!(allowed, "a group went from {:?} to {phase:?}", self.phase);
        self.phase = phase;
        self.since = Some(now);
    }
}

/// Members.
impl Live {
    pub(super) fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub(super) fn member_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The members' ids, for whoever changes them on the way.
    pub(super) fn ids(&self) -> Vec<Arc<str>> {
        self.members.keys().cloned().collect()
    }

    pub(super) fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is in it and nobody was given an id.
    pub(super) fn is_bare(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }

    pub(super) fn joining(&self) -> usize {
        self.joining
    }

    pub(super) fn instance(&self, name: &str) -> Option<&Arc<str>> {
        self.instances.get(name)
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    pub(super) fn all_joined(&self) -> bool {
        self.members.len() == self.joining && self.pending.is_empty()
    }

    /// The longest that a member asks to be waited for.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms)
            .max();
        i64::from(longest.unwrap_or(0).max(0))
    }

    /// Adds a member. The first one decides the kind of the group's protocols, and leads.
    pub(super) fn add(&mut self, mut member: Member, join: Option<Asker>) {
        debug_assert!(
            !self.members.contains_key(&member.id),
            "a member is added once"
        );
        member.join = join;
        self.joining += usize::from(member.join.is_some());
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.pending.remove(&member.id);
        self.count(&member.protocols, true);
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member or a pending one. Gives the member, whose waiters are the caller's to answer.
    pub(super) fn remove(&mut self, id: &str) -> Option<Removed> {
        self.pending.remove(id);
        self.unsynced.remove(id);
        let mut member = self.members.remove(id)?;
        self.count(&member.protocols, false);
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        let join = member.join.take();
        self.joining -= usize::from(join.is_some());
        let sync = member.sync.take();
        Some(Removed { join, sync })
    }

    /// What a member says in its new JoinGroup. Gives who waited before, if anybody did.
    pub(super) fn update(
        &mut self,
        id: &str,
        news: MemberNews,
        join: Option<Asker>,
    ) -> Option<Asker> {
        let member = self.members.get_mut(id)?;
        let old = std::mem::replace(&mut member.protocols, news.protocols.clone());
        member.rebalance_timeout_ms = news.rebalance_timeout_ms;
        member.session_timeout_ms = news.session_timeout_ms;
        let waited = std::mem::replace(&mut member.join, join);
        self.joining += usize::from(join.is_some());
        self.joining -= usize::from(waited.is_some());
        self.count(&old, false);
        self.count(&news.protocols, true);
        waited
    }

    /// Who waits for the member's join, no longer.
    pub(super) fn take_join(&mut self, id: &str) -> Option<Asker> {
        let join = self.members.get_mut(id)?.join.take();
        self.joining -= usize::from(join.is_some());
        join
    }

    /// Everybody who waits in this group, no longer.
    pub(super) fn take_waiters(&mut self) -> Waiters {
        let mut waiters = Waiters::default();
        self.joining = 0;
        for member in self.members.values_mut() {
            let join = member.join.take().map(|join| (member.id.clone(), join));
            waiters.joins.extend(join);
            waiters.syncs.extend(member.sync.take());
        }
        waiters
    }

    /// Puts a restarted static member in the place of the one that it was, with a new id.
    pub(super) fn replace(&mut self, old: &str, new: &Arc<str>) -> Option<Removed> {
        let mut member = self.members.remove(old)?;
        let join = member.join.take();
        self.joining -= usize::from(join.is_some());
        let sync = member.sync.take();
        member.id = new.clone();
        member.is_new = false;
        member.queued = None;
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), new.clone());
        }
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        self.unsynced.remove(old);
        self.members.insert(new.clone(), member);
        Some(Removed { join, sync })
    }

    /// Whether a request may speak for that member.
    pub(super) fn check(&self, id: &str, instance: Option<&str>) -> Result<&Member, ErrorCode> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(owner) if **owner != *id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        self.members.get(id).ok_or(ErrorCode::UnknownMemberId)
    }

    /// Sees to it that the leader is one of those who joined. False if nobody did.
    pub(super) fn elect(&mut self) -> bool {
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leader.is_some_and(Member::waits_for_join) {
            return true;
        }
        let Some(joined) = self.members.values().find(|member| member.waits_for_join()) else {
            return false;
        };
        self.leader = Some(joined.id.clone());
        true
    }
}

/// Who waited for a member that is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removed {
    pub(super) join: Option<Asker>,
    pub(super) sync: Option<Asker>,
}

/// What a member can change with each JoinGroup.
#[derive(Clone, Debug)]
pub(super) struct MemberNews {
    pub(super) protocols: Vec<Protocol>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
}
