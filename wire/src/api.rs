//! The one table of the APIs that the node serves: dispatch and the answer to ApiVersions both come
//! from it, so that what is advertised is what is dispatched.
//!
//! An API that is not served is absent. *Advertised* and *served* versions differ in one row:
//! Produce is advertised from 0, as Kafka does, because librdkafka up to 2.11 stops compressing when
//! it is not; the versions below 3 do not exist any more, and a connection that uses them is closed.
//! The build fails when a row promises a version that the schema lacks.
//!
//! The controller's listener has its own column. There, Fetch would mean the metadata log, and it
//! is not served before the quorum is.

use std::fmt;

macro_rules! keys {
    ($($name:ident $key:literal;)*) => {
        /// Every API of Kafka 4.3, served by us or not.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("Key ", $key, ".")]
                $name = $key,
            )*
        }

        impl ApiKey {
            /// The API of a key.
            #[must_use]
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

keys! {
    Produce 0;
    Fetch 1;
    ListOffsets 2;
    Metadata 3;
    OffsetCommit 8;
    OffsetFetch 9;
    FindCoordinator 10;
    JoinGroup 11;
    Heartbeat 12;
    LeaveGroup 13;
    SyncGroup 14;
    DescribeGroups 15;
    ListGroups 16;
    SaslHandshake 17;
    ApiVersions 18;
    CreateTopics 19;
    DeleteTopics 20;
    DeleteRecords 21;
    InitProducerId 22;
    OffsetForLeaderEpoch 23;
    AddPartitionsToTxn 24;
    AddOffsetsToTxn 25;
    EndTxn 26;
    WriteTxnMarkers 27;
    TxnOffsetCommit 28;
    DescribeAcls 29;
    CreateAcls 30;
    DeleteAcls 31;
    DescribeConfigs 32;
    AlterConfigs 33;
    AlterReplicaLogDirs 34;
    DescribeLogDirs 35;
    SaslAuthenticate 36;
    CreatePartitions 37;
    CreateDelegationToken 38;
    RenewDelegationToken 39;
    ExpireDelegationToken 40;
    DescribeDelegationToken 41;
    DeleteGroups 42;
    ElectLeaders 43;
    IncrementalAlterConfigs 44;
    AlterPartitionReassignments 45;
    ListPartitionReassignments 46;
    OffsetDelete 47;
    DescribeClientQuotas 48;
    AlterClientQuotas 49;
    DescribeUserScramCredentials 50;
    AlterUserScramCredentials 51;
    Vote 52;
    BeginQuorumEpoch 53;
    EndQuorumEpoch 54;
    DescribeQuorum 55;
    AlterPartition 56;
    UpdateFeatures 57;
    Envelope 58;
    FetchSnapshot 59;
    DescribeCluster 60;
    DescribeProducers 61;
    BrokerRegistration 62;
    BrokerHeartbeat 63;
    UnregisterBroker 64;
    DescribeTransactions 65;
    ListTransactions 66;
    AllocateProducerIds 67;
    ConsumerGroupHeartbeat 68;
    ConsumerGroupDescribe 69;
    ControllerRegistration 70;
    GetTelemetrySubscriptions 71;
    PushTelemetry 72;
    AssignReplicasToDirs 73;
    ListConfigResources 74;
    DescribeTopicPartitions 75;
    ShareGroupHeartbeat 76;
    ShareGroupDescribe 77;
    ShareFetch 78;
    ShareAcknowledge 79;
    AddRaftVoter 80;
    RemoveRaftVoter 81;
    UpdateRaftVoter 82;
    InitializeShareGroupState 83;
    ReadShareGroupState 84;
    WriteShareGroupState 85;
    DeleteShareGroupState 86;
    ReadShareGroupStateSummary 87;
    StreamsGroupHeartbeat 88;
    StreamsGroupDescribe 89;
    DescribeShareGroupOffsets 90;
    AlterShareGroupOffsets 91;
    DeleteShareGroupOffsets 92;
}

impl ApiKey {
    /// The key on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Versions of an API, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// The lowest.
    pub min: i16,
    /// The highest.
    pub max: i16,
}

impl Versions {
    /// Whether the version is among them.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

/// Who is meant to connect: a connection knows its listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// Clients and other brokers.
    Broker,
    /// Controllers, and brokers that talk to them.
    Controller,
}

/// One row: an API that the node serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Api {
    /// The API.
    pub key: ApiKey,
    /// Versions that ApiVersions announces.
    pub advertised: Versions,
    /// Versions that are dispatched.
    pub served: Versions,
    /// Listeners that serve it.
    pub listeners: &'static [Listener],
}

const fn row(key: ApiKey, min: i16, max: i16) -> Api {
    Api {
        key,
        advertised: Versions { min, max },
        served: Versions { min, max },
        listeners: &[Listener::Broker],
    }
}

/// All APIs that the node serves, by key.
pub const TABLE: &[Api] = &[
    Api {
        served: Versions { min: 3, max: 13 },
        ..row(ApiKey::Produce, 0, 13)
    },
    row(ApiKey::Fetch, 4, 18),
    row(ApiKey::ListOffsets, 1, 11),
    row(ApiKey::Metadata, 0, 13),
    row(ApiKey::OffsetCommit, 2, 10),
    row(ApiKey::OffsetFetch, 1, 10),
    row(ApiKey::FindCoordinator, 0, 6),
    row(ApiKey::JoinGroup, 0, 9),
    row(ApiKey::Heartbeat, 0, 4),
    row(ApiKey::LeaveGroup, 0, 5),
    row(ApiKey::SyncGroup, 0, 5),
    row(ApiKey::DescribeGroups, 0, 6),
    row(ApiKey::ListGroups, 0, 5),
    Api {
        listeners: &[Listener::Broker, Listener::Controller],
        ..row(ApiKey::ApiVersions, 0, 4)
    },
    row(ApiKey::CreateTopics, 2, 7),
    row(ApiKey::DeleteTopics, 1, 6),
    row(ApiKey::DeleteRecords, 0, 2),
    row(ApiKey::InitProducerId, 0, 5),
    row(ApiKey::OffsetForLeaderEpoch, 2, 4),
    row(ApiKey::AddPartitionsToTxn, 0, 5),
    row(ApiKey::AddOffsetsToTxn, 0, 4),
    row(ApiKey::EndTxn, 0, 5),
    row(ApiKey::WriteTxnMarkers, 1, 2),
    row(ApiKey::TxnOffsetCommit, 0, 5),
    row(ApiKey::DescribeConfigs, 1, 4),
    row(ApiKey::AlterConfigs, 0, 2),
    row(ApiKey::AlterReplicaLogDirs, 1, 2),
    row(ApiKey::DescribeLogDirs, 1, 5),
    row(ApiKey::CreatePartitions, 0, 3),
    row(ApiKey::DeleteGroups, 0, 2),
    row(ApiKey::ElectLeaders, 0, 2),
    row(ApiKey::IncrementalAlterConfigs, 0, 1),
    row(ApiKey::AlterPartitionReassignments, 0, 1),
    row(ApiKey::ListPartitionReassignments, 0, 0),
    row(ApiKey::OffsetDelete, 0, 0),
    row(ApiKey::DescribeClientQuotas, 0, 1),
    row(ApiKey::AlterClientQuotas, 0, 1),
    row(ApiKey::DescribeQuorum, 0, 2),
    row(ApiKey::UpdateFeatures, 0, 2),
    row(ApiKey::DescribeCluster, 0, 2),
    row(ApiKey::DescribeProducers, 0, 0),
    row(ApiKey::DescribeTransactions, 0, 0),
    row(ApiKey::ListTransactions, 0, 2),
    row(ApiKey::ConsumerGroupHeartbeat, 0, 1),
    row(ApiKey::ConsumerGroupDescribe, 0, 1),
    row(ApiKey::ListConfigResources, 0, 1),
    row(ApiKey::DescribeTopicPartitions, 0, 0),
];

/// The row of a key, when the listener serves it.
#[must_use]
pub fn lookup(key: i16, listener: Listener) -> Option<&'static Api> {
    on(listener).find(|api| api.key.code() == key)
}

/// The rows of a listener, by key.
pub fn on(listener: Listener) -> impl Iterator<Item = &'static Api> {
    TABLE
        .iter()
        .filter(move |api| api.listeners.contains(&listener))
}

/// What the schemas have: key, lowest and highest version, first flexible version.
const SCHEMA: &[(i16, i16, i16, i16)] = include!(concat!(env!("OUT_DIR"), "/ranges.rs"));

/// Whether a version of the API is flexible, or would be: also for versions that are not served, so
/// that their request header can be read. None when Kafka 4.3 has no such API.
#[must_use]
pub const fn flexible(key: i16, version: i16) -> Option<bool> {
    match schema(key) {
        Some((_, _, _, first_flexible)) => Some(version >= first_flexible),
        None => None,
    }
}

const fn schema(key: i16) -> Option<(i16, i16, i16, i16)> {
    let mut rows = SCHEMA;
    while let [row, rest @ ..] = rows {
        if row.0 == key {
            return Some(*row);
        }
        rows = rest;
    }
    None
}

/// Rows rise by key, and promise nothing that the schema lacks.
const _: () = {
    let mut rows = TABLE;
    let mut before = -1;
    while let [api, rest @ ..] = rows {
        let key = api.key.code();
        assert!(key > before, "rows are sorted by key");
        before = key;
        match schema(key) {
            Some((_, min, max, _)) => assert!(
                min <= api.served.min && api.served.max <= max,
                "a served version is not in the schema"
            ),
            None => panic!("a served API has no schema"),
        }
        assert!(
            api.advertised.min <= api.served.min && api.advertised.max == api.served.max,
            "only an advertised minimum may lie below what is served"
        );
        rows = rest;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_produce_is_advertised_below_what_is_served() {
        for api in TABLE {
            let differs = api.advertised != api.served;
            assert_eq!(differs, api.key == ApiKey::Produce, "{}", api.key);
        }
    }

    #[test]
    fn lookup_knows_the_listener() {
        let served = |key: i16, listener| lookup(key, listener).map(|api| api.key);
        assert_eq!(served(1, Listener::Broker), Some(ApiKey::Fetch));
        assert_eq!(served(1, Listener::Controller), None);
        assert_eq!(served(18, Listener::Controller), Some(ApiKey::ApiVersions));
        // LeaderAndIsr left Kafka with ZooKeeper.
        assert_eq!(served(4, Listener::Broker), None);
        assert_eq!(ApiKey::from_code(4), None);
    }

    #[test]
    fn flexible_also_beyond_the_served_versions() {
        assert_eq!(flexible(0, 2), Some(false));
        assert_eq!(flexible(0, 9), Some(true));
        assert_eq!(flexible(18, 99), Some(true));
        assert_eq!(flexible(17, 1), Some(false));
        assert_eq!(flexible(4242, 0), None);
    }
}
