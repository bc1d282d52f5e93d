//! ConsumerGroupHeartbeat: members join, change, show life and reconcile. How they leave is in `leave.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use thalweg_wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequestView;
use thalweg_wire::messages::consumer_group_heartbeat_response as response;
use thalweg_wire::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;

use crate::error::{ErrorCode, Refusal};
use crate::groups::shard::GroupShard;
use crate::groups::step::{Answer, Caller, Pending, Scene, Step};
use crate::metadata::image::{Image, Resource};

use super::assign::{Assignor, assign};
use super::change::{Change, assignment_of};
use super::draft::Draft;
use super::reconcile::reconcile;
use super::state::{AWAY, Assignment, ConsumerGroup, Current, GONE, State, Subscription};
use super::subscription::{check, metadata_hash, resolve};

/// The first version in which members make their own ids.
const OWN_ID_VERSION: i16 = 1;

pub(super) type Response = ConsumerGroupHeartbeatResponse<'static>;
type Request<'a> = ConsumerGroupHeartbeatRequestView<'a>;

pub(super) fn unknown_member(id: &str) -> Refusal {
    let words = format!("Member {id} is not a member of the group.");
    Refusal::new(ErrorCode::UnknownMemberId, words)
}

impl GroupShard {
    /// ConsumerGroupHeartbeat.
    pub fn consumer_heartbeat(
        &mut self,
        caller: &Caller<'_>,
        request: &Request<'_>,
        scene: Scene<'_>,
    ) -> Step {
        let mut step = Step::new();
        let checked = self.check_heartbeat(caller.version, request);
        let answer = checked.and_then(|()| match request.member_epoch {
            GONE | AWAY => self.consumer_leave(request, scene, &mut step),
            _ => self.consumer_beat(caller, request, scene, &mut step),
        });
        let answer = answer.unwrap_or_else(|refusal| {
            step.records.clear();
            Response {
                error_code: refusal.code as i16,
                error_message: refusal.text(),
                ..Response::default()
            }
        });
        step.replies.push(Pending {
            to: caller.asker(),
            answer: Answer::ConsumerHeartbeat(answer),
            logged: true,
        });
        step
    }

    fn check_heartbeat(&self, version: i16, request: &Request<'_>) -> Result<(), Refusal> {
        let invalid = |words: &str| Err(Refusal::new(ErrorCode::InvalidRequest, words.to_owned()));
        let epoch = request.member_epoch;
        if request.group_id.is_empty() {
            return invalid("GroupId can't be empty.");
        }
        if request.instance_id == Some("") {
            return invalid("InstanceId can't be empty.");
        }
        if request.rack_id == Some("") {
            return invalid("RackId can't be empty.");
        }
        if request.member_id.is_empty() && (version >= OWN_ID_VERSION || epoch != 0) {
            return invalid("MemberId can't be empty.");
        }
        match epoch {
            0 if request.rebalance_timeout_ms == -1 => {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            0 if request
                .topic_partitions
                .as_ref()
                .is_none_or(|owned| owned.iter().next().is_some()) =>
            {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            0 if request.subscribed_topic_names.is_none()
                && request.subscribed_topic_regex.is_none() =>
            {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
            AWAY if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
            ..AWAY => return invalid("MemberEpoch is invalid."),
            _ => {}
        }
        let configured = &self.config.consumer_assignors;
        match request.server_assignor {
            Some(name) if !configured.iter().any(|one| one.name() == name) => {
                let names: Vec<&str> = configured.iter().map(|one| one.name()).collect();
                let words = format!(
                    "ServerAssignor {name} is not supported. Supported assignors: {}.",
                    names.join(", ")
                );
                Err(Refusal::new(ErrorCode::UnsupportedAssignor, words))
            }
            _ => Ok(()),
        }
    }

    fn consumer_beat(
        &mut self,
        caller: &Caller<'_>,
        request: &Request<'_>,
        scene: Scene<'_>,
        step: &mut Step,
    ) -> Result<Response, Refusal> {
        let id: Arc<str> = match request.member_id {
            "" => (self.ids)().to_string().into(),
            id => id.into(),
        };
        let (group_id, now) = (request.group_id, scene.now);
        let clears = self.check_kind(group_id, request.member_epoch == 0)?;
        let group = self.consumer_group(group_id);
        self.check_room(group, &id, request)?;
        let mut draft = Draft::new(group_id, group);
        if clears {
            let tombstone = crate::groups::record::group(group_id, None);
            draft
                .records
                .push(tombstone.expect("an id that was logged fits into a record"));
        }
        let owned = request
            .topic_partitions
            .as_ref()
            .map(|topics| -> Assignment {
                topics
                    .iter()
                    .map(|one| (one.topic_id, one.partitions.iter().collect()))
                    .collect()
            });
        find_member(&mut draft, &id, request, owned.as_ref())?;
        let had = draft
            .group()
            .members
            .get(&id)
            .map(|member| member.current.clone());
        let had = had.unwrap_or_default();
        let has_changed = subscribe(&mut draft, &id, caller, request)?;
        if has_changed || self.watches.seen(group_id) != Some(scene.image.offset) {
            refresh(&mut draft, scene, has_changed);
        }
        let interval = self.group_number(scene.image, group_id, "consumer.assignment.interval.ms");
        let group = draft.group();
        let is_time = now.wall.0.saturating_sub(group.assignment_timestamp) >= interval;
        if group.epoch > group.assignment_epoch && (is_time || group.assignment_epoch == 0) {
            let assignor = Assignor::of(group, &self.config.consumer_assignors);
            assign(&mut draft, assignor, scene.image, now.wall.0);
        }
        let has = reconcile(draft.group(), &id, owned.as_ref())?;
        if has != had {
            draft.put_last(&Change::Current(id.clone(), Some(has.clone())));
        }
        let timeout_ms = draft.group().members.get(&id).map_or(0, |member| {
            i64::from(member.subscription.rebalance_timeout_ms)
        });
        step.records = draft.records;
        self.watches.see(group_id, scene.image.offset);
        let session = self.group_number(scene.image, group_id, "consumer.session.timeout.ms");
        let at = (group_id, &id);
        self.watches
            .allow(at, now.steady.after(session), &mut self.deadlines);
        if has != had {
            let until =
                (has.state == State::Unrevoked).then(|| (now.steady.after(timeout_ms), has.epoch));
            self.watches.revoke(at, until, &mut self.deadlines);
        }
        let interval = self.group_number(scene.image, group_id, "consumer.heartbeat.interval.ms");
        let is_news =
            is_full(request) || assignment_of(&has.assigned) != assignment_of(&had.assigned);
        Ok(Response {
            member_id: Some(id.to_string().into()),
            member_epoch: has.epoch,
            heartbeat_interval_ms: i32::try_from(interval).unwrap_or(i32::MAX),
            assignment: is_news.then(|| given(&has)),
            ..Response::default()
        })
    }

    pub(super) fn consumer_group(&self, id: &str) -> Option<&ConsumerGroup> {
        self.groups.get(id)?.logged.consumer.as_ref()
    }

    /// Whether a classic group of that name is to make room. One with members does not: there is no migration.
    fn check_kind(&self, id: &str, may_create: bool) -> Result<bool, Refusal> {
        let not_found = |words: String| Err(Refusal::new(ErrorCode::GroupIdNotFound, words));
        let Some(group) = self.groups.get(id) else {
            let is_full = self.groups.len() >= self.config.groups_max;
            return match may_create {
                true if is_full => Err(Refusal::bare(ErrorCode::CoordinatorNotAvailable)),
                true => Ok(false),
                false => not_found(format!("Consumer group {id} not found.")),
            };
        };
        let is_bare = group.live.is_bare();
        match &group.logged.consumer {
            Some(_) if is_bare => Ok(false),
            None if may_create && is_bare => Ok(group.logged.generation.is_some()),
            _ => not_found(format!("Group {id} is not a consumer group.")),
        }
    }

    fn check_room(
        &self,
        group: Option<&ConsumerGroup>,
        id: &str,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        let max = self.config.consumer_members_max;
        let Some(group) = group.filter(|group| group.members.len() >= max) else {
            return Ok(());
        };
        let returns = request
            .instance_id
            .is_some_and(|name| group.instance(name).is_some());
        if group.members.contains_key(id) || returns {
            return Ok(());
        }
        let words =
            format!("The consumer group has reached its maximum capacity of {max} members.");
        Err(Refusal::new(ErrorCode::GroupMaxSizeReached, words))
    }

    /// A number that the group, or the broker for all groups, is configured with.
    pub(super) fn group_number(&self, image: &Image, group: &str, key: &str) -> i64 {
        let resource = Resource {
            kind: Resource::GROUP,
            name: group.to_owned(),
        };
        let own = image
            .config(&resource, key)
            .and_then(|text| text.trim().parse().ok());
        own.unwrap_or(match key {
            "consumer.session.timeout.ms" => self.config.consumer_session_timeout_ms,
            "consumer.heartbeat.interval.ms" => self.config.consumer_heartbeat_interval_ms,
            _ => self.config.consumer_assignment_interval_ms,
        })
    }
}

/// Sees to it that the draft has the member, if it may be that member, or if it may join.
fn find_member(
    draft: &mut Draft<'_>,
    id: &Arc<str>,
    request: &Request<'_>,
    owned: Option<&Assignment>,
) -> Result<(), Refusal> {
    let joins = request.member_epoch == 0;
    let group = draft.group();
    if let Some(name) = request.instance_id {
        match group.instance(name).cloned() {
            None if joins => {}
            None => {
                let words = format!("Instance id {name} is unknown.");
                return Err(Refusal::new(ErrorCode::UnknownMemberId, words));
            }
            Some(owner) if joins => return replace(draft, &owner, id, name),
            Some(owner) if owner != *id => {
                let words = format!(
                    "Static member {id} with instance id {name} was fenced by member {owner}."
                );
                return Err(Refusal::new(ErrorCode::FencedInstanceId, words));
            }
            Some(_) => {}
        }
    }
    match group.members.get(id) {
        Some(member) => check_epoch(&member.current, request.member_epoch, owned),
        None if joins => Ok(()),
        None => Err(unknown_member(id)),
    }
}

/// A static member is back: it takes over what it had, unless it never left.
fn replace(
    draft: &mut Draft<'_>,
    old: &Arc<str>,
    new: &Arc<str>,
    name: &str,
) -> Result<(), Refusal> {
    let Some(member) = draft.group().members.get(old).cloned() else {
        return Err(unknown_member(old));
    };
    if member.current.epoch != AWAY {
        let words = format!(
            "Static member {new} with instance id {name} cannot join the group because the instance id is owned by \
             {old} member."
        );
        return Err(Refusal::new(ErrorCode::UnreleasedInstanceId, words));
    }
    let target = draft.group().target(old);
    let back = Current {
        epoch: 0,
        previous: 0,
        ..(*member.current).clone()
    };
    draft.put(Change::Current(old.clone(), None));
    draft.put(Change::Target(old.clone(), None));
    draft.put(Change::Member(old.clone(), None));
    draft.put(Change::Member(new.clone(), Some(member.subscription)));
    draft.put(Change::Target(new.clone(), Some(target)));
    draft.put(Change::Current(new.clone(), Some(Arc::new(back))));
    Ok(())
}

/// The epoch before is good as well if the member has no more than it was given: the last answer may be lost.
fn check_epoch(current: &Current, epoch: i32, owned: Option<&Assignment>) -> Result<(), Refusal> {
    let is_within = || {
        let topics = owned.into_iter().flatten();
        owned.is_some()
            && topics.into_iter().all(|(topic, partitions)| {
                let had = current.assigned.get(topic);
                had.is_some_and(|had| {
                    partitions
                        .iter()
                        .all(|partition| had.contains_key(partition))
                })
            })
    };
    let known = current.epoch;
    if epoch == known || (epoch < known && epoch == current.previous && is_within()) {
        return Ok(());
    }
    let word = if epoch > known { "greater" } else { "smaller" };
    let words = format!(
        "The consumer group member has a {word} member epoch ({epoch}) than the one known by the group coordinator \
         ({known}). The member must abandon all its partitions and rejoin."
    );
    Err(Refusal::new(ErrorCode::FencedMemberEpoch, words))
}

/// Takes in what the member says that it wants. Gives whether that moves the group's epoch.
fn subscribe(
    draft: &mut Draft<'_>,
    id: &Arc<str>,
    caller: &Caller<'_>,
    request: &Request<'_>,
) -> Result<bool, Refusal> {
    let member = draft.group().members.get(id);
    let old = member.map(|member| member.subscription.clone());
    let mut new: Subscription = old.as_deref().cloned().unwrap_or_default();
    let or = |said: Option<&str>, held: Option<Arc<str>>| said.map(Arc::from).or(held);
    new.instance = or(request.instance_id, new.instance);
    new.rack = or(request.rack_id, new.rack);
    new.assignor = or(request.server_assignor, new.assignor);
    if request.rebalance_timeout_ms != -1 {
        new.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(names) = &request.subscribed_topic_names {
        new.topics = names.iter().map(Arc::from).collect::<BTreeSet<Arc<str>>>();
    }
    if let Some(text) = request.subscribed_topic_regex {
        if new.regex.as_deref() != Some(text) {
            check(text)?;
        }
        new.regex = Some(Arc::from(text)).filter(|text: &Arc<str>| !text.is_empty());
    }
    new.client_id = caller.client_id.into();
    new.client_host = caller.client_host.into();
    if old.as_deref() == Some(&new) {
        return Ok(false);
    }
    let same = old
        .as_ref()
        .is_some_and(|old| old.topics == new.topics && old.regex == new.regex);
    draft.put(Change::Member(id.clone(), Some(Arc::new(new))));
    Ok(!same)
}

/// Holds the group's subscriptions against the topics that there are; its epoch goes up if they come to anything new,
/// and with `bumps` in any case.
pub(super) fn refresh(draft: &mut Draft<'_>, scene: Scene<'_>, bumps: bool) {
    resolve(draft, scene.image, scene.now.wall.0);
    let hash = metadata_hash(draft.group(), scene.image);
    if bumps || hash != draft.group().metadata_hash {
        draft.put(Change::Epoch(Some((draft.group().epoch + 1, hash))));
    }
}

/// Whether a member says all that it has to say, and so wants to hear everything.
fn is_full(request: &Request<'_>) -> bool {
    let has_topics =
        request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
    request.member_epoch == 0
        || (request.rebalance_timeout_ms != -1 && has_topics && request.topic_partitions.is_some())
}

fn given(has: &Current) -> response::Assignment {
    let topics = has
        .assigned
        .iter()
        .map(|(topic, partitions)| response::TopicPartitions {
            topic_id: *topic,
            partitions: partitions.keys().copied().collect(),
        });
    response::Assignment {
        topic_partitions: topics.collect(),
    }
}
