//! Offset -> pieces: where the first batch begins, where the last one ends. Pure.
//!
//! The *begin* is exact: from a hint, or by walking batch headers from the index's floor. The
//! *end* is the last batch border within `bytes_max` and below `upper`: exact where the headers
//! are in memory; in a file, at the last index entry, so that no header needs to be read (fetches
//! of old data end up to one index interval early). Only if that gives nothing are headers walked.
//!
//! Where a plan ended, the next one of the same reader begins: [`ReadHints`] remembers it. The
//! offset there is known from the walk, or from the index for entries made in this run; else the
//! next read looks at the header at the hinted place before it walks from the index's floor.

use std::collections::VecDeque;

use thalweg_wire::ids::Offset;

use crate::disk::BLOCK_BYTES;
use crate::journal::entry::Place;
use crate::log::{Fed, Log, Need, Piece, ReadError, ReadPlace, ReadPlan, ReadSpec, Step};
use crate::segment::BatchFacts;
use crate::segment::bad::BadRange;
use crate::segment::index::OffsetIndex;
use crate::segment::name::Kind;
use crate::segment::segment::{Indexes, Segment, Walked, Window};
use crate::segment::time_index::TimeIndex;

/// Bytes read to walk headers: an index interval of small batches, or one header of a large one.
const WALK_BYTES: usize = 2 * BLOCK_BYTES;
/// Readers of one partition whose next place is remembered.
const HINTS_MAX: usize = 16;

/// Where readers go on.
#[derive(Debug, Default)]
pub(crate) struct ReadHints {
    hints: VecDeque<Hint>,
}

/// A batch begins at `place`; its first offset is one of `lowest..=highest`.
#[derive(Clone, Copy, Debug)]
struct Hint {
    lowest: Offset,
    highest: Offset,
    place: Place,
}

impl ReadHints {
    fn put(&mut self, hint: Hint) {
        self.hints.retain(|old| old.place != hint.place);
        if self.hints.len() == HINTS_MAX {
            self.hints.pop_front();
        }
        self.hints.push_back(hint);
    }

    fn get(&self, offset: Offset) -> Option<Hint> {
        let holds = |hint: &&Hint| hint.lowest <= offset && offset <= hint.highest;
        // An exact one first: it needs no look at the disk.
        let found = self.hints.iter().filter(holds);
        found.min_by_key(|h| h.highest.0 - h.lowest.0).copied()
    }

    /// Forgets all: the log was cut.
    pub(crate) fn clear(&mut self) {
        self.hints.clear();
    }
}

/// A read that waits for bytes.
#[derive(Debug)]
pub struct ReadQuery {
    spec: ReadSpec,
    stage: Stage,
    need: Need,
    /// Of the log when this was asked.
    swaps: u64,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Look for the segment and a place to walk from.
    Find,
    /// Walk to the batch of the offset; `guessed`: the place is only a hint.
    Walk { at: Place, guessed: bool },
    /// The first batch begins here; look for the end.
    End { from: Place },
}

/// What a stage came to.
enum Next {
    Stage(Stage),
    Need(Need, Stage),
    Done(ReadPlan),
}

impl Log {
    /// Plans a read.
    pub fn read(&mut self, spec: ReadSpec) -> Result<Step<ReadPlan, ReadQuery>, ReadError> {
        self.plan(&spec, Stage::Find, Window::NONE)
    }

    /// Goes on with a read that needed bytes.
    pub fn resume_read(
        &mut self,
        query: ReadQuery,
        fed: Fed<'_>,
    ) -> Result<Step<ReadPlan, ReadQuery>, ReadError> {
        if query.swaps != self.swaps {
            // Places of then mean nothing now.
            return self.read(query.spec);
        }
        let window = self.feed(&query.need, fed);
        self.plan(&query.spec, query.stage, window)
    }

    /// The pieces of bytes that were planned before, as they lie now; `None` if they are gone.
    pub(crate) fn replan(&self, from: ReadPlace, bytes: usize) -> Option<ReadPlan> {
        let ReadPlace {
            place: from,
            generation,
        } = from;
        let segment = self.segments.get(from.segment);
        let segment = segment
            .filter(|segment| segment.generation == generation)
            .or_else(|| self.retired(from.segment, generation))?;
        let end = from.position + bytes as u64;
        (end <= segment.bytes).then(|| pieces(segment, from.position, end))
    }

    /// Takes what was read: indexes stay, bytes are for this step.
    pub(crate) fn feed<'a>(&mut self, need: &Need, fed: Fed<'a>) -> Window<'a> {
        match (need, fed) {
            (
                Need::Bytes {
                    segment, position, ..
                },
                Fed::Bytes(bytes),
            ) => Window {
                segment: *segment,
                position: *position,
                bytes,
            },
            (Need::Indexes { segment: base, .. }, Fed::Indexes { index, time_index }) => {
                if let Some(segment) = self.segments.get_mut(*base) {
                    let index = OffsetIndex::from_bytes(*base, index, segment.bytes);
                    let time_index = TimeIndex::from_bytes(*base, time_index);
                    segment.indexes = Indexes::Held(index, time_index);
                    self.hold_indexes(*base);
                }
                Window::NONE
            }
            _ => {
                debug_assert!(false, "an answer to another need");
                Window::NONE
            }
        }
    }

    fn plan(
        &mut self,
        spec: &ReadSpec,
        mut stage: Stage,
        window: Window<'_>,
    ) -> Result<Step<ReadPlan, ReadQuery>, ReadError> {
        let log_start = self.view().log_start;
        if spec.offset < log_start || spec.offset > self.next {
            return Err(ReadError::OutOfRange {
                offset: spec.offset,
                log_start,
                log_end: self.next,
            });
        }
        if spec.offset >= spec.upper {
            return Ok(Step::Done(ReadPlan::default()));
        }
        loop {
            let next = match stage {
                Stage::Find => self.find(spec),
                Stage::Walk { at, guessed } => self.walk(spec, at, guessed, window)?,
                Stage::End { from } => self.end(spec, from, window)?,
            };
            match next {
                Next::Stage(next) => stage = next,
                Next::Need(need, stage) => {
                    let query = ReadQuery {
                        spec: *spec,
                        stage,
                        need: need.clone(),
                        swaps: self.swaps,
                    };
                    return Ok(Step::Need(need, query));
                }
                Next::Done(plan) => return Ok(Step::Done(plan)),
            }
        }
    }

    fn find(&self, spec: &ReadSpec) -> Next {
        if let Some(hint) = self.hints.get(spec.offset)
            && self.segments.get(hint.place.segment).is_some()
        {
            let exact = hint.lowest == hint.highest;
            return Next::Stage(if exact {
                Stage::End { from: hint.place }
            } else {
                Stage::Walk {
                    at: hint.place,
                    guessed: true,
                }
            });
        }
        self.find_by_index(spec.offset)
    }

    fn find_by_index(&self, offset: Offset) -> Next {
        let Some(segment) = self.segments.floor(offset) else {
            return Next::Done(ReadPlan::default());
        };
        match segment.floor(offset) {
            Some(position) => Next::Stage(Stage::Walk {
                at: Place {
                    segment: segment.base,
                    position,
                },
                guessed: false,
            }),
            None => Next::Need(need_indexes(segment), Stage::Find),
        }
    }

    fn walk(
        &self,
        spec: &ReadSpec,
        at: Place,
        guessed: bool,
        window: Window<'_>,
    ) -> Result<Next, ReadError> {
        let Some(segment) = self.segments.get(at.segment) else {
            // Retention took it while the disk worked.
            return Ok(self.find_by_index(spec.offset));
        };
        if at.position == 0 && spec.offset <= segment.base && segment.bytes > 0 {
            // The first batch of the segment, whichever that is.
            return Ok(Next::Stage(Stage::End { from: at }));
        }
        let passed = |batch: &BatchFacts| guessed && batch.base > spec.offset;
        let is_it = |batch: &BatchFacts| batch.last >= spec.offset || passed(batch);
        let place = |position| Place { position, ..at };
        match segment.walk(at.position, window, is_it) {
            Walked::Found(_, batch) if passed(&batch) => Ok(self.find_by_index(spec.offset)),
            Walked::Found(position, _) => Ok(Next::Stage(Stage::End {
                from: place(position),
            })),
            Walked::Corrupt(position) => Err(ReadError::Corrupt(place(position))),
            Walked::Bad(bad) => past(&bad, spec.offset, at.segment),
            Walked::Unread(position) => {
                let need = need_more(segment, position, WALK_BYTES, window)?;
                let at = place(position);
                Ok(Next::Need(need, Stage::Walk { at, guessed }))
            }
            // Nothing at or after the offset here; compaction leaves such ends.
            Walked::Passed => Ok(match self.segments.begin_after(at.segment) {
                Some(at) => Next::Stage(Stage::Walk { at, guessed: false }),
                None => Next::Done(ReadPlan::default()),
            }),
        }
    }

    fn end(&mut self, spec: &ReadSpec, from: Place, window: Window<'_>) -> Result<Next, ReadError> {
        let Some(segment) = self.segments.get(from.segment) else {
            return Ok(self.find_by_index(spec.offset));
        };
        let Indexes::Held(index, _) = &segment.indexes else {
            return Ok(Next::Need(need_indexes(segment), Stage::End { from }));
        };
        if from.position >= segment.bytes {
            return Ok(Next::Stage(Stage::Walk {
                at: from,
                guessed: false,
            }));
        }
        if let Some(bad) = segment.bad.at(from.position) {
            return past(&bad, spec.offset, from.segment);
        }
        let known_end = self.known_end(segment, spec.upper);
        let wanted = from.position + spec.bytes_max as u64;
        let wanted = wanted.min(segment.bad.next_from(from.position));
        if let Some((end, next)) =
            known_end.filter(|(end, _)| *end <= wanted && *end > from.position)
        {
            return Ok(Next::Done(self.finish(from, end, Some(next))));
        }
        let entry = index.floor_position(wanted);
        let entry = if entry.offset > spec.upper {
            index.floor(spec.upper)
        } else {
            entry
        };
        let start = entry.position.max(from.position);
        let border = walk_to(segment, (start, wanted), spec.upper, window);
        let (end, next) = match border {
            Ok(border) => border,
            Err(corrupt) => {
                let place = Place {
                    position: corrupt,
                    ..from
                };
                return Err(ReadError::Corrupt(place));
            }
        };
        if end > from.position {
            let next = next.or_else(|| index.first_offset(end));
            return Ok(Next::Done(self.finish(from, end, next)));
        }
        // Not even the first batch fits, or it is not known whether it does.
        match segment.header(from.position, window) {
            Err(_) => {
                let need = need_more(segment, from.position, WALK_BYTES, window)?;
                Ok(Next::Need(need, Stage::End { from }))
            }
            Ok(None) => Err(ReadError::Corrupt(from)),
            Ok(Some(batch)) if spec.min_one && batch.last < spec.upper => {
                let end = from.position + batch.bytes;
                Ok(Next::Done(self.finish(from, end, Some(batch.last.plus(1)))))
            }
            Ok(Some(_)) => Ok(Next::Done(ReadPlan::default())),
        }
    }

    /// Where the visible part of a segment ends, if that is known without a look at headers.
    fn known_end(&self, segment: &Segment, upper: Offset) -> Option<(u64, Offset)> {
        if upper >= segment.next {
            return Some((segment.bytes, segment.next));
        }
        let (durable, place) = self.durable_end();
        (upper == durable && place.segment == segment.base).then_some((place.position, durable))
    }

    /// Makes the pieces, and remembers where the reader goes on.
    fn finish(&mut self, from: Place, end: u64, next: Option<Offset>) -> ReadPlan {
        let Some(segment) = self.segments.get(from.segment) else {
            return ReadPlan::default();
        };
        let place = Place {
            position: end,
            ..from
        };
        let offsets = match (next, &segment.indexes) {
            (Some(next), _) => Some((next, next)),
            (None, Indexes::Held(index, _)) => {
                let before = index.floor_position(end.saturating_sub(1));
                Some((before.offset.plus(1), index.floor_position(end).offset))
            }
            (None, Indexes::OnDisk) => None,
        };
        let plan = pieces(segment, from.position, end);
        if let Some((lowest, highest)) = offsets {
            self.hints.put(Hint {
                lowest,
                highest,
                place,
            });
        }
        plan
    }
}

/// A read that comes to a quarantined range: it goes on behind it, unless what it wants lies there.
fn past(bad: &BadRange, offset: Offset, segment: Offset) -> Result<Next, ReadError> {
    let place = |position| Place { segment, position };
    if offset < bad.next {
        return Err(ReadError::Quarantined {
            place: place(bad.from),
            next: bad.next,
        });
    }
    Ok(Next::Stage(Stage::Walk {
        at: place(bad.to),
        guessed: false,
    }))
}

/// The last batch border between `range` that is known: up to `range.1` and below `upper`. `start`
/// itself is one. The offset after it is known if a batch was walked. `Err`: no batch begins there.
fn walk_to(
    segment: &Segment,
    range: (u64, u64),
    upper: Offset,
    window: Window<'_>,
) -> Result<(u64, Option<Offset>), u64> {
    let (mut position, wanted) = range;
    let mut next = None;
    while position < segment.bytes.min(wanted) {
        let batch: BatchFacts = match segment.header(position, window) {
            Ok(Some(batch)) => batch,
            Ok(None) => return Err(position),
            Err(_) => break,
        };
        if position + batch.bytes > wanted || batch.last >= upper {
            // The batch at the border tells which offset comes there.
            return Ok((position, next.or(Some(batch.base))));
        }
        position += batch.bytes;
        next = Some(batch.last.plus(1));
    }
    Ok((position, next))
}

/// The bytes `from..end` of a segment: what memory holds from there, the rest from the file.
fn pieces(segment: &Segment, from: u64, end: u64) -> ReadPlan {
    let bytes = |from: u64, to: u64| usize::try_from(to - from).expect("a plan fits memory");
    let memory = segment.memory_start().clamp(from, end);
    let mut plan = ReadPlan {
        pieces: Vec::new(),
        bytes: bytes(from, end),
        place: Some(ReadPlace {
            place: Place {
                segment: segment.base,
                position: from,
            },
            generation: segment.generation,
        }),
    };
    if memory > from {
        debug_assert!(memory <= segment.moved);
        plan.pieces.push(Piece::File {
            path: segment.path.clone(),
            segment: segment.base,
            position: from,
            bytes: bytes(from, memory),
        });
    }
    if let Some(chain) = segment.chain.as_ref().filter(|_| memory < end) {
        let slices = chain.slices(memory..end);
        plan.pieces.extend(slices.into_iter().map(Piece::Memory));
    }
    plan
}

/// A read of the log from `missing` on; if just that was read, the file lacks what it must hold.
pub(crate) fn need_more(
    segment: &Segment,
    missing: u64,
    bytes: usize,
    window: Window<'_>,
) -> Result<Need, ReadError> {
    let need = need_bytes(segment, missing, bytes);
    match &need {
        Need::Bytes { position, .. } if window.holds(segment.base, *position) => {
            Err(ReadError::Corrupt(Place {
                segment: segment.base,
                position: missing,
            }))
        }
        _ => Ok(need),
    }
}

/// A read of `bytes` of the log around `position`, in whole blocks.
pub(crate) fn need_bytes(segment: &Segment, position: u64, bytes: usize) -> Need {
    Need::Bytes {
        path: segment.path.clone(),
        segment: segment.base,
        position: position - position % BLOCK_BYTES as u64,
        bytes: bytes.next_multiple_of(BLOCK_BYTES),
    }
}

pub(crate) fn need_indexes(segment: &Segment) -> Need {
    Need::Indexes {
        segment: segment.base,
        index: segment.file(Kind::Index),
        time_index: segment.file(Kind::TimeIndex),
    }
}
