//! Reading: plans under the borrow, reads of segments without it.

use std::path::Path;

use thalweg_wire::ids::{
    Epoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, TimestampMs,
};

use super::{Isolation, ReadAnswer, ReadRequest, Store};
use crate::disk::{Disk, DiskResult, File, OpenMode, Slice};
use crate::error::{RequestError, StoreError};
use crate::log::{
    ActiveProducer, EpochEnd, Fed, FoundOffset, Log, Need, PartitionView, Piece, ReadError,
    ReadPlace, ReadPlan, ReadSpec, Step, TimestampQuery,
};
use crate::segment::txn_index::AbortedTxn;

/// What a step needed, read.
pub(crate) enum Read {
    Bytes(Slice),
    Indexes { index: Vec<u8>, time_index: Vec<u8> },
}

impl Read {
    pub(crate) fn fed(self, use_it: impl FnOnce(Fed<'_>)) {
        match self {
            Self::Bytes(bytes) => use_it(Fed::Bytes(&bytes)),
            Self::Indexes { index, time_index } => use_it(Fed::Indexes { index, time_index }),
        }
    }
}

fn upper(view: &PartitionView, isolation: Isolation) -> Offset {
    match isolation {
        Isolation::HighWatermark => view.high_watermark,
        Isolation::LastStable => view.last_stable,
        Isolation::LogEnd => view.log_end,
    }
}

impl<D: Disk> Store<D> {
    /// Plans a fetch and says where its bytes lie. Where it meets something that is no sound batch, the
    /// segment is checked; what is bad is quarantined, a wrong index made anew.
    pub async fn read(
        &self,
        id: PartitionId,
        request: ReadRequest,
    ) -> Result<ReadAnswer, RequestError<ReadError>> {
        let planned = self.plan(id, request).await;
        let Err(RequestError::Log(ReadError::Corrupt(place))) = planned else {
            return planned;
        };
        let checked = self.suspect(id, place).await?;
        match checked.bad_ranges > 0 || checked.reindexed {
            true => self.plan(id, request).await,
            false => planned,
        }
    }

    async fn plan(
        &self,
        id: PartitionId,
        request: ReadRequest,
    ) -> Result<ReadAnswer, RequestError<ReadError>> {
        let unknown = StoreError::UnknownPartition(id);
        let planned = self.with_log(id, |log| {
            let view = log.view();
            let spec = ReadSpec {
                offset: request.offset,
                bytes_max: request.bytes_max,
                min_one: request.min_one,
                upper: upper(&view, request.isolation),
            };
            (view, log.read(spec))
        });
        let (view, mut step) = planned.ok_or_else(|| unknown.clone())?;
        let plan = loop {
            match step.map_err(RequestError::Log)? {
                Step::Done(plan) => break plan,
                Step::Need(need, query) => {
                    let read = self.feed(need).await.map_err(StoreError::from)?;
                    step = self
                        .resume(id, read, |log, fed| log.resume_read(query, fed))
                        .ok_or_else(|| unknown.clone())?;
                }
            }
        };
        Ok(self.answer(id, &view, request, plan))
    }

    fn answer(
        &self,
        id: PartitionId,
        view: &PartitionView,
        request: ReadRequest,
        plan: ReadPlan,
    ) -> ReadAnswer {
        let upper = upper(view, request.isolation);
        let range = (request.offset, upper);
        let listed = plan
            .place
            .filter(|_| request.isolation == Isolation::LastStable);
        let aborted = listed
            .and_then(|at| self.with_log(id, |log| log.aborted_in(range, at.place, plan.bytes)));
        ReadAnswer {
            pieces: plan.pieces,
            bytes: plan.bytes,
            place: plan.place,
            high_watermark: view.high_watermark,
            last_stable: view.last_stable,
            log_start: view.log_start,
            aborted: aborted.unwrap_or_default(),
        }
    }

    /// Where bytes that a fetch was told of lie now: what was in memory may be in the segment since.
    /// `None` if they are gone.
    #[must_use]
    pub fn replan(&self, id: PartitionId, place: ReadPlace, bytes: usize) -> Option<Vec<Piece>> {
        let plan = self.with_log(id, |log| log.replan(place, bytes))?;
        plan.map(|plan| plan.pieces)
    }

    /// Finds an offset by time among what the isolation shows.
    pub async fn offset_for_timestamp(
        &self,
        id: PartitionId,
        query: TimestampQuery,
        isolation: Isolation,
    ) -> Result<Option<FoundOffset>, RequestError<ReadError>> {
        let unknown = StoreError::UnknownPartition(id);
        let begun = self.with_log(id, |log| {
            let upper = upper(&log.view(), isolation);
            log.offset_for_timestamp(query, upper)
        });
        let mut step = begun.ok_or_else(|| unknown.clone())?;
        loop {
            match step.map_err(RequestError::Log)? {
                Step::Done(found) => return Ok(found),
                Step::Need(need, search) => {
                    let read = self.feed(need).await.map_err(StoreError::from)?;
                    step = self
                        .resume(id, read, |log, fed| log.resume_search(search, fed))
                        .ok_or_else(|| unknown.clone())?;
                }
            }
        }
    }

    /// Aborted transactions with records in the offsets from `from` to below `upper`, in the order of
    /// their markers; `None` without the partition.
    #[must_use]
    pub fn aborted_txns(
        &self,
        id: PartitionId,
        from: Offset,
        upper: Offset,
    ) -> Option<Vec<AbortedTxn>> {
        self.with_log(id, |log| log.aborted_txns(from, upper))
    }

    /// All producers that the partition remembers; `None` without it.
    #[must_use]
    pub fn active_producers(&self, id: PartitionId) -> Option<Vec<ActiveProducer>> {
        self.with_log(id, |log| log.active_producers())
    }

    /// Whether a transaction's coordinator must be asked before a batch is appended, and the guard to
    /// show with it; see [`Log::begin_verification`].
    pub fn begin_verification(
        &self,
        id: PartitionId,
        batch: (ProducerId, ProducerEpoch, Sequence),
        now: TimestampMs,
    ) -> Option<Option<u64>> {
        self.with_log(id, |log| log.begin_verification(batch, now))
    }

    /// Where a leader epoch ended.
    #[must_use]
    pub fn end_offset_for_epoch(&self, id: PartitionId, epoch: Epoch) -> Option<EpochEnd> {
        self.with_log(id, |log| log.end_offset_for_epoch(epoch))
    }

    /// Goes on with a question of a log; `None` if the partition is gone.
    pub(super) fn resume<T>(
        &self,
        id: PartitionId,
        read: Read,
        resume: impl FnOnce(&mut Log, Fed<'_>) -> T,
    ) -> Option<T> {
        let mut value = None;
        self.with_log(id, |log| read.fed(|fed| value = Some(resume(log, fed))));
        value
    }

    /// Reads what a log's question needs, through the open handles.
    pub(crate) async fn feed(&self, need: Need) -> DiskResult<Read> {
        self.state.borrow_mut().counters.plan_reads += 1;
        let Need::Bytes {
            path,
            position,
            bytes,
            ..
        } = need
        else {
            return feed(&self.disk, need).await;
        };
        let file = self.handles.existing(&path).await?;
        Ok(Read::Bytes(file.read_at(position, bytes).await?))
    }
}

/// Reads what a log's question needs.
pub(crate) async fn feed<D: Disk>(disk: &D, need: Need) -> DiskResult<Read> {
    match need {
        Need::Bytes {
            path,
            position,
            bytes,
            ..
        } => {
            let file = disk.open(&path, OpenMode::Read).await?;
            Ok(Read::Bytes(file.read_at(position, bytes).await?))
        }
        Need::Indexes {
            index, time_index, ..
        } => Ok(Read::Indexes {
            index: read_or_empty(disk, &index).await?,
            time_index: read_or_empty(disk, &time_index).await?,
        }),
    }
}

async fn read_or_empty<D: Disk>(disk: &D, path: &Path) -> DiskResult<Vec<u8>> {
    match disk.read_file(path).await {
        Err(error) if error.is_missing() => Ok(Vec::new()),
        read => read,
    }
}
