//! Bytes of one segment without a gap, as slices of what was read of the journals. Pure.
//!
//! Nothing is copied until the bytes are written: in the journal they lie at any address, and a
//! direct write takes whole blocks on block addresses only.

use std::ops::Range;

use crate::disk::{BLOCK_BYTES, Memory, Slice};

/// See the module's head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    /// Position of the first byte in the segment.
    pub(crate) from: u64,
    /// Each with its position; in order, without overlaps.
    pub(crate) pieces: Vec<(u64, Slice)>,
}

fn end_of((at, bytes): &(u64, Slice)) -> u64 {
    at + bytes.len() as u64
}

/// The part of a piece that lies in a range.
fn part((at, bytes): &(u64, Slice), range: &Range<u64>) -> Option<(u64, Slice)> {
    let from = range.start.max(*at);
    let to = range.end.min(at + bytes.len() as u64);
    if from >= to {
        return None;
    }
    let skip = usize::try_from(from - at).ok()?;
    let count = usize::try_from(to - from).ok()?;
    Some((from, bytes.sub(skip..skip + count)))
}

impl Run {
    /// Position after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.pieces.last().map_or(self.from, end_of)
    }

    /// Lays bytes over what is there: what was journaled later counts. Nearly always they follow
    /// the last ones.
    pub(crate) fn lay(&mut self, piece: (u64, Slice)) {
        if piece.1.is_empty() {
            return;
        }
        if piece.0 >= self.end() {
            self.pieces.push(piece);
            return;
        }
        let end = end_of(&piece);
        let first = self.pieces.partition_point(|one| end_of(one) <= piece.0);
        let last = self.pieces.partition_point(|one| one.0 < end);
        let covered = &self.pieces[first..last];
        let front = covered.first().and_then(|one| part(one, &(0..piece.0)));
        let back = covered.last().and_then(|one| part(one, &(end..u64::MAX)));
        let new = front.into_iter().chain([piece]).chain(back);
        self.pieces.splice(first..last, new);
    }

    /// True if each piece begins where the one before ends.
    pub(crate) fn is_gapless(&self) -> bool {
        let mut end = self.from;
        self.pieces
            .iter()
            .all(|piece| std::mem::replace(&mut end, end_of(piece)) == piece.0)
    }

    /// A copy of some bytes.
    pub(crate) fn copy(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.each(&range, |part| bytes.extend_from_slice(part));
        bytes
    }

    /// A copy of some bytes for a direct write, padded with zeros to whole blocks.
    pub(crate) fn blocks(&self, range: Range<u64>) -> Slice {
        let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut memory = Memory::new(bytes.next_multiple_of(BLOCK_BYTES));
        self.each(&range, |part| {
            memory.append(part);
        });
        memory.pad_to_block();
        memory.freeze()
    }

    fn each(&self, range: &Range<u64>, mut take: impl FnMut(&[u8])) {
        let first = self
            .pieces
            .partition_point(|one| end_of(one) <= range.start);
        for (at, bytes) in self.pieces.get(first..).unwrap_or(&[]) {
            if *at >= range.end {
                return;
            }
            let skip = usize::try_from(range.start.saturating_sub(*at)).unwrap_or(usize::MAX);
            let upto = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            take(bytes.get(skip..bytes.len().min(upto)).unwrap_or(&[]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Prng;

    #[test]
    fn any_order_of_pieces_is_what_painting_them_gives() {
        for seed in 0..500 {
            let mut prng = Prng::new(seed);
            let mut painted = [0_u8; 64];
            let mut run = Run::default();
            for mark in 1..20 {
                let from = prng.below(60);
                let to = from + 1 + prng.below(64 - from);
                painted[from..to].fill(mark);
                run.lay((from as u64, Slice::from_vec(vec![mark; to - from])));
            }
            let mut found = [0_u8; 64];
            let mut end = 0;
            for (at, bytes) in &run.pieces {
                assert!(*at >= end, "seed {seed}: overlap");
                let from = usize::try_from(*at).unwrap();
                found[from..from + bytes.len()].copy_from_slice(bytes);
                end = at + bytes.len() as u64;
            }
            assert_eq!(found, painted, "seed {seed}");
            assert_eq!(
                run.is_gapless(),
                painted[..usize::try_from(end).unwrap()]
                    .iter()
                    .all(|byte| *byte != 0)
            );
            if run.is_gapless() {
                let (from, to) = (prng.below(30) as u64, 30 + prng.below(30) as u64);
                let wanted = usize::try_from(from).unwrap()..usize::try_from(to.min(end)).unwrap();
                assert_eq!(run.copy(from..to.min(end)), painted[wanted]);
            }
        }
    }

    #[test]
    fn a_block_is_padded_with_zeros() {
        let run = Run {
            from: 4_096,
            pieces: vec![
                (4_096, Slice::copy_of(&[1; 10])),
                (4_106, Slice::copy_of(&[2; 10])),
            ],
        };
        let block = run.blocks(4_096..4_116);
        assert!(block.is_whole_blocks());
        assert_eq!(
            (block[9], block[10], block[20], block.len()),
            (1, 2, 0, 4_096)
        );
    }
}
