//! Heartbeat and LeaveGroup.

use thalweg_wire::messages::heartbeat_request::HeartbeatRequestView;
use thalweg_wire::messages::heartbeat_response::HeartbeatResponse;
use thalweg_wire::messages::leave_group_request::{LeaveGroupRequestView, MemberIdentity};
use thalweg_wire::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};

use crate::error::ErrorCode;

use super::live::Phase;
use super::shard::GroupShard;
use super::step::{Answer, Caller, Pending, Step};
use super::time::Moment;
use super::work::Work;

/// The first version in which several members leave at once.
const BATCH_VERSION: i16 = 3;

impl GroupShard {
    /// Heartbeat.
    pub fn heartbeat(
        &mut self,
        caller: &Caller<'_>,
        request: &HeartbeatRequestView<'_>,
        now: Moment,
    ) -> Step {
        let code = self.beat(request, now);
        let answer = HeartbeatResponse {
            error_code: code as i16,
            ..HeartbeatResponse::default()
        };
        Step::answer(caller.asker(), Answer::Heartbeat(answer), false)
    }

    fn beat(&mut self, request: &HeartbeatRequestView<'_>, now: Moment) -> ErrorCode {
        if request.group_id.is_empty() {
            return ErrorCode::InvalidGroupId;
        }
        let Some(mut work) = self.work(request.group_id, now) else {
            return ErrorCode::UnknownMemberId;
        };
        let id = request.member_id;
        if let Err(code) = work.live.check(id, request.group_instance_id) {
            return code;
        }
        if request.generation_id != work.live.generation {
            return ErrorCode::IllegalGeneration;
        }
        work.allow_session(id);
        match work.live.phase {
            Phase::Empty => ErrorCode::UnknownMemberId,
            Phase::Preparing { .. } => ErrorCode::RebalanceInProgress,
            Phase::Completing | Phase::Stable => ErrorCode::None,
        }
    }

    /// LeaveGroup, of one member or several. Administrators remove static members by name alone.
    pub fn leave(
        &mut self,
        caller: &Caller<'_>,
        request: &LeaveGroupRequestView<'_>,
        now: Moment,
    ) -> Step {
        let to = caller.asker();
        if request.group_id.is_empty() {
            let answer = Answer::Leave(LeaveGroupResponse::default());
            return Step::answer(to, answer.refused(ErrorCode::InvalidGroupId), false);
        }
        let leaving = leaving(request, caller.version);
        let Some(mut work) = self.work(request.group_id, now) else {
            let unknown = |member| outcome(member, ErrorCode::UnknownMemberId);
            let members = leaving.into_iter().map(unknown).collect();
            return Step::answer(to, Answer::Leave(response(members, caller.version)), false);
        };
        let members: Vec<_> = leaving
            .into_iter()
            .map(|member| work.let_go(member))
            .collect();
        if members.iter().any(|member| member.error_code == 0) {
            match work.live.phase {
                Phase::Stable | Phase::Completing => work.prepare(),
                Phase::Preparing { .. } => work.complete_if_hurried(),
                Phase::Empty => {}
            }
        }
        let mut step = work.step;
        step.replies.push(Pending {
            to,
            answer: Answer::Leave(response(members, caller.version)),
            logged: true,
        });
        step
    }
}

fn leaving(request: &LeaveGroupRequestView<'_>, version: i16) -> Vec<MemberIdentity<'static>> {
    if version >= BATCH_VERSION {
        return request
            .members
            .iter()
            .map(|member| member.to_owned())
            .collect();
    }
    vec![MemberIdentity {
        member_id: request.member_id.to_owned().into(),
        ..MemberIdentity::default()
    }]
}

fn outcome(member: MemberIdentity<'static>, code: ErrorCode) -> MemberResponse<'static> {
    MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: code as i16,
    }
}

/// Before several could leave at once, the one member's code was the answer's.
fn response(members: Vec<MemberResponse<'static>>, version: i16) -> LeaveGroupResponse<'static> {
    if version >= BATCH_VERSION {
        return LeaveGroupResponse {
            members,
            ..LeaveGroupResponse::default()
        };
    }
    LeaveGroupResponse {
        error_code: members.first().map_or(0, |member| member.error_code),
        ..LeaveGroupResponse::default()
    }
}

impl Work<'_> {
    fn let_go(&mut self, member: MemberIdentity<'static>) -> MemberResponse<'static> {
        let instance = member.group_instance_id.as_deref();
        let id = &*member.member_id;
        let found = if id.is_empty() {
            let named = instance.and_then(|name| self.live.instance(name));
            named
                .map(|id| id.to_string())
                .ok_or(ErrorCode::UnknownMemberId)
        } else if self.live.pending.contains_key(id) {
            Ok(id.to_owned())
        } else {
            self.live.check(id, instance).map(|_| id.to_owned())
        };
        match found {
            Ok(id) => {
                self.remove(&id);
                outcome(member, ErrorCode::None)
            }
            Err(code) => outcome(member, code),
        }
    }
}
