//! From an empty or a stopped data directory to a node that leads its partitions.
//!
//! Generic over the disk, so that the simulator starts nodes the way the real ones start: format if
//! empty; read the journals; replay the metadata log; finish recovery with the partitions that
//! exist; open each shard's store; then enter a new epoch, register this incarnation and raise the
//! leader epoch of every partition. Nothing is shown to anyone before all of that is durable.
//! Deliberately absent: threads and sockets (`runtime/boot.rs`), the directory's lock.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use thalweg_coordinator::controller::brokers::{self, Start};
use thalweg_coordinator::controller::features::next_epoch;
use thalweg_coordinator::format::{self, FormatError, MetaProperties, QuorumState};
use thalweg_coordinator::metadata::log::{LogError, LogReader};
use thalweg_storage::disk::{Disk, DiskError};
use thalweg_storage::error::StoreError;
use thalweg_storage::log::{CleanupPolicy, LogConfig};
use thalweg_storage::recover::{Recovery, Report};
use thalweg_storage::store::{NewPartition, PartitionSpec, StoreConfig};
use thalweg_wire::batch::split;
use thalweg_wire::bytes::EncodeError;
use thalweg_wire::ids::{Epoch, NodeId, Offset, ShardId, TimestampMs, Uuid};

use super::effects::{Coordinator, METADATA, dir_name, log_config, partitions_here};
use super::import::{ImportError, check_served, newest_snapshot};
use crate::node::NodeFacts;
use crate::shard::core::ShardCore;
use crate::shard::mailbox::Fault;

/// Kafka's log.dir within the data directory.
pub const LOG_DIR: &str = "log";

/// Why a node does not start.
#[derive(Debug)]
pub enum StartError {
    /// The disk refused.
    Disk(DiskError),
    /// The journals or logs can't be served.
    Store(StoreError),
    /// A file of the directory does not say what it should.
    Format(FormatError),
    /// The directory belongs to another node or cluster.
    Foreign {
        /// What differs.
        what: &'static str,
        /// What the directory says.
        found: String,
        /// What was configured.
        wanted: String,
    },
    /// The directory holds something, but it was never formatted.
    NotEmpty(String),
    /// The metadata log does not make sense.
    Metadata(LogError),
    /// A record could not be written: a defect.
    Encode(EncodeError),
    /// Entering the new epoch failed.
    Lead(Fault),
    /// The directory is Kafka's, and can't be served.
    Import(ImportError),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk(cause) => cause.fmt(f),
            Self::Store(cause) => cause.fmt(f),
            Self::Format(cause) => cause.fmt(f),
            Self::Foreign {
                what,
                found,
                wanted,
            } => write!(
                f,
                "the data directory has {what} {found}, configured is {wanted}"
            ),
            Self::NotEmpty(name) => {
                write!(f, "the data directory is not formatted, and holds {name}")
            }
            Self::Metadata(cause) => cause.fmt(f),
            Self::Encode(cause) => write!(f, "metadata records: {cause}"),
            Self::Lead(cause) => cause.fmt(f),
            Self::Import(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(cause) => Some(cause),
            Self::Store(cause) => Some(cause),
            Self::Format(cause) => Some(cause),
            Self::Metadata(cause) => Some(cause),
            Self::Encode(cause) => Some(cause),
            Self::Lead(cause) => Some(cause),
            Self::Import(cause) => Some(cause),
            Self::Foreign { .. } | Self::NotEmpty(_) => None,
        }
    }
}

macro_rules! from_cause {
    ($($cause:ty => $variant:ident)*) => {
        $(impl From<$cause> for StartError {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        })*
    };
}

from_cause! {
    DiskError => Disk
    StoreError => Store
    FormatError => Format
    LogError => Metadata
    EncodeError => Encode
    Fault => Lead
    ImportError => Import
}

fn in_log(name: &str) -> PathBuf {
    Path::new(LOG_DIR).join(name)
}

fn in_metadata(name: &str) -> PathBuf {
    in_log(format::METADATA_DIRECTORY).join(name)
}

/// What the directory says of itself; `None` if it was never formatted.
pub async fn read_identity<D: Disk>(disk: &D) -> Result<Option<MetaProperties>, StartError> {
    let bytes = match disk.read_file(&in_log(format::META_PROPERTIES_FILE)).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(MetaProperties::parse(&String::from_utf8_lossy(
        &bytes,
    ))?))
}

/// Writes the files of a new directory; `meta.properties` last, since it says that all is there.
pub async fn format_directory<D: Disk>(
    disk: &D,
    cluster_id: &str,
    start: &Start,
) -> Result<MetaProperties, StartError> {
    disk.create_dir(&in_log(format::METADATA_DIRECTORY)).await?;
    let names = disk.list(Path::new(LOG_DIR)).await?;
    let strange = names
        .into_iter()
        .find(|entry| entry.is_dir && entry.name != format::METADATA_DIRECTORY);
    if let Some(entry) = strange {
        return Err(StartError::NotEmpty(entry.name));
    }
    let bootstrap = format::bootstrap_checkpoint(start.now)?;
    disk.replace_file(&in_log(format::BOOTSTRAP_FILE), &bootstrap)
        .await?;
    let snapshot = format::first_snapshot(start)?;
    let path = in_metadata(format::FIRST_SNAPSHOT_FILE);
    disk.replace_file(&path, &snapshot).await?;
    disk.sync_dir(Path::new(LOG_DIR)).await?;
    let meta = MetaProperties {
        cluster_id: cluster_id.to_owned(),
        node: start.node,
        directory: start.directory,
    };
    let path = in_log(format::META_PROPERTIES_FILE);
    disk.replace_file(&path, meta.text().as_bytes()).await?;
    Ok(meta)
}

/// Refuses a directory of another node or cluster.
pub fn check_identity(
    meta: &MetaProperties,
    node: NodeId,
    cluster_id: Option<&str>,
) -> Result<(), StartError> {
    if meta.node != node {
        return Err(StartError::Foreign {
            what: "node id",
            found: meta.node.to_string(),
            wanted: node.to_string(),
        });
    }
    match cluster_id {
        Some(wanted) if wanted != meta.cluster_id => Err(StartError::Foreign {
            what: "cluster id",
            found: meta.cluster_id.clone(),
            wanted: wanted.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What recovery found.
pub struct Recovered {
    /// The metadata log, read to its end.
    pub reader: LogReader,
    /// The partitions of this node, the metadata log included.
    pub specs: Vec<PartitionSpec>,
    /// What was done.
    pub report: Report,
}

/// Brings journals and segments into one state and reads the metadata log.
pub async fn recover<D: Disk>(
    disk: &D,
    config: StoreConfig,
    node: &NodeFacts,
    now: TimestampMs,
) -> Result<Recovered, StartError> {
    // Any id will do that no start had before.
    let journal = node.incarnation;
    let mut recovery = Recovery::read(disk.clone(), config, node.shards, now, journal).await?;
    let metadata = recovery.metadata().await?;
    let reader = read_metadata(disk, &metadata).await?;
    drop(metadata);
    let image = reader.image();
    check_served(&image, reader.quorum(), node.id, node.directory)?;
    let mut specs = vec![PartitionSpec {
        id: METADATA,
        dir_name: format::METADATA_DIRECTORY.to_owned(),
        config: metadata_config(),
        shard: ShardId(0),
    }];
    for topic in image.topics.iter() {
        let config = log_config(&image, node, topic);
        specs.extend(partitions_here(topic, node.id).map(|id| PartitionSpec {
            id,
            dir_name: dir_name(topic, id.index),
            config,
            shard: node.owner(id),
        }));
    }
    let report = recovery.finish(&specs).await?;
    Ok(Recovered {
        reader,
        specs,
        report,
    })
}

/// The metadata log's state. Ours begins at offset 0; of Kafka's the beginning may be gone, and a snapshot
/// stands for it.
async fn read_metadata<D: Disk>(disk: &D, metadata: &[u8]) -> Result<LogReader, StartError> {
    let mut reader = LogReader::new();
    let batches = || split(metadata).filter_map(Result::ok);
    let first = batches().next().map(|batch| batch.header().base_offset());
    if first == Some(Offset(0)) {
        reader.apply(metadata)?;
        return Ok(reader);
    }
    let names = disk.list(&in_metadata("")).await.or_else(|error| {
        let missing = error.is_missing().then(Vec::new);
        missing.ok_or(error)
    })?;
    let names = names.iter().map(|entry| entry.name.as_str());
    let goes_on = |end| {
        first.is_none()
            || batches().any(|b| b.header().base_offset() == end || b.header().next_offset() == end)
    };
    let Some((name, end, epoch)) = newest_snapshot(names, goes_on) else {
        reader.apply(metadata)?;
        return Ok(reader);
    };
    let snapshot = disk.read_file(&in_metadata(name)).await?;
    reader.load_snapshot(&snapshot, end, epoch)?;
    for batch in batches().filter(|batch| batch.header().base_offset() >= end) {
        reader.apply(batch.bytes())?;
    }
    Ok(reader)
}

/// The metadata log is kept whole: there are no snapshots to start from yet.
fn metadata_config() -> LogConfig {
    LogConfig {
        retention_ms: None,
        retention_bytes: None,
        cleanup: CleanupPolicy {
            delete: false,
            compact: false,
        },
        ..LogConfig::default()
    }
}

/// Enters a new epoch and makes this incarnation known; all shards follow when it returns.
pub async fn lead<D: Disk>(
    core: &Rc<ShardCore<D>>,
    disk: &D,
    reader: LogReader,
    start: &Start,
) -> Result<(), StartError> {
    let before = reader.image();
    let epoch = next_epoch(reader.quorum());
    let state = QuorumState::led_by(start.node, epoch);
    let path = in_metadata(format::QUORUM_STATE_FILE);
    disk.replace_file(&path, state.text().as_bytes()).await?;
    ensure_metadata_log(core, epoch).await?;
    let batches = brokers::start(&reader, start)?;
    let coordinator = Coordinator::new(reader, epoch);
    for batch in &batches {
        core.append_metadata(&coordinator, batch).await?;
    }
    let published = coordinator.published();
    core.set_coordinator(coordinator);
    core.publish(&before, published).await?;
    Ok(())
}

async fn ensure_metadata_log<D: Disk>(core: &ShardCore<D>, epoch: Epoch) -> Result<(), StartError> {
    if core.store.partition(METADATA).is_none() {
        let new = NewPartition {
            id: METADATA,
            dir_name: format::METADATA_DIRECTORY.to_owned(),
            config: metadata_config(),
            leader_epoch: epoch,
        };
        core.store.create_partition(new).await?;
        return Ok(());
    }
    let ticket = core.store.start_epoch(METADATA, epoch)?;
    Ok(core.store.wait(ticket).await?)
}

/// A random id that is none of Kafka's 100 reserved ones.
#[must_use]
pub fn new_id(random: &mut dyn FnMut(&mut [u8; 16])) -> Uuid {
    loop {
        let mut bytes = [0; 16];
        random(&mut bytes);
        // Kafka's random ids are of version 4, and its tools refuse one that begins with a dash.
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = *version & 0x0f | 0x40;
        *variant = *variant & 0x3f | 0x80;
        let id = Uuid(bytes);
        if !id.to_string().starts_with('-') {
            return id;
        }
    }
}
