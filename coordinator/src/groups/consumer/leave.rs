//! Members leave, or are fenced because they are silent or do not give up what they should.

use std::sync::Arc;

use thalweg_wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequestView;

use crate::error::{ErrorCode, Refusal};
use crate::groups::deadlines::Due;
use crate::groups::shard::GroupShard;
use crate::groups::step::{Scene, Step};
use crate::groups::time::Moment;

use super::change::Change;
use super::draft::Draft;
use super::heartbeat::{Response, refresh, unknown_member};
use super::state::{AWAY, Current, Epochs, State};

impl GroupShard {
    pub(super) fn consumer_leave(
        &mut self,
        request: &ConsumerGroupHeartbeatRequestView<'_>,
        scene: Scene<'_>,
        step: &mut Step,
    ) -> Result<Response, Refusal> {
        let (group_id, id) = (request.group_id, request.member_id);
        let Some(group) = self.consumer_group(group_id) else {
            let words = format!("Group {group_id} not found or not a consumer group.");
            return Err(Refusal::new(ErrorCode::GroupIdNotFound, words));
        };
        if let Some(name) = request.instance_id {
            match group.instance(name) {
                None => {
                    let words = format!("Instance id {name} is unknown.");
                    return Err(Refusal::new(ErrorCode::UnknownMemberId, words));
                }
                Some(owner) if **owner != *id => {
                    let words = format!(
                        "Static member {id} with instance id {name} was fenced by member {owner}."
                    );
                    return Err(Refusal::new(ErrorCode::FencedInstanceId, words));
                }
                Some(_) => {}
            }
        }
        let Some((id, member)) = group.members.get_key_value(id) else {
            return Err(unknown_member(id));
        };
        let mut draft = Draft::new(group_id, Some(group));
        if request.member_epoch == AWAY {
            let away = Current {
                epoch: AWAY,
                revoking: Epochs::new(),
                ..(*member.current).clone()
            };
            draft.put_last(&Change::Current(id.clone(), Some(Arc::new(away))));
        } else {
            remove(&mut draft, id);
            refresh(&mut draft, scene, true);
        }
        step.records = draft.records;
        Ok(Response {
            member_id: Some(id.to_string().into()),
            member_epoch: request.member_epoch,
            ..Response::default()
        })
    }

    /// A member's session may be over.
    pub(in crate::groups) fn session_is_due(
        &mut self,
        at: (&Arc<str>, &Arc<str>),
        now: Moment,
    ) -> Step {
        let group = self.consumer_group(at.0);
        if group.is_none_or(|group| !group.members.contains_key(at.1)) {
            self.watches.drop_member(at);
            return Step::new();
        }
        match self.watches.is_over(at, now.steady, &mut self.deadlines) {
            true => self.fence(at),
            false => Step::new(),
        }
    }

    /// A member may not have given up its partitions in time.
    pub(in crate::groups) fn revocation_is_due(
        &mut self,
        at: (&Arc<str>, &Arc<str>),
        now: Moment,
    ) -> Step {
        let member = self
            .consumer_group(at.0)
            .and_then(|group| group.members.get(at.1));
        let Some(current) = member.map(|member| member.current.clone()) else {
            return Step::new();
        };
        let epoch = self.watches.overdue(at, now.steady);
        match epoch == Some(current.epoch) && current.state == State::Unrevoked {
            true => self.fence(at),
            false => Step::new(),
        }
    }

    /// Takes a member out. What the others' topics come to is looked at with their next heartbeat.
    fn fence(&mut self, (group_id, id): (&Arc<str>, &Arc<str>)) -> Step {
        let mut step = Step::new();
        let mut draft = Draft::new(group_id, self.consumer_group(group_id));
        remove(&mut draft, id);
        let group = draft.group();
        draft.put(Change::Epoch(Some((group.epoch + 1, group.metadata_hash))));
        step.records = draft.records;
        self.watches.forget_seen_of(group_id);
        step
    }

    /// Gives every member one session from now, as after a start.
    pub(in crate::groups) fn wake_consumers(&mut self, id: &Arc<str>, scene: Scene<'_>) {
        let session = self.group_number(scene.image, id, "consumer.session.timeout.ms");
        let Some(group) = self
            .groups
            .get(id)
            .and_then(|group| group.logged.consumer.as_ref())
        else {
            return;
        };
        let now = scene.now.steady;
        for (member, what) in &group.members {
            self.watches
                .allow((id, member), now.after(session), &mut self.deadlines);
            if what.current.state == State::Unrevoked {
                let until = now.after(i64::from(what.subscription.rebalance_timeout_ms));
                let until = Some((until, what.current.epoch));
                self.watches
                    .revoke((id, member), until, &mut self.deadlines);
            }
        }
    }

    /// What is due in a consumer group.
    pub(in crate::groups) fn consumer_is_due(&mut self, due: &Due, now: Moment) -> Step {
        match due {
            Due::Session(group, member) => self.session_is_due((group, member), now),
            Due::Revoke(group, member) => self.revocation_is_due((group, member), now),
            _ => Step::new(),
        }
    }
}

fn remove(draft: &mut Draft<'_>, id: &Arc<str>) {
    draft.put(Change::Current(id.clone(), None));
    draft.put(Change::Target(id.clone(), None));
    draft.put(Change::Member(id.clone(), None));
}
