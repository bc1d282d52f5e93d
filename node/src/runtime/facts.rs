//! What the settings and the machine make of this node. Pure, but for the name of the host and the
//! working directory.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use thalweg_config::facts::{KafkaKey, KafkaType};
use thalweg_config::kafka;
use thalweg_config::units::{Address, Auto, CompressedCheck, Durability, Listen};
use thalweg_config::{Loaded, Origin, Settings};
use thalweg_coordinator::configs::broker::parse_overrides;
use thalweg_coordinator::configs::effective::{BrokerConfigs, BrokerValue};
use thalweg_coordinator::configs::keys::{self, ConfigType};
use thalweg_coordinator::format::MetaProperties;
use thalweg_coordinator::metadata::image::{Endpoint, Image};
use thalweg_storage::store::{self, StoreConfig};
use thalweg_wire::batch;
use thalweg_wire::ids::{NodeId, ShardId, Uuid};

use crate::net::connection::Limits;
use crate::net::door::Bounds;
use crate::node::{NodeFacts, log_dir};
use crate::request::Listener;
use crate::topics::CheckRules;

/// Requests of one connection that are read and not answered. Kafka works one at a time; librdkafka
/// sends any number.
const PIPELINE_REQUESTS_MAX: usize = 128;
/// Bytes of them: one largest frame always goes.
const PIPELINE_BYTES_MAX: usize = 16 << 20;
/// Bytes of a shard's requests being worked on.
const SHARD_REQUEST_BYTES_MAX: usize = 128 << 20;
/// Bytes of a shard's unfinished frames.
const SHARD_PARTIAL_BYTES_MAX: usize = 128 << 20;
/// Bytes of a shard's answers that wait to be sent, records apart.
const SHARD_ANSWER_BYTES_MAX: usize = 128 << 20;
/// Connections of a shard, whatever Kafka's key says: what 64 KiB each would make 1 GiB.
const SHARD_CONNECTIONS_MAX: usize = 16_384;
/// The journal's part of memory and of the free disk, and its bound.
const JOURNAL_BYTES_MAX: u64 = 2 << 30;

/// What was found before the facts are put together.
#[derive(Clone, Debug)]
pub struct Given {
    /// From the data directory.
    pub meta: MetaProperties,
    /// New at each start.
    pub incarnation: Uuid,
    /// How many shards.
    pub shards: u16,
    /// The client listener's socket.
    pub kafka: SocketAddr,
    /// The name of this machine.
    pub host: String,
}

/// Puts the facts together.
#[must_use]
pub fn node(loaded: &Loaded, given: &Given) -> NodeFacts {
    let settings = &loaded.settings;
    let endpoints = vec![endpoint(settings, given)];
    NodeFacts {
        id: NodeId(settings.node.id),
        cluster_id: given.meta.cluster_id.clone(),
        directory: given.meta.directory,
        incarnation: given.incarnation,
        shards: given.shards,
        broker_configs: broker_configs(loaded, &identity(settings, given, &endpoints)),
        endpoints,
        addresses: vec![given.kafka],
        settings: settings.clone(),
        rules: CheckRules {
            compressed: match settings.validation.compressed {
                CompressedCheck::Full => batch::CompressedCheck::Full,
                CompressedCheck::Header => batch::CompressedCheck::Header,
            },
        },
    }
}

/// Where clients are told to dial.
fn endpoint(settings: &Settings, given: &Given) -> Endpoint {
    let listen = &settings.listen;
    let (host, port) = match &listen.advertise {
        Auto::Set(address) => (address.host.clone(), address.port),
        Auto::Auto if listen.kafka.is_wildcard() => (given.host.clone(), given.kafka.port()),
        Auto::Auto => (listen.kafka.host.clone(), given.kafka.port()),
    };
    Endpoint {
        name: Listener::Kafka.name().to_owned(),
        host,
        port,
        security_protocol: 0,
    }
}

/// Where the quorum's members would dial. A lone node has none and opens no such socket, but its
/// address belongs to the voters that the metadata log names.
#[must_use]
pub fn controller_endpoint(settings: &Settings) -> Endpoint {
    let default = Address {
        host: "127.0.0.1".to_owned(),
        port: 9093,
    };
    let address = match &settings.listen.controller {
        Listen::At(address) => address,
        Listen::None => &default,
    };
    Endpoint {
        name: Listener::Controller.name().to_owned(),
        host: address.host.clone(),
        port: address.port,
        security_protocol: 0,
    }
}

/// What is true of this node whether it was written down or not, in Kafka's keys and words.
fn identity(
    settings: &Settings,
    given: &Given,
    endpoints: &[Endpoint],
) -> BTreeMap<&'static str, String> {
    let url = |host: &str, port: u16| {
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        format!("{}://{host}:{port}", Listener::Kafka.name())
    };
    let advertised = endpoints.iter().map(|one| url(&one.host, one.port));
    let log_dir = log_dir(settings).display().to_string();
    BTreeMap::from([
        ("node.id", settings.node.id.to_string()),
        ("broker.id", settings.node.id.to_string()),
        ("process.roles", "broker,controller".to_owned()),
        (
            "listeners",
            url(&given.kafka.ip().to_string(), given.kafka.port()),
        ),
        (
            "advertised.listeners",
            advertised.collect::<Vec<_>>().join(","),
        ),
        ("log.dirs", log_dir.clone()),
        ("log.dir", log_dir),
    ])
}

/// Kafka's broker keys as this node was started with them, and what `identity` says of it.
#[must_use]
pub fn broker_configs(loaded: &Loaded, identity: &BTreeMap<&str, String>) -> BrokerConfigs {
    let value = |config: thalweg_config::kafka::BrokerConfig| {
        let set = (config.origin != Origin::Default).then(|| config.value.clone());
        let own = identity.get(config.key.name).cloned();
        let value = BrokerValue {
            kind: kind(config.key),
            set: own.or_else(|| set.flatten()),
            default: config.key.default.map(str::to_owned),
            dynamic: config.key.dynamic,
            bounds: keys::Bounds::parse(config.key.bounds),
            lack: kafka::lack(config.key.name),
            doc: kafka::doc(config.key.name),
        };
        (config.key.name.to_owned(), value)
    };
    let values: BTreeMap<String, BrokerValue> =
        loaded.broker_configs().into_iter().map(value).collect();
    BrokerConfigs {
        node: NodeId(loaded.settings.node.id),
        values,
        new_topics: loaded.settings.topics.clone(),
    }
}

fn kind(key: &KafkaKey) -> ConfigType {
    match key.kind {
        KafkaType::Boolean => ConfigType::Boolean,
        KafkaType::String => ConfigType::String,
        KafkaType::Int => ConfigType::Int,
        KafkaType::Short => ConfigType::Short,
        KafkaType::Long => ConfigType::Long,
        KafkaType::Double => ConfigType::Double,
        KafkaType::List => ConfigType::List,
        KafkaType::Class => ConfigType::Class,
        KafkaType::Password => ConfigType::Password,
    }
}

/// Limits of one shard's connections.
#[must_use]
pub fn limits(settings: &Settings) -> Limits {
    Limits {
        frame_bytes_max: usize::try_from(settings.kafka.socket_request_max_bytes).unwrap_or(0),
        send_buffer_bytes: usize::try_from(settings.kafka.socket_send_buffer_bytes).ok(),
        pipeline_requests_max: PIPELINE_REQUESTS_MAX,
        pipeline_bytes_max: PIPELINE_BYTES_MAX,
        shard_request_bytes_max: SHARD_REQUEST_BYTES_MAX,
        shard_partial_bytes_max: SHARD_PARTIAL_BYTES_MAX,
        shard_answer_bytes_max: SHARD_ANSWER_BYTES_MAX,
    }
}

/// How many connections there may be, by the configuration that holds now.
#[must_use]
pub fn bounds(configs: &BrokerConfigs, image: &Image) -> Bounds {
    let number = |key: &str| configs.number(image, key).unwrap_or(i64::MAX).max(0);
    let count = |key: &str| usize::try_from(number(key)).unwrap_or(usize::MAX);
    let overrides = configs.text(image, "max.connections.per.ip.overrides");
    Bounds {
        of_node: count("max.connections"),
        of_shard: SHARD_CONNECTIONS_MAX,
        of_address: count("max.connections.per.ip"),
        // What cannot be read was refused when it was set, or the start was.
        of_addresses: parse_overrides(overrides.as_deref().unwrap_or("")).unwrap_or_default(),
        a_second: u32::try_from(number("max.connection.creation.rate")).unwrap_or(u32::MAX),
    }
}

/// Settings of one shard's store.
#[must_use]
pub fn store(settings: &Settings, shards: u16, memory: u64, disk_free: u64) -> StoreConfig {
    let storage = &settings.storage;
    let auto = JOURNAL_BYTES_MAX.min(memory / 10).min(disk_free / 20);
    let journal = match storage.journal {
        Auto::Set(bytes) => bytes.0,
        Auto::Auto => auto,
    };
    let base = StoreConfig::new(ShardId(0));
    let file = storage.journal_file.0;
    let files_min = base.journal_files_min as u64;
    let cleaner = u64::try_from(settings.kafka.log_cleaner_dedupe_buffer_size).unwrap_or(0);
    let cleaner = cleaner.min(memory / 20) / u64::from(shards.max(1));
    StoreConfig {
        cleaner_bytes_max: usize::try_from(cleaner).unwrap_or(usize::MAX),
        durability: match storage.durability {
            Durability::Flush => store::Durability::Flush,
            Durability::Write => store::Durability::Write,
        },
        journal_file_bytes: file,
        // The end of a file that a whole round may not fit into is room nobody can count on.
        round_bytes_max: base
            .round_bytes_max
            .min(usize::try_from(file / 4).unwrap_or(usize::MAX)),
        journal_bytes_max: (journal / u64::from(shards.max(1))).max(file * files_min),
        segment_preallocate_bytes: match storage.preallocate {
            true => storage.preallocate_step.0,
            false => 0,
        },
        ..base
    }
}

#[cfg(test)]
mod tests {
    use thalweg_config::{Sources, load};

    use super::*;

    #[test]
    fn a_shard_has_its_limit_of_connections() {
        use crate::net::door::{Door, Full};

        let mut door = Door::new(2);
        let bounds = Bounds {
            of_node: usize::MAX,
            of_shard: SHARD_CONNECTIONS_MAX,
            of_address: usize::MAX,
            of_addresses: std::collections::BTreeMap::new(),
            a_second: u32::MAX,
        };
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let mut places = Vec::new();
        for _ in 0..2 * SHARD_CONNECTIONS_MAX {
            places.push(door.admit(address, &bounds).unwrap());
        }
        assert_eq!(door.admit(address, &bounds).unwrap_err(), Full::Node);
        places.pop();
        assert!(door.admit(address, &bounds).is_ok());
    }

    #[test]
    fn what_a_node_is_shows_in_its_configs_though_nobody_wrote_it() {
        let loaded = load(&Sources::default()).unwrap();
        let given = Given {
            meta: MetaProperties {
                cluster_id: String::new(),
                node: NodeId(1),
                directory: Uuid::ZERO,
            },
            incarnation: Uuid::ZERO,
            shards: 1,
            kafka: "[::1]:9092".parse().unwrap(),
            host: "here".to_owned(),
        };
        let node = node(&loaded, &given);
        let shown = |key: &str| node.broker_configs.values[key].set.clone().unwrap();
        assert_eq!(shown("node.id"), "1");
        assert_eq!(shown("listeners"), "PLAINTEXT://[::1]:9092");
        assert_eq!(shown("advertised.listeners"), "PLAINTEXT://127.0.0.1:9092");
        assert_eq!(shown("log.dirs"), node.log_dir().display().to_string());
        assert_eq!(node.broker_configs.values["num.partitions"].set, None);
    }

    #[test]
    fn the_journal_follows_memory_and_disk_and_never_falls_below_two_files() {
        let settings = load(&Sources::default()).unwrap().settings;
        let gib = 1_u64 << 30;
        let bytes = |memory, disk| store(&settings, 2, memory, disk).journal_bytes_max;
        assert_eq!(bytes(64 * gib, 1000 * gib), gib);
        assert_eq!(bytes(10 * gib, 1000 * gib), gib / 2);
        assert_eq!(bytes(64 * gib, 0), 32 << 20);
    }
}
