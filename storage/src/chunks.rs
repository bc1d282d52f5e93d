//! The journal window in memory: per partition a chain of aligned chunks that are the segment's
//! image from a block boundary on. Pure.
//!
//! What a chain holds is what fetches of the tail read and what moves write, so both see the same
//! bytes. Positions are file positions of the active segment.
//!
//! Invariants:
//! - The chain starts on a block boundary, and so does each chunk; chunks follow one another without
//!   gaps, each but the last one full. So any run of whole blocks is a gather list for direct I/O.
//! - A byte that was lent as a slice is never written again: cutting the chain back copies what
//!   remains of the cut chunk into a new one.
//!
//! Deliberately absent: what the bytes mean, when they may go (the log releases them once moved),
//! a limit (the window's memory is counted by the store: [`Chain::memory_bytes`]).

use std::collections::VecDeque;
use std::ops::Range;

use crate::disk::{BLOCK_BYTES, Memory, Slice};

/// First chunk of a chain: 10,000 quiet partitions cost 40 MiB.
pub const CHUNK_BYTES_MIN: usize = BLOCK_BYTES;
/// Largest chunk. Larger ones would save little (a 1 MiB move gathers four) and would hold more
/// memory for one slow reader of a few bytes.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;

struct Chunk {
    start: u64,
    memory: Memory,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.memory.len() as u64
    }

    /// This chunk's part of `range`, relative to its memory.
    fn overlap(&self, range: &Range<u64>) -> Option<Range<usize>> {
        let from = range.start.max(self.start);
        let to = range.end.min(self.end());
        (from < to).then(|| offset_in(self.start, from)..offset_in(self.start, to))
    }
}

/// See the module's head.
pub struct Chain {
    start: u64,
    chunks: VecDeque<Chunk>,
    copied_bytes: u64,
}

impl Chain {
    /// An empty chain whose next byte is file position `start`. Panics unless that begins a block.
    #[must_use]
    pub fn new(start: u64) -> Self {
        assert!(is_block(start), "a chain starts on a block, not at {start}");
        Self {
            start,
            chunks: VecDeque::new(),
            copied_bytes: 0,
        }
    }

    /// File position of the first byte held; a block boundary.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// File position after the last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.chunks.back().map_or(self.start, Chunk::end)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end() - self.start
    }

    /// End of the whole blocks held: a move takes `blocks(start, whole_end)` at most.
    #[must_use]
    pub fn whole_end(&self) -> u64 {
        self.end() - self.end() % BLOCK_BYTES as u64
    }

    /// Memory that the chain's chunks take, used or not: what counts against the window.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.chunks
            .iter()
            .map(|chunk| chunk.memory.capacity())
            .sum()
    }

    /// Bytes copied so far, by appends and by cutting back.
    #[must_use]
    pub fn copied_bytes(&self) -> u64 {
        self.copied_bytes
    }

    /// Appends a copy of `bytes` and returns the position of its first byte.
    pub fn append(&mut self, bytes: &[u8]) -> u64 {
        let position = self.end();
        let mut rest = bytes;
        while !rest.is_empty() {
            if self
                .chunks
                .back()
                .is_none_or(|chunk| chunk.memory.spare() == 0)
            {
                self.grow(rest.len());
            }
            let chunk = self.chunks.back_mut().expect("grown just now");
            let count = chunk.memory.append(rest);
            rest = &rest[count..];
        }
        self.copied_bytes += bytes.len() as u64;
        position
    }

    /// Overwrites part of what was appended since the last slice was lent: an append sets offset,
    /// epoch, timestamp and checksum in its copy before anyone sees it. Panics on bytes lent.
    pub fn patch(&mut self, position: u64, bytes: &[u8]) {
        let range = position..position + bytes.len() as u64;
        assert!(
            self.start <= range.start && range.end <= self.end(),
            "patch of {range:?}"
        );
        for chunk in self.chunks.iter_mut().rev() {
            if let Some(inside) = chunk.overlap(&range) {
                let skip = offset_in(range.start, chunk.start + inside.start as u64);
                chunk
                    .memory
                    .patch(inside.start, &bytes[skip..skip + inside.len()]);
            }
            if chunk.start <= range.start {
                break;
            }
        }
    }

    /// The bytes of `range` in order, without copying; they are final from now on. Panics outside
    /// of what is held.
    #[must_use]
    pub fn slices(&self, range: Range<u64>) -> Vec<Slice> {
        assert!(
            self.start <= range.start && range.start <= range.end && range.end <= self.end(),
            "{range:?} of a chain that holds {}..{}",
            self.start,
            self.end()
        );
        let first = self
            .chunks
            .partition_point(|chunk| chunk.end() <= range.start);
        self.chunks
            .iter()
            .skip(first)
            .map_while(|chunk| Some(chunk.memory.slice(chunk.overlap(&range)?)))
            .collect()
    }

    /// Whole blocks for a move; like [`Chain::slices`], but both ends must be block boundaries.
    #[must_use]
    pub fn blocks(&self, range: Range<u64>) -> Vec<Slice> {
        assert!(
            is_block(range.start) && is_block(range.end),
            "{range:?} is not whole blocks"
        );
        self.slices(range)
    }

    /// The bytes after the last whole block, padded with zeros to a block: what a clean stop and a
    /// roll write. `None` where the chain ends on a boundary.
    #[must_use]
    pub fn padded_tail(&self) -> Option<(u64, Slice)> {
        let position = self.whole_end();
        let tail = self.slices(position.max(self.start)..self.end());
        let tail = tail.first()?;
        let mut block = Memory::copy_of(tail);
        block.pad_to_block();
        Some((position, block.freeze()))
    }

    /// Copies of the bytes of `range`, for a small read such as a batch header.
    #[must_use]
    pub fn copy(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for slice in self.slices(range) {
            bytes.extend_from_slice(&slice);
        }
        bytes
    }

    /// Copies the bytes from `position` on into `out`; panics outside of what is held.
    pub fn read_into(&self, position: u64, out: &mut [u8]) {
        let range = position..position + out.len() as u64;
        assert!(self.start <= range.start && range.end <= self.end());
        let first = self.chunks.partition_point(|c| c.end() <= position);
        let mut rest = out;
        for chunk in self.chunks.iter().skip(first) {
            let Some(inside) = chunk.overlap(&range) else {
                break;
            };
            let (part, after) = rest.split_at_mut(inside.len());
            part.copy_from_slice(&chunk.memory.bytes()[inside]);
            rest = after;
        }
    }

    /// Forgets whole chunks below `position`, which the segment's file holds now: the chain begins
    /// at `position` (a block boundary) from now on. A long chunk of which less than a block is
    /// left is swapped for a short one. Slices that are out keep their memory.
    pub fn release_below(&mut self, position: u64) {
        assert!(
            is_block(position) && position <= self.whole_end(),
            "release below {position}"
        );
        self.start = self.start.max(position);
        while self
            .chunks
            .front()
            .is_some_and(|chunk| chunk.end() <= self.start)
        {
            self.chunks.pop_front();
        }
        let rest = self.bytes();
        if self.chunks.len() == 1
            && rest < BLOCK_BYTES as u64
            && self.memory_bytes() > CHUNK_BYTES_MIN
        {
            let kept = self.copy(self.start..self.end());
            self.chunks.clear();
            self.append(&kept);
        }
    }

    /// Cuts the chain back so that it ends at `position`. Panics outside of what is held.
    pub fn truncate(&mut self, position: u64) {
        assert!(
            self.start <= position && position <= self.end(),
            "truncate to {position}"
        );
        while self
            .chunks
            .back()
            .is_some_and(|chunk| chunk.start >= position)
        {
            self.chunks.pop_back();
        }
        let Some(cut) = self.chunks.pop_back_if(|chunk| chunk.end() > position) else {
            return;
        };
        // The chunk's bytes above the cut may be lent, so they cannot be written over.
        let from = cut.start.max(self.start);
        let kept = &cut.memory.bytes()[offset_in(cut.start, from)..offset_in(cut.start, position)];
        let mut memory = Memory::new(cut.memory.capacity().min(chunk_bytes(kept.len())));
        memory.append(kept);
        self.copied_bytes += kept.len() as u64;
        self.chunks.push_back(Chunk {
            start: from,
            memory,
        });
    }

    /// Adds an empty chunk: twice the last one, or what is wanted if that is more.
    fn grow(&mut self, wanted: usize) {
        let doubled = self
            .chunks
            .back()
            .map_or(0, |chunk| chunk.memory.capacity() * 2);
        let start = self.end();
        let memory = Memory::new(chunk_bytes(wanted.max(doubled)));
        self.chunks.push_back(Chunk { start, memory });
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Chain({}..{} in {} chunks)",
            self.start,
            self.end(),
            self.chunks.len()
        )
    }
}

fn is_block(position: u64) -> bool {
    position.is_multiple_of(BLOCK_BYTES as u64)
}

fn chunk_bytes(wanted: usize) -> usize {
    wanted
        .clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
        .next_power_of_two()
}

/// Distance within one chunk, which is at most [`CHUNK_BYTES_MAX`].
fn offset_in(start: u64, position: u64) -> usize {
    usize::try_from(position - start).expect("within one chunk")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Prng;

    fn lengths(slices: &[Slice]) -> Vec<usize> {
        slices.iter().map(|slice| slice.len()).collect()
    }

    #[test]
    fn chunks_double_up_to_their_limit() {
        let mut chain = Chain::new(8192);
        for _ in 0..1024 {
            chain.append(&[1; 1024]);
        }
        let sizes = lengths(&chain.slices(8192..chain.end()));
        assert_eq!(
            sizes[..7],
            [4096, 8192, 16384, 32768, 65536, 131_072, 262_144]
        );
        assert!(sizes[7..].iter().all(|bytes| *bytes <= CHUNK_BYTES_MAX));
        assert_eq!(sizes.iter().sum::<usize>(), 1 << 20);
        assert_eq!(chain.copied_bytes(), 1 << 20);
    }

    #[test]
    fn a_large_batch_takes_large_chunks() {
        let mut chain = Chain::new(0);
        assert_eq!(chain.append(&[1; 300_000]), 0);
        assert_eq!(
            lengths(&chain.slices(0..300_000)),
            [CHUNK_BYTES_MAX, 37_856]
        );
    }

    #[test]
    fn patches_across_a_chunks_border() {
        let mut chain = Chain::new(0);
        chain.append(&[0; 4090]);
        let seen = chain.slices(0..4090);
        let at = chain.append(b"0123456789");
        chain.patch(at + 2, b"abcdefg");
        assert_eq!(chain.copy(at..at + 10), b"01abcdefg9");
        assert_eq!(seen[0].len(), 4090);
    }

    #[test]
    fn blocks_are_fit_for_direct_writes() {
        let mut chain = Chain::new(4096);
        chain.append(&[3; 30_000]);
        chain.append(&[4; 30_000]);
        assert_eq!(chain.whole_end(), 4096 + 57_344);
        let blocks = chain.blocks(8192..chain.whole_end());
        assert!(blocks.iter().all(Slice::is_whole_blocks));
        let (position, tail) = chain.padded_tail().unwrap();
        assert_eq!((position, tail.len()), (61_440, BLOCK_BYTES));
        assert_eq!((tail[2655], tail[2656]), (4, 0));
    }

    #[test]
    fn an_empty_tail_needs_no_padding() {
        let mut chain = Chain::new(4096);
        assert!(chain.padded_tail().is_none() && chain.slices(4096..4096).is_empty());
        chain.append(&[1; 4096]);
        assert!(chain.padded_tail().is_none());
        chain.release_below(8192);
        assert!(chain.padded_tail().is_none());
    }

    #[test]
    fn releasing_leaves_a_short_chunk_for_a_short_rest() {
        let mut chain = Chain::new(0);
        chain.append(&[1; 100_000]);
        chain.append(&[2; 10]);
        let held = chain.slices(0..10);
        chain.release_below(98_304);
        assert_eq!(
            (chain.start(), chain.bytes(), chain.memory_bytes()),
            (98_304, 1706, 4096)
        );
        assert_eq!(chain.copy(99_999..100_002), [1, 2, 2]);
        assert_eq!(held[0][..], [1; 10]);
        assert_eq!(chain.append(&[5]), 100_010);
    }

    #[test]
    fn truncating_never_touches_what_is_lent() {
        let mut chain = Chain::new(0);
        chain.append(b"kept and cut");
        let lent = chain.slices(0..12);
        chain.truncate(4);
        chain.append(b"!");
        assert_eq!(
            (&*lent[0], &*chain.copy(0..5)),
            (&b"kept and cut"[..], &b"kept!"[..])
        );
        chain.truncate(0);
        assert_eq!((chain.end(), chain.memory_bytes()), (0, 0));
    }

    #[test]
    #[should_panic(expected = "not whole blocks")]
    fn a_move_of_half_a_block_is_refused() {
        let mut chain = Chain::new(0);
        chain.append(&[0; 4096]);
        let _ = chain.blocks(0..100);
    }

    /// Random operations against a plain vector.
    #[test]
    fn behaves_like_a_vector() {
        for seed in 0..40 {
            let mut prng = Prng::new(seed);
            let (mut chain, mut model) = (Chain::new(0), Vec::new());
            for _ in 0..40 {
                step(&mut chain, &mut model, &mut prng);
                let from = usize::try_from(chain.start()).unwrap();
                assert_eq!(chain.end(), model.len() as u64, "seed {seed}");
                assert_eq!(
                    chain.copy(chain.start()..chain.end()),
                    model[from..],
                    "seed {seed}"
                );
            }
        }
    }

    fn step(chain: &mut Chain, model: &mut Vec<u8>, prng: &mut Prng) {
        let from = usize::try_from(chain.start()).unwrap();
        match prng.below(8) {
            0 => {
                let whole = usize::try_from(chain.whole_end()).unwrap();
                let to =
                    from + prng.below((whole.max(from) - from) / BLOCK_BYTES + 1) * BLOCK_BYTES;
                if to <= whole {
                    chain.release_below(to as u64);
                }
            }
            1 => {
                let to = from + prng.below(model.len() - from + 1);
                chain.truncate(to as u64);
                model.truncate(to);
            }
            _ => {
                let bytes_max = [100, 5000, 300_000][prng.below(3)];
                let mut bytes = vec![0; prng.below(bytes_max)];
                prng.fill(&mut bytes);
                assert_eq!(chain.append(&bytes), model.len() as u64);
                model.extend_from_slice(&bytes);
            }
        }
    }
}
