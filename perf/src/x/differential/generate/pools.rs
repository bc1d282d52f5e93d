//! What a field may hold: mostly what makes sense, often what does not.

use serde_json::{Value, json};
use thalweg_wire::api::ApiKey;

use super::super::names::{UNKNOWN_ID, ZERO_ID};
use super::super::records::FLAWS;
use super::super::schema::Kind;
use super::lists::{alone_if_broken, each_once, named_once, never_zero, rows};
use super::{Generator, Place};

pub(super) const TOPICS: &[&str] = &["alpha", "beta", "gamma", "delta.x"];
/// `alpha` thrice: most requests should get past the name.
const TOPIC_NAMES: &[&str] = &[
    "alpha", "alpha", "alpha", "beta", "beta", "gamma", "gamma", "delta.x", "nowhere", "delta_x",
    "bad/name", "", "..",
];
const NEW_TOPICS: &[&str] = &[
    "gamma", "epsilon", "zeta", "eta", "delta_x", "alpha", "bad/name", "", ".", "theta",
];
pub(super) const GROUPS: &[&str] = &["north", "south", "east"];
const GROUP_NAMES: &[&str] = &["north", "north", "south", "south", "east", "unknown", ""];
const PARTITIONS: &[i64] = &[0, 0, 0, 0, 0, 1, 1, 2, 3, -1, 1000, 2_147_483_647];
const OFFSETS: &[i64] = &[0, 0, 1, 2, 3, 5, 8, 100, -1, -2, i64::MAX, i64::MIN];
const EPOCHS: &[i64] = &[-1, -1, -1, 0, 0, 1, 7, -2, 2_147_483_647];
/// How long those who joined wait for those who do not, and are waited for to sync.
pub(super) const REBALANCE_MS: i64 = 800;
/// A consumer's: version 0, the topic `alpha`, no data of its own. Kafka 4.3 forgets to end a
/// rebalance when it cannot read one, so there are no broken ones.
pub(super) const SUBSCRIPTION: &str = "0000000000010005616c706861ffffffff";
/// Flaws that leave no way to find the next batch.
pub(super) const BROKEN: &[&str] = &["length", "cut"];
const TOPIC_CONFIGS: &[(&str, &[&str])] = &[
    // Longer than since 1970: records are as old as that, and when they go depends on the run's pace.
    ("retention.ms", &["-1", "9999999999999", "x", "-2", ""]),
    ("retention.bytes", &["-1", "1073741824", "1.5"]),
    ("max.message.bytes", &["1048588", "200", "-1"]),
    (
        "cleanup.policy",
        &["delete", "compact", "compact,delete", "shred", ""],
    ),
    ("segment.bytes", &["1048576", "1", "2147483648"]),
    ("min.insync.replicas", &["1", "0", "2"]),
    ("message.timestamp.type", &["CreateTime", "Never"]),
    ("no.such.config", &["1"]),
    ("segment.ms", &["604800000", "0"]),
    ("unclean.leader.election.enable", &["false", "maybe"]),
];

impl Generator<'_> {
    pub(super) fn leaf(&mut self, place: Place<'_>, name: &str, kind: &Kind) -> Value {
        if let Some(value) = self.of_api(place, name) {
            return value;
        }
        let random = &mut self.random;
        match (name, kind) {
            ("Topic" | "TopicName" | "Name" | "TopicNames", Kind::Text) => {
                json!(random.word(TOPIC_NAMES))
            }
            ("TopicId", _) => self.topic_id(),
            ("GroupId" | "Groups" | "GroupsNames" | "Key" | "CoordinatorKeys", Kind::Text) => {
                json!(random.word(GROUP_NAMES))
            }
            (
                "PartitionIndex" | "Index" | "Partition" | "Partitions" | "PartitionIndexes",
                Kind::Int32,
            ) => random.number(PARTITIONS),
            ("MemberId", _) => self.member_id(),
            ("GroupInstanceId", _) => json!(random.word(&["static-1", "static-2", ""])),
            ("GenerationId" | "GenerationIdOrMemberEpoch" | "MemberEpoch", _) => self.generation(),
            (
                "CurrentLeaderEpoch" | "LastFetchedEpoch" | "LeaderEpoch" | "CommittedLeaderEpoch",
                _,
            ) => random.number(EPOCHS),
            ("FetchOffset" | "Offset" | "CommittedOffset" | "LogStartOffset", _) => {
                random.number(OFFSETS)
            }
            ("TimeoutMs" | "timeoutMs", _) => json!(30_000),
            (_, Kind::Bool) => json!(random.one_in(2)),
            (_, Kind::Text) => json!(random.word(&["text", ""])),
            (_, Kind::Bytes) => json!("0001"),
            (_, Kind::Records) => self.records(place.version),
            (_, Kind::Uuid) => json!(ZERO_ID),
            (_, Kind::Int8) => random.number(&[0, 0, 1, 2, -1, 99]),
            _ => random.number(&[0, 1, -1]),
        }
    }

    /// Fields that mean something else than their name says elsewhere.
    fn of_api(&mut self, place: Place<'_>, name: &str) -> Option<Value> {
        let random = &mut self.random;
        Some(match (place.api, name) {
            (ApiKey::Produce, "Acks") => random.number(&[-1, -1, -1, -1, 1, 1, 2]),
            (ApiKey::Fetch, "MaxWaitMs" | "MinBytes") => json!(0),
            (ApiKey::Fetch, "MaxBytes") => random.number(&[2_147_483_647, 1_000_000, 150, 0, -1]),
            (ApiKey::Fetch, "PartitionMaxBytes") => random.number(&[1_000_000, 1_000_000, 150, 0]),
            (ApiKey::Fetch, "SessionId") => self.session(),
            (ApiKey::Fetch, "SessionEpoch") => random.number(&[-1, -1, -1, 0, 1, 5]),
            (ApiKey::Fetch | ApiKey::OffsetForLeaderEpoch, "ReplicaId") => {
                random.number(&[-1, -1, -1, -1, -2])
            }
            (ApiKey::Fetch, "ClusterId" | "RackId") => json!(""),
            (ApiKey::Fetch | ApiKey::ListOffsets, "IsolationLevel") => random.number(&[0, 0, 1]),
            (ApiKey::ListOffsets, "ReplicaId") => random.number(&[-1, -1, -1, -2]),
            (ApiKey::ListOffsets, "Timestamp") => self.timestamp(),
            (ApiKey::Metadata, "AllowAutoTopicCreation") => json!(random.one_in(8)),
            (ApiKey::OffsetCommit, "CommittedMetadata") => self.commit_metadata(),
            (ApiKey::OffsetCommit, "RetentionTimeMs") => random.number(&[-1, 86_400_000]),
            (ApiKey::FindCoordinator, "KeyType") => random.number(&[0, 0, 0, 0, 3, -1]),
            (ApiKey::InitProducerId, "TransactionTimeoutMs") => json!(60_000),
            (ApiKey::InitProducerId, "ProducerId") => self.producer_id(),
            (ApiKey::InitProducerId, "ProducerEpoch") => self.producer_epoch(),
            (ApiKey::DescribeGroups | ApiKey::Metadata | ApiKey::DescribeCluster, _)
                if name.starts_with("Include") =>
            {
                json!(random.one_in(2))
            }
            (ApiKey::DescribeCluster, "EndpointType") => random.number(&[1, 1, 1, 2, 0, 9]),
            (ApiKey::DescribeTopicPartitions, "ResponsePartitionLimit") => {
                random.number(&[2000, 1, 2, 3, 0, -1])
            }
            (ApiKey::ListGroups, "StatesFilter") => {
                json!(random.word(&["Stable", "Empty", "empty", "Nonsense", "Dead"]))
            }
            (ApiKey::ListGroups, "TypesFilter") => {
                json!(random.word(&["classic", "Classic", "consumer", "nonsense"]))
            }
            (ApiKey::ApiVersions, _) => {
                json!(random.word(&["client", "client", "client-1.2", "-bad-", "", "b\u{e4}d"]))
            }
            (ApiKey::DescribeQuorum, "TopicName") => {
                json!(random.word(&["__cluster_metadata", "__cluster_metadata", "alpha"]))
            }
            (ApiKey::ListConfigResources, "ResourceTypes") => {
                random.number(&[2, 4, 16, 32, 8, 0, 1, 99])
            }
            _ => {
                return self
                    .of_admin(place, name)
                    .or_else(|| self.of_groups(place, name));
            }
        })
    }

    fn of_admin(&mut self, place: Place<'_>, name: &str) -> Option<Value> {
        let random = &mut self.random;
        let in_configs = matches!(place.parent, "Configs" | "ConfigurationKeys");
        Some(match (place.api, name) {
            (ApiKey::CreateTopics, "Name") if in_configs => self.config_key(),
            (ApiKey::CreateTopics, "Name") => json!(random.word(NEW_TOPICS)),
            (ApiKey::CreateTopics, "NumPartitions") => random.number(&[1, 2, 3, -1, -1, 0, -2]),
            (ApiKey::CreateTopics, "ReplicationFactor") => random.number(&[1, 1, -1, 2, 0]),
            (_, "BrokerIds") => random.number(&[1, 1, 1, 1, 2, -1]),
            (ApiKey::CreatePartitions, "Count") => random.number(&[4, 3, 2, 5, 1, 0, -1]),
            (
                ApiKey::DescribeConfigs | ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs,
                "ResourceType",
            ) => random.number(&[2, 2, 2, 2, 2, 2, 4, 32, 0, 99]),
            (_, "ResourceName") => {
                let words = &["alpha", "beta", "gamma", "nowhere", "", "1", "2", "north"];
                json!(random.word(words))
            }
            (_, "ConfigOperation") => random.number(&[0, 0, 0, 1, 1, 2, 3]),
            (_, "ConfigurationKeys") => self.config_key(),
            (ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs, "Name") => self.config_key(),
            (_, "Value") => json!("1"),
            (ApiKey::AlterClientQuotas | ApiKey::DescribeClientQuotas, _) => {
                return self.of_quotas(name);
            }
            (ApiKey::ElectLeaders, "ElectionType") => random.number(&[0, 0, 0, 1, 1, 9]),
            (ApiKey::AlterPartitionReassignments, "Replicas") => {
                random.number(&[1, 1, 1, 1, 2, -1])
            }
            // No directory of either server: their own differ.
            (ApiKey::AlterReplicaLogDirs, "Path") => json!(random.word(&["/nowhere", ""])),
            (ApiKey::UpdateFeatures, "Feature") => {
                json!(random.word(&["metadata.version", "no.such.feature", ""]))
            }
            (ApiKey::UpdateFeatures, "MaxVersionLevel") => random.number(&[30, 99, -1, 1]),
            (ApiKey::UpdateFeatures, "UpgradeType") => random.number(&[1, 1, 2, 3, 0, 9]),
            _ => return None,
        })
    }

    /// High enough to throttle nobody: what is throttled depends on the time.
    fn of_quotas(&mut self, name: &str) -> Option<Value> {
        let random = &mut self.random;
        Some(match name {
            "EntityType" => {
                json!(random.word(&["user", "user", "client-id", "client-id", "ip", "", "odd"]))
            }
            // Names that are no addresses are looked up by Kafka and not here.
            "EntityName" | "Match" => {
                json!(random.word(&["127.0.0.1", "127.0.0.1", "10.0.0.1", ""]))
            }
            "MatchType" => random.number(&[0, 0, 0, 1, 2, 2, 9]),
            "Key" => {
                let keys = [
                    "producer_byte_rate",
                    "consumer_byte_rate",
                    "request_percentage",
                    "controller_mutation_rate",
                    "connection_creation_rate",
                    "odd",
                ];
                json!(random.word(&keys))
            }
            "Value" => random.number(&[1_000_000_000, 2_000_000_000, 2_000_000_000, 0, -1]),
            "Remove" | "ValidateOnly" | "Strict" => json!(random.one_in(3)),
            _ => return None,
        })
    }

    fn of_groups(&mut self, place: Place<'_>, name: &str) -> Option<Value> {
        let random = &mut self.random;
        Some(match (place.api, name) {
            (_, "SessionTimeoutMs") => random.number(&[600_000, 600_000, 600_000, 1, -1]),
            // A member that has to wait for others is not to hold up the run.
            (_, "RebalanceTimeoutMs") => json!(REBALANCE_MS),
            (_, "ProtocolType") => {
                json!(random.word(&["consumer", "consumer", "consumer", "connect", ""]))
            }
            (ApiKey::JoinGroup, "Name") | (_, "ProtocolName") => {
                json!(random.word(&["range", "range", "range", "sticky", ""]))
            }
            (ApiKey::JoinGroup, "Metadata") => json!(SUBSCRIPTION),
            (_, "Assignment") => json!(random.word(&["0000", "00ff", ""])),
            (_, "Reason") => json!("because"),
            _ => return None,
        })
    }

    fn topic_id(&mut self) -> Value {
        let topic = self.random.word(TOPICS);
        match self.random.below(12) {
            0 => json!(ZERO_ID),
            1 => json!(UNKNOWN_ID),
            2 => json!(format!("@old-topic:{topic}")),
            _ => json!(format!("@topic:{topic}")),
        }
    }

    fn member_id(&mut self) -> Value {
        let group = self.random.word(GROUPS);
        match self.random.below(8) {
            0 => json!("stranger"),
            1 | 2 => json!(""),
            3 => json!(format!("@first-member:{group}")),
            _ => json!(format!("@member:{group}")),
        }
    }

    fn generation(&mut self) -> Value {
        let group = self.random.word(GROUPS);
        match self.random.below(8) {
            0 => json!(-1),
            1 => self.random.number(&[0, 1, 2, 99, -2]),
            _ => json!(format!("@generation:{group}")),
        }
    }

    fn session(&mut self) -> Value {
        match self.random.below(6) {
            0 => json!("@session:"),
            1 => json!(77),
            _ => json!(0),
        }
    }

    fn timestamp(&mut self) -> Value {
        match self.random.below(4) {
            0 => json!(self.now_ms - 1000),
            1 => self.random.number(&[0, i64::MAX, 1, -8, i64::MIN]),
            _ => self.random.number(&[-1, -1, -2, -2, -3, -4, -5, -6]),
        }
    }

    fn commit_metadata(&mut self) -> Value {
        match self.random.below(12) {
            0 => json!("m".repeat(4097)),
            _ => json!(self.random.word(&["", "note"])),
        }
    }

    fn producer_id(&mut self) -> Value {
        match self.random.below(4) {
            0 => json!("@producer:"),
            1 => self.random.number(&[0, -2, i64::MAX]),
            _ => json!(-1),
        }
    }

    fn producer_epoch(&mut self) -> Value {
        match self.random.below(4) {
            0 => json!("@producer-epoch:"),
            1 => self.random.number(&[0, -2, 32_767]),
            _ => json!(-1),
        }
    }

    fn config_key(&mut self) -> Value {
        let index = self.random.below(TOPIC_CONFIGS.len());
        json!(TOPIC_CONFIGS.get(index).map_or("", |(key, _)| *key))
    }

    fn config_value(&mut self, key: &str) -> Value {
        let found = TOPIC_CONFIGS.iter().find(|(name, _)| *name == key);
        match found {
            Some((_, values)) if !self.random.one_in(10) => json!(self.random.word(values)),
            _ => Value::Null,
        }
    }

    /// Batches for one partition: mostly one, mostly right.
    pub(super) fn records(&mut self, version: i16) -> Value {
        match self.random.below(16) {
            0 | 1 => return json!(""),
            2 => return json!([self.batch(version), self.batch(version)]),
            _ => {}
        }
        json!([self.batch(version)])
    }

    pub(super) fn batch(&mut self, version: i16) -> Value {
        self.label += 1;
        let codecs: &[i64] = if version >= 7 || self.random.one_in(6) {
            &[0, 0, 1, 2, 3, 4]
        } else {
            &[0, 1, 2, 3]
        };
        let mut batch = json!({
            "count": 1 + self.random.below(4),
            "label": self.label,
            "time": self.now_ms - 1000 + self.label,
            "codec": self.random.number(codecs),
        });
        match self.random.below(24) {
            0..6 => batch["flaw"] = json!(self.random.word(FLAWS)),
            6 => batch["keyless"] = json!(true),
            7 => batch["tombstone"] = json!(true),
            8 => batch["transactional"] = json!(true),
            9 => batch["time"] = json!(self.now_ms + 7_200_000),
            10..14 => {
                batch["producer"] = json!("@producer:");
                batch["epoch"] = self.producer_epoch();
                batch["sequence"] = self.random.number(&[0, 0, 1, 5, -1, 2_147_483_647]);
            }
            14 => {
                batch["time"] = self
                    .random
                    .number(&[-1, 0, 1, -5_000, i64::MIN, i64::MAX - 9])
            }
            _ => {}
        }
        batch
    }

    /// Fields that go together.
    pub(super) fn correct(&mut self, api: ApiKey, version: i16, body: &mut Value) {
        match api {
            // By name or by id, seldom both.
            ApiKey::Metadata | ApiKey::DeleteTopics => {
                self.name_or_id(version, &mut body["Topics"]);
                never_zero(&mut body["Topics"]);
            }
            // Kafka 4.3 fails without a name over ids of zeros, here once quotas are set.
            ApiKey::Fetch => {
                never_zero(&mut body["Topics"]);
                never_zero(&mut body["ForgottenTopicsData"]);
            }
            // Kafka 4.3 never answers a produce request that names a partition twice, and what comes
            // of naming it twice elsewhere depends on the order of a hash map.
            ApiKey::Produce => {
                each_once(&mut body["TopicData"], "PartitionData", "Index");
                alone_if_broken(&mut body["TopicData"]);
            }
            ApiKey::DeleteRecords => {
                each_once(&mut body["Topics"], "Partitions", "PartitionIndex");
            }
            ApiKey::CreateTopics => {
                for topic in rows(&mut body["Topics"]) {
                    if !self.random.one_in(5) {
                        topic["Assignments"] = json!([]);
                    } else if !self.random.one_in(4) {
                        topic["NumPartitions"] = json!(-1);
                        topic["ReplicationFactor"] = json!(-1);
                    }
                    for config in rows(&mut topic["Configs"]) {
                        self.give_value(config);
                    }
                    if self.random.one_in(2) {
                        topic["Configs"] = json!([]);
                    }
                }
            }
            ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs => {
                for resource in rows(&mut body["Resources"]) {
                    for config in rows(&mut resource["Configs"]) {
                        self.give_value(config);
                    }
                }
            }
            ApiKey::JoinGroup
            | ApiKey::SyncGroup
            | ApiKey::Heartbeat
            | ApiKey::LeaveGroup
            | ApiKey::OffsetCommit => self.one_group(body),
            _ => {}
        }
        if api == ApiKey::JoinGroup {
            named_once(&mut body["Protocols"]);
        }
        if api == ApiKey::JoinGroup && version == 0 {
            // Version 0 waits for others as long as its session lasts.
            body["SessionTimeoutMs"] = json!(1);
        }
    }

    fn give_value(&mut self, config: &mut Value) {
        let key = config["Name"].as_str().unwrap_or_default().to_owned();
        config["Value"] = self.config_value(&key);
    }

    fn name_or_id(&mut self, version: i16, topics: &mut Value) {
        if version < 6 {
            return;
        }
        for topic in rows(topics) {
            if topic.get("TopicId").is_none() {
                continue;
            }
            match self.random.below(8) {
                0 => {}
                1..5 => topic["TopicId"] = json!(ZERO_ID),
                _ => topic["Name"] = Value::Null,
            }
        }
    }

    /// Member and generation mostly belong to the group that is named.
    fn one_group(&mut self, body: &mut Value) {
        let group = body["GroupId"].as_str().unwrap_or_default().to_owned();
        for field in ["MemberId", "GenerationId", "GenerationIdOrMemberEpoch"] {
            let Some(value) = body.get_mut(field) else {
                continue;
            };
            let kind = value
                .as_str()
                .and_then(|name| name.split_once(':'))
                .map(|(kind, _)| kind.to_owned());
            if let Some(kind) = kind
                && !self.random.one_in(10)
            {
                *value = json!(format!("{kind}:{group}"));
            }
        }
    }
}
