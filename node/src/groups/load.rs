//! A part's state from its log: everything below the high watermark, then it serves.
//!
//! What was accepted before must be durable first, so that nothing is left behind that could still
//! become visible. Batches are checked here, since nothing reads them for anyone else. A record that
//! can't be read fails the load: offsets without it would be invented ones. Until it succeeds, clients
//! are told that it is being loaded. Deliberately absent: reading less than all (compaction
//! will see to that).

use std::rc::Rc;
use std::time::Duration;

use thalweg_storage::disk::Disk;
use thalweg_storage::error::{RequestError, StoreError};
use thalweg_storage::log::ReadError;
use thalweg_storage::store::{Isolation, ReadRequest};
use thalweg_wire::batch::build::ControlType;
use thalweg_wire::batch::{BatchRef, Codec, InflateError, Records, Scratch, SplitError};
use thalweg_wire::batch::{inflate, split};
use thalweg_wire::ids::{Offset, PartitionId, ProducerId};

use super::machine::{Machine, Unreadable};
use super::part::Part;
use super::run::{keep_time, wake};
use crate::shard::core::ShardCore;
use crate::shard::host::Queue;
use crate::shard::wait::yield_now;

/// Bytes read at once.
const READ_BYTES: usize = 512 << 10;
/// What one batch may inflate to: ours are not compressed, Kafka's hold at most a message.
const INFLATED_BYTES_MAX: usize = 64 << 20;
/// Before a partition that could not be made is looked for again.
const MISSING_PAUSE: Duration = Duration::from_millis(200);
/// Before a load that failed is tried again; each further failure doubles it.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// And no longer than this.
const RETRY_LAST: Duration = Duration::from_secs(60);

/// Why a part can't be loaded.
#[derive(Debug)]
enum LoadError {
    Store(StoreError),
    Read(RequestError<ReadError>),
    Split(SplitError),
    Checksum(Offset),
    Inflate(InflateError),
    Record(Offset),
    Replay(Offset, Unreadable),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(cause) => cause.fmt(f),
            Self::Read(cause) => write!(f, "{cause:?}"),
            Self::Split(cause) => cause.fmt(f),
            Self::Checksum(at) => write!(f, "the batch at offset {at} fails its checksum"),
            Self::Inflate(cause) => cause.fmt(f),
            Self::Record(at) => write!(f, "no record at offset {at}"),
            Self::Replay(at, cause) => write!(f, "offset {at}: {cause}"),
        }
    }
}

impl LoadError {
    /// Whether another try would fail as well, until the node is started again.
    fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Poisoned(_) | StoreError::Stopping)
        )
    }
}

/// Reads a part's records; it serves when this returns, or is closed. What failed is tried again,
/// later each time: a device that did not answer may answer, and others depend on the outcome.
pub(super) async fn load<D: Disk, M: Machine>(core: Rc<ShardCore<D>>, part: Rc<Part<M>>) {
    let mut pause = RETRY_FIRST;
    loop {
        while core.store.partition(part.id).is_none() {
            // Not made yet (the disk is full); whoever makes it tries again too.
            core.host.sleep(MISSING_PAUSE).await;
            if part.is_closed() {
                return;
            }
        }
        match load_once(&core, &part).await {
            Ok(()) => return,
            Err(error) if error.is_lasting() => {
                tracing::error!(id = %part.id, %error, "{} can't be loaded", M::NAME);
                part.close();
                return;
            }
            Err(error) => {
                let seconds = pause.as_secs();
                tracing::error!(id = %part.id, %error, seconds, "{} can't be loaded; tried again", M::NAME);
            }
        }
        core.host.sleep(pause).await;
        pause = (2 * pause).min(RETRY_LAST);
        if part.is_closed() {
            return;
        }
    }
}

async fn load_once<D: Disk, M: Machine>(
    core: &Rc<ShardCore<D>>,
    part: &Rc<Part<M>>,
) -> Result<(), LoadError> {
    let since = core.host.now().mono;
    let Some((mut machine, end)) = read_all(core, part).await? else {
        // Closed meanwhile.
        return Ok(());
    };
    machine.loaded(core, end);
    let now = core.host.now();
    let micros = now.mono.saturating_sub(since) / 1000;
    tracing::debug!(id = %part.id, records = end.0, micros, "{} loaded", M::NAME);
    part.activate(machine);
    let time = keep_time(Rc::downgrade(core), Rc::clone(part));
    core.host.spawn(Queue::Network, Box::pin(time));
    wake(core, part);
    M::seen(core, part, end);
    Ok(())
}

async fn read_all<D: Disk, M: Machine>(
    core: &Rc<ShardCore<D>>,
    part: &Part<M>,
) -> Result<Option<(M, Offset)>, LoadError> {
    let view = |id: PartitionId| {
        let view = core.store.partition(id);
        view.ok_or(LoadError::Store(StoreError::UnknownPartition(id)))
    };
    let end = view(part.id)?.log_end;
    let durable = core.store.durable(part.id, end).await;
    durable.map_err(LoadError::Store)?;
    let mut machine = M::empty(core);
    let mut at = view(part.id)?.log_start;
    let mut scratch = Scratch::default();
    while at < end {
        let request = ReadRequest {
            offset: at,
            bytes_max: READ_BYTES,
            min_one: true,
            isolation: Isolation::HighWatermark,
        };
        let bytes = core.store.read_copy(part.id, request).await;
        let bytes = bytes.map_err(LoadError::Read)?;
        let next = replay(&mut machine, &bytes, at, &mut scratch)?;
        if next <= at {
            return Err(LoadError::Record(at));
        }
        at = next;
        yield_now().await;
        if part.is_closed() {
            return Ok(None);
        }
    }
    Ok(Some((machine, end)))
}

/// Applies whole batches; the offset after the last one.
fn replay<M: Machine>(
    machine: &mut M,
    bytes: &[u8],
    from: Offset,
    scratch: &mut Scratch,
) -> Result<Offset, LoadError> {
    let mut next = from;
    for batch in split(bytes) {
        let batch = batch.map_err(LoadError::Split)?;
        if !batch.crc_matches() {
            return Err(LoadError::Checksum(batch.header().base_offset()));
        }
        replay_batch(machine, &batch, from, scratch)?;
        next = batch.header().next_offset();
    }
    Ok(next)
}

fn replay_batch<M: Machine>(
    machine: &mut M,
    batch: &BatchRef<'_>,
    from: Offset,
    scratch: &mut Scratch,
) -> Result<(), LoadError> {
    let header = batch.header();
    let base = header.base_offset();
    let attributes = header.attributes();
    let inflated;
    let payload = match attributes.codec() {
        Ok(Codec::None) => batch.payload(),
        Ok(codec) => {
            inflated = inflate(codec, batch.payload(), INFLATED_BYTES_MAX, scratch)
                .map_err(LoadError::Inflate)?;
            &inflated
        }
        Err(_) => return Err(LoadError::Record(base)),
    };
    let producer = match attributes.is_transactional() {
        true => header.producer_id(),
        false => ProducerId::NONE,
    };
    for record in Records::new(payload, header.record_count()) {
        let Ok(record) = record else {
            return Err(LoadError::Record(base));
        };
        let at = base.plus(i64::from(record.offset_delta));
        let key = record.key.unwrap_or_default();
        if at < from {
            continue;
        }
        if attributes.is_control() {
            match ControlType::of_key(key) {
                Some(ControlType::Commit) => machine.end_transaction(producer, true),
                Some(ControlType::Abort) => machine.end_transaction(producer, false),
                _ => {}
            }
            continue;
        }
        let replayed = machine.replay(at, producer, key, record.value);
        replayed.map_err(|cause| LoadError::Replay(at, cause))?;
    }
    Ok(())
}
