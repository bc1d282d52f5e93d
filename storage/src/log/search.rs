//! Offset by time: the first record with a timestamp or later, or the one with the largest.
//!
//! Segment by its largest timestamp, place by the time index, batch by its header, record by
//! walking the batch, which is inflated if need be. A batch that claims a timestamp that none of
//! its records has is passed over.

use std::sync::Arc;

use thalweg_wire::batch::{BatchRef, Codec, Records, Scratch, inflate};
use thalweg_wire::ids::{Offset, TimestampMs};

use super::{Fed, FoundOffset, Log, Need, ReadError, Step, TimestampQuery};
use crate::disk::BLOCK_BYTES;
use crate::journal::entry::Place;
use crate::read::plan::{need_indexes, need_more};
use crate::segment::BatchFacts;
use crate::segment::name::Kind;
use crate::segment::segment::{Indexes, Segment, Walked, Window};
use crate::segment::time_index::{self, TimeEntry, TimeIndex};

/// Largest batch that a search inflates. Larger ones are answered with their first record.
const INFLATED_BYTES_MAX: usize = 256 << 20;
/// Bytes read at a time to find a batch.
const SCAN_BYTES: usize = 64 * 1024;

/// A search by time that waits for bytes.
#[derive(Debug)]
pub struct TimestampSearch {
    query: TimestampQuery,
    upper: Offset,
    stage: Stage,
    need: Need,
    /// Of the log when this was asked.
    swaps: u64,
}

#[derive(Debug)]
enum Stage {
    /// Find the segment.
    Segment,
    /// Find the batch, from here on.
    Batch { at: Place, target: Target },
    /// Gather the bytes of the batch at this place.
    Record {
        at: Place,
        target: Target,
        gathered: Gathered,
    },
}

#[derive(Clone, Copy, Debug)]
struct Target {
    timestamp: TimestampMs,
    /// Records below are not looked at.
    from: Offset,
}

/// The front of a batch of `total` bytes.
#[derive(Debug)]
struct Gathered {
    total: u64,
    bytes: Vec<u8>,
}

enum Next {
    Stage(Stage),
    Need(Need, Stage),
    Done(Option<FoundOffset>),
}

impl Log {
    /// Finds an offset by time, below `upper`.
    pub fn offset_for_timestamp(
        &mut self,
        query: TimestampQuery,
        upper: Offset,
    ) -> Result<Step<Option<FoundOffset>, TimestampSearch>, ReadError> {
        let of = |offset| FoundOffset {
            timestamp: TimestampMs::NONE,
            offset,
            epoch: self.epochs.at(offset),
        };
        match query {
            TimestampQuery::Earliest => Ok(Step::Done(Some(of(self.start_shown)))),
            TimestampQuery::Latest => Ok(Step::Done(Some(FoundOffset {
                epoch: self.epochs.latest(),
                ..of(upper)
            }))),
            TimestampQuery::Max | TimestampQuery::AtOrAfter(_) => {
                self.search((query, upper), Stage::Segment, Window::NONE)
            }
        }
    }

    /// Goes on with a search that needed bytes.
    pub fn resume_search(
        &mut self,
        search: TimestampSearch,
        fed: Fed<'_>,
    ) -> Result<Step<Option<FoundOffset>, TimestampSearch>, ReadError> {
        if search.swaps != self.swaps {
            let asked = (search.query, search.upper);
            return self.search(asked, Stage::Segment, Window::NONE);
        }
        let mut window = self.feed(&search.need, fed);
        if let (Stage::Segment, Need::Bytes { segment, .. }) = (&search.stage, &search.need) {
            // These were bytes of the time index, not of the log.
            self.feed_max(*segment, std::mem::replace(&mut window, Window::NONE));
        }
        self.search((search.query, search.upper), search.stage, window)
    }

    fn search(
        &mut self,
        (query, upper): (TimestampQuery, Offset),
        mut stage: Stage,
        window: Window<'_>,
    ) -> Result<Step<Option<FoundOffset>, TimestampSearch>, ReadError> {
        loop {
            let next = match stage {
                Stage::Segment => self.find_segment(query),
                Stage::Batch { at, target } => self.find_batch(at, target, window)?,
                Stage::Record {
                    at,
                    target,
                    gathered,
                } => self.find_record(at, target, (gathered, window))?,
            };
            match next {
                Next::Stage(next) => stage = next,
                Next::Done(found) => {
                    return Ok(Step::Done(found.filter(|found| found.offset < upper)));
                }
                Next::Need(need, stage) => {
                    let search = TimestampSearch {
                        query,
                        upper,
                        stage,
                        need: need.clone(),
                        swaps: self.swaps,
                    };
                    return Ok(Step::Need(need, search));
                }
            }
        }
    }

    fn find_segment(&self, query: TimestampQuery) -> Next {
        let mut best: Option<(&Segment, TimeEntry)> = None;
        for segment in self.segments.iter().filter(|s| s.bytes > 0) {
            let Some(max) = segment.max else {
                return Next::Need(need_max(segment), Stage::Segment);
            };
            match query {
                TimestampQuery::AtOrAfter(timestamp) if max.timestamp >= timestamp => {
                    best = Some((segment, max));
                    break;
                }
                TimestampQuery::Max if best.is_none_or(|(_, b)| max.timestamp > b.timestamp) => {
                    best = Some((segment, max));
                }
                _ => {}
            }
        }
        let Some((segment, max)) = best.filter(|(_, max)| max.timestamp.0 >= 0) else {
            return Next::Done(None);
        };
        let Indexes::Held(index, time_index) = &segment.indexes else {
            return Next::Need(need_indexes(segment), Stage::Segment);
        };
        let (timestamp, near) = match query {
            TimestampQuery::AtOrAfter(timestamp) => (timestamp, time_index.floor(timestamp).offset),
            _ => (max.timestamp, max.offset),
        };
        let from = self.start_shown;
        Next::Stage(Stage::Batch {
            at: Place {
                segment: segment.base,
                position: index.floor(near.max(from)).position,
            },
            target: Target { timestamp, from },
        })
    }

    fn find_batch(&self, at: Place, target: Target, window: Window<'_>) -> Result<Next, ReadError> {
        let Some(segment) = self.segments.get(at.segment) else {
            return Ok(Next::Stage(Stage::Segment));
        };
        let is_it = |batch: &BatchFacts| {
            batch.max_timestamp >= target.timestamp && batch.last >= target.from
        };
        let place = |position| Place { position, ..at };
        match segment.walk(at.position, window, is_it) {
            Walked::Found(position, batch) => Ok(Next::Stage(Stage::Record {
                at: place(position),
                target,
                gathered: Gathered {
                    total: batch.bytes,
                    bytes: Vec::new(),
                },
            })),
            Walked::Corrupt(position) => Err(ReadError::Corrupt(place(position))),
            Walked::Bad(bad) => Ok(Next::Stage(Stage::Batch {
                at: place(bad.to),
                target,
            })),
            Walked::Unread(position) => {
                let need = need_more(segment, position, SCAN_BYTES, window)?;
                let at = place(position);
                Ok(Next::Need(need, Stage::Batch { at, target }))
            }
            // The time index of this segment promised too much: go on behind it.
            Walked::Passed => Ok(match self.segments.begin_after(at.segment) {
                Some(at) => Next::Stage(Stage::Batch { at, target }),
                None => Next::Done(None),
            }),
        }
    }

    fn find_record(
        &self,
        at: Place,
        target: Target,
        (gathered, window): (Gathered, Window<'_>),
    ) -> Result<Next, ReadError> {
        let Some(segment) = self.segments.get(at.segment) else {
            return Ok(Next::Stage(Stage::Segment));
        };
        let Gathered { total, mut bytes } = gathered;
        while (bytes.len() as u64) < total {
            let from = bytes.len();
            let position = at.position + from as u64;
            let take = segment.run(position, window).min(total - from as u64);
            let take = usize::try_from(take).expect("a batch fits memory");
            bytes.resize(from + take, 0);
            let peeked = segment.peek(position, window, &mut bytes[from..]);
            if take == 0 || peeked.is_err() {
                bytes.truncate(from);
                let need = need_more(segment, position, SCAN_BYTES, window)?;
                let gathered = Gathered { total, bytes };
                let stage = Stage::Record {
                    at,
                    target,
                    gathered,
                };
                return Ok(Next::Need(need, stage));
            }
        }
        let batch = BatchRef::first(&bytes).or(Err(ReadError::Corrupt(at)))?;
        match record_of(&batch, target) {
            Some(found) => Ok(Next::Done(Some(found))),
            None => Ok(Next::Stage(Stage::Batch {
                at: Place {
                    position: at.position + total,
                    ..at
                },
                target,
            })),
        }
    }

    /// Takes the end of a `.timeindex`: its last entry has the segment's largest timestamp.
    pub(super) fn feed_max(&mut self, base: Offset, window: Window<'_>) {
        let Some(segment) = self.segments.get_mut(base) else {
            return;
        };
        let entries = segment.time_index_bytes / time_index::ENTRY_BYTES as u64;
        let last = entries.saturating_sub(1) * time_index::ENTRY_BYTES as u64;
        let skip = usize::try_from(last.saturating_sub(window.position)).unwrap_or(usize::MAX);
        let entry = window.bytes.get(skip..).and_then(|b| b.first_chunk::<12>());
        let entry = entry.map(|e| TimeIndex::from_bytes(base, e.to_vec()).last());
        segment.max = Some(entry.unwrap_or(TimeEntry {
            timestamp: TimestampMs::NONE,
            offset: base,
        }));
    }
}

/// A read of the last entry of a segment's `.timeindex`.
pub(super) fn need_max(segment: &Segment) -> Need {
    let entries = segment.time_index_bytes / time_index::ENTRY_BYTES as u64;
    let last = entries.saturating_sub(1) * time_index::ENTRY_BYTES as u64;
    Need::Bytes {
        path: Arc::from(segment.file(Kind::TimeIndex)),
        segment: segment.base,
        position: last - last % BLOCK_BYTES as u64,
        bytes: 2 * BLOCK_BYTES,
    }
}

/// The first record of a batch that has the time and is not below the first offset wanted.
fn record_of(batch: &BatchRef<'_>, target: Target) -> Option<FoundOffset> {
    let header = batch.header();
    let found = |offset, timestamp| FoundOffset {
        timestamp,
        offset,
        epoch: header.leader_epoch(),
    };
    let first = header.base_offset().max(target.from);
    if header.attributes().is_log_append_time() {
        return Some(found(first, header.max_timestamp()));
    }
    let inflated;
    let payload = match header.attributes().codec() {
        Ok(Codec::None) => batch.payload(),
        Ok(codec) => {
            let mut scratch = Scratch::default();
            let result = inflate(codec, batch.payload(), INFLATED_BYTES_MAX, &mut scratch);
            let Ok(bytes) = result else {
                return Some(found(first, header.max_timestamp()));
            };
            inflated = bytes;
            &inflated
        }
        Err(_) => return Some(found(first, header.max_timestamp())),
    };
    for record in Records::new(payload, header.record_count()) {
        let record = record.ok()?;
        let offset = header.base_offset().plus(i64::from(record.offset_delta));
        let base = header.base_timestamp().0;
        let timestamp = TimestampMs(base.saturating_add(record.timestamp_delta));
        if timestamp >= target.timestamp && offset >= target.from {
            return Some(found(offset, timestamp));
        }
    }
    None
}
