//! What stays of one batch. Pure.

use std::collections::BTreeMap;

use thalweg_wire::batch::rewrite::{Rewrite, frames};
use thalweg_wire::batch::{BatchRef, Codec, InflateError, Scratch, inflate};
use thalweg_wire::ids::{Offset, ProducerEpoch, ProducerId, TimestampMs};

use super::keys::KeyMap;
use super::txns::Transactions;
use crate::segment::txn_index::AbortedTxn;

/// Largest batch that is inflated; one beyond that stays as it is.
const INFLATED_BYTES_MAX: usize = 256 << 20;

/// What is known of a producer that is still remembered: its last batch must not go whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastOf {
    /// Last offset of its last batch of records; `None`: a marker is all there is.
    pub(crate) offset: Option<Offset>,
    pub(crate) epoch: ProducerEpoch,
}

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it.
    Whole,
    /// This, which may have no record.
    Part(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// What stays of a log's batches; fed with them in order.
pub(super) struct Filter<'a> {
    pub(super) keys: &'a KeyMap,
    pub(super) txns: Transactions,
    pub(super) producers: BTreeMap<ProducerId, LastOf>,
    pub(super) now: TimestampMs,
    pub(super) delete_retention_ms: i64,
    pub(super) scratch: Scratch,
    /// Aborted transactions whose markers stay, since the last `take_aborted`.
    pub(super) aborted: Vec<AbortedTxn>,
}

/// What is decided of a batch before its records are looked at.
#[derive(Clone, Copy)]
struct Verdict {
    /// No record of it stays.
    discard: bool,
    /// Its marker has nothing to mark any more.
    is_empty_marker: bool,
}

impl Filter<'_> {
    /// What stays of `batch`. With `must_stay` at least its empty form does.
    pub(super) fn keep(
        &mut self,
        batch: BatchRef<'_>,
        must_stay: bool,
    ) -> Result<Kept, InflateError> {
        let header = batch.header();
        let verdict = self.judge(batch);
        let must_stay = must_stay || self.is_last_of_producer(batch);
        if verdict.discard || header.record_count() == 0 {
            return match must_stay {
                true if header.record_count() == 0 => Ok(Kept::Whole),
                true => Rewrite::new(batch, None).finish().map(Kept::Part),
                false => Ok(Kept::Nothing),
            };
        }
        if header.attributes().is_control() {
            return self.keep_marker(batch, verdict);
        }
        if header.base_offset() >= self.keys.end() {
            return Ok(Kept::Whole);
        }
        self.keep_records(batch, must_stay)
    }

    /// The batch's place among the transactions.
    fn judge(&mut self, batch: BatchRef<'_>) -> Verdict {
        let header = batch.header();
        if !header.attributes().is_control() {
            return Verdict {
                discard: self.txns.on_records(header),
                is_empty_marker: false,
            };
        }
        let marked = self.txns.on_control(header, batch.payload());
        let is_over = header.delete_horizon().is_some_and(|at| at <= self.now);
        let discard = marked.is_empty && is_over;
        if !discard && header.record_count() > 0 {
            self.aborted.extend(marked.aborted);
        }
        Verdict {
            discard,
            is_empty_marker: marked.is_empty,
        }
    }

    fn is_last_of_producer(&self, batch: BatchRef<'_>) -> bool {
        let header = batch.header();
        let last = self.producers.get(&header.producer_id());
        last.is_some_and(|last| match last.offset {
            Some(offset) => header.last_offset() == offset,
            None => header.attributes().is_control() && header.producer_epoch() == last.epoch,
        })
    }

    /// A marker is given a horizon when it is first found to have nothing to mark.
    fn keep_marker(&self, batch: BatchRef<'_>, verdict: Verdict) -> Result<Kept, InflateError> {
        let header = batch.header();
        if !verdict.is_empty_marker || header.delete_horizon().is_some() {
            return Ok(Kept::Whole);
        }
        let mut marker = Rewrite::new(batch, Some(self.horizon()));
        for (frame, record) in frames(batch.payload(), header.record_count()) {
            marker.push(frame, &record);
        }
        marker.finish().map(Kept::Part)
    }

    fn horizon(&self) -> TimestampMs {
        TimestampMs(self.now.0.saturating_add(self.delete_retention_ms))
    }

    fn keep_records(&mut self, batch: BatchRef<'_>, must_stay: bool) -> Result<Kept, InflateError> {
        let header = batch.header();
        let inflated;
        let payload = match header.attributes().codec() {
            Ok(Codec::None) => batch.payload(),
            Ok(codec) => {
                inflated = inflate(
                    codec,
                    batch.payload(),
                    INFLATED_BYTES_MAX,
                    &mut self.scratch,
                )?;
                &inflated
            }
            Err(_) => return Ok(Kept::Whole),
        };
        let is_over = header.delete_horizon().is_some_and(|at| at <= self.now);
        let (mut all, mut has_tombstone) = (0, false);
        let mut kept = Vec::new();
        for (frame, record) in frames(payload, header.record_count()) {
            all += 1;
            let offset = header.base_offset().plus(i64::from(record.offset_delta));
            let stays = match record.key {
                _ if offset >= self.keys.end() => true,
                // A compacted topic takes none; one that became compacted may have some.
                None => false,
                Some(key) => {
                    self.keys.is_newest(key, offset) && (record.value.is_some() || !is_over)
                }
            };
            if stays {
                has_tombstone |= record.value.is_none();
                kept.push((frame, record));
            }
        }
        if all != header.record_count() {
            // Not what the header says: whoever reads it will tell.
            return Ok(Kept::Whole);
        }
        let horizon = (has_tombstone && header.delete_horizon().is_none()).then(|| self.horizon());
        if kept.len() == usize::try_from(all).unwrap_or(usize::MAX) && horizon.is_none() {
            return Ok(Kept::Whole);
        }
        if kept.is_empty() && !must_stay {
            return Ok(Kept::Nothing);
        }
        let mut part = Rewrite::new(batch, horizon);
        for (frame, record) in &kept {
            part.push(frame, record);
        }
        part.finish().map(Kept::Part)
    }
}

/// Puts a batch's keys into the map, unless its transaction was aborted. False if there is no room.
pub(super) fn map_keys(
    batch: BatchRef<'_>,
    txns: &mut Transactions,
    scratch: &mut Scratch,
    keys: &mut KeyMap,
) -> Result<bool, InflateError> {
    let header = batch.header();
    if header.attributes().is_control() {
        txns.on_control(header, batch.payload());
    } else if !txns.on_records(header) {
        let count = usize::try_from(header.record_count()).unwrap_or(0);
        // A batch larger than the whole map must not end the cleaning for ever.
        if !keys.has_room(count) && !keys.is_empty() {
            return Ok(false);
        }
        let inflated;
        let payload = match header.attributes().codec() {
            Ok(Codec::None) => batch.payload(),
            Ok(codec) => {
                inflated = inflate(codec, batch.payload(), INFLATED_BYTES_MAX, scratch)?;
                &inflated
            }
            Err(_) => &[],
        };
        for (_, record) in frames(payload, header.record_count()) {
            if let Some(key) = record.key {
                let offset = header.base_offset().plus(i64::from(record.offset_delta));
                keys.put(key, offset);
            }
        }
    }
    keys.looked_to(header.next_offset());
    Ok(true)
}
