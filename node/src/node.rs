//! What all shards know about this node and never changes while it runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thalweg_config::Settings;
use thalweg_config::units::{Auto, CoordinatorShard};
use thalweg_coordinator::configs::effective::BrokerConfigs;
use thalweg_coordinator::metadata::image::Endpoint;
use thalweg_coordinator::metadata::placement::Shards;
use thalweg_wire::ids::{NodeId, PartitionId, ShardId, Uuid};

use crate::runtime::start::LOG_DIR;
use crate::topics::CheckRules;

/// This node.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Its id.
    pub id: NodeId,
    /// The cluster's id, in text as Kafka writes it.
    pub cluster_id: String,
    /// Its log directory.
    pub directory: Uuid,
    /// New at each start.
    pub incarnation: Uuid,
    /// Number of shards.
    pub shards: u16,
    /// Where it listens, as clients are told.
    pub endpoints: Vec<Endpoint>,
    /// The sockets it listens on.
    pub addresses: Vec<SocketAddr>,
    /// Everything it was told.
    pub settings: Settings,
    /// Its broker keys, for effective topic values and DescribeConfigs.
    pub broker_configs: BrokerConfigs,
    /// How batches are checked.
    pub rules: CheckRules,
}

impl NodeFacts {
    /// The shard that owns a partition.
    #[must_use]
    pub fn owner(&self, partition: PartitionId) -> ShardId {
        let own = match self.settings.shards.coordinator {
            Auto::Auto => None,
            Auto::Set(shard) => Some(shard == CoordinatorShard::Own),
        };
        Shards::new(self.shards, own).owner(partition)
    }

    /// The log directory as operators and tools name it: absolute.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        log_dir(&self.settings)
    }
}

/// See [`NodeFacts::log_dir`].
#[must_use]
pub fn log_dir(settings: &Settings) -> PathBuf {
    let data = settings.node.data.0.first().map_or(".", String::as_str);
    let dir = Path::new(data).join(LOG_DIR);
    std::path::absolute(&dir).unwrap_or(dir)
}
