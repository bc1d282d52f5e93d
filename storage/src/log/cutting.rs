//! Cutting a log at its begin (delete records, retention) and at its end (truncation).
//!
//! Files are only named here; the caller unlinks them after the entries about the cut are durable.

use std::path::PathBuf;

use thalweg_wire::ids::{Offset, TimestampMs};

use super::search::need_max;
use super::{Fed, Log, Need, ReadError, RetainPlan, Step};
use crate::journal::entry::{Entry, EntrySink};
use crate::retain::{Bounds, SegmentFacts, Verdict, judge};
use crate::segment::name::Kind;
use crate::segment::segment::Segment;

/// A retention check that waits for bytes.
#[derive(Debug)]
pub struct RetainQuery {
    now: TimestampMs,
    need: Need,
    /// Of the log when this was asked.
    swaps: u64,
}

impl Log {
    /// Deletes the records below `offset` (`-1`: below the high watermark); the new log start. The
    /// segments that lie wholly below go with the next [`Log::retention`].
    pub fn delete_records(
        &mut self,
        offset: Offset,
        sink: &mut impl EntrySink,
    ) -> Result<Offset, ReadError> {
        let offset = match offset {
            Offset::NONE => self.high_watermark,
            offset => offset,
        };
        if offset > self.high_watermark || offset.0 < 0 {
            return Err(ReadError::OutOfRange {
                offset,
                log_start: self.start_shown,
                log_end: self.high_watermark,
            });
        }
        self.raise_start(offset, sink);
        Ok(self.log_start)
    }

    /// Which segments may go by time, size and log start.
    pub fn retention(&mut self, now: TimestampMs) -> Step<RetainPlan, RetainQuery> {
        let facts: Vec<_> = self.segments.iter().map(facts_of).collect();
        let bounds = Bounds {
            high_watermark: self.high_watermark,
            log_start: self.log_start,
            now,
        };
        match judge(&facts, &self.spec.config, bounds) {
            Verdict::Take(segments) => Step::Done(RetainPlan { segments }),
            Verdict::NeedTimestamp(at) => {
                let segment = self.segments.iter().nth(at).expect("judged just now");
                let need = need_max(segment);
                let query = RetainQuery {
                    now,
                    need: need.clone(),
                    swaps: self.swaps,
                };
                Step::Need(need, query)
            }
        }
    }

    /// Goes on with a check that needed bytes.
    pub fn resume_retention(
        &mut self,
        query: RetainQuery,
        fed: Fed<'_>,
    ) -> Step<RetainPlan, RetainQuery> {
        if query.swaps != self.swaps {
            return self.retention(query.now);
        }
        let window = self.feed(&query.need, fed);
        if let Need::Bytes { segment, .. } = query.need {
            self.feed_max(segment, window);
        }
        self.retention(query.now)
    }

    /// Raises the log start above the oldest segments. They leave the log by
    /// [`Log::take_removed`], once that is durable.
    pub fn retain(&mut self, plan: RetainPlan, now: TimestampMs, sink: &mut impl EntrySink) {
        let count = plan.segments.min(self.segments.len());
        if count == self.segments.len() && self.segments.active().bytes > 0 {
            self.roll(now);
        }
        let last = count.checked_sub(1);
        let last = last.and_then(|at| self.segments.iter().nth(at));
        if let Some(next) = last.map(|segment| segment.next) {
            self.raise_start(next, sink);
        }
    }

    /// Takes segments below the log start, as far as that is durable, out of the log. Returns their
    /// files, to be unlinked: some may never have been made.
    pub fn take_removed(&mut self) -> Vec<PathBuf> {
        let start = self.start_shown;
        while self
            .segments
            .iter()
            .next()
            .is_some_and(|oldest| oldest.next <= start)
            && let Some(segment) = self.segments.pop_oldest()
        {
            self.remove(&segment);
            self.hints.clear();
        }
        std::mem::take(&mut self.removed)
    }

    fn raise_start(&mut self, start: Offset, sink: &mut impl EntrySink) {
        if start <= self.log_start {
            return;
        }
        self.log_start = start;
        sink.push(Entry::LogStart {
            partition: self.spec.id,
            offset: start,
        });
    }

    pub(super) fn remove(&mut self, segment: &Segment) {
        self.indexes_held.retain(|base| *base != segment.base);
        for kind in [Kind::Log, Kind::Index, Kind::TimeIndex, Kind::TxnIndex] {
            self.removed.push(segment.file(kind));
        }
        // The newest snapshot on disk is what state entries build on.
        if segment.base < self.snapshot_on_disk {
            self.removed.push(segment.file(Kind::Snapshot));
        }
    }
}

fn facts_of(segment: &Segment) -> SegmentFacts {
    let of = |timestamp: TimestampMs| match timestamp {
        TimestampMs::NONE => segment.created,
        timestamp => timestamp,
    };
    SegmentFacts {
        bytes: segment.bytes,
        next: segment.next,
        timestamp: segment.max.map(|max| of(max.timestamp)),
    }
}
