//! Committed offsets: what was acknowledged or shown never goes back, and never moves to a topic of
//! the same name.
//!
//! Every commit anywhere in a world has a number of its own as its offset, so an offset that is shown
//! says which commit it is. Commits of one place (group, topic id, partition) follow each other.
//! Lasting topics go by name or id, churning ones by id. Deliberately absent: members (the groups'
//! own model tests).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use thalweg_wire::messages::find_coordinator_response::FindCoordinatorResponseView;
use thalweg_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use thalweg_wire::messages::offset_commit_response::OffsetCommitResponseView;
use thalweg_wire::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use thalweg_wire::messages::offset_fetch_response::OffsetFetchResponseView;

use crate::checker::{Checker, Key, Life};
use crate::client::{Client, Lost};
use crate::workload::Desk;

/// Groups of a world.
pub(crate) const GROUPS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
/// The first version of commits and fetches that names topics by id.
const BY_ID: i16 = 10;
/// Asking again for a group that is being loaded: a load takes some milliseconds.
const LOADING_ROUNDS_MAX: usize = 500;
const LOADING_PAUSE: Duration = Duration::from_millis(5);

/// A place of a committed offset.
type Place = (usize, Key);

#[derive(Debug, Default)]
struct Commits {
    /// Offsets that were ever sent.
    sent: BTreeSet<i64>,
    /// The highest that was acknowledged or shown.
    bound: Option<i64>,
    /// One is under way: the next would not be known to come after it.
    busy: bool,
}

/// What is known of committed offsets.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    next: i64,
    places: BTreeMap<Place, Commits>,
    /// Commits that were acknowledged.
    pub(crate) acknowledged: u64,
}

impl Checker {
    /// A new commit of that place, unless one is under way.
    fn new_commit(&mut self, place: Place) -> Option<i64> {
        let commits = self.offsets.places.entry(place).or_default();
        if std::mem::replace(&mut commits.busy, true) {
            return None;
        }
        self.offsets.next += 1;
        commits.sent.insert(self.offsets.next);
        Some(self.offsets.next)
    }

    fn commit_ended(&mut self, place: Place, acknowledged: Option<i64>) {
        let commits = self.offsets.places.entry(place).or_default();
        commits.busy = false;
        if let Some(offset) = acknowledged {
            commits.bound = commits.bound.max(Some(offset));
            self.offsets.acknowledged += 1;
            self.answers += 1;
        }
    }

    /// A crash: nothing is under way any more.
    pub(crate) fn forget_commits_under_way(&mut self) {
        for commits in self.offsets.places.values_mut() {
            commits.busy = false;
        }
    }

    fn commit_bound(&self, place: Place) -> Option<i64> {
        self.offsets.places.get(&place)?.bound
    }

    /// An offset (-1: none) was shown; `before` is what bound it when the request was sent.
    fn commit_shown(&mut self, place: Place, before: Option<i64>, offset: i64) {
        self.answers += 1;
        let shown = (offset != -1).then_some(offset);
        let commits = self.offsets.places.entry(place).or_default();
        let known = shown.is_none_or(|offset| commits.sent.contains(&offset));
        commits.bound = commits.bound.max(shown);
        let back = shown < before && self.life(place.1.0) == Life::There;
        if !known {
            self.fail(format!("{place:?}: offset {offset} was never committed"));
        }
        if back {
            self.fail(format!("{place:?}: offset {offset} after {before:?}"));
        }
    }
}

impl Desk {
    /// Has the topic of groups made, or finds it.
    pub(crate) async fn find_groups(&self, client: &Client) -> Result<(), Lost> {
        let version = self.version(4, 6);
        let request = FindCoordinatorRequest {
            coordinator_keys: GROUPS.map(Into::into).into(),
            ..FindCoordinatorRequest::default()
        };
        let body = client.call(&request, version).await?;
        let view = FindCoordinatorResponseView::decode(&body, version).expect("a sound answer");
        let allowed = [0, ErrorCode::CoordinatorNotAvailable.code()];
        for row in view.coordinators.iter() {
            if !allowed.contains(&row.error_code) {
                self.fail(format!("FindCoordinator: error {}", row.error_code));
            }
        }
        Ok(())
    }

    /// Whether a refusal of a group's coordinator has a reason.
    fn group_refused(&self, what: &str, place: Place, code: i16) {
        let code = ErrorCode::from_code(code).expect("a known code");
        let allowed = match code {
            // There is no topic yet.
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress => true,
            ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition => {
                self.checker.borrow().life(place.1.0) != Life::There
            }
            _ => false,
        };
        if !allowed {
            self.fail(format!("{what} {place:?}: refused with {code:?}"));
        }
    }

    /// Names a topic as a request of that version does.
    fn named(&self, topic: Uuid) -> (i16, String) {
        let version = if self.is_lasting(topic) {
            self.version(8, BY_ID)
        } else {
            BY_ID
        };
        let name = (version < BY_ID).then(|| self.name_of(topic));
        (version, name.unwrap_or_default())
    }

    /// Commits somewhere; true if that was acknowledged.
    pub(crate) async fn commit(&self, client: &Client, group: usize) -> Result<bool, Lost> {
        let Some(key) = self.any_partition() else {
            return Ok(false);
        };
        let place = (group, key);
        let Some(offset) = self.checker.borrow_mut().new_commit(place) else {
            return Ok(false);
        };
        let (version, name) = self.named(key.0);
        let request = OffsetCommitRequest {
            group_id: GROUPS[group].into(),
            generation_id_or_member_epoch: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: name.into(),
                topic_id: key.0,
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: key.1,
                    committed_offset: offset,
                    committed_leader_epoch: -1,
                    committed_metadata: None,
                }],
            }],
            ..OffsetCommitRequest::default()
        };
        let answer = client.call(&request, version).await;
        let Ok(body) = answer else {
            self.checker.borrow_mut().commit_ended(place, None);
            return answer.map(|_| false);
        };
        let view = OffsetCommitResponseView::decode(&body, version).expect("a sound answer");
        let topic = view.topics.iter().next().expect("one answer");
        let code = topic
            .partitions
            .iter()
            .next()
            .expect("one answer")
            .error_code;
        let acknowledged = (code == 0).then_some(offset);
        self.checker.borrow_mut().commit_ended(place, acknowledged);
        if code != 0 {
            self.group_refused("commit", place, code);
        }
        Ok(code == 0)
    }

    /// Looks for a committed offset; false if its group is being loaded.
    async fn committed(&self, client: &Client, place: Place) -> Result<bool, Lost> {
        let (group, key) = place;
        let before = self.checker.borrow().commit_bound(place);
        let (version, name) = self.named(key.0);
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: GROUPS[group].into(),
                topics: Some(vec![OffsetFetchRequestTopics {
                    name: name.into(),
                    topic_id: key.0,
                    partition_indexes: vec![key.1],
                }]),
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        };
        let body = client.call(&request, version).await?;
        let view = OffsetFetchResponseView::decode(&body, version).expect("a sound answer");
        let found = view.groups.iter().next().expect("one answer");
        if found.error_code != 0 {
            self.group_refused("fetch", place, found.error_code);
            return Ok(false);
        }
        let topic = found.topics.iter().next().expect("one answer");
        let row = topic.partitions.iter().next().expect("one answer");
        if row.error_code != 0 {
            self.group_refused("fetch", place, row.error_code);
            return Ok(true);
        }
        let mut checker = self.checker.borrow_mut();
        checker.commit_shown(place, before, row.committed_offset);
        Ok(true)
    }

    /// Whether every offset that was ever committed can be asked for.
    pub(crate) async fn are_loaded(&self, client: &Client) -> Result<bool, Lost> {
        let places: Vec<Place> = {
            let checker = self.checker.borrow();
            checker.offsets.places.keys().copied().collect()
        };
        for place in places {
            if !self.committed(client, place).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One look at some offset.
    pub(crate) async fn look_at_offset(&self, client: &Client, group: usize) -> Result<(), Lost> {
        match self.any_partition() {
            Some(key) => self.committed(client, (group, key)).await.map(drop),
            None => Ok(()),
        }
    }

    /// Some group.
    pub(crate) fn any_group(&self) -> usize {
        self.roll(GROUPS.len())
    }

    /// Every offset that was ever committed, now that the groups are loaded.
    pub(crate) async fn audit_offsets(&self, client: &Client) -> Result<(), Lost> {
        let places: Vec<Place> = {
            let checker = self.checker.borrow();
            let bound = checker.offsets.places.iter();
            bound
                .filter(|(_, commits)| commits.bound.is_some())
                .map(|(place, _)| *place)
                .collect()
        };
        for place in places {
            let mut rounds = 0;
            while self.checker.borrow().life(place.1.0) == Life::There
                && !self.committed(client, place).await?
            {
                rounds += 1;
                if rounds > LOADING_ROUNDS_MAX {
                    self.fail(format!("{place:?}: its group is never loaded"));
                    return Ok(());
                }
                self.node.handle.sleep(LOADING_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Without faults, every group takes a commit.
    pub(crate) async fn settle_groups(&self, client: &Client) -> Result<(), Lost> {
        for group in 0..GROUPS.len() {
            let mut rounds = 0;
            while self.any_partition().is_some() && !self.commit(client, group).await? {
                rounds += 1;
                if rounds > LOADING_ROUNDS_MAX {
                    self.fail(format!("group {group} takes no commit"));
                    return Ok(());
                }
                self.find_groups(client).await?;
                self.node.handle.sleep(LOADING_PAUSE).await;
            }
        }
        Ok(())
    }
}
