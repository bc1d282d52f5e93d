//! Sequences that random requests would hardly ever hit: each step builds on the one before.

use serde_json::{Value, json};
use thalweg_wire::api::ApiKey;

use super::Generator;
use super::pools::{GROUPS, REBALANCE_MS, SUBSCRIPTION, TOPICS};
use crate::x::Outcome;
use crate::x::differential::names::ZERO_ID;
use crate::x::differential::step::Step;

const SESSION_MS: i64 = 600_000;

impl Generator<'_> {
    pub(super) fn scene(&mut self) -> Outcome<()> {
        match self.random.below(6) {
            0 => self.producer(),
            1 => self.fetch_session(),
            2 => self.two_members(),
            3 => self.static_member(),
            4 => self.topic_reborn(),
            _ => self.member(),
        }
    }

    fn push(&mut self, api: ApiKey, lane: usize, fields: &[(&str, Value)]) -> Outcome<()> {
        let version = self.version(api);
        self.push_at(api, version, lane, fields)
    }

    /// A request with these fields and the rest as it comes; fields that the version lacks are left out.
    fn push_at(
        &mut self,
        api: ApiKey,
        version: i16,
        lane: usize,
        fields: &[(&str, Value)],
    ) -> Outcome<()> {
        let mut body = self.request(api, version)?;
        for (name, value) in fields {
            if let Some(place) = body.get_mut(*name) {
                *place = value.clone();
            }
        }
        let mut step = Step::new(api, version, body);
        step.lane = lane;
        self.queue.push_back(step);
        Ok(())
    }

    /// An idempotent producer: in order, again, with a gap, with an old epoch.
    fn producer(&mut self) -> Outcome<()> {
        let id = [
            ("TransactionalId", Value::Null),
            ("ProducerId", json!(-1)),
            ("ProducerEpoch", json!(-1)),
        ];
        self.push(ApiKey::InitProducerId, 0, &id)?;
        self.sequence = 0;
        let topic = self.random.word(TOPICS);
        let epoch = json!("@producer-epoch:");
        for turn in 0..2 + self.random.below(6) {
            let version = self.version(ApiKey::Produce);
            let mut batch = self.batch(7);
            let count = batch["count"].as_i64().unwrap_or(1);
            batch["producer"] = json!("@producer:");
            batch["epoch"] = epoch.clone();
            let wrong = if turn > 0 { self.random.below(8) } else { 7 };
            batch["sequence"] = json!(match wrong {
                0 => (self.sequence - count).max(0),
                1 => self.sequence + 5,
                2 => 0,
                _ => self.sequence,
            });
            if wrong > 2 {
                batch = json!({
                    "count": count, "label": batch["label"], "time": batch["time"],
                    "producer": batch["producer"], "epoch": epoch, "sequence": batch["sequence"],
                });
                self.sequence += count;
            }
            let data = json!([{
                "Name": topic,
                "TopicId": format!("@topic:{topic}"),
                "PartitionData": [{"Index": 0, "Records": [batch]}],
            }]);
            let fields = [("Acks", json!(-1)), ("TopicData", data)];
            self.push_at(ApiKey::Produce, version, 0, &fields)?;
        }
        Ok(())
    }

    /// A fetch session: opened, asked again, changed, used wrongly, closed.
    fn fetch_session(&mut self) -> Outcome<()> {
        let span = 7 + self.random.below(12) as i16;
        let partition = |index: i64, offset: i64| {
            json!({
                "Partition": index, "CurrentLeaderEpoch": -1, "FetchOffset": offset,
                "LastFetchedEpoch": -1, "LogStartOffset": -1, "PartitionMaxBytes": 1_000_000,
            })
        };
        let topic = |name: &str, partitions: Value| json!([{"Topic": name, "TopicId": format!("@topic:{name}"), "Partitions": partitions}]);
        let name = self.random.word(TOPICS);
        let all = topic(
            name,
            json!([partition(0, 0), partition(1, 0), partition(9, 0)]),
        );
        let later = topic(name, json!([partition(0, 2)]));
        let forgotten =
            json!([{"Topic": name, "TopicId": format!("@topic:{name}"), "Partitions": [1]}]);
        let none = json!([]);
        let mut asks = vec![
            (json!(0), json!(0), all, none.clone()),
            (json!("@session:"), json!(1), none.clone(), none.clone()),
            (json!("@session:"), json!(2), later, none.clone()),
            (json!("@session:"), json!(3), none.clone(), forgotten),
        ];
        let wrong = (json!("@session:"), json!(9), none.clone(), none.clone());
        let at = self.random.below(6);
        if at < asks.len() {
            asks.insert(at, wrong);
        }
        if self.random.one_in(2) {
            asks.push((json!("@session:"), json!(-1), none.clone(), none));
        }
        for (id, epoch, topics, forgotten) in asks {
            let fields = [
                ("ReplicaId", json!(-1)),
                ("ReplicaState", json!({"ReplicaId": -1, "ReplicaEpoch": -1})),
                ("MaxBytes", json!(1_000_000)),
                ("SessionId", id),
                ("SessionEpoch", epoch),
                ("Topics", topics),
                ("ForgottenTopicsData", forgotten),
            ];
            self.push_at(ApiKey::Fetch, span, 0, &fields)?;
        }
        Ok(())
    }

    fn join(&mut self, group: &str, version: i16, member: &str, instance: Value) -> Outcome<()> {
        let fields = [
            ("GroupId", json!(group)),
            ("SessionTimeoutMs", json!(SESSION_MS)),
            ("RebalanceTimeoutMs", json!(REBALANCE_MS)),
            ("MemberId", json!(member)),
            ("GroupInstanceId", instance),
            ("ProtocolType", json!("consumer")),
            (
                "Protocols",
                json!([{"Name": "range", "Metadata": SUBSCRIPTION}]),
            ),
        ];
        self.push_at(ApiKey::JoinGroup, version, 0, &fields)
    }

    fn sync(&mut self, group: &str, instance: Value) -> Outcome<()> {
        let member = format!("@member:{group}");
        let fields = [
            ("GroupId", json!(group)),
            ("MemberId", json!(member)),
            ("GenerationId", json!(format!("@generation:{group}"))),
            ("GroupInstanceId", instance),
            ("ProtocolType", json!("consumer")),
            ("ProtocolName", json!("range")),
            (
                "Assignments",
                json!([{"MemberId": member, "Assignment": "0001"}]),
            ),
        ];
        self.push(ApiKey::SyncGroup, 0, &fields)
    }

    /// One member: joins, is assigned, beats, commits, is described, leaves or stays.
    fn member(&mut self) -> Outcome<()> {
        let group = self.random.word(GROUPS);
        let member = format!("@member:{group}");
        let version = 1 + self.random.below(9) as i16;
        self.join(group, version, "", Value::Null)?;
        if version >= 4 {
            self.join(group, version, &member, Value::Null)?;
        }
        self.sync(group, Value::Null)?;
        self.as_member(group, Value::Null)?;
        if self.random.one_in(2) {
            self.leave(group, Value::Null)?;
        }
        Ok(())
    }

    fn as_member(&mut self, group: &str, instance: Value) -> Outcome<()> {
        let member = json!(format!("@member:{group}"));
        let generation = json!(format!("@generation:{group}"));
        let own = [
            ("GroupId", json!(group)),
            ("MemberId", member),
            ("GenerationId", generation.clone()),
            ("GenerationIdOrMemberEpoch", generation),
            ("GroupInstanceId", instance),
        ];
        self.push(ApiKey::Heartbeat, 0, &own)?;
        self.push(ApiKey::OffsetCommit, 0, &own)?;
        self.push(ApiKey::OffsetFetch, 0, &[("GroupId", json!(group))])?;
        self.push(ApiKey::DescribeGroups, 0, &[("Groups", json!([group]))])?;
        self.push(ApiKey::OffsetDelete, 0, &[("GroupId", json!(group))])?;
        self.push(ApiKey::ListGroups, 0, &[])
    }

    fn leave(&mut self, group: &str, instance: Value) -> Outcome<()> {
        let member = json!(format!("@member:{group}"));
        let fields = [
            ("GroupId", json!(group)),
            ("MemberId", member.clone()),
            (
                "Members",
                json!([{"MemberId": member, "GroupInstanceId": instance, "Reason": null}]),
            ),
        ];
        self.push(ApiKey::LeaveGroup, 0, &fields)?;
        self.push(ApiKey::DescribeGroups, 0, &[("Groups", json!([group]))])?;
        self.push(ApiKey::DeleteGroups, 0, &[("GroupsNames", json!([group]))])
    }

    /// A second member joins, and the first one is told to come back but does not.
    fn two_members(&mut self) -> Outcome<()> {
        let group = self.random.word(GROUPS);
        let version = 1 + self.random.below(3) as i16;
        self.join(group, version, "", Value::Null)?;
        self.sync(group, Value::Null)?;
        self.join(group, version, "", Value::Null)?;
        let first = [
            ("GroupId", json!(group)),
            ("MemberId", json!(format!("@first-member:{group}"))),
            ("GenerationId", json!(format!("@generation:{group}"))),
        ];
        self.push(ApiKey::Heartbeat, 0, &first)?;
        self.sync(group, Value::Null)?;
        self.as_member(group, Value::Null)
    }

    /// A member with a name of its own: comes back under a new id, and the old id is fenced.
    fn static_member(&mut self) -> Outcome<()> {
        let group = self.random.word(GROUPS);
        let instance = json!(self.random.word(&["static-1", "static-2"]));
        let version = 5 + self.random.below(5) as i16;
        self.join(group, version, "", instance.clone())?;
        self.sync(group, instance.clone())?;
        self.join(group, version, "", instance.clone())?;
        let first = [
            ("GroupId", json!(group)),
            ("MemberId", json!(format!("@first-member:{group}"))),
            ("GenerationId", json!(format!("@generation:{group}"))),
            ("GroupInstanceId", instance.clone()),
        ];
        self.push(ApiKey::Heartbeat, 0, &first)?;
        self.sync(group, instance.clone())?;
        self.as_member(group, instance.clone())?;
        self.leave(group, instance)
    }

    /// A topic is deleted and comes back under another id: nothing of the old one may show.
    fn topic_reborn(&mut self) -> Outcome<()> {
        let name = self.random.word(&["gamma", "zeta", "delta.x"]);
        let deleted = [
            ("TopicNames", json!([name])),
            ("Topics", json!([{"Name": name, "TopicId": ZERO_ID}])),
        ];
        self.push(ApiKey::DeleteTopics, 0, &deleted)?;
        let again = json!([{
            "Name": name, "NumPartitions": 2, "ReplicationFactor": 1,
            "Assignments": [], "Configs": [],
        }]);
        let fields = [("Topics", again), ("validateOnly", json!(false))];
        self.push(ApiKey::CreateTopics, 0, &fields)?;
        let asked = json!([{
            "Topic": name, "TopicId": format!("@old-topic:{name}"),
            "Partitions": [{
                "Partition": 0, "CurrentLeaderEpoch": -1, "FetchOffset": 0,
                "LastFetchedEpoch": -1, "LogStartOffset": -1, "PartitionMaxBytes": 1000,
            }],
        }]);
        let fields = [
            ("SessionId", json!(0)),
            ("SessionEpoch", json!(-1)),
            ("Topics", asked),
        ];
        self.push(ApiKey::Fetch, 0, &fields)?;
        for group in GROUPS {
            self.push(ApiKey::OffsetFetch, 0, &[("GroupId", json!(group))])?;
        }
        Ok(())
    }
}
