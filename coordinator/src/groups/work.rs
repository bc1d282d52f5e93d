//! The rebalance of one group: collecting members, making a generation, giving out its assignment.
//!
//! A [`Work`] borrows one group for the time of one request or deadline and gathers what comes of it. It never
//! touches the logged layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_wire::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use thalweg_wire::messages::sync_group_response::SyncGroupResponse;

use crate::error::ErrorCode;

use super::config::{GroupConfig, NEW_MEMBER_JOIN_MS};
use super::deadlines::{Deadlines, Due};
use super::live::{FirstDelay, JoinDue, Live, Member, MemberNews, Phase, Removed};
use super::logged::Logged;
use super::record;
use super::step::{Answer, Asker, Pending, Replaced, Step};
use super::time::{Moment, Steady};

/// One group at work.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) id: Arc<str>,
    pub(super) logged: &'a Logged,
    pub(super) live: &'a mut Live,
    pub(super) config: &'a GroupConfig,
    pub(super) deadlines: &'a mut Deadlines,
    pub(super) now: Moment,
    pub(super) step: Step,
}

/// Collecting members.
impl Work<'_> {
    /// Makes the live layer from the logged one. Every member is given one session timeout.
    pub(super) fn wake(&mut self) {
        if let Some(generation) = &self.logged.generation {
            *self.live = Live::from_logged(generation);
        }
        for id in self.live.ids() {
            self.allow_session(&id);
        }
    }

    /// Adds a member that joins for the first time. The first member decides the kind of protocols.
    pub(super) fn add(&mut self, member: Member, kind: &str, join: Asker) {
        if self.live.phase == (Phase::Preparing { first: true }) {
            self.live.is_growing = true;
        }
        if self.live.len() == 0 {
            self.live.protocol_type = Some(kind.into());
        }
        let id = member.id.clone();
        self.live.add(member, Some(join));
        // It has no session yet: it cannot send heartbeats before it knows its id and generation. But a client
        // that gave up would stay for ever, so the wait has an end.
        self.allow(&id, NEW_MEMBER_JOIN_MS);
        self.rebalance();
    }

    /// A member joins again.
    pub(super) fn update(&mut self, id: &str, news: MemberNews, join: Asker) {
        let waited = self.live.update(id, news, Some(join));
        // The same member asked before and gave up waiting; nobody will read this.
        self.refuse_join(waited, id, ErrorCode::RebalanceInProgress);
        self.rebalance();
    }

    /// Begins a rebalance, or goes on with the one that is under way.
    pub(super) fn rebalance(&mut self) {
        if matches!(self.live.phase, Phase::Preparing { .. }) {
            self.complete_if_hurried();
        } else {
            self.prepare();
        }
    }

    /// Begins a rebalance: everybody is to join again.
    pub(super) fn prepare(&mut self) {
        if self.live.phase == Phase::Completing {
            self.propagate(Err(ErrorCode::RebalanceInProgress));
        }
        self.live.unsynced.clear();
        self.live.sync_due = None;
        let first = self.live.phase == Phase::Empty;
        self.live.enter(Phase::Preparing { first }, self.now.wall);
        if first {
            let delay_ms = self.config.initial_rebalance_delay_ms;
            let remaining_ms = (self.live.rebalance_timeout_ms() - delay_ms).max(0);
            self.set_join_due(
                delay_ms,
                Some(FirstDelay {
                    delay_ms,
                    remaining_ms,
                }),
            );
        } else if self.live.all_joined() {
            self.complete_join();
        } else {
            self.set_join_due(self.live.rebalance_timeout_ms(), None);
        }
    }

    /// Ends the collecting of members if everybody is here; the first rebalance is not hurried.
    pub(super) fn complete_if_hurried(&mut self) {
        if self.live.phase == (Phase::Preparing { first: false }) && self.live.all_joined() {
            self.complete_join();
        }
    }

    /// As above, after a member failed: then the first rebalance ends as well.
    fn complete_if_all(&mut self) {
        if matches!(self.live.phase, Phase::Preparing { .. }) && self.live.all_joined() {
            self.complete_join();
        }
    }

    /// Time to join is up.
    pub(super) fn join_is_due(&mut self, at: Steady) {
        let Some(due) = self.live.join_due.filter(|due| due.at == at) else {
            return;
        };
        match due.first {
            Some(first) if self.live.is_growing && first.remaining_ms != 0 => {
                self.live.is_growing = false;
                let delay_ms = self
                    .config
                    .initial_rebalance_delay_ms
                    .min(first.remaining_ms);
                let remaining_ms = (first.remaining_ms - first.delay_ms).max(0);
                self.set_join_due(
                    delay_ms,
                    Some(FirstDelay {
                        delay_ms,
                        remaining_ms,
                    }),
                );
            }
            _ => self.complete_join(),
        }
    }

    fn set_join_due(&mut self, ms: i64, first: Option<FirstDelay>) {
        let at = self.now.steady.after(ms);
        self.live.join_due = Some(JoinDue { at, first });
        self.deadlines.push(at, Due::Join(self.id.clone()));
    }

    /// Makes the next generation of those who joined. Static members stay without joining.
    fn complete_join(&mut self) {
        self.live.join_due = None;
        let absent = self.live.members();
        let absent = absent.filter(|member| !member.waits_for_join() && member.instance.is_none());
        let absent: Vec<Arc<str>> = absent.map(|member| member.id.clone()).collect();
        for id in absent {
            self.remove(&id);
        }
        if !self.live.elect() && self.live.len() > 0 {
            // Only static members, and none of them is here: their sessions decide.
            self.set_join_due(self.live.rebalance_timeout_ms(), None);
            return;
        }
        self.live.generation = self.live.generation.wrapping_add(1);
        self.live.unsynced.clear();
        self.live.protocol = self.live.choose_protocol();
        self.live.subscribed = self.live.read_subscriptions();
        if self.live.len() == 0 {
            self.live.enter(Phase::Empty, self.now.wall);
            self.log_generation(&BTreeMap::new());
        } else {
            assert!(
                self.live.protocol.is_some(),
                "members have a protocol in common"
            );
            self.live.enter(Phase::Completing, self.now.wall);
            self.announce();
        }
    }

    /// Tells every member who joined of the new generation.
    fn announce(&mut self) {
        for id in self.live.ids() {
            if let Some(to) = self.live.take_join(&id) {
                let answer = self.generation_for(&id);
                self.reply_join(to, answer);
            }
            if let Some(member) = self.live.member_mut(&id) {
                member.is_new = false;
            }
            self.allow_session(&id);
            self.live.unsynced.insert(id);
        }
        let at = self.now.steady.after(self.live.rebalance_timeout_ms());
        self.live.sync_due = Some(at);
        self.deadlines.push(at, Due::Sync(self.id.clone()));
    }

    /// What a member is told of the generation; the leader is told of everybody.
    pub(super) fn generation_for(&self, id: &str) -> JoinGroupResponse<'static> {
        generation_for(self.live, id)
    }
}

/// Members come and go.
impl Work<'_> {
    /// A member or a pending one has been silent.
    pub(super) fn member_is_due(&mut self, id: &Arc<str>, at: Steady) {
        if let Some(until) = self.live.pending.get(id) {
            if *until == at {
                self.live.pending.remove(id);
                self.complete_if_all();
            }
            return;
        }
        let Some(member) = self
            .live
            .member_mut(id)
            .filter(|member| member.queued == Some(at))
        else {
            return;
        };
        member.queued = None;
        if member.deadline > self.now.steady {
            let until = member.deadline;
            self.deadlines.allow(&self.id, member, until);
        } else if !member.is_excused() {
            self.remove(id);
            self.after_removal();
        }
    }

    /// Time to sync is up: members of the generation who did not are out.
    pub(super) fn sync_is_due(&mut self, at: Steady) {
        if self.live.sync_due != Some(at) {
            return;
        }
        self.live.sync_due = None;
        let silent: Vec<Arc<str>> = self.live.unsynced.iter().cloned().collect();
        if silent.is_empty() || !matches!(self.live.phase, Phase::Completing | Phase::Stable) {
            return;
        }
        for id in silent {
            self.remove(&id);
        }
        self.prepare();
    }

    /// Takes a member out and answers what it waited for.
    pub(super) fn remove(&mut self, id: &str) {
        if let Some(removed) = self.live.remove(id) {
            self.refuse(removed, "", ErrorCode::UnknownMemberId);
        }
    }

    /// What the others do about a member that failed.
    fn after_removal(&mut self) {
        match self.live.phase {
            Phase::Stable | Phase::Completing => self.prepare(),
            Phase::Preparing { .. } => self.complete_if_all(),
            Phase::Empty => {}
        }
    }

    /// Gives a member its session timeout from now.
    pub(super) fn allow_session(&mut self, id: &str) {
        let timeout = self.live.member(id).map(|member| member.session_timeout_ms);
        if let Some(timeout) = timeout {
            self.allow(id, i64::from(timeout));
        }
    }

    fn allow(&mut self, id: &str, ms: i64) {
        let until = self.now.steady.after(ms);
        if let Some(member) = self.live.member_mut(id) {
            self.deadlines.allow(&self.id, member, until);
        }
    }

    /// A member has synced; when all have, nobody is waited for any more.
    pub(super) fn has_synced(&mut self, id: &str) {
        self.live.unsynced.remove(id);
        if self.live.unsynced.is_empty() {
            self.live.sync_due = None;
        }
    }
}

/// Assignments.
impl Work<'_> {
    /// The leader's assignment is logged: the generation stands.
    pub(super) fn assign(&mut self, assignments: &BTreeMap<Arc<str>, Arc<[u8]>>) {
        for member in self.live.members_mut() {
            member.assignment = assignments.get(&member.id).cloned().unwrap_or_default();
        }
        self.propagate(Ok(()));
        self.live.enter(Phase::Stable, self.now.wall);
    }

    /// The log refused the leader's assignment: everybody is to join again.
    pub(super) fn fail_assignment(&mut self, code: ErrorCode) {
        self.propagate(Err(code));
        self.rebalance();
    }

    /// Tells everybody who waits for it the assignment, or why there is none.
    fn propagate(&mut self, outcome: Result<(), ErrorCode>) {
        for id in self.live.ids() {
            let Some(member) = self.live.member_mut(&id) else {
                continue;
            };
            if outcome.is_err() {
                member.assignment = Arc::default();
            }
            let Some(to) = member.sync.take() else {
                continue;
            };
            let answer = match outcome {
                Ok(()) => self.assignment_of(&id),
                Err(code) => refused_sync(code),
            };
            self.step.replies.push(Pending {
                to,
                answer: Answer::Sync(answer),
                logged: outcome.is_ok(),
            });
            self.allow_session(&id);
        }
    }

    /// What a member of a stable generation is told.
    pub(super) fn assignment_of(&self, id: &str) -> SyncGroupResponse<'static> {
        let assignment = self
            .live
            .member(id)
            .map(|member| member.assignment.to_vec());
        SyncGroupResponse {
            protocol_type: owned(self.live.protocol_type.as_deref()),
            protocol_name: owned(self.live.protocol.as_deref()),
            assignment: assignment.unwrap_or_default().into(),
            ..SyncGroupResponse::default()
        }
    }

    /// A static member is back under a new id, and that is logged.
    pub(super) fn replace(&mut self, new: &Replaced) {
        let removed = self.live.replace(&new.old, &new.new);
        self.live.update(&new.new, new.news.clone(), None);
        self.allow_session(&new.new);
        if let Some(removed) = removed {
            self.refuse(removed, &new.old, ErrorCode::FencedInstanceId);
        }
    }

    /// Proposes the generation as it is now, with these assignments.
    pub(super) fn log_generation(&mut self, assignments: &BTreeMap<Arc<str>, Arc<[u8]>>) {
        let generation = self.live.to_logged(assignments);
        let record = record::group(&self.id, Some(&generation.value()));
        self.step
            .records
            .push(record.expect("texts of requests fit into records"));
    }
}

/// Answers.
impl Work<'_> {
    pub(super) fn reply_join(&mut self, to: Asker, answer: JoinGroupResponse<'static>) {
        self.step.replies.push(Pending {
            to,
            answer: Answer::Join(answer),
            logged: false,
        });
    }

    pub(super) fn refuse_join(&mut self, to: Option<Asker>, member: &str, code: ErrorCode) {
        if let Some(to) = to {
            self.reply_join(to, refused_join(member, code));
        }
    }

    pub(super) fn reply_sync(
        &mut self,
        to: Asker,
        answer: SyncGroupResponse<'static>,
        logged: bool,
    ) {
        self.step.replies.push(Pending {
            to,
            answer: Answer::Sync(answer),
            logged,
        });
    }

    pub(super) fn refuse(&mut self, gone: Removed, member: &str, code: ErrorCode) {
        self.refuse_join(gone.join, member, code);
        if let Some(to) = gone.sync {
            self.reply_sync(to, refused_sync(code), false);
        }
    }
}

/// What a member is told of the generation; the leader is told of everybody.
pub(super) fn generation_for(live: &Live, id: &str) -> JoinGroupResponse<'static> {
    let protocol = live.protocol.as_deref();
    let members = live.members().map(|member| JoinGroupResponseMember {
        member_id: member.id.to_string().into(),
        group_instance_id: owned(member.instance.as_deref()),
        metadata: member
            .metadata(protocol.unwrap_or_default())
            .map(|metadata| metadata.to_vec())
            .unwrap_or_default()
            .into(),
    });
    JoinGroupResponse {
        generation_id: live.generation,
        protocol_type: owned(live.protocol_type.as_deref()),
        protocol_name: owned(protocol),
        leader: owned(live.leader.as_deref()).unwrap_or_default(),
        member_id: id.to_owned().into(),
        members: if live.is_leader(id) {
            members.collect()
        } else {
            Vec::new()
        },
        ..JoinGroupResponse::default()
    }
}

fn owned(text: Option<&str>) -> Option<std::borrow::Cow<'static, str>> {
    text.map(|text| text.to_owned().into())
}

/// A JoinGroup that fails.
pub(super) fn refused_join(member: &str, code: ErrorCode) -> JoinGroupResponse<'static> {
    JoinGroupResponse {
        member_id: member.to_owned().into(),
        error_code: code as i16,
        ..JoinGroupResponse::default()
    }
}

/// A SyncGroup that fails.
pub(super) fn refused_sync(code: ErrorCode) -> SyncGroupResponse<'static> {
    SyncGroupResponse {
        error_code: code as i16,
        ..SyncGroupResponse::default()
    }
}
