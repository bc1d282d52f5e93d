//! JoinGroup.
//!
//! From version 4 a dynamic member is first given an id and asked to come back with it, so that clients that
//! vanish between request and answer leave nothing behind. Static members keep their place over restarts: the
//! new one replaces the old, and while the group is stable and agrees on the same protocol, without a rebalance.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::join_group_request::JoinGroupRequestView;
use thalweg_wire::messages::join_group_response::JoinGroupResponse;

use crate::error::ErrorCode;

use super::consumer::bury;
use super::deadlines::Due;
use super::live::{Live, Member, MemberNews, Phase};
use super::record;
use super::shard::{Group, GroupShard};
use super::step::{Answer, Asker, Caller, Pending, Replaced, Step, Then};
use super::time::Moment;
use super::work::{Work, generation_for, refused_join};

/// The first version in which a dynamic member must know its id.
const MEMBER_ID_VERSION: i16 = 4;
/// The first version in which a leader can be told to leave the assignment as it is.
const SKIP_VERSION: i16 = 9;
/// The longest text that a record holds.
const TEXT_MAX: usize = i16::MAX as usize;

/// A request, with what is made of it.
struct Joining<'a> {
    asker: Asker,
    kind: &'a str,
    instance: Option<&'a str>,
    client_id: &'a str,
    client_host: &'a str,
    news: MemberNews,
}

impl<'a> Joining<'a> {
    fn new(caller: &Caller<'a>, request: &JoinGroupRequestView<'a>) -> Self {
        let mut seen = BTreeSet::new();
        let mut protocols = Vec::new();
        for protocol in request.protocols.iter() {
            // Kafka keeps the first of each name.
            if seen.insert(protocol.name) {
                protocols.push((protocol.name.into(), protocol.metadata.into()));
            }
        }
        let rebalance_timeout_ms = match request.rebalance_timeout_ms {
            // Version 0 knows but one timeout.
            -1 if caller.version == 0 => request.session_timeout_ms,
            timeout => timeout,
        };
        Self {
            asker: caller.asker(),
            kind: request.protocol_type,
            instance: request.group_instance_id,
            client_id: caller.client_id,
            client_host: caller.client_host,
            news: MemberNews {
                protocols,
                rebalance_timeout_ms,
                session_timeout_ms: request.session_timeout_ms,
            },
        }
    }

    fn member(&self, id: Arc<str>) -> Member {
        Member::new(
            id,
            self.instance,
            (self.client_id, self.client_host),
            self.news.clone(),
        )
    }
}

impl GroupShard {
    /// JoinGroup. The answer may come with a later step.
    pub fn join(
        &mut self,
        caller: &Caller<'_>,
        request: &JoinGroupRequestView<'_>,
        now: Moment,
    ) -> Step {
        let timeout = request.session_timeout_ms;
        let bounds = self.config.session_timeout_ms_min..=self.config.session_timeout_ms_max;
        if request.group_id.is_empty() {
            return refusal(caller, request.member_id, ErrorCode::InvalidGroupId);
        }
        if !bounds.contains(&timeout) {
            return refusal(caller, request.member_id, ErrorCode::InvalidSessionTimeout);
        }
        let joining = Joining::new(caller, request);
        if let Some(group) = self.groups.get(request.group_id) {
            // A consumer group makes room if nobody is in it; its members do not change protocols.
            let mut tombstones = Step::new();
            if let Some(consumers) = &group.logged.consumer {
                if !consumers.members.is_empty() {
                    let code = ErrorCode::InconsistentGroupProtocol;
                    return refusal(caller, request.member_id, code);
                }
                bury(request.group_id, consumers, &mut tombstones);
            }
            let mut step = self.join_group(request, &joining, now);
            step.records.splice(0..0, tombstones.records);
            return step;
        }
        if !request.member_id.is_empty() {
            return refusal(caller, request.member_id, ErrorCode::UnknownMemberId);
        }
        if self.groups.len() >= self.config.groups_max {
            return refusal(caller, "", ErrorCode::CoordinatorNotAvailable);
        }
        self.create(request, &joining, now)
    }

    /// Makes the group, which is logged even if the join itself fails, as Kafka does.
    fn create(
        &mut self,
        request: &JoinGroupRequestView<'_>,
        joining: &Joining<'_>,
        now: Moment,
    ) -> Step {
        let id: Arc<str> = request.group_id.into();
        let live = Live::empty(Some(now.wall));
        let empty = live.to_logged(&BTreeMap::new());
        let group = Group {
            logged: super::logged::Logged::default(),
            live,
        };
        self.groups.insert(id.clone(), group);
        let mut step = self.join_group(request, joining, now);
        assert!(
            step.records.is_empty(),
            "a first join logs nothing of its own"
        );
        let record = record::group(&id, Some(&empty.value()));
        step.records
            .push(record.expect("a group's id fits into a record"));
        for reply in &mut step.replies {
            reply.logged = true;
        }
        step.then = Then::Created(id);
        step
    }

    fn join_group(
        &mut self,
        request: &JoinGroupRequestView<'_>,
        joining: &Joining<'_>,
        now: Moment,
    ) -> Step {
        let uuid = (self.ids)();
        let Some(mut work) = self.work(request.group_id, now) else {
            return Step::new();
        };
        let id = request.member_id;
        if !work.has_room_for(id) {
            work.remove(id);
            work.refuse_join(Some(joining.asker), "", ErrorCode::GroupMaxSizeReached);
        } else if id.is_empty() {
            work.join_new(joining, uuid);
        } else {
            work.join_known(id, joining);
        }
        work.step
    }
}

fn refusal(caller: &Caller<'_>, member: &str, code: ErrorCode) -> Step {
    Step::answer(
        caller.asker(),
        Answer::Join(refused_join(member, code)),
        false,
    )
}

/// The id of a new member: the name of its client, or of itself if it is static, and a random part.
fn new_member_id(prefix: &str, random: Uuid) -> String {
    let mut bytes = random.0;
    // As Java's random ids say of themselves: version 4, variant 1.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut id = prefix.to_owned();
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 0 | 4 | 6 | 8 | 10) {
            id.push('-');
        }
        let _ = write!(id, "{byte:02x}");
    }
    id
}

impl Work<'_> {
    /// Whether `group.max.size` lets that member in. While members are collected, those who came first stay.
    fn has_room_for(&self, id: &str) -> bool {
        let max = self.config.members_max;
        let known = self.live.member(id);
        match self.live.phase {
            Phase::Empty => true,
            Phase::Preparing { .. } => {
                known.is_some_and(Member::waits_for_join) || self.live.joining() < max
            }
            Phase::Completing | Phase::Stable => known.is_some() || self.live.len() < max,
        }
    }

    fn join_new(&mut self, joining: &Joining<'_>, random: Uuid) {
        let to = joining.asker;
        if !self.live.supports(joining.kind, &joining.news.protocols) {
            self.refuse_join(Some(to), "", ErrorCode::InconsistentGroupProtocol);
            return;
        }
        let id = new_member_id(joining.instance.unwrap_or(joining.client_id), random);
        if id.len() > TEXT_MAX {
            self.refuse_join(Some(to), "", ErrorCode::InvalidRequest);
            return;
        }
        let id: Arc<str> = id.into();
        match joining
            .instance
            .map(|name| self.live.instance(name).cloned())
        {
            Some(Some(old)) => self.join_again_as(&old, &id, joining),
            None if to.version >= MEMBER_ID_VERSION => self.ask_back(id, joining),
            Some(None) | None => self.add(joining.member(id), joining.kind, to),
        }
    }

    /// Gives a dynamic member its id, with which it is to come back.
    fn ask_back(&mut self, id: Arc<str>, joining: &Joining<'_>) {
        if self.live.pending.len() >= self.config.pending_members_max {
            self.refuse_join(Some(joining.asker), "", ErrorCode::GroupMaxSizeReached);
            return;
        }
        let until = self
            .now
            .steady
            .after(i64::from(joining.news.session_timeout_ms));
        self.deadlines
            .push(until, Due::Member(self.id.clone(), id.clone()));
        self.refuse_join(Some(joining.asker), &id, ErrorCode::MemberIdRequired);
        self.live.pending.insert(id, until);
    }

    fn join_known(&mut self, id: &str, joining: &Joining<'_>) {
        let to = joining.asker;
        let protocols = &joining.news.protocols;
        if !self.live.supports(joining.kind, protocols) {
            self.refuse_join(Some(to), id, ErrorCode::InconsistentGroupProtocol);
            return;
        }
        if self.live.pending.contains_key(id) {
            if joining.instance.is_some() {
                // Ids are given out to dynamic members only: Kafka trips over this request.
                self.refuse_join(Some(to), "", ErrorCode::UnknownServerError);
            } else {
                self.add(joining.member(id.into()), joining.kind, to);
            }
            return;
        }
        let same = match self.live.check(id, joining.instance) {
            Ok(member) => member.protocols == *protocols,
            Err(code) => {
                self.refuse_join(Some(to), id, code);
                return;
            }
        };
        let leads = self.live.is_leader(id);
        match self.live.phase {
            Phase::Empty => self.refuse_join(Some(to), id, ErrorCode::UnknownMemberId),
            // It may not have got its answer. A leader of a stable group wants a rebalance, though: it may see
            // other topics now.
            Phase::Completing if same => {
                let answer = self.generation_for(id);
                self.reply_join(to, answer);
            }
            Phase::Stable if same && !leads => {
                let answer = self.generation_for(id);
                self.reply_join(to, answer);
            }
            _ => self.update(id, joining.news.clone(), to),
        }
    }

    /// A static member is back and does not know its id: it was restarted.
    fn join_again_as(&mut self, old: &Arc<str>, new: &Arc<str>, joining: &Joining<'_>) {
        if self.live.phase == Phase::Stable && self.keeps_protocol(old, new, joining) {
            self.propose_replacement(old, new, joining);
            return;
        }
        let news = joining.news.clone();
        self.replace(&Replaced {
            group: self.id.clone(),
            old: old.clone(),
            new: new.clone(),
            news: news.clone(),
        });
        self.live.update(new, news, Some(joining.asker));
        match self.live.phase {
            Phase::Preparing { .. } => self.complete_if_hurried(),
            // The old one may be in the leader's assignment already, and the new one would get nothing.
            _ => self.prepare(),
        }
    }

    fn keeps_protocol(&self, old: &Arc<str>, new: &Arc<str>, joining: &Joining<'_>) -> bool {
        let next = self.replaced(old, new, joining);
        next.choose_protocol() == self.live.protocol
    }

    fn replaced(&self, old: &Arc<str>, new: &Arc<str>, joining: &Joining<'_>) -> Live {
        let mut next = self.live.clone();
        next.replace(old, new);
        next.update(new, joining.news.clone(), None);
        next
    }

    /// The assignment stays as it is; only the member's id changes, once that is logged.
    fn propose_replacement(&mut self, old: &Arc<str>, new: &Arc<str>, joining: &Joining<'_>) {
        let next = self.replaced(old, new, joining);
        let assignments = next
            .members()
            .map(|one| (one.id.clone(), one.assignment.clone()));
        let generation = next.to_logged(&assignments.collect());
        let record = record::group(&self.id, Some(&generation.value()));
        self.step
            .records
            .push(record.expect("texts of requests fit into records"));
        self.step.replies.push(Pending {
            to: joining.asker,
            answer: Answer::Join(self.replacement_answer(&next, new, joining.asker.version)),
            logged: true,
        });
        self.step.then = Then::Replaced(Box::new(Replaced {
            group: self.id.clone(),
            old: old.clone(),
            new: new.clone(),
            news: joining.news.clone(),
        }));
    }

    fn replacement_answer(
        &self,
        next: &Live,
        new: &str,
        version: i16,
    ) -> JoinGroupResponse<'static> {
        let answer = generation_for(next, new);
        if version >= SKIP_VERSION {
            return JoinGroupResponse {
                skip_assignment: next.is_leader(new),
                ..answer
            };
        }
        // An older client that saw itself lead would assign anew, and the group would not hear of it.
        let leader = self.live.leader.as_deref().unwrap_or_default();
        JoinGroupResponse {
            leader: leader.to_owned().into(),
            members: Vec::new(),
            ..answer
        }
    }
}
