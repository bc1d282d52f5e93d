//! What a sink with memory was sent: one log a partition, served as it came or, on demand, wrong.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use thalweg_wire::batch::assign::{Stamp, assign};
use thalweg_wire::batch::header::BatchRef;
use thalweg_wire::ids::{Epoch, Offset};

/// What is done to one batch of a partition, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// A bit of its records is turned.
    Flip,
    /// It is acknowledged and not kept.
    Lose,
    /// It is kept twice.
    Repeat,
    /// It is refused and not kept: no fault that a consumer may complain of.
    Refuse,
    /// The connection ends without an answer, before it is kept or after: a broker's end.
    HangUpBefore,
    HangUpAfter,
}

/// Why a batch is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    Code(i16),
    HangUp,
}

/// Refused for want of replicas: what a client may try again.
pub(super) const REFUSED_CODE: i16 = 19;

/// The logs of one topic.
#[derive(Debug)]
pub struct Kept {
    logs: Mutex<BTreeMap<i32, Log>>,
    grown: Condvar,
    fault: Fault,
    /// Which batch of each partition it hits.
    fault_at: usize,
}

#[derive(Debug, Default)]
struct Log {
    /// Whole batches with their offsets, and where each begins.
    batches: Vec<(i64, Vec<u8>)>,
    /// By producer id: its last batch's sequence and offset, so that one sent again is known.
    last: BTreeMap<i64, (i32, i64)>,
    end: i64,
    seen: usize,
}

impl Kept {
    #[must_use]
    pub fn new(fault: Fault, fault_at: usize) -> Self {
        Self {
            logs: Mutex::new(BTreeMap::new()),
            grown: Condvar::new(),
            fault,
            fault_at,
        }
    }

    /// Keeps one batch; its offset, or why there is none.
    pub(super) fn append(&self, partition: i32, batch: &[u8]) -> Result<i64, Unanswered> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let log = logs.entry(partition).or_default();
        let fault = match log.seen == self.fault_at {
            true => self.fault,
            false => Fault::None,
        };
        log.seen += 1;
        if let Some(offset) = log.known(batch) {
            return Ok(offset);
        }
        let offset = log.end;
        match fault {
            Fault::Refuse => return Err(Unanswered::Code(REFUSED_CODE)),
            Fault::HangUpBefore => return Err(Unanswered::HangUp),
            Fault::Lose => return Ok(offset),
            Fault::None | Fault::Flip | Fault::HangUpAfter => log.push(batch.to_vec()),
            Fault::Repeat => {
                log.push(batch.to_vec());
                log.push(batch.to_vec());
            }
        }
        if fault == Fault::Flip
            && let Some((_, bytes)) = log.batches.last_mut()
            && let Some(last) = bytes.last_mut()
        {
            *last ^= 1;
        }
        self.grown.notify_all();
        match fault {
            Fault::HangUpAfter => Err(Unanswered::HangUp),
            _ => Ok(offset),
        }
    }

    pub(super) fn end(&self, partition: i32) -> i64 {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.get(&partition).map_or(0, |log| log.end)
    }

    /// Batches from this offset on, up to so many bytes but at least one.
    pub(super) fn read(&self, partition: i32, offset: i64, bytes_max: usize) -> Vec<u8> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<u8> = Vec::new();
        let Some(log) = logs.get(&partition) else {
            return found;
        };
        let first = log.batches.partition_point(|(base, _)| *base <= offset);
        let mut batches = log.batches.iter().skip(first.saturating_sub(1));
        if offset >= log.end {
            return found;
        }
        for (_, batch) in batches.by_ref() {
            if !found.is_empty() && found.len() + batch.len() > bytes_max {
                break;
            }
            found.extend_from_slice(batch);
        }
        found
    }

    /// Waits until something was kept, but not for ever.
    pub(super) fn wait(&self, time: Duration) {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        // Woken or not, the caller looks again.
        drop(self.grown.wait_timeout(logs, time));
    }
}

impl Log {
    /// The offset of a producer's last batch, if this is that one again.
    fn known(&self, batch: &[u8]) -> Option<i64> {
        let batch = BatchRef::first(batch).ok()?;
        let header = batch.header();
        let (sequence, offset) = self.last.get(&header.producer_id().0)?;
        (*sequence == header.base_sequence().0).then_some(*offset)
    }

    fn push(&mut self, mut batch: Vec<u8>) {
        let Ok(found) = BatchRef::first(&batch) else {
            return;
        };
        let header = found.header();
        let count = header.record_count();
        if header.producer_id().0 >= 0 {
            let place = (header.base_sequence().0, self.end);
            self.last.insert(header.producer_id().0, place);
        }
        assign(&mut batch, Offset(self.end), Epoch(0), Stamp::Keep);
        self.batches.push((self.end, batch));
        self.end += i64::from(count);
    }
}
