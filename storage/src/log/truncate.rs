//! Cutting a log's end: records from an offset on are gone, as if they had never been.
//!
//! ```text
//! the newest producer snapshot below -> walk the batches from there up to the offset -> cut
//! ```
//! Nothing changes before the last step. The cut is at a batch's begin: if the offset lies inside
//! a batch, the whole batch goes. Snapshots are tried from the newest on; without any that can be
//! read, the walk begins with the log.
//!
//! Once the entries are durable, the caller unlinks [`Log::take_removed`] and writes
//! [`Log::index_images`]: until then the index files tell of what is gone, which a start learns
//! from [`Found::cut`](super::Found::cut). The segment's file keeps what lies behind the cut until those blocks are written again, or a
//! clean stop cuts it.

use std::sync::Arc;

use thalweg_wire::batch::BatchRef;
use thalweg_wire::ids::{Offset, TimestampMs};

use super::state::{Event, event_of};
use super::{Fed, Log, Need, ReadError, Step};
use crate::disk::{BLOCK_BYTES, IO_BYTES_MAX};
use crate::files::producers::{SnapshotEntry, decode_snapshot, entry_of};
use crate::journal::entry::{Entry, EntrySink, Place};
use crate::producers::Producers;
use crate::read::plan::{need_bytes, need_indexes};
use crate::segment::name::{Kind, file_name};
use crate::segment::segment::{Indexes, Segment, Window};
use crate::segment::time_index::TimeEntry;

/// A truncation that waits for bytes.
#[derive(Debug)]
pub struct TruncateQuery {
    offset: Offset,
    stage: Stage,
    need: Need,
}

#[derive(Debug)]
enum Stage {
    /// Gather the snapshot as of this offset.
    Snapshot { as_of: Offset, bytes: Vec<u8> },
    /// Walk up to the offset.
    Walk { at: Place, built: Built },
}

/// What the walk found out so far.
#[derive(Debug)]
struct Built {
    producers: Producers,
    /// The snapshot's offset: batches below are in it.
    as_of: Offset,
    /// Of the segment that is walked.
    max: TimeEntry,
    /// The offset after the batches walked.
    next: Offset,
}

enum Next {
    Stage(Stage),
    Need(Need, Stage),
    Cut { at: Place, built: Built },
}

impl Log {
    /// Takes the records from `offset` on out of the log; answers the log's new end.
    pub fn truncate_to(
        &mut self,
        offset: Offset,
        sink: &mut impl EntrySink,
    ) -> Result<Step<Offset, TruncateQuery>, ReadError> {
        if offset >= self.next {
            return Ok(Step::Done(self.next));
        }
        let stage = self.try_snapshot(offset.max(self.first_base()), offset);
        self.truncate(offset, (stage, Window::NONE), sink)
    }

    /// Goes on with a truncation that needed bytes.
    pub fn resume_truncate(
        &mut self,
        query: TruncateQuery,
        fed: Fed<'_>,
        sink: &mut impl EntrySink,
    ) -> Result<Step<Offset, TruncateQuery>, ReadError> {
        let TruncateQuery {
            offset,
            mut stage,
            need,
        } = query;
        let mut window = self.feed(&need, fed);
        if let (Stage::Snapshot { as_of, bytes }, Need::Bytes { bytes: asked, .. }) =
            (&mut stage, &need)
        {
            bytes.extend_from_slice(window.bytes);
            if window.bytes.len() < *asked {
                stage = match decode_snapshot(bytes) {
                    Ok(lines) => self.begin_walk(*as_of, &lines, offset),
                    Err(_) => self.try_snapshot(as_of.plus(-1), offset),
                };
            }
            window = Window::NONE;
        }
        self.truncate(offset, (stage, window), sink)
    }

    fn truncate(
        &mut self,
        offset: Offset,
        (mut stage, window): (Stage, Window<'_>),
        sink: &mut impl EntrySink,
    ) -> Result<Step<Offset, TruncateQuery>, ReadError> {
        loop {
            let next = match stage {
                Stage::Snapshot { as_of, bytes } => self.read_snapshot(as_of, bytes),
                Stage::Walk { at, built } => self.walk_to_cut(offset, at, (built, window))?,
            };
            match next {
                Next::Stage(next) => stage = next,
                Next::Need(need, stage) => {
                    let query = TruncateQuery {
                        offset,
                        stage,
                        need: need.clone(),
                    };
                    return Ok(Step::Need(need, query));
                }
                Next::Cut { at, built } => {
                    self.cut(at, built, sink);
                    return Ok(Step::Done(self.next));
                }
            }
        }
    }

    fn first_base(&self) -> Offset {
        self.segments.iter().next().map_or(Offset(0), |s| s.base)
    }

    /// The newest snapshot up to `limit` that may be there: the one on disk, or a segment's.
    fn try_snapshot(&self, limit: Offset, offset: Offset) -> Stage {
        let bases = self.segments.iter().map(|s| s.base);
        let known = bases
            .chain([self.snapshot_on_disk])
            .filter(|at| *at <= limit);
        let Some(as_of) = known.max().filter(|at| at.0 > 0) else {
            return self.begin_walk(Offset(0), &[], offset);
        };
        let before = self.segments.iter().find(|s| s.sealed && s.next == as_of);
        let held = before.and_then(|segment| segment.snapshot.as_deref());
        match held.map(decode_snapshot) {
            Some(Ok(lines)) => self.begin_walk(as_of, &lines, offset),
            _ => Stage::Snapshot {
                as_of,
                bytes: Vec::new(),
            },
        }
    }

    fn read_snapshot(&self, as_of: Offset, bytes: Vec<u8>) -> Next {
        let path = self.spec.dir.join(file_name(as_of, Kind::Snapshot));
        let need = Need::Bytes {
            path: Arc::from(path),
            segment: as_of,
            position: bytes.len() as u64,
            bytes: IO_BYTES_MAX,
        };
        Next::Need(need, Stage::Snapshot { as_of, bytes })
    }

    fn begin_walk(&self, as_of: Offset, lines: &[SnapshotEntry], offset: Offset) -> Stage {
        let mut producers = Producers::default();
        for line in lines {
            let mut entry = entry_of(line);
            // The next state entry is to hold all of them: newer snapshots may be void.
            entry.changed_at = offset;
            producers.restore(line.producer, entry);
        }
        let base = self
            .segments
            .floor(as_of)
            .map_or(self.first_base(), |s| s.base);
        self.walk_from(base, producers, as_of)
    }

    fn walk_from(&self, base: Offset, producers: Producers, as_of: Offset) -> Stage {
        Stage::Walk {
            at: Place {
                segment: base,
                position: 0,
            },
            built: Built {
                producers,
                as_of,
                max: TimeEntry {
                    timestamp: TimestampMs::NONE,
                    offset: base,
                },
                next: base,
            },
        }
    }

    fn walk_to_cut(
        &self,
        offset: Offset,
        at: Place,
        (mut built, window): (Built, Window<'_>),
    ) -> Result<Next, ReadError> {
        let Some(segment) = self.segments.get(at.segment) else {
            // Retention took it while the disk worked.
            let first = self.first_base();
            return Ok(Next::Stage(self.try_snapshot(offset.max(first), offset)));
        };
        let mut position = at.position;
        while position < segment.bytes {
            let place = Place { position, ..at };
            let again = |built| match need_walk(segment, position, window) {
                Some(need) => Ok(Next::Need(need, Stage::Walk { at: place, built })),
                None => Err(ReadError::Corrupt(place)),
            };
            let batch = match segment.header(position, window) {
                Ok(Some(batch)) => batch,
                Ok(None) => return Err(ReadError::Corrupt(place)),
                Err(_) => return again(built),
            };
            if batch.last >= offset {
                return Ok(cut_here(segment, place, built));
            }
            // Headers and markers are small; of data batches no more than that is looked at.
            let mut front = [0; 256];
            let front = &mut front[..usize::try_from(batch.bytes.min(256)).unwrap_or(256)];
            if segment.peek(position, window, front).is_err() {
                return again(built);
            }
            built.note(front, batch.max_timestamp, batch.last);
            position += batch.bytes;
        }
        let place = Place { position, ..at };
        let after = self.segments.after(at.segment);
        Ok(match after.filter(|after| after.base < offset) {
            Some(after) => Next::Stage(self.walk_from(after.base, built.producers, built.as_of)),
            None => cut_here(segment, place, built),
        })
    }

    /// Cuts: everything is known, nothing can fail.
    fn cut(&mut self, at: Place, built: Built, sink: &mut impl EntrySink) {
        while self.segments.active().base > at.segment {
            let Some(gone) = self.segments.pop_newest() else {
                break;
            };
            self.remove(&gone);
            self.removed.push(gone.file(Kind::Snapshot));
        }
        let end = built.next;
        if self.snapshot_on_disk > end {
            let path = file_name(self.snapshot_on_disk, Kind::Snapshot);
            self.removed.push(self.spec.dir.join(path));
            self.snapshot_on_disk = Offset(0);
        }
        let base = self.segments.active().base;
        self.removed
            .push(self.segments.active().file(Kind::TxnIndex));
        self.indexes_held.retain(|held| *held != base);
        let active = self.segments.active_mut();
        active.cut(at.position, end, built.max);
        self.carry_due &= active.chain.is_some();
        self.producers = built.producers;
        self.next = end;
        self.log_start = self.log_start.min(end);
        self.start_shown = self.start_shown.min(end);
        self.waiting.retain(|(next, _)| *next <= end);
        if self.durable.0 >= end {
            self.durable = (end, at);
        }
        self.high_watermark = self.high_watermark.min(end);
        self.producers.on_high_watermark(self.high_watermark);
        self.epochs.cut_end(end);
        self.hints.clear();
        sink.push(Entry::TruncateTo {
            partition: self.spec.id,
            offset: end,
            place: at,
        });
        self.state_entries(sink);
    }
}

impl Built {
    fn note(&mut self, front: &[u8], max_timestamp: TimestampMs, last: Offset) {
        self.next = last.plus(1);
        if max_timestamp > self.max.timestamp {
            self.max = TimeEntry {
                timestamp: max_timestamp,
                offset: last,
            };
        }
        let Some(header) = thalweg_wire::batch::BatchHeader::of(front) else {
            return;
        };
        let payload = BatchRef::first(front).map_or(&[][..], |batch| batch.payload());
        if header.base_offset() < self.as_of {
            return;
        }
        match event_of(header, payload) {
            Some(Event::Data(batch)) => self.producers.on_batch(&batch),
            Some(Event::Marker { marker, .. }) => {
                self.producers.on_marker(&marker);
            }
            None => {}
        }
    }
}

/// The cut needs the segment's indexes.
fn cut_here(segment: &Segment, at: Place, built: Built) -> Next {
    match segment.indexes {
        Indexes::OnDisk => Next::Need(need_indexes(segment), Stage::Walk { at, built }),
        Indexes::Held(..) => Next::Cut { at, built },
    }
}

/// A read for the batch at `position`; `None` if just that was read.
fn need_walk(segment: &Segment, position: u64, window: Window<'_>) -> Option<Need> {
    let block = position - position % BLOCK_BYTES as u64;
    (!window.holds(segment.base, block)).then(|| need_bytes(segment, position, IO_BYTES_MAX))
}
