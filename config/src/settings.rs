//! Every setting once: the struct tree the node reads, and from the same lines the table of names,
//! defaults and explanations. Pure.
//!
//! The `///` lines of a field are its documentation for the user too (`thalweg config explain`), so they
//! name unit and effect. Kafka's keys take type and default from `facts.rs`; only those with an effect have
//! a field. Deliberately absent: values that depend on the machine: they are `Auto` here, the node decides.

use std::collections::BTreeMap;

use crate::merge::Reader;
use crate::units::{
    Address, Auto, Bytes, CompressedCheck, CoordinatorShard, Durability, FromText, List, Listen,
    LogFormat, LogLevel, MetricsDetail, Millis,
};

/// Name, default and explanation of one of our own settings.
#[derive(Clone, Copy, Debug)]
pub struct OwnKey {
    /// Section and name, `shards.count`.
    pub name: &'static str,
    /// The text that the user could have written.
    pub default: &'static str,
    /// What it does, unit included.
    pub doc: &'static str,
    /// What can be written for it, in words.
    pub accepts: fn() -> String,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident = $section:literal {
        $($(#[doc = $text:literal])+ $field:ident: $kind:ty = $default:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name { $($(#[doc = $text])+ pub $field: $kind),+ }

        impl $name {
            pub(crate) const KEYS: &'static [OwnKey] = &[$(OwnKey {
                name: concat!($section, ".", stringify!($field)),
                default: $default,
                doc: concat!($($text, "\n"),+),
                accepts: <$kind as FromText>::wanted,
            }),+];

            fn read(from: &mut Reader<'_>) -> Option<Self> {
                $(let $field = from.own(concat!($section, ".", stringify!($field)));)+
                Some(Self { $($field: $field?),+ })
            }
        }
    };
}

macro_rules! kafka_section {
    ($(#[$doc:meta])* $name:ident {
        $($(#[doc = $text:literal])+ $field:ident: $kind:ty = $key:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name { $($(#[doc = $text])+ pub $field: $kind),+ }

        impl $name {
            /// The keys that have an effect.
            pub(crate) const KEYS: &'static [&'static str] = &[$($key),+];

            /// Each with what it does.
            pub(crate) const DOCS: &'static [(&'static str, &'static str)] =
                &[$(($key, concat!($($text),+))),+];

            fn read(from: &mut Reader<'_>) -> Option<Self> {
                $(let $field = from.kafka($key);)+
                Some(Self { $($field: $field?),+ })
            }
        }
    };
}

section!(
    /// `[node]`: who this node is and where its data lies.
    Node = "node" {
        /// The node's id in its cluster, 0 to 2147483647. Must not change once the data directory is formatted.
        id: i32 = "1",
        /// The data directory. A list for Kafka's sake; more than one is refused.
        data: List = "data",
        /// Development mode: relaxed checks, few shards, small rings. Not for data that matters.
        dev: bool = "false",
    }
);

section!(
    /// `[listen]`: the sockets that are opened.
    ListenAt = "listen" {
        /// HOST:PORT for clients.
        kafka: Address = "127.0.0.1:9092",
        /// HOST:PORT that clients are told to dial; `auto` is the address they came in on, or the host name.
        advertise: Auto<Address> = "auto",
        /// HOST:PORT for other brokers, or `none`.
        internal: Listen = "127.0.0.1:9094",
        /// HOST:PORT for the metadata quorum, or `none`.
        controller: Listen = "127.0.0.1:9093",
        /// HOST:PORT for `/metrics`, `/healthz` and the console, or `none`.
        admin: Listen = "127.0.0.1:9644",
        /// Allow addresses that other machines reach although nobody is asked who they are.
        insecure: bool = "false",
    }
);

section!(
    /// `[shards]`: cores and memory.
    Shards = "shards" {
        /// Number of shards (threads that serve), or `auto` for one a usable core. May change between starts.
        count: Auto<u16> = "auto",
        /// CPUs to use, such as `0-3,8`; `auto` is all the process may use.
        cpus: Auto<String> = "auto",
        /// Whether the coordinator's shard, shard 0, is free of partitions (`own`) or not (`shared`); `auto` is own from 4 shards on.
        coordinator: Auto<CoordinatorShard> = "auto",
        /// Memory of all shards together for tail cache, journal window and buffers; `auto` is a quarter of what is there.
        memory: Auto<Bytes> = "auto",
        /// Entries of each io_uring. More needs more locked memory.
        ring_entries: u32 = "128",
        /// After how long a busy task lets others run.
        preempt: Millis = "1ms",
    }
);

section!(
    /// `[storage]`: how records get to disk.
    Storage = "storage" {
        /// `flush`: acknowledged means flushed to the device. `write`: acknowledged means written; a power cut can lose it.
        durability: Durability = "flush",
        /// Bytes of journal on disk, all shards together; `auto` is min(2 GiB, 10% of memory, 5% of the free disk).
        journal: Auto<Bytes> = "auto",
        /// Bytes of one journal file.
        journal_file: Bytes = "16MiB",
        /// Reserve a segment's space ahead of writing it.
        preallocate: bool = "true",
        /// Bytes that are reserved at a time; files that have less double.
        preallocate_step: Bytes = "16MiB",
        /// Bytes a second at which each shard reads old segments again to find rot; 0 is never.
        scrub_rate: Bytes = "4MiB",
        /// The time from the end of one such pass over all segments to the next.
        scrub_rest: Millis = "24h",
    }
);

section!(
    /// `[validation]`: what is checked before a record is accepted.
    Validation = "validation" {
        /// `full`: compressed batches are inflated and each record is walked. `header`: only header and checksum.
        compressed: CompressedCheck = "full",
    }
);

section!(
    /// `[cluster]`: the cluster this node forms or joins.
    Cluster = "cluster" {
        /// The cluster's id, 22 characters as `kafka-storage random-uuid` prints; `auto` makes one when the directory is formatted.
        id: Auto<String> = "auto",
        /// Voters of the metadata quorum, ID@HOST:PORT each; empty means this node alone.
        voters: List = "",
    }
);

section!(
    /// `[log]`: the node's own log lines, on stderr.
    Log = "log" {
        /// Layout of the lines: `text` for people, `json` for machines.
        format: LogFormat = "text",
        /// The least severe line written: error, warn, info, debug or trace.
        level: LogLevel = "info",
    }
);

section!(
    /// `[metrics]`: what `/metrics` shows.
    Metrics = "metrics" {
        /// `node`, `topic` or `partition`: each shows more series than the one before.
        detail: MetricsDetail = "topic",
    }
);

kafka_section!(
    /// `[kafka]`: the keys of Kafka's that have an effect, under Kafka's names.
    Kafka {
        /// A client that asks for a missing topic creates it.
        auto_create_topics_enable: bool = "auto.create.topics.enable",
        /// Partitions of a topic created without a count.
        num_partitions: i32 = "num.partitions",
        /// Replicas of a topic created without a factor.
        default_replication_factor: i32 = "default.replication.factor",
        /// Topics may be deleted.
        delete_topic_enable: bool = "delete.topic.enable",
        /// The rack that clients and placement see.
        broker_rack: Option<String> = "broker.rack",
        /// Bytes of the largest request frame.
        socket_request_max_bytes: i32 = "socket.request.max.bytes",
        /// Bytes of a client socket's send buffer; -1 leaves it to the kernel, which a link of much
        /// bandwidth and delay may need.
        socket_send_buffer_bytes: i32 = "socket.send.buffer.bytes",
        /// Bytes of the largest fetch answer.
        fetch_max_bytes: i32 = "fetch.max.bytes",
        /// Open client connections.
        max_connections: i32 = "max.connections",
        /// Open client connections of one address.
        max_connections_per_ip: i32 = "max.connections.per.ip",
        /// Other bounds for single addresses, ADDRESS:COUNT each.
        max_connections_per_ip_overrides: String = "max.connections.per.ip.overrides",
        /// New client connections a second; more wait.
        max_connection_creation_rate: i32 = "max.connection.creation.rate",
        /// Windows over which client quotas are counted, the one under way included.
        quota_window_num: i32 = "quota.window.num",
        /// Seconds of each of them; also the longest that a client waits for its requests' time.
        quota_window_size_seconds: i32 = "quota.window.size.seconds",
        /// Windows of the quotas on changes of metadata.
        controller_quota_window_num: i32 = "controller.quota.window.num",
        /// Seconds of each of them.
        controller_quota_window_size_seconds: i32 = "controller.quota.window.size.seconds",
        /// Milliseconds after which a silent connection is closed; negative is never.
        connections_max_idle_ms: i64 = "connections.max.idle.ms",
        /// Backlog of the listening sockets, where it asks for more than the 1,024 there are.
        socket_listen_backlog_size: i32 = "socket.listen.backlog.size",
        /// Fetch sessions kept.
        max_incremental_fetch_session_cache_slots: i32 = "max.incremental.fetch.session.cache.slots",
        /// Partitions in one DescribeTopicPartitions answer.
        max_request_partition_size_limit: i32 = "max.request.partition.size.limit",
        /// Bytes of the largest record batch.
        message_max_bytes: i32 = "message.max.bytes",
        /// Bytes of a segment file.
        log_segment_bytes: i32 = "log.segment.bytes",
        /// Bytes of log between two index entries.
        log_index_interval_bytes: i32 = "log.index.interval.bytes",
        /// Bytes of the largest index file.
        log_index_size_max_bytes: i32 = "log.index.size.max.bytes",
        /// `delete`, `compact` or both.
        log_cleanup_policy: List = "log.cleanup.policy",
        /// Bytes a partition keeps; -1 is no bound.
        log_retention_bytes: i64 = "log.retention.bytes",
        /// Milliseconds between two looks for segments to delete.
        log_retention_check_interval_ms: i64 = "log.retention.check.interval.ms",
        /// Milliseconds that the files of segments which compaction has replaced stay.
        log_segment_delete_delay_ms: i64 = "log.segment.delete.delay.ms",
        /// Milliseconds that the log cleaner rests when no log is dirty enough.
        log_cleaner_backoff_ms: i64 = "log.cleaner.backoff.ms",
        /// Bytes of memory by which all shards' cleaners tell keys apart.
        log_cleaner_dedupe_buffer_size: i64 = "log.cleaner.dedupe.buffer.size",
        /// Milliseconds that a compacted topic keeps the marks of deleted keys.
        log_cleaner_delete_retention_ms: i64 = "log.cleaner.delete.retention.ms",
        /// Milliseconds during which a record of a compacted topic is left alone.
        log_cleaner_min_compaction_lag_ms: i64 = "log.cleaner.min.compaction.lag.ms",
        /// Milliseconds after which a record of a compacted topic must be compacted.
        log_cleaner_max_compaction_lag_ms: i64 = "log.cleaner.max.compaction.lag.ms",
        /// Replicas that must hold a record before acks=all is answered.
        min_insync_replicas: i32 = "min.insync.replicas",
        /// Milliseconds after which a silent producer's sequence state is dropped.
        producer_id_expiration_ms: i32 = "producer.id.expiration.ms",
        /// Milliseconds after which a silent transactional id is dropped.
        transactional_id_expiration_ms: i32 = "transactional.id.expiration.ms",
        /// Milliseconds a new group waits for more members.
        group_initial_rebalance_delay_ms: i32 = "group.initial.rebalance.delay.ms",
        /// Milliseconds of the shortest session a member may ask for.
        group_min_session_timeout_ms: i32 = "group.min.session.timeout.ms",
        /// Milliseconds of the longest session a member may ask for.
        group_max_session_timeout_ms: i32 = "group.max.session.timeout.ms",
        /// Members of one group.
        group_max_size: i32 = "group.max.size",
        /// Protocols of groups that are served; without `consumer`, no groups of KIP-848.
        group_coordinator_rebalance_protocols: List = "group.coordinator.rebalance.protocols",
        /// Milliseconds without a heartbeat after which a member of a consumer group is gone.
        group_consumer_session_timeout_ms: i32 = "group.consumer.session.timeout.ms",
        /// Milliseconds of the shortest such time that a group may set.
        group_consumer_min_session_timeout_ms: i32 = "group.consumer.min.session.timeout.ms",
        /// Milliseconds of the longest such time that a group may set.
        group_consumer_max_session_timeout_ms: i32 = "group.consumer.max.session.timeout.ms",
        /// Milliseconds between two heartbeats of a member of a consumer group.
        group_consumer_heartbeat_interval_ms: i32 = "group.consumer.heartbeat.interval.ms",
        /// Milliseconds of the shortest such interval that a group may set.
        group_consumer_min_heartbeat_interval_ms: i32 = "group.consumer.min.heartbeat.interval.ms",
        /// Milliseconds of the longest such interval that a group may set.
        group_consumer_max_heartbeat_interval_ms: i32 = "group.consumer.max.heartbeat.interval.ms",
        /// Milliseconds between two assignments of a consumer group.
        group_consumer_assignment_interval_ms: i32 = "group.consumer.assignment.interval.ms",
        /// Milliseconds of the shortest such interval that a group may set.
        group_consumer_min_assignment_interval_ms: i32 = "group.consumer.min.assignment.interval.ms",
        /// Milliseconds of the longest such interval that a group may set.
        group_consumer_max_assignment_interval_ms: i32 = "group.consumer.max.assignment.interval.ms",
        /// Members of one consumer group.
        group_consumer_max_size: i32 = "group.consumer.max.size",
        /// Assignors of consumer groups, the first for groups whose members wish for none.
        group_consumer_assignors: List = "group.consumer.assignors",
        /// Partitions of `__consumer_offsets`.
        offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions",
        /// Replicas of `__consumer_offsets`.
        offsets_topic_replication_factor: i16 = "offsets.topic.replication.factor",
        /// Bytes of its segments.
        offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes",
        /// Minutes an empty group's offsets are kept.
        offsets_retention_minutes: i32 = "offsets.retention.minutes",
        /// Milliseconds between two looks for offsets that have expired.
        offsets_retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms",
        /// Bytes of an offset commit's metadata text.
        offset_metadata_max_bytes: i32 = "offset.metadata.max.bytes",
        /// Partitions of `__transaction_state`.
        transaction_state_log_num_partitions: i32 = "transaction.state.log.num.partitions",
        /// Replicas of `__transaction_state`.
        transaction_state_log_replication_factor: i16 = "transaction.state.log.replication.factor",
        /// Its min.insync.replicas.
        transaction_state_log_min_isr: i32 = "transaction.state.log.min.isr",
        /// Milliseconds of the longest transaction.
        transaction_max_timeout_ms: i32 = "transaction.max.timeout.ms",
        /// Bytes of a segment of the metadata log.
        metadata_log_segment_bytes: i32 = "metadata.log.segment.bytes",
    }
);

/// Everything a node is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// `[node]`
    pub node: Node,
    /// `[listen]`
    pub listen: ListenAt,
    /// `[shards]`
    pub shards: Shards,
    /// `[storage]`
    pub storage: Storage,
    /// `[validation]`
    pub validation: Validation,
    /// `[cluster]`
    pub cluster: Cluster,
    /// `[log]`
    pub log: Log,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[kafka]`
    pub kafka: Kafka,
    /// `[topic."name"]`: configs a topic of that name gets when it is created. Names are known, values are
    /// checked by the coordinator.
    pub topics: BTreeMap<String, BTreeMap<String, String>>,
}

/// The sections, in the order of the file.
const SECTIONS: &[&[OwnKey]] = &[
    Node::KEYS,
    ListenAt::KEYS,
    Shards::KEYS,
    Storage::KEYS,
    Validation::KEYS,
    Cluster::KEYS,
    Log::KEYS,
    Metrics::KEYS,
];

/// Every setting of our own, in the order of the file.
pub fn own_keys() -> impl Iterator<Item = &'static OwnKey> {
    SECTIONS.iter().copied().flatten()
}

/// The setting of that name.
#[must_use]
pub fn own_key(name: &str) -> Option<&'static OwnKey> {
    own_keys().find(|key| key.name == name)
}

/// Reads the tree; what cannot be read is in the reader's report.
pub(crate) fn read(from: &mut Reader<'_>) -> Option<Settings> {
    let node = Node::read(from);
    let listen = ListenAt::read(from);
    let shards = Shards::read(from);
    let storage = Storage::read(from);
    let validation = Validation::read(from);
    let cluster = Cluster::read(from);
    let log = Log::read(from);
    let metrics = Metrics::read(from);
    let kafka = Kafka::read(from);
    Some(Settings {
        node: node?,
        listen: listen?,
        shards: shards?,
        storage: storage?,
        validation: validation?,
        cluster: cluster?,
        log: log?,
        metrics: metrics?,
        kafka: kafka?,
        topics: from.topics(),
    })
}
