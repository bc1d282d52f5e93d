//! What a shard does with its partitions for a produce or a fetch.
//!
//! Append: admitted, appended, then waited for until durable: an acknowledgement names nothing that
//! is not (design, promise 2), a duplicate included. Fetch: planned whole, and if it found less
//! than was wanted, a watch is left in the same step in which the numbers were looked at, so that
//! no move between looking and watching is missed. Deliberately absent: whether this node leads the
//! partition and whether the client may ask (the handlers know the image).

use std::rc::Rc;

use thalweg_storage::disk::Disk;
use thalweg_storage::epochs::EpochEnd;
use thalweg_storage::error::StoreError;
use thalweg_storage::log::{AppendContext, Appended, Origin, PartitionView};
use thalweg_storage::store::{Isolation, ReadRequest};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Epoch, Offset, PartitionId};

use super::core::ShardCore;
use super::mailbox::{AppendJob, AppendPart, AppendResult, AppendedPart, Fault, FetchJob};
use super::mailbox::{FetchPart, FetchedPart};

/// Batches that have their offsets and are on their way to the disk.
pub struct Begun(Vec<Result<Appended, Fault>>);

impl<D: Disk> ShardCore<D> {
    /// Waits for room and appends: when it returns, offsets are final and nothing is visible yet.
    pub async fn begin_append(&self, job: &AppendJob) -> Begun {
        let bytes = job.parts.iter().map(|part| part.batch.len()).sum();
        let ids: Vec<PartitionId> = job.parts.iter().map(|part| part.partition).collect();
        let permit = match self.store.admit(bytes, &ids).await {
            Ok(permit) => permit,
            Err(error) => {
                let fault = Fault::from(error);
                return Begun(job.parts.iter().map(|_| Err(fault.clone())).collect());
            }
        };
        let begun = job
            .parts
            .iter()
            .map(|part| self.append(job, part))
            .collect();
        drop(permit);
        Begun(begun)
    }

    fn append(&self, job: &AppendJob, part: &AppendPart) -> Result<Appended, Fault> {
        let sent = || job.frame.get(part.batch.clone()).unwrap_or_default();
        let batch = part.anew.as_deref().unwrap_or_else(sent);
        let context = AppendContext {
            leader_epoch: part.leader_epoch,
            now: self.host.now().wall,
            origin: Origin::Client,
            verification: part.verification,
        };
        let appended = self
            .store
            .append(part.partition, batch, &part.summary, &context)?;
        self.metrics.appended(batch.len(), appended.duplicate);
        Ok(appended)
    }

    /// Waits until everything begun is durable.
    pub async fn finish_append(&self, begun: Begun, durable: bool) -> Vec<AppendResult> {
        let mut failed = None;
        if durable && begun.0.iter().any(Result::is_ok) {
            let ticket = self.store.ticket();
            failed = self.store.wait(ticket).await.err().map(Fault::from);
        }
        let answer = |appended: Appended| match &failed {
            Some(fault) => Err(fault.clone()),
            None => Ok(AppendedPart {
                base_offset: appended.base_offset,
                log_append_time: appended.log_append_time,
                log_start: appended.log_start,
            }),
        };
        begun
            .0
            .into_iter()
            .map(|part| part.and_then(answer))
            .collect()
    }

    /// Reads from partitions of this shard, and leaves a watch if that was too little.
    pub async fn fetch_here(self: &Rc<Self>, job: FetchJob) -> Vec<FetchedPart> {
        let mut found = Vec::with_capacity(job.parts.len());
        let mut bytes = 0;
        let mut failed = false;
        // Others run while records are looked for, and not otherwise.
        let mut waited = false;
        for part in &job.parts {
            let room = job.bytes_max.saturating_sub(bytes);
            let fetched = match self.fetch_nothing(part, job.isolation) {
                Some(nothing) => nothing,
                None => {
                    waited = true;
                    self.fetch_part(part, room, bytes == 0, job.isolation).await
                }
            };
            bytes += fetched.bytes;
            failed |= fetched.error != ErrorCode::None || fetched.diverging.is_some();
            found.push(fetched);
        }
        if let Some(key) = job.watch.filter(|_| bytes < job.bytes_min && !failed) {
            self.watch(key, job.parts.iter().map(|part| part.partition).collect());
            for (part, fetched) in job.parts.iter().zip(&found).filter(|_| waited) {
                let view = self.store.partition(part.partition);
                if view.is_none_or(|view| view.high_watermark != fetched.high_watermark) {
                    self.wake(key, part.partition);
                }
            }
        }
        found
    }

    /// What a reader finds that has everything it may see, as most partitions of most fetches: the
    /// numbers alone. `None` if there is more to look at.
    fn fetch_nothing(&self, part: &FetchPart, isolation: Isolation) -> Option<FetchedPart> {
        let view = self.store.partition(part.partition)?;
        let end = match isolation {
            Isolation::HighWatermark => view.high_watermark,
            Isolation::LastStable => view.last_stable,
            Isolation::LogEnd => view.log_end,
        };
        let here = part.offset == end && part.last_fetched_epoch < Epoch(0);
        here.then(|| FetchedPart::empty(&view, isolation))
    }

    async fn fetch_part(
        &self,
        part: &FetchPart,
        room: usize,
        first: bool,
        isolation: Isolation,
    ) -> FetchedPart {
        let Some(view) = self.store.partition(part.partition) else {
            return FetchedPart::failed(StoreError::UnknownPartition(part.partition).into());
        };
        let mut fetched = FetchedPart::empty(&view, Isolation::HighWatermark);
        if part.last_fetched_epoch >= Epoch(0) {
            let end = self
                .store
                .end_offset_for_epoch(part.partition, part.last_fetched_epoch)
                .unwrap_or(EpochEnd::UNKNOWN);
            match compared(part, end, view.log_start) {
                Course::Same => {}
                Course::Diverging => {
                    fetched.diverging = Some(end);
                    return fetched;
                }
                Course::OutOfRange => return FetchedPart::failed(out_of_range()),
            }
        }
        let committed_only = isolation == Isolation::LastStable;
        if room == 0 && !first {
            // Without room for records the offset is still looked at.
            fetched.aborted = committed_only.then(Vec::new);
            let is_there = part.offset >= view.log_start && part.offset <= view.log_end;
            return match is_there {
                true => fetched,
                false => FetchedPart::failed(out_of_range()),
            };
        }
        let request = ReadRequest {
            offset: part.offset,
            bytes_max: part.bytes_max.min(room),
            min_one: first,
            isolation,
        };
        match self.store.read(part.partition, request).await {
            Ok(answer) => FetchedPart {
                error: ErrorCode::None,
                pieces: answer.pieces,
                bytes: answer.bytes,
                place: answer.place,
                high_watermark: answer.high_watermark,
                last_stable: answer.last_stable,
                log_start: answer.log_start,
                aborted: committed_only.then_some(answer.aborted),
                diverging: None,
            },
            Err(error) => FetchedPart::failed(Fault::from(error)),
        }
    }
}

fn out_of_range() -> Fault {
    Fault::new(ErrorCode::OffsetOutOfRange, String::new())
}

/// Whether who fetches has what this log has up to the offset asked for.
#[derive(Debug, PartialEq, Eq)]
enum Course {
    Same,
    Diverging,
    OutOfRange,
}

/// Kafka's order (`Partition.readRecords`): an epoch that this log does not know the end of, then an
/// offset below the log's start, both out of range; then where the two part.
fn compared(part: &FetchPart, end: EpochEnd, log_start: Offset) -> Course {
    if end.epoch == Epoch::UNKNOWN || end.end == Offset::NONE || part.offset < log_start {
        Course::OutOfRange
    } else if end.epoch < part.last_fetched_epoch || end.end < part.offset {
        Course::Diverging
    } else {
        Course::Same
    }
}

impl FetchedPart {
    /// No records, and the numbers.
    fn empty(view: &PartitionView, isolation: Isolation) -> Self {
        Self {
            error: ErrorCode::None,
            pieces: Vec::new(),
            bytes: 0,
            place: None,
            high_watermark: view.high_watermark,
            last_stable: view.last_stable,
            log_start: view.log_start,
            aborted: (isolation == Isolation::LastStable).then(Vec::new),
            diverging: None,
        }
    }

    /// Nothing but an error: beside one Kafka tells no offsets either.
    #[must_use]
    pub fn failed(fault: Fault) -> Self {
        Self {
            error: fault.code,
            pieces: Vec::new(),
            bytes: 0,
            place: None,
            high_watermark: Offset::NONE,
            last_stable: Offset::NONE,
            log_start: Offset::NONE,
            aborted: None,
            diverging: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use thalweg_wire::ids::{PartitionIndex, Uuid};

    use super::*;

    #[test]
    fn the_last_fetched_epoch_is_compared_in_kafkas_order() {
        let course = |offset, epoch, (ended, end), log_start| {
            let part = FetchPart {
                partition: PartitionId {
                    topic: Uuid::ZERO,
                    index: PartitionIndex(0),
                },
                offset: Offset(offset),
                bytes_max: 0,
                last_fetched_epoch: Epoch(epoch),
            };
            let end = EpochEnd {
                epoch: Epoch(ended),
                end: Offset(end),
            };
            compared(&part, end, Offset(log_start))
        };
        // An epoch that nobody has had yet, or a log without any.
        assert_eq!(course(3, 7, (-1, -1), 0), Course::OutOfRange);
        // Below the start it does not matter where the two part.
        assert_eq!(course(3, 1, (0, 2), 4), Course::OutOfRange);
        assert_eq!(course(3, 1, (0, 2), 0), Course::Diverging);
        assert_eq!(course(9, 1, (1, 5), 0), Course::Diverging);
        assert_eq!(course(5, 1, (1, 5), 0), Course::Same);
    }
}
