//! An empty directory to a cluster of one: the files and first records that Kafka's own
//! `kafka-storage format --standalone` and first start would leave.
//!
//! With kraft.version 1 and a directory id the sole voter can later become one of three. Deliberately
//! absent: writing files, and random ids; the node brings both.

use std::fmt;

use thalweg_wire::batch::{BatchSpec, ControlRecord, ControlType, control_batch};
use thalweg_wire::bytes::{EncodeError, Message};
use thalweg_wire::ids::{Epoch, NodeId, Offset, TimestampMs, Uuid};
use thalweg_wire::messages::begin_transaction_record::BeginTransactionRecord;
use thalweg_wire::messages::config_record::ConfigRecord;
use thalweg_wire::messages::end_transaction_record::EndTransactionRecord;
use thalweg_wire::messages::feature_level_record::FeatureLevelRecord;
use thalweg_wire::messages::k_raft_version_record::KRaftVersionRecord;
use thalweg_wire::messages::leader_change_message::{LeaderChangeMessage, Voter as LeaderVoter};
use thalweg_wire::messages::snapshot_footer_record::SnapshotFooterRecord;
use thalweg_wire::messages::snapshot_header_record::SnapshotHeaderRecord;
use thalweg_wire::messages::voters_record::{
    Endpoint as VoterEndpoint, KRaftVersionFeature, Voter, VotersRecord,
};

use crate::controller::brokers::Start;
use crate::controller::features::FEATURES;
use crate::metadata::image::Resource;
use crate::metadata::record::{Place, Proposed, encode_batch};

/// Name of the file that says whose directory it is.
pub const META_PROPERTIES_FILE: &str = "meta.properties";
/// Name of the file with the records a new cluster begins with.
pub const BOOTSTRAP_FILE: &str = "bootstrap.checkpoint";
/// Name of the metadata log's directory.
pub const METADATA_DIRECTORY: &str = "__cluster_metadata-0";
/// Name of the snapshot that names the first voters, in that directory.
pub const FIRST_SNAPSHOT_FILE: &str = "00000000000000000000-0000000000.checkpoint";
/// Name of the file with the last epoch and vote, in that directory.
pub const QUORUM_STATE_FILE: &str = "quorum-state";

/// Whose directory it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetaProperties {
    /// 22 characters of base64.
    pub cluster_id: String,
    /// The node.
    pub node: NodeId,
    /// This directory.
    pub directory: Uuid,
}

/// A file of the directory that does not say what it should.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FormatError {
    /// A key that must be there is not.
    Missing {
        /// The file.
        file: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A value cannot be read.
    Value {
        /// The file.
        file: &'static str,
        /// The key.
        key: &'static str,
        /// What stands there.
        value: String,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { file, key } => write!(f, "{file}: {key} is missing"),
            Self::Value { file, key, value } => write!(f, "{file}: cannot read {key} = {value:?}"),
        }
    }
}

impl std::error::Error for FormatError {}

impl MetaProperties {
    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let Self {
            cluster_id,
            node,
            directory,
        } = self;
        format!("#\nnode.id={node}\ndirectory.id={directory}\nversion=1\ncluster.id={cluster_id}\n")
    }

    /// Reads the file's text, ours or Kafka's.
    ///
    /// # Errors
    /// The first key that is missing or cannot be read.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let file = META_PROPERTIES_FILE;
        let get = |key: &'static str| {
            let mut lines = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.starts_with('#'));
            let value = lines.find_map(|line| {
                let (name, value) = line.split_once('=')?;
                (name.trim() == key).then(|| value.trim().to_owned())
            });
            value.ok_or(FormatError::Missing { file, key })
        };
        let version = get("version")?;
        if version != "1" {
            return Err(FormatError::Value {
                file,
                key: "version",
                value: version,
            });
        }
        let node = get("node.id")?;
        let directory = get("directory.id")?;
        Ok(Self {
            cluster_id: get("cluster.id")?,
            node: match node.parse() {
                Ok(id) => NodeId(id),
                Err(_) => {
                    return Err(FormatError::Value {
                        file,
                        key: "node.id",
                        value: node,
                    });
                }
            },
            directory: Uuid::parse(&directory).ok_or(FormatError::Value {
                file,
                key: "directory.id",
                value: directory,
            })?,
        })
    }
}

/// The last epoch and who led it, as `quorum-state` keeps them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuorumState {
    /// The leader; -1 while there is none.
    pub leader: NodeId,
    /// The epoch.
    pub epoch: Epoch,
    /// Who got this node's vote in it; -1 for nobody.
    pub voted: NodeId,
    /// That voter's directory.
    pub voted_directory: Uuid,
}

impl QuorumState {
    /// A lone voter needs no vote: it leads.
    #[must_use]
    pub const fn led_by(leader: NodeId, epoch: Epoch) -> Self {
        Self {
            leader,
            epoch,
            voted: NodeId(-1),
            voted_directory: Uuid::ZERO,
        }
    }

    /// The file's text, data version 1.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{{\"leaderId\":{},\"leaderEpoch\":{},\"votedId\":{},\"votedDirectoryId\":\"{}\",\"data_version\":1}}",
            self.leader, self.epoch, self.voted, self.voted_directory
        )
    }

    /// Reads the file's text, of data version 0 or 1.
    ///
    /// # Errors
    /// The first value that is missing or cannot be read.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let number = |key| {
            json_value(text, key).and_then(|value| {
                value.parse().ok().ok_or(FormatError::Value {
                    file: QUORUM_STATE_FILE,
                    key,
                    value,
                })
            })
        };
        let directory = json_value(text, "votedDirectoryId").ok();
        Ok(Self {
            leader: NodeId(number("leaderId")?),
            epoch: Epoch(number("leaderEpoch")?),
            voted: NodeId(number("votedId")?),
            voted_directory: directory
                .and_then(|id| Uuid::parse(&id))
                .unwrap_or(Uuid::ZERO),
        })
    }
}

/// The value of a key in a flat JSON object, without quotes. Kafka writes nothing nested that we need.
fn json_value(text: &str, key: &'static str) -> Result<String, FormatError> {
    let missing = FormatError::Missing {
        file: QUORUM_STATE_FILE,
        key,
    };
    let Some((_, rest)) = text.split_once(&format!("\"{key}\"")) else {
        return Err(missing);
    };
    let Some((_, rest)) = rest.split_once(':') else {
        return Err(missing);
    };
    let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
    let value = rest.get(..end).unwrap_or("").trim().trim_matches('"');
    Ok(value.to_owned())
}

/// Name of a snapshot in the metadata log's directory.
#[must_use]
pub fn snapshot_name(end: Offset, epoch: Epoch) -> String {
    format!("{:020}-{:010}.checkpoint", end.0, epoch.0)
}

/// End offset and epoch that a snapshot's name says.
#[must_use]
pub fn parse_snapshot_name(name: &str) -> Option<(Offset, Epoch)> {
    let (end, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (end.len(), epoch.len()) != (20, 10) || !digits(end) || !digits(epoch) {
        return None;
    }
    Some((Offset(end.parse().ok()?), Epoch(epoch.parse().ok()?)))
}

fn spec(base_offset: Offset, leader_epoch: Epoch) -> BatchSpec {
    BatchSpec {
        base_offset,
        leader_epoch,
        ..BatchSpec::default()
    }
}

/// Content of `bootstrap.checkpoint`: the feature levels, framed as a snapshot.
///
/// # Errors
/// Never with the records this build writes.
pub fn bootstrap_checkpoint(now: TimestampMs) -> Result<Vec<u8>, EncodeError> {
    let header = SnapshotHeaderRecord::default().to_bytes(0)?;
    let header = ControlRecord {
        control_type: ControlType::SnapshotHeader,
        value: &header,
    };
    let mut file = control_batch(spec(Offset(0), Epoch(0)), now, &[header]);
    let features = features();
    let place = Place {
        base_offset: Offset(1),
        epoch: Epoch(0),
        timestamp: now,
    };
    file.extend(encode_batch(&features, place)?);
    file.extend(footer(place.after(features.len()))?);
    Ok(file)
}

/// Content of the first snapshot: this node is the only voter.
///
/// # Errors
/// Never with the records this build writes.
pub fn first_snapshot(start: &Start) -> Result<Vec<u8>, EncodeError> {
    let header = SnapshotHeaderRecord {
        last_contained_log_timestamp: start.now.0,
        version: 0,
    };
    let header = header.to_bytes(0)?;
    let (version, voters) = voter_records(start)?;
    let records = [
        ControlRecord {
            control_type: ControlType::SnapshotHeader,
            value: &header,
        },
        ControlRecord {
            control_type: ControlType::KRaftVersion,
            value: &version,
        },
        ControlRecord {
            control_type: ControlType::KRaftVoters,
            value: &voters,
        },
    ];
    let mut file = control_batch(spec(Offset(0), Epoch(0)), start.now, &records);
    let place = Place {
        base_offset: Offset(3),
        epoch: Epoch(0),
        timestamp: start.now,
    };
    file.extend(footer(place)?);
    Ok(file)
}

fn footer(place: Place) -> Result<Vec<u8>, EncodeError> {
    let footer = SnapshotFooterRecord::default().to_bytes(0)?;
    let footer = ControlRecord {
        control_type: ControlType::SnapshotFooter,
        value: &footer,
    };
    Ok(control_batch(
        spec(place.base_offset, place.epoch),
        place.timestamp,
        &[footer],
    ))
}

fn voter_records(start: &Start) -> Result<(Vec<u8>, Vec<u8>), EncodeError> {
    let version = KRaftVersionRecord {
        version: 0,
        k_raft_version: 1,
    }
    .to_bytes(0)?;
    let endpoints = start
        .controller_endpoints
        .iter()
        .map(|endpoint| VoterEndpoint {
            name: endpoint.name.clone().into(),
            host: endpoint.host.clone().into(),
            port: endpoint.port,
        });
    let voter = Voter {
        voter_id: start.node.0,
        voter_directory_id: start.directory,
        endpoints: endpoints.collect(),
        k_raft_version_feature: KRaftVersionFeature {
            min_supported_version: 0,
            max_supported_version: 1,
        },
    };
    let voters = VotersRecord {
        version: 0,
        voters: vec![voter],
    }
    .to_bytes(0)?;
    Ok((version, voters))
}

/// The batch that opens an epoch: who leads, and in the log's first epoch who may vote. Also gives the
/// number of its records.
pub(crate) fn leader_change_batch(
    node: NodeId,
    first: Option<&Start>,
    place: Place,
) -> Result<(usize, Vec<u8>), EncodeError> {
    let voter = || {
        vec![LeaderVoter {
            voter_id: node.0,
            ..LeaderVoter::default()
        }]
    };
    let change = LeaderChangeMessage {
        version: 0,
        leader_id: node.0,
        voters: voter(),
        granting_voters: voter(),
    };
    let change = change.to_bytes(0)?;
    let voters = first.map(voter_records).transpose()?;
    let mut records = vec![ControlRecord {
        control_type: ControlType::LeaderChange,
        value: &change,
    }];
    if let Some((version, voters)) = &voters {
        records.push(ControlRecord {
            control_type: ControlType::KRaftVersion,
            value: version,
        });
        records.push(ControlRecord {
            control_type: ControlType::KRaftVoters,
            value: voters,
        });
    }
    let spec = spec(place.base_offset, place.epoch);
    Ok((
        records.len(),
        control_batch(spec, place.timestamp, &records),
    ))
}

fn features() -> Vec<Proposed> {
    let finalized = FEATURES.iter().filter(|feature| feature.finalized > 0);
    let record = |feature: &crate::controller::features::Feature| FeatureLevelRecord {
        name: feature.name.into(),
        feature_level: feature.finalized,
    };
    finalized
        .map(|feature| Proposed::new(record(feature), 0))
        .collect()
}

/// The first records of an empty log: feature levels, and the cluster's `min.insync.replicas`, which is a
/// dynamic config where eligible leader replicas are kept.
pub(crate) fn bootstrap_transaction() -> Vec<Proposed> {
    let name = Some("Bootstrap records".into());
    let mut records = vec![Proposed::new(BeginTransactionRecord { name }, 0)];
    records.extend(features());
    let min_isr = ConfigRecord {
        resource_type: Resource::BROKER,
        resource_name: "".into(),
        name: "min.insync.replicas".into(),
        value: Some("1".into()),
    };
    records.push(Proposed::new(min_isr, 0));
    records.push(Proposed::new(EndTransactionRecord {}, 0));
    records
}
