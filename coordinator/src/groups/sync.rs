//! SyncGroup: the leader brings the assignment, everybody takes his part of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_wire::messages::sync_group_request::SyncGroupRequestView;

use crate::error::ErrorCode;

use super::live::{Live, Phase};
use super::shard::GroupShard;
use super::step::{Answer, Caller, Step, Then};
use super::time::Moment;
use super::work::{Work, refused_sync};

/// From this version on a member must say which protocol it believes in.
const PROTOCOL_VERSION: i16 = 5;

impl GroupShard {
    /// SyncGroup. The answer may come with a later step.
    pub fn sync(
        &mut self,
        caller: &Caller<'_>,
        request: &SyncGroupRequestView<'_>,
        now: Moment,
    ) -> Step {
        let named = request.protocol_type.is_some() && request.protocol_name.is_some();
        if caller.version >= PROTOCOL_VERSION && !named {
            return refusal(caller, ErrorCode::InconsistentGroupProtocol);
        }
        if request.group_id.is_empty() {
            return refusal(caller, ErrorCode::InvalidGroupId);
        }
        let work = self.work(request.group_id, now);
        let Some(mut work) = work.filter(|work| work.live.phase != Phase::Empty) else {
            return refusal(caller, ErrorCode::UnknownMemberId);
        };
        if let Err(code) = check(work.live, request) {
            return refusal(caller, code);
        }
        work.sync(caller, request);
        work.step
    }
}

fn refusal(caller: &Caller<'_>, code: ErrorCode) -> Step {
    Step::answer(caller.asker(), Answer::Sync(refused_sync(code)), false)
}

fn check(live: &Live, request: &SyncGroupRequestView<'_>) -> Result<(), ErrorCode> {
    live.check(request.member_id, request.group_instance_id)?;
    if request.generation_id != live.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    let differ = |said: Option<&str>, held: Option<&str>| {
        said.zip(held).is_some_and(|(said, held)| said != held)
    };
    if differ(request.protocol_type, live.protocol_type.as_deref())
        || differ(request.protocol_name, live.protocol.as_deref())
    {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    Ok(())
}

impl Work<'_> {
    fn sync(&mut self, caller: &Caller<'_>, request: &SyncGroupRequestView<'_>) {
        let (to, id) = (caller.asker(), request.member_id);
        match self.live.phase {
            Phase::Empty | Phase::Preparing { .. } => {
                self.reply_sync(to, refused_sync(ErrorCode::RebalanceInProgress), false);
            }
            Phase::Completing => {
                let waited = self
                    .live
                    .member_mut(id)
                    .and_then(|member| member.sync.replace(to));
                if let Some(waited) = waited {
                    // The same member asked before and gave up waiting; nobody will read this.
                    self.reply_sync(waited, refused_sync(ErrorCode::RebalanceInProgress), false);
                }
                self.has_synced(id);
                if self.live.is_leader(id) {
                    self.propose_assignment(request);
                }
            }
            Phase::Stable => {
                self.has_synced(id);
                let answer = self.assignment_of(id);
                self.reply_sync(to, answer, true);
            }
        }
    }

    /// Logs the leader's assignment. Nobody is told of it before it is logged.
    fn propose_assignment(&mut self, request: &SyncGroupRequestView<'_>) {
        let mut assignments: BTreeMap<Arc<str>, Arc<[u8]>> = BTreeMap::new();
        for given in request.assignments.iter() {
            if let Some(member) = self.live.member(given.member_id) {
                assignments.insert(member.id.clone(), given.assignment.into());
            }
        }
        self.log_generation(&assignments);
        self.step.then = Then::Assigned(self.id.clone(), assignments);
    }
}
