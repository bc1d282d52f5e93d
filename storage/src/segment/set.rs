//! The segments of a log in order. The last one is active, all others are sealed.

use std::collections::VecDeque;

use thalweg_wire::ids::Offset;

use super::segment::Segment;
use crate::journal::entry::Place;

/// See the module's head. Never empty.
#[derive(Debug)]
pub(crate) struct SegmentSet {
    segments: VecDeque<Segment>,
}

impl SegmentSet {
    pub(crate) fn new(segments: VecDeque<Segment>) -> Self {
        assert!(!segments.is_empty(), "a log always has an active segment");
        debug_assert!(segments.iter().is_sorted_by(|a, b| a.base < b.base));
        Self { segments }
    }

    pub(crate) fn active(&self) -> &Segment {
        self.segments.back().expect("never empty")
    }

    pub(crate) fn active_mut(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("never empty")
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> + ExactSizeIterator {
        self.segments.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    /// The segment with this base offset.
    pub(crate) fn get(&self, base: Offset) -> Option<&Segment> {
        let at = self.segments.binary_search_by_key(&base, |s| s.base).ok()?;
        self.segments.get(at)
    }

    /// The segment with this base offset.
    pub(crate) fn get_mut(&mut self, base: Offset) -> Option<&mut Segment> {
        let at = self.segments.binary_search_by_key(&base, |s| s.base).ok()?;
        self.segments.get_mut(at)
    }

    /// The segment in which `offset` lies, or would lie.
    pub(crate) fn floor(&self, offset: Offset) -> Option<&Segment> {
        let above = self.segments.partition_point(|s| s.base <= offset);
        self.segments.get(above.checked_sub(1)?)
    }

    /// The segment in which `offset` lies, or would lie.
    pub(crate) fn holding_mut(&mut self, offset: Offset) -> Option<&mut Segment> {
        let above = self.segments.partition_point(|s| s.base <= offset);
        self.segments.get_mut(above.checked_sub(1)?)
    }

    /// The segment after the one with this base.
    pub(crate) fn after(&self, base: Offset) -> Option<&Segment> {
        let above = self.segments.partition_point(|s| s.base <= base);
        self.segments.get(above)
    }

    /// Where the segment after this one begins.
    pub(crate) fn begin_after(&self, base: Offset) -> Option<Place> {
        let next = self.after(base)?;
        Some(Place {
            segment: next.base,
            position: 0,
        })
    }

    /// A new active segment.
    pub(crate) fn push(&mut self, segment: Segment) {
        debug_assert!(self.active().sealed && self.active().base < segment.base);
        self.segments.push_back(segment);
    }

    /// Takes the oldest segment out, unless it is the only one.
    pub(crate) fn pop_oldest(&mut self) -> Option<Segment> {
        if self.segments.len() < 2 {
            return None;
        }
        self.segments.pop_front()
    }

    /// Takes the active segment out, unless it is the only one; the one before is active then.
    pub(crate) fn pop_newest(&mut self) -> Option<Segment> {
        if self.segments.len() < 2 {
            return None;
        }
        self.segments.pop_back()
    }

    /// Puts one in the place of those from `first` to `last`; `None` if they are not neighbours, or
    /// the active one is among them.
    pub(crate) fn replace(
        &mut self,
        (first, last): (Offset, Offset),
        segment: Segment,
    ) -> Option<Vec<Segment>> {
        let find = |base| self.segments.binary_search_by_key(&base, |s| s.base).ok();
        let (from, to) = (find(first)?, find(last)?);
        if to + 1 >= self.segments.len() || from > to {
            return None;
        }
        let gone = self.segments.drain(from..=to).collect();
        self.segments.insert(from, segment);
        Some(gone)
    }

    /// Replaces all segments.
    pub(crate) fn replace_all(&mut self, segment: Segment) -> VecDeque<Segment> {
        std::mem::replace(&mut self.segments, VecDeque::from([segment]))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum()
    }
}
