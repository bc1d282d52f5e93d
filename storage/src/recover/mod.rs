//! Start-up: all journals are read, drained into segments, and begun anew for the shards of today.
//!
//! In two phases, because which partitions exist is written in the metadata log, whose own newest
//! records may lie in a journal:
//! 1. [`Recovery::read`] flushes the device, reads every journal of every shard directory, and
//!    judges torn ends against rot. [`Recovery::metadata`] gives the metadata log's batches.
//! 2. The node replays them and calls [`Recovery::finish`] with the partitions that exist. Entries
//!    of all others are dropped. Whole blocks go to segments; the rest is carried to new journals
//!    of today's shard count; one small file is replaced, and from then on these count.
//!
//! Then each shard opens its [`Store`](crate::store::Store). Recovery may be cut at any point and
//! run again: until that file is replaced, the old journals count, and all writes before it repeat
//! what they say.
//!
//! Deliberately absent: the directory's lock (taken by the node before), guessing.

use thalweg_wire::ids::TimestampMs;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::store::{PartitionSpec, StoreConfig};

/// What recovery found and did, for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The directory held no journal: the node is new.
    pub fresh: bool,
    /// The last stop was clean: nothing had to be replayed.
    pub clean: bool,
    /// Shards that wrote the journals found.
    pub shards_before: u16,
    /// Live journal bytes read.
    pub journal_bytes: u64,
    /// Rounds replayed.
    pub rounds: u64,
    /// Journals whose last round was torn: it was never acknowledged.
    pub torn_ends: u32,
    /// Bytes written to segments.
    pub moved_bytes: u64,
    /// Bytes carried to the new journals.
    pub carried_bytes: u64,
    /// Partitions with journaled entries.
    pub partitions: usize,
    /// Partitions in the journals that exist no more.
    pub partitions_dropped: usize,
}

/// Journals that were read, between the two phases.
pub struct Recovery<D: Disk> {
    /// (Skeleton.)
    pub disk: D,
}

#[expect(unused_variables, reason = "signatures first; bodies follow")]
impl<D: Disk> Recovery<D> {
    /// Phase one: reads all journals. `config` is any shard's (sizes are the same for all) and
    /// `shards` today's count. A directory without journals is a new node's: no error.
    pub async fn read(
        disk: D,
        config: StoreConfig,
        shards: u16,
        now: TimestampMs,
    ) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// All batches of the metadata log, in order; empty for a new node.
    pub async fn metadata(&mut self) -> Result<Vec<u8>, StoreError> {
        unimplemented!()
    }

    /// Phase two: `specs` are all partitions of this node, the metadata log included.
    pub async fn finish(self, specs: &[PartitionSpec]) -> Result<Report, StoreError> {
        unimplemented!()
    }
}
