//! The tasks of a part: work its queue, keep its time, watch its log.
//!
//! Steps are appended as they come and wait for nothing but room in the journal's window: the
//! flush is shared with everything else of the shard, and answers wait for it apart. An append that
//! is refused (the disk is full) leaves the groups as they were. What was accepted and can't become
//! durable any more ends the part: it is read again from the log, unless the journal failed.

use std::rc::{Rc, Weak};
use std::time::Duration;

use thalweg_coordinator::groups::step::{InTransaction, Marker, Record as MachineRecord};
use thalweg_coordinator::groups::time::{Moment, Steady};
use thalweg_storage::disk::Disk;
use thalweg_storage::error::StoreError;
use thalweg_storage::log::{AppendContext, EndTxn, Origin, Verification};
use thalweg_wire::batch::{BatchBuilder, BatchSpec, Record};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Offset, PartitionId, TimestampMs};

use super::load::load;
use super::machine::{Machine, Write};
use super::part::Part;
use crate::runtime::effects::summarize;
use crate::shard::core::ShardCore;
use crate::shard::host::{Now, Queue};
use crate::shard::mailbox::Fault;
use crate::shard::wait::{Either, race, yield_now};

/// Room for a marker in the journal.
pub const MARKER_BYTES: usize = 128;
/// Steps that a part works before it lets other tasks run.
const STEPS_MAX: usize = 32;

/// What groups are told of the time.
pub(crate) fn moment(now: Now) -> Moment {
    let ms = i64::try_from(now.mono / 1_000_000).unwrap_or(i64::MAX);
    Moment {
        steady: Steady(ms),
        wall: now.wall,
    }
}

/// Has the part's queue worked, if nobody does yet.
pub fn wake<D: Disk, M: Machine>(core: &Rc<ShardCore<D>>, part: &Rc<Part<M>>) {
    if !part.running.replace(true) {
        let task = work(Rc::clone(core), Rc::clone(part));
        core.host.spawn(Queue::Network, Box::pin(task));
    }
}

async fn work<D: Disk, M: Machine>(core: Rc<ShardCore<D>>, part: Rc<Part<M>>) {
    let mut steps = 0;
    while let Some(step) = part.next_step(&core.image(), moment(core.host.now())) {
        let outcome = match M::writes(&step) {
            Write::Nothing => Ok(Offset(0)),
            write => append(&core, &part, write).await,
        };
        let outcome = outcome.map_err(|fault| {
            tracing::debug!(id = %part.id, %fault, "records of {} were refused", M::NAME);
            fault.code
        });
        let replies = part.settle(step, outcome, moment(core.host.now()));
        let visible = visible(&core, part.id);
        if part.give(replies, visible) {
            watch(&core, &part);
        }
        M::seen(&core, &part, visible);
        steps += 1;
        if steps % STEPS_MAX == 0 {
            yield_now().await;
        }
    }
    part.running.set(false);
    part.check_alarm();
}

/// The high watermark; below everything if the partition is gone.
fn visible<D: Disk>(core: &ShardCore<D>, id: PartitionId) -> Offset {
    let view = core.store.partition(id);
    view.map_or(Offset(0), |view| view.high_watermark)
}

async fn append<D: Disk, M: Machine>(
    core: &ShardCore<D>,
    part: &Part<M>,
    write: Write<'_>,
) -> Result<Offset, Fault> {
    let id = part.id;
    let now = core.host.now().wall;
    let image = core.image();
    let gone = || Fault::from(StoreError::UnknownPartition(id));
    let topic = image.topics.get(id.topic).ok_or_else(gone)?;
    let partition = topic.partition(id.index).ok_or_else(gone)?;
    let mut context = AppendContext {
        leader_epoch: partition.leader_epoch,
        now,
        origin: Origin::Coordinator,
        verification: Verification::Waived,
    };
    let (records, transaction) = match write {
        Write::Nothing => return Ok(Offset(0)),
        Write::Marker(marker) => {
            let permit = with_beats(core, part, core.store.admit(MARKER_BYTES, &[id])).await?;
            let appended = core.store.append_end_txn(id, &end_of(&marker), &context)?;
            drop(permit);
            return Ok(appended.base_offset);
        }
        Write::Records(records, transaction) => (records, transaction),
    };
    if let Some(transaction) = transaction {
        let guard = transaction.guard;
        context.verification = guard.map_or(Verification::Missing, Verification::Guard);
    }
    let batch = encode(records, transaction, now);
    let bytes_max = core.topic_settings(topic).config.max_message_bytes;
    if i64::try_from(batch.len()).unwrap_or(i64::MAX) > bytes_max {
        let words = format!("the records of {} take {} bytes", M::NAME, batch.len());
        return Err(Fault::new(ErrorCode::MessageTooLarge, words));
    }
    let summary = summarize(&batch)?;
    let permit = with_beats(core, part, core.store.admit(batch.len(), &[id])).await?;
    let appended = core.store.append(id, &batch, &summary, &context)?;
    drop(permit);
    core.metrics.appended(batch.len(), false);
    Ok(appended.base_offset)
}

/// A marker as storage takes it.
#[must_use]
pub fn end_of(marker: &Marker) -> EndTxn {
    EndTxn {
        producer: marker.producer,
        epoch: marker.epoch,
        coordinator_epoch: marker.coordinator_epoch,
        commit: marker.commit,
        raises_epoch: marker.raises_epoch,
    }
}

/// Waits for something that a full journal can hold up for long. Heartbeats go on meanwhile: a
/// session ends because its member is silent, not because it was not listened to.
async fn with_beats<D: Disk, M: Machine, T>(
    core: &ShardCore<D>,
    part: &Part<M>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    let mut is_first = true;
    loop {
        let came = async {
            // Some may be in the queue already.
            if !std::mem::take(&mut is_first) {
                part.beating.wait().await;
            }
        };
        match race(work.as_mut(), came).await {
            Either::Left(done) => return done,
            Either::Right(()) => part.beat(&core.image(), moment(core.host.now())),
        }
    }
}

fn encode(
    records: &[MachineRecord],
    transaction: Option<InTransaction>,
    timestamp: TimestampMs,
) -> Vec<u8> {
    let mut builder = BatchBuilder::new(match transaction {
        None => BatchSpec::default(),
        Some(transaction) => BatchSpec {
            producer_id: transaction.producer,
            producer_epoch: transaction.epoch,
            transactional: true,
            ..BatchSpec::default()
        },
    });
    for record in records {
        builder.push(&Record {
            timestamp,
            key: Some(&record.key),
            value: record.value.as_deref(),
            headers: &[],
        });
    }
    builder.finish_plain()
}

/// Wakes the part at its deadlines, as long as it serves.
pub(super) async fn keep_time<D: Disk, M: Machine>(core: Weak<ShardCore<D>>, part: Rc<Part<M>>) {
    loop {
        let wait = part.rearmed.wait();
        let Some(core) = core.upgrade().filter(|_| !part.is_closed()) else {
            return;
        };
        let due = part.next_due();
        part.set_alarm(due);
        let sleep = due.map(|due| {
            let now = moment(core.host.now()).steady;
            let left = due.0.saturating_sub(now.0).max(0);
            core.host.sleep(Duration::from_millis(left.unsigned_abs()))
        });
        let Some(sleep) = sleep else {
            drop(core);
            wait.await;
            continue;
        };
        let weak = Rc::downgrade(&core);
        drop(core);
        race(sleep, wait).await;
        let Some(core) = weak.upgrade() else { return };
        let now = moment(core.host.now()).steady;
        if part.next_due().is_none_or(|due| due > now) {
            continue;
        }
        // What is due is worked by the part's own task, which then says what is due next.
        let worked = part.rearmed.wait();
        part.set_alarm(None);
        wake(&core, &part);
        drop(core);
        worked.await;
    }
}

/// Sees to it that replies whose records will never be durable are not waited for.
fn watch<D: Disk, M: Machine>(core: &Rc<ShardCore<D>>, part: &Rc<Part<M>>) {
    if part.watching.replace(true) {
        return;
    }
    let host = Rc::clone(&core.host);
    let (core, part) = (Rc::clone(core), Rc::clone(part));
    let task = async move {
        while let Some(after) = part.awaited() {
            if let Err(error) = core.store.durable(part.id, after).await {
                tracing::warn!(id = %part.id, %error, "records of {} are not durable", M::NAME);
                fail(&core, &part, &error);
                break;
            }
            let moved = part.moved.wait();
            part.visible(visible(&core, part.id));
            if part.awaited() == Some(after) {
                moved.await;
            }
        }
        part.watching.set(false);
    };
    host.spawn(Queue::Network, Box::pin(task));
}

/// What the part told its groups is not in the log.
fn fail<D: Disk, M: Machine>(core: &Rc<ShardCore<D>>, part: &Rc<Part<M>>, error: &StoreError) {
    part.close();
    let lasting = matches!(error, StoreError::Poisoned(_) | StoreError::Stopping);
    if !lasting && let Some(fresh) = M::table(core).replace(part) {
        open(core, fresh);
    }
}

/// Reads a new part's records, then serves it.
pub(crate) fn open<D: Disk, M: Machine>(core: &Rc<ShardCore<D>>, part: Rc<Part<M>>) {
    let task = load(Rc::clone(core), part);
    core.host.spawn(Queue::Reads, Box::pin(task));
}
