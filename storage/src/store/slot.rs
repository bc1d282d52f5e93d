//! A partition as its shard's store holds it: its log, and what the journal still holds of it.
//!
//! Which journal files a partition pins is known from two things:
//! - `pinned`: no live entry of it lies in an older round.
//! - `marks`: bytes at and after a mark's place lie in rounds at and after the mark's. One mark for
//!   each journal file is enough, because files are emptied whole: with the first append after a
//!   file began. What is appended while the file before it is emptied therefore stays where it is,
//!   and what a moved partition has carried is less than a block.
//!
//! A partition with any entry in the journal has a `MovedTo` there that says what its files hold.
//! The first entry after a clean start is that, at the exact end of its file.

use std::collections::VecDeque;

use thalweg_wire::ids::TimestampMs;

use crate::disk::BLOCK_BYTES;
use crate::journal::entry::{Entry, EntrySink, Place};
use crate::journal::queue::RoundQueue;
use crate::log::Log;
use crate::moves::indexes::Indexed;

/// What carrying a partition costs beside its bytes, for the reserve: moved-to, log start, some
/// epochs, a few producers.
const STATE_BYTES: u64 = 512;

#[derive(Clone, Copy, Debug)]
struct Mark {
    round: u64,
    place: Place,
}

/// How far a move wrote a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MovedPlace {
    pub(crate) place: Place,
    /// The segment was sealed when the move began: it is cut, and its small files are written.
    pub(crate) sealed: bool,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) log: Log,
    /// The journal holds a `MovedTo` of it.
    pub(crate) journaled: bool,
    /// Oldest round with a live entry of it; only counts while `journaled`.
    pub(crate) pinned: u64,
    marks: VecDeque<Mark>,
    /// Accepted bytes that no segment file holds.
    pub(crate) pending: u64,
    /// What of its active segment is indexed on disk.
    pub(crate) indexed: Indexed,
    /// A move of it failed: it is carried for ever and takes nothing more.
    pub(crate) failed: bool,
    /// A move of it is running: its directory stays where it is.
    pub(crate) moving: bool,
    /// The log cleaner works on it: its segments stay what they are.
    pub(crate) cleaning: bool,
    /// Somebody waits for the cleaner to leave it.
    pub(crate) unwanted: bool,
    /// It is not cleaned before.
    pub(crate) uncleaned_until: TimestampMs,
}

impl Slot {
    pub(crate) fn new(log: Log) -> Self {
        let pending = pending_bytes(&log);
        Self {
            log,
            journaled: false,
            pinned: 0,
            marks: VecDeque::new(),
            pending,
            indexed: Indexed::default(),
            failed: false,
            moving: false,
            cleaning: false,
            unwanted: false,
            uncleaned_until: TimestampMs(i64::MIN),
        }
    }

    /// A partition whose state the journal holds from `round` on.
    pub(crate) fn journaled_from(log: Log, round: u64) -> Self {
        let mut slot = Self::new(log);
        slot.journaled = true;
        slot.pin_anew(round);
        slot
    }

    /// Before the first entry of a partition: says what its files hold.
    pub(crate) fn enter(&mut self, queue: &mut RoundQueue) {
        if self.journaled {
            return;
        }
        self.pin_anew(queue.next_round());
        queue.push(self.moved_to());
        self.journaled = true;
    }

    pub(super) fn moved_to(&self) -> Entry<'static> {
        Entry::MovedTo {
            partition: self.log.id(),
            place: self.moved_place(),
            next_offset: self.log.view().log_end,
        }
    }

    /// Everything below is in files.
    fn moved_place(&self) -> Place {
        self.log.pending().first().map_or_else(
            || self.log.place_end(),
            |first| Place {
                segment: first.segment,
                position: first.moved,
            },
        )
    }

    /// Before records are deleted: what they say of producers is said once more, because a start
    /// after a crash does not read them.
    pub(crate) fn keep_state(&self, queue: &mut RoundQueue) {
        self.log.state_entries(queue);
    }

    /// Before an append: bytes from the log's end on lie in the queue's newest round, or later. One
    /// mark for each journal file is enough, and needed: what lies in younger files than the victim
    /// must not be carried, however many rounds waited when it was appended.
    pub(crate) fn mark(&mut self, queue: &mut RoundQueue) {
        queue.prepare();
        let known = self.marks.back().map(|mark| mark.round);
        if known.is_none_or(|round| round < queue.file_first()) {
            self.marks.push_back(Mark {
                round: queue.newest(),
                place: self.log.place_end(),
            });
        }
    }

    /// A segment's file durably holds everything below a place.
    ///
    /// A segment that was sealed while its last whole block was moved is not complete yet: its
    /// file is not cut and its small files are missing. Its last block stays pending, so that the
    /// next move comes back to it.
    pub(crate) fn moved(&mut self, moved: &MovedPlace) {
        let mut place = moved.place;
        let pending = self.log.pending();
        let Some(segment) = pending.iter().find(|one| one.segment == place.segment) else {
            return;
        };
        if segment.sealed && !moved.sealed && place.position == segment.end {
            place.position = place.position.saturating_sub(BLOCK_BYTES as u64);
        }
        if place.position >= segment.moved {
            self.log.moved(place);
        }
    }

    /// After an append of `bytes`.
    pub(crate) fn appended(&mut self, bytes: u64) {
        self.pending += bytes;
    }

    /// After a move or retention: asks the log again.
    pub(crate) fn recount(&mut self) {
        self.pending = pending_bytes(&self.log);
    }

    /// What carrying it may cost at least, however much of it can be moved.
    pub(crate) fn carry_bound(&self) -> u64 {
        if !self.journaled {
            return 0;
        }
        let rest = if self.failed {
            self.pending
        } else {
            self.pending.min(BLOCK_BYTES as u64)
        };
        rest + STATE_BYTES
    }

    /// Journals again what the rounds below `rounds_below` hold of it and files do not: where it
    /// was moved to, its state, and its bytes. With `all` bytes it pins nothing older than this
    /// round; else bytes that surely lie in `rounds_below` or later stay where they are.
    /// Returns the bytes carried.
    pub(crate) fn carry(&mut self, rounds_below: u64, all: bool, queue: &mut RoundQueue) -> u64 {
        let round = queue.next_round();
        while self
            .marks
            .front()
            .is_some_and(|mark| mark.round < rounds_below)
        {
            self.marks.pop_front();
        }
        queue.push(self.moved_to());
        self.log.state_entries(queue);
        let upto = self.marks.front().filter(|_| !all).map(|mark| mark.place);
        let carried = self.carry_bytes(upto, queue);
        match self.marks.front() {
            Some(mark) if !all => self.pinned = mark.round.min(round),
            _ => self.pin_anew(round),
        }
        carried
    }

    /// What `carry` would take of the journal's room.
    pub(crate) fn carry_cost(&self, rounds_below: u64, all: bool) -> u64 {
        let mut marks = self.marks.iter();
        let kept = marks.find(|mark| mark.round >= rounds_below);
        let upto = kept.filter(|_| !all).map(|mark| mark.place);
        let ranges = self.pending_below(upto);
        let bytes: u64 = ranges.iter().map(|(place, end)| end - place.position).sum();
        bytes + STATE_BYTES
    }

    /// Pending bytes below `upto` (all if `None`): where each segment's begin, and their end.
    fn pending_below(&self, upto: Option<Place>) -> Vec<(Place, u64)> {
        let mut ranges = Vec::new();
        for pending in self.log.pending() {
            let end = match upto {
                Some(upto) if upto.segment < pending.segment => break,
                Some(upto) if upto.segment == pending.segment => upto.position.min(pending.end),
                _ => pending.end,
            };
            if end > pending.moved {
                let place = Place {
                    segment: pending.segment,
                    position: pending.moved,
                };
                ranges.push((place, end));
            }
        }
        ranges
    }

    /// Carries pending bytes below `upto`, as one group.
    fn carry_bytes(&self, upto: Option<Place>, queue: &mut RoundQueue) -> u64 {
        let mut carried = 0;
        queue.begin_group();
        for (mut place, end) in self.pending_below(upto) {
            for slice in self.log.tail_parts(place, end) {
                queue.push(Entry::Carried {
                    partition: self.log.id(),
                    place,
                    bytes: &slice,
                });
                place.position += slice.len() as u64;
                carried += slice.len() as u64;
            }
        }
        queue.end_group();
        carried
    }

    /// Everything of it lies in `round` or later.
    fn pin_anew(&mut self, round: u64) {
        self.pinned = round;
        self.marks.clear();
        let place = self.moved_place();
        self.marks.push_back(Mark { round, place });
    }
}

fn pending_bytes(log: &Log) -> u64 {
    log.pending()
        .iter()
        .map(|segment| segment.end - segment.moved)
        .sum()
}
