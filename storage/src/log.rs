//! One partition's log: what was appended, where it lies, what may be shown.
//!
//! A [`Log`] is synchronous and does no I/O, except for [`Log::load`]. It decides offsets and
//! places, keeps the bytes that no segment holds yet in a chain of aligned chunks, and keeps what
//! Kafka keeps beside a log: offset, time and transaction index, producer state, leader epochs.
//!
//! ```text
//! append -> write.rs  -> chunk and EntrySink          read   -> read/plan.rs  -> pieces
//! moves  <- moving.rs <- chunk, index images          search -> search.rs     -> offset
//! start  -> load.rs   -> Log                          cuts   -> cutting.rs    -> files to unlink
//! ```
//! Invariants:
//! - Changes go to the [`EntrySink`](crate::journal::entry::EntrySink) in the order in which they
//!   happened; nothing is shown to a consumer before [`Log::on_durable`] covered it.
//! - `log_start <= high_watermark <= durable <= next`; all but `log_start` lie between batches.
//! - Nobody is told of a log start before its entry is durable: until then the records below it are
//!   read as before. Segments leave the log only after that.
//! - A byte of a segment is final once it was written: a move takes whole blocks only, and a block
//!   of the segment's file is written again only after its bytes went to the sink as `Carried`.
//!
//! Deliberately absent: waiting, timers, locks, file handles, knowledge of the journal.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use thalweg_wire::ids::{Epoch, Offset, PartitionId, TimestampMs};

use crate::epochs::Epochs;
use crate::journal::entry::Place;
use crate::producers::Producers;
use crate::read::plan::ReadHints;
use crate::segment::segment::{Birth, Segment};
use crate::segment::set::SegmentSet;

mod config;
mod terms;
mod step;
mod transactions;
mod write;
mod search;
mod moving;
mod state;
mod cutting;
mod truncate;
mod listing;
mod load;
mod walk;
mod cleaning;

use transactions::Verifications;

pub use crate::clean::Cleaning;
pub use crate::epochs::{EpochEnd, EpochEntry};
pub use crate::read::plan::ReadQuery;
pub(crate) use cleaning::{CleanFacts, Source};
pub use config::{CleanupPolicy, LogConfig, TimestampType};
pub use cutting::RetainQuery;
pub use search::TimestampSearch;
pub use step::{Fed, Need, Step};
pub use terms::{
    AbortedSpan, AppendContext, AppendError, Appended, EndTxn, FileImage, Found, FoundOffset,
    LoadError, Loaded, LogSpec, Origin, PartitionView, PendingSegment, Piece, ReadError, ReadPlace,
    ReadPlan, ReadSpec, RetainPlan, TailRead, TimestampQuery,
};
pub use transactions::{ActiveProducer, Verification};
pub use truncate::TruncateQuery;

/// Sealed segments whose indexes stay in memory after they were read from their files. At 1 GiB
/// a segment an index pair is up to 5 MiB, and a reader of old data needs one at a time.
const INDEXES_HELD_MAX: usize = 4;

/// One partition's log.
#[derive(Debug)]
pub struct Log {
    pub(crate) spec: LogSpec,
    pub(crate) segments: SegmentSet,
    /// The next record's offset.
    pub(crate) next: Offset,
    pub(crate) log_start: Offset,
    /// As far as the entry that raised it is durable: what may be shown, and what is still there.
    start_shown: Offset,
    /// Everything below is durable, and lies below this place.
    durable: (Offset, Place),
    high_watermark: Offset,
    /// Ends of batches that are not durable yet.
    waiting: VecDeque<(Offset, Place)>,
    epochs: Epochs,
    /// What `leader-epoch-checkpoint` holds.
    epochs_on_disk: Epochs,
    producers: Producers,
    verifications: Verifications,
    /// Offset of the newest producer snapshot that is on disk.
    snapshot_on_disk: Offset,
    /// The tail was supplied, and is to be carried before the next append.
    carry_due: bool,
    pub(crate) hints: ReadHints,
    /// Sealed segments with indexes in memory that could be read again, oldest use first.
    indexes_held: VecDeque<Offset>,
    /// Files that no longer belong to the log.
    removed: Vec<PathBuf>,
    /// Everything below was cleaned.
    cleaned_to: Offset,
    /// Cleaned segments that were put in: a question that was asked before begins again.
    pub(crate) swaps: u64,
    /// Of the newest cleaning that was begun in this run.
    generation: u64,
    /// Segments that cleaned ones replaced, whose files are still there.
    retired: Vec<cleaning::Retired>,
}

impl Log {
    /// A new, empty log that begins at offset 0. Its directory is made by the caller.
    #[must_use]
    pub fn create(spec: LogSpec) -> Self {
        Self::empty_at(spec, Offset(0))
    }

    fn empty_at(spec: LogSpec, start: Offset) -> Self {
        let birth = Birth {
            dir: &spec.dir,
            now: spec.now,
        };
        let segments = VecDeque::from([Segment::new(start, birth)]);
        Self::of_segments(spec, segments, start)
    }

    /// A log of these segments, all of which is durable.
    fn of_segments(spec: LogSpec, segments: VecDeque<Segment>, log_start: Offset) -> Self {
        let segments = SegmentSet::new(segments);
        let active = segments.active();
        let next = active.next.max(log_start);
        let end = Place {
            segment: active.base,
            position: active.bytes,
        };
        Self {
            spec,
            next,
            log_start,
            start_shown: log_start,
            durable: (next, end),
            high_watermark: next,
            waiting: VecDeque::new(),
            epochs: Epochs::default(),
            epochs_on_disk: Epochs::default(),
            producers: Producers::default(),
            verifications: Verifications::default(),
            snapshot_on_disk: Offset(0),
            carry_due: false,
            hints: ReadHints::default(),
            indexes_held: VecDeque::new(),
            removed: Vec::new(),
            cleaned_to: Offset(0),
            swaps: 0,
            generation: 0,
            retired: Vec::new(),
            segments,
        }
    }

    /// Everything loaded is durable and shown: recovery flushed it.
    fn settle(&mut self) {
        let active = self.segments.active();
        self.next = active.next.max(self.log_start);
        self.log_start = self.log_start.min(self.next);
        self.start_shown = self.log_start;
        self.durable = (self.next, self.place_end());
        self.high_watermark = self.next;
        self.producers.on_high_watermark(self.next);
        let horizon = self.spec.config.producer_horizon(self.spec.now);
        self.producers.expire(horizon);
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.spec.id
    }

    /// Its directory, relative to the data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.spec.dir
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &LogConfig {
        &self.spec.config
    }

    /// Takes new settings; they hold from the next append on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.spec.config = config;
    }

    /// The numbers that requests ask for.
    #[must_use]
    pub fn view(&self) -> PartitionView {
        PartitionView {
            log_start: self.start_shown,
            high_watermark: self.high_watermark,
            last_stable: self.last_stable(),
            log_end: self.next,
            durable_end: self.durable.0,
            leader_epoch: self.epochs.latest(),
            bytes: self.segments.bytes(),
        }
    }

    /// Bytes of memory that the chunks hold.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let chains = self.segments.iter().filter_map(|s| s.chain.as_ref());
        chains.map(crate::chunks::Chain::memory_bytes).sum()
    }

    /// Where the next byte lies.
    #[must_use]
    pub fn place_end(&self) -> Place {
        let active = self.segments.active();
        Place {
            segment: active.base,
            position: active.bytes,
        }
    }

    /// Number of segments.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Number of producers remembered.
    #[must_use]
    pub fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// Everything below `next` is durable. True if the high watermark moved.
    pub fn on_durable(&mut self, next: Offset) -> bool {
        while let Some(batch) = self.waiting.pop_front_if(|(end, _)| *end <= next) {
            self.durable = batch;
        }
        let moved = self.durable.0 > self.high_watermark;
        if moved {
            // A lone replica is its whole in-sync set.
            self.high_watermark = self.durable.0;
            self.producers.on_high_watermark(self.high_watermark);
        }
        debug_assert!(self.high_watermark <= self.durable.0 && self.durable.0 <= self.next);
        moved
    }

    /// The entry that raised the log start to `start` is durable.
    pub fn on_start_durable(&mut self, start: Offset) {
        let start = start.min(self.log_start);
        if start > self.start_shown {
            self.start_shown = start;
            self.epochs.cut_start(start);
        }
    }

    /// Where an epoch ended (`OffsetForLeaderEpoch`). The latest one ends at what is durable:
    /// a record that may still be lost is not told of.
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: Epoch) -> EpochEnd {
        self.epochs.end_of(epoch, self.durable.0)
    }

    /// Forgets producers that wrote nothing for `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, now: TimestampMs) {
        let horizon = self.spec.config.producer_horizon(now);
        self.producers.expire(horizon);
        self.verifications.expire(horizon);
    }

    /// The durable end and its place.
    pub(crate) fn durable_end(&self) -> (Offset, Place) {
        self.durable
    }

    fn last_stable(&self) -> Offset {
        let unstable = self
            .producers
            .first_unstable()
            .unwrap_or(self.high_watermark);
        unstable.max(self.start_shown).min(self.high_watermark)
    }

    fn birth(&self, now: TimestampMs) -> Birth<'_> {
        Birth {
            dir: &self.spec.dir,
            now,
        }
    }
}
