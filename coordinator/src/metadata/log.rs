//! The metadata log's bytes to the image: control batches, transactions, records, in order.
//!
//! Records between BeginTransaction and EndTransaction are held back and applied together, or dropped at
//! AbortTransaction. The same reader serves the start (whole segments), the running node (each batch once it
//! is durable) and snapshots. Deliberately absent: reading files, and what to do about a damaged batch.

use std::fmt;
use std::sync::Arc;

use thalweg_wire::batch::{BatchRef, ControlType, Records, SplitError, split};
use thalweg_wire::bytes::DecodeError;
use thalweg_wire::ids::{Epoch, NodeId, Offset, Uuid};
use thalweg_wire::messages::k_raft_version_record::KRaftVersionRecordView;
use thalweg_wire::messages::metadata::{MetadataRecord, decode_record};
use thalweg_wire::messages::voters_record::VotersRecordView;

use super::image::{Endpoint, Image};
use super::replay::{ReplayError, replay};

/// Records that a transaction may hold back: ten of the largest user operations.
pub const TRANSACTION_RECORDS_MAX: usize = 100_000;

/// What control records say about the quorum.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Quorum {
    /// Epoch of the last batch.
    pub epoch: Epoch,
    /// 1 when voters are named by directory and can change.
    pub kraft_version: i16,
    /// The members.
    pub voters: Vec<Voter>,
}

/// A member of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its node.
    pub id: NodeId,
    /// Its log directory.
    pub directory: Uuid,
    /// Its controller listeners.
    pub endpoints: Vec<Endpoint>,
}

/// Bytes that are no metadata log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogError {
    /// The bytes do not split into batches.
    Split(SplitError),
    /// A batch fails its checksum.
    Checksum(Offset),
    /// A batch does not follow the one before.
    Gap {
        /// The offset that was due.
        due: Offset,
        /// The offset found.
        found: Offset,
    },
    /// A batch is compressed, which Kafka never does here.
    Compressed(Offset),
    /// A batch's records cannot be walked.
    Records(Offset),
    /// A record cannot be decoded.
    Decode(Offset, DecodeError),
    /// A record does not fit the state.
    Replay(Offset, ReplayError),
    /// A transaction record where none can be.
    Transaction(Offset, &'static str),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata log: ")?;
        match self {
            Self::Split(error) => write!(f, "no batch: {error:?}"),
            Self::Checksum(at) => write!(f, "the batch at offset {at} fails its checksum"),
            Self::Gap { due, found } => write!(f, "offset {found} where {due} was due"),
            Self::Compressed(at) => write!(f, "the batch at offset {at} is compressed"),
            Self::Records(at) => write!(f, "the records of the batch at offset {at} do not add up"),
            Self::Decode(at, error) => write!(f, "the record at offset {at}: {error:?}"),
            Self::Replay(at, error) => write!(f, "the record at offset {at}: {error}"),
            Self::Transaction(at, what) => write!(f, "the record at offset {at} {what}"),
        }
    }
}

impl std::error::Error for LogError {}

/// A transaction that has begun: its records, each with its offset.
type Held = Vec<(Offset, Epoch, MetadataRecord<'static>)>;

/// Reads the log batch by batch and keeps the image.
#[derive(Clone, Debug, Default)]
pub struct LogReader {
    image: Arc<Image>,
    quorum: Quorum,
    held: Option<Held>,
    next: Offset,
}

impl LogReader {
    /// Before the first record of an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The state after everything applied so far. Costs a count, not a copy.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        Arc::clone(&self.image)
    }

    /// What control records said so far.
    #[must_use]
    pub const fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// Offset of the record that comes next.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.next
    }

    /// True between the begin and the end of a transaction: a new leader must abort it first.
    #[must_use]
    pub const fn in_transaction(&self) -> bool {
        self.held.is_some()
    }

    /// Applies whole batches that follow what was applied before.
    ///
    /// # Errors
    /// The first thing that does not fit; batches before it are applied.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        for batch in split(bytes) {
            let batch = batch.map_err(LogError::Split)?;
            let found = batch.header().base_offset();
            if found != self.next {
                return Err(LogError::Gap {
                    due: self.next,
                    found,
                });
            }
            self.batch(&batch, None)?;
            self.next = batch.header().next_offset();
        }
        Ok(())
    }

    /// Starts over from a snapshot that holds everything before `end`, written under `epoch`.
    ///
    /// # Errors
    /// The first thing that does not fit; the reader is then of no further use.
    pub fn load_snapshot(
        &mut self,
        bytes: &[u8],
        end: Offset,
        epoch: Epoch,
    ) -> Result<(), LogError> {
        *self = Self::default();
        let last = Offset(end.0 - 1);
        for batch in split(bytes) {
            // Offsets inside of a snapshot count its own records and mean nothing to the log.
            self.batch(&batch.map_err(LogError::Split)?, Some((last, epoch)))?;
        }
        self.quorum.epoch = epoch;
        self.next = end;
        let image = Arc::make_mut(&mut self.image);
        (image.offset, image.epoch) = (last, epoch);
        Ok(())
    }

    fn batch(&mut self, batch: &BatchRef<'_>, at: Option<(Offset, Epoch)>) -> Result<(), LogError> {
        let header = batch.header();
        let base = header.base_offset();
        if !batch.crc_matches() {
            return Err(LogError::Checksum(base));
        }
        if header.attributes().0 & CODEC_BITS != 0 {
            return Err(LogError::Compressed(base));
        }
        self.quorum.epoch = self.quorum.epoch.max(header.leader_epoch());
        let mut count = 0;
        for record in Records::new(batch.payload(), header.record_count()) {
            let Ok(record) = record else {
                return Err(LogError::Records(base));
            };
            let offset = base.plus(i64::from(record.offset_delta));
            count += 1;
            let value = record.value.unwrap_or(&[]);
            if header.attributes().is_control() {
                self.control(offset, record.key.unwrap_or(&[]), value)?;
            } else {
                let (offset, epoch) = at.unwrap_or((offset, header.leader_epoch()));
                self.record(offset, epoch, value)?;
            }
        }
        if count != header.record_count() {
            return Err(LogError::Records(base));
        }
        if header.attributes().is_control() && at.is_none() {
            let image = Arc::make_mut(&mut self.image);
            (image.offset, image.epoch) = (header.last_offset(), header.leader_epoch());
        }
        Ok(())
    }

    fn control(&mut self, offset: Offset, key: &[u8], value: &[u8]) -> Result<(), LogError> {
        let version = match value {
            [high, low, ..] => i16::from_be_bytes([*high, *low]),
            _ => return Err(LogError::Records(offset)),
        };
        let decode = |error| LogError::Decode(offset, error);
        match ControlType::of_key(key) {
            Some(ControlType::KRaftVersion) => {
                let record = KRaftVersionRecordView::decode(value, version).map_err(decode)?;
                self.quorum.kraft_version = record.k_raft_version;
            }
            Some(ControlType::KRaftVoters) => {
                let record = VotersRecordView::decode(value, version).map_err(decode)?;
                let voter = |voter: thalweg_wire::messages::voters_record::VoterView<'_>| Voter {
                    id: NodeId(voter.voter_id),
                    directory: voter.voter_directory_id,
                    endpoints: voter.endpoints.iter().map(endpoint).collect(),
                };
                self.quorum.voters = record.voters.iter().map(voter).collect();
            }
            // The leader's id says nothing that the epoch does not; header and footer frame a snapshot.
            _ => {}
        }
        Ok(())
    }

    fn record(&mut self, offset: Offset, epoch: Epoch, value: &[u8]) -> Result<(), LogError> {
        let (record, _) = decode_record(value).map_err(|error| LogError::Decode(offset, error))?;
        match (record, self.held.take()) {
            (MetadataRecord::BeginTransaction(_), None) => self.held = Some(Vec::new()),
            (MetadataRecord::BeginTransaction(_), Some(_)) => {
                return Err(LogError::Transaction(
                    offset,
                    "begins a transaction within another",
                ));
            }
            (MetadataRecord::EndTransaction(_), Some(held)) => {
                for (at, epoch, record) in held {
                    self.replay(at, epoch, &record)?;
                }
                self.advance(offset, epoch);
            }
            (MetadataRecord::AbortTransaction(_), Some(_)) => self.advance(offset, epoch),
            (MetadataRecord::EndTransaction(_) | MetadataRecord::AbortTransaction(_), None) => {
                return Err(LogError::Transaction(
                    offset,
                    "ends a transaction that never began",
                ));
            }
            (record, Some(mut held)) => {
                if held.len() >= TRANSACTION_RECORDS_MAX {
                    return Err(LogError::Transaction(
                        offset,
                        "is one too many for a transaction",
                    ));
                }
                held.push((offset, epoch, record));
                self.held = Some(held);
            }
            (record, None) => self.replay(offset, epoch, &record)?,
        }
        Ok(())
    }

    fn advance(&mut self, offset: Offset, epoch: Epoch) {
        let image = Arc::make_mut(&mut self.image);
        (image.offset, image.epoch) = (offset, epoch);
    }

    fn replay(
        &mut self,
        offset: Offset,
        epoch: Epoch,
        record: &MetadataRecord<'static>,
    ) -> Result<(), LogError> {
        let image = Arc::make_mut(&mut self.image);
        replay(image, offset, epoch, record).map_err(|error| LogError::Replay(offset, error))
    }
}

/// The bits of a batch's attributes that name its codec.
const CODEC_BITS: i16 = 0b111;

fn endpoint(endpoint: thalweg_wire::messages::voters_record::EndpointView<'_>) -> Endpoint {
    Endpoint {
        name: endpoint.name.to_owned(),
        host: endpoint.host.to_owned(),
        port: endpoint.port,
        security_protocol: 0,
    }
}
