//! Accepting records, and waiting until they may be acknowledged.

use thalweg_wire::batch::BatchSummary;
use thalweg_wire::ids::{Offset, PartitionId};

use super::{Mutation, Store, Ticket};
use crate::disk::Disk;
use crate::error::{RequestError, StoreError};
use crate::journal::queue::RoundQueue;
use crate::log::{AppendContext, AppendError, Appended, EndTxn, Log, Origin};

/// Times that every accepted byte is copied: into a chunk and into a round.
const COPIES: u64 = 2;

impl<D: Disk> Store<D> {
    /// Appends one checked batch. Its offsets are final; it is visible once durable.
    pub fn append(
        &self,
        id: PartitionId,
        batch: &[u8],
        summary: &BatchSummary,
        context: &AppendContext,
    ) -> Result<Appended, RequestError<AppendError>> {
        let unchecked = AppendContext {
            origin: Origin::Coordinator,
            ..*context
        };
        let context = match self.config.mutation {
            Mutation::AppendDuplicates => &unchecked,
            _ => context,
        };
        self.append_with(id, |log, queue| log.append(batch, summary, context, queue))
    }

    /// Appends the marker that ends a transaction.
    pub fn append_end_txn(
        &self,
        id: PartitionId,
        end: &EndTxn,
        context: &AppendContext,
    ) -> Result<Appended, RequestError<AppendError>> {
        self.append_with(id, |log, queue| log.append_end_txn(end, context, queue))
    }

    fn append_with(
        &self,
        id: PartitionId,
        append: impl FnOnce(&mut Log, &mut RoundQueue) -> Result<Appended, AppendError>,
    ) -> Result<Appended, RequestError<AppendError>> {
        if let Some(error) = self.refusal() {
            return Err(error.into());
        }
        let mut state = self.state.borrow_mut();
        if state.slots.get(&id).is_some_and(|slot| slot.failed) {
            return Err(StoreError::PartitionFailed(id).into());
        }
        let done = state.change(id, |slot| {
            self.journal.push(|queue| {
                slot.enter(queue);
                slot.mark(queue);
                let before = slot.log.view().bytes;
                queue.begin_group();
                let result = append(&mut slot.log, queue);
                queue.end_group();
                let appended = result?;
                let bytes = slot.log.view().bytes - before;
                if !appended.duplicate {
                    slot.appended(bytes);
                    queue.touch(id, appended.end);
                }
                if self.config.mutation == Mutation::ShowBeforeDurable {
                    slot.log.on_durable(appended.end);
                }
                Ok((appended, bytes))
            })
        });
        let done = done.ok_or(StoreError::UnknownPartition(id))?;
        let (appended, bytes) = done.map_err(RequestError::Log)?;
        if !appended.duplicate {
            state.counters.appends += 1;
            state.counters.append_bytes += bytes;
            state.counters.copied_bytes += COPIES * bytes;
        }
        Ok(appended)
    }

    /// Waits until everything of the partition below `end` may be acknowledged.
    pub async fn durable(&self, id: PartitionId, end: Offset) -> Result<(), StoreError> {
        let reached = || {
            let view = self.partition(id).ok_or(StoreError::UnknownPartition(id))?;
            Ok::<bool, StoreError>(view.durable_end >= end)
        };
        if reached()? {
            return Ok(());
        }
        self.journal.wait(self.journal.newest()).await?;
        if reached()? {
            return Ok(());
        }
        // Truncated meanwhile: these records will never be durable.
        Err(StoreError::PartitionFailed(id))
    }

    /// The point after everything accepted so far, of all partitions.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        Ticket(self.journal.newest())
    }

    /// Waits until everything up to the ticket may be acknowledged.
    pub async fn wait(&self, ticket: Ticket) -> Result<(), StoreError> {
        self.journal.wait(ticket.0).await
    }
}
