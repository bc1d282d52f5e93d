//! Our own aligned memory: atomically counted, `Send`, append-only below a published length.
//!
//! One owner ([`Memory`]) appends; any number of [`Slice`]s, on any shard, read what was there when
//! they were made. This is the one memory type of the whole data path: round buffers, tail chunks,
//! direct reads, pieces of responses.
//!
//! Why the unsafe code below is sound:
//! - A block is one allocation, freed when the last owner or slice lets go of it.
//! - Bytes below `published` are never written again: slices end there at most, and every way to
//!   write ([`Memory::append`], [`Memory::unpublished_mut`], ...) starts there or above. So a reader
//!   and the writer never touch the same byte, on whatever threads they are.
//! - Bytes below `len` are initialised; nothing reads above it.
//! - A slice reaches another thread by a channel or a shared pointer, whose own synchronisation
//!   orders the bytes written before it; hence `len` need not be atomic.
//!
//! Deliberately absent: growing in place, a free list (the allocator has one), shrinking.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::BLOCK_BYTES;

/// Blocks of at least this size lie in large pages where the kernel has them. Only recovery makes
/// such blocks, for whole journal files: with small pages, taking them into the address space cost
/// as much as checking what was read.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Bytes of all live blocks of the process, for the window's accounting and for `/metrics`.
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static LIVE_BLOCKS: AtomicUsize = AtomicUsize::new(0);

/// Bytes that all [`Memory`] and [`Slice`] values of this process hold at this moment.
#[must_use]
pub fn live_bytes() -> usize {
    LIVE_BYTES.load(Ordering::Relaxed)
}

/// Number of live allocations behind [`live_bytes`].
#[must_use]
pub fn live_blocks() -> usize {
    LIVE_BLOCKS.load(Ordering::Relaxed)
}

/// Gives memory that was freed back to the system. The C library keeps what was freed in pieces: after
/// a load of some 100 MB/s it held 200 MB of which 10 were in use. It takes its locks while it looks,
/// some milliseconds each: for a process that has nothing else to do, and not on a shard's thread.
pub fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no memory is handed over; the library's own locks keep other threads out.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// One allocation, aligned to [`BLOCK_BYTES`].
struct Block {
    start: NonNull<u8>,
    capacity: usize,
}

// SAFETY: the block is plain memory that any thread may free; who may touch which bytes is settled
// by `Memory` and `Slice` as the head says.
unsafe impl Send for Block {}
// SAFETY: as above: shared access is reading below the published length only.
unsafe impl Sync for Block {}

impl Block {
    fn layout(capacity: usize) -> Layout {
        let align = if capacity < HUGE_PAGE_BYTES {
            BLOCK_BYTES
        } else {
            HUGE_PAGE_BYTES
        };
        Layout::from_size_align(capacity, align).expect("a buffer's size fits the address space")
    }

    fn new(capacity: usize) -> Self {
        if capacity == 0 {
            return Self {
                start: NonNull::dangling(),
                capacity,
            };
        }
        let layout = Self::layout(capacity);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        if capacity >= HUGE_PAGE_BYTES {
            // SAFETY: the range is what was just allocated; the advice changes no content.
            // Where the kernel has no large pages, small ones serve as well.
            let _advised = unsafe {
                rustix::mm::madvise(
                    start.as_ptr().cast(),
                    capacity - capacity % HUGE_PAGE_BYTES,
                    rustix::mm::Advice::LinuxHugepage,
                )
            };
        }
        LIVE_BYTES.fetch_add(capacity, Ordering::Relaxed);
        LIVE_BLOCKS.fetch_add(1, Ordering::Relaxed);
        Self { start, capacity }
    }

    /// Address of byte `at`.
    fn address(&self, at: usize) -> *mut u8 {
        debug_assert!(at <= self.capacity);
        // SAFETY: `at` is within the allocation, or one past its end.
        unsafe { self.start.as_ptr().add(at) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.capacity == 0 {
            return;
        }
        LIVE_BYTES.fetch_sub(self.capacity, Ordering::Relaxed);
        LIVE_BLOCKS.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: allocated in `new` with this very layout, and nobody refers to it any more.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.capacity)) }
    }
}

/// The writing end of one block of memory.
pub struct Memory {
    block: Arc<Block>,
    len: usize,
    /// End of the furthest slice ever made: the bytes below it are final.
    published: Cell<usize>,
}

impl Memory {
    /// Room for at least `bytes`, rounded up to whole blocks; empty at first.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let capacity = bytes.next_multiple_of(BLOCK_BYTES);
        Self {
            block: Arc::new(Block::new(capacity)),
            len: 0,
            published: Cell::new(0),
        }
    }

    /// Memory of just enough blocks that holds a copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut memory = Self::new(bytes.len());
        memory.append(bytes);
        memory
    }

    /// Bytes that fit in all; a multiple of [`BLOCK_BYTES`].
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.block.capacity
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True before the first byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn spare(&self) -> usize {
        self.capacity() - self.len
    }

    /// Appends as much of `bytes` as fits and says how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.spare());
        // SAFETY: `count` bytes from `len` on are inside the allocation, above every slice (so
        // nobody reads them), and cannot overlap `bytes`, which is a live shared borrow.
        unsafe {
            self.block
                .address(self.len)
                .copy_from_nonoverlapping(bytes.as_ptr(), count)
        }
        self.len += count;
        count
    }

    /// Appends `bytes` zeros and lends them for filling. Panics if they do not fit.
    pub fn append_zeros(&mut self, bytes: usize) -> &mut [u8] {
        assert!(
            bytes <= self.spare(),
            "{bytes} bytes do not fit into {}",
            self.spare()
        );
        let at = self.len;
        // SAFETY: inside the allocation and above every slice, as for `append`.
        unsafe { self.block.address(at).write_bytes(0, bytes) }
        self.len += bytes;
        // SAFETY: just initialised; unpublished, so `&mut self` is the only way to reach them.
        unsafe { std::slice::from_raw_parts_mut(self.block.address(at), bytes) }
    }

    /// Fills the last block with zeros and returns how many it took.
    pub fn pad_to_block(&mut self) -> usize {
        let padding = self.len.next_multiple_of(BLOCK_BYTES) - self.len;
        self.append_zeros(padding);
        padding
    }

    /// What was written but never lent as a slice, from byte [`Memory::published`] on.
    pub fn unpublished_mut(&mut self) -> &mut [u8] {
        let from = self.published.get();
        // SAFETY: initialised (below `len`) and above every slice; `&mut self` makes it exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.block.address(from), self.len - from) }
    }

    /// Overwrites bytes that were appended but not yet lent as a slice. Panics below those.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        let from = self.published.get();
        assert!(
            at >= from && at + bytes.len() <= self.len,
            "patch of {at} outside {from}..{}",
            self.len
        );
        self.unpublished_mut()[at - from..][..bytes.len()].copy_from_slice(bytes);
    }

    /// End of the furthest slice made so far.
    #[must_use]
    pub fn published(&self) -> usize {
        self.published.get()
    }

    /// The bytes written so far, for the owner's own reading.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: initialised; whoever writes needs `&mut self`, which this borrow excludes.
        unsafe { std::slice::from_raw_parts(self.block.address(0), self.len) }
    }

    /// A shared view of `range`, which becomes final by this. Panics above [`Memory::len`].
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} of {}",
            self.len
        );
        self.published.set(self.published.get().max(range.end));
        Slice {
            block: Arc::clone(&self.block),
            from: range.start,
            len: range.end - range.start,
        }
    }

    /// Everything written, as a slice; nothing more can be appended.
    #[must_use]
    pub fn freeze(self) -> Slice {
        self.slice(0..self.len)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} of {})", self.len, self.capacity())
    }
}

/// A part of a fresh block that only the kernel writes to, once.
pub(in crate::disk) struct Space {
    block: Arc<Block>,
    from: usize,
    bytes: usize,
}

impl Space {
    /// Room for `bytes` in parts of at most `each`: every byte of the block is in one part only.
    pub(in crate::disk) fn parts(bytes: usize, each: usize) -> Vec<Self> {
        let block = Arc::new(Block::new(bytes.next_multiple_of(BLOCK_BYTES)));
        let part = |from| Self {
            block: Arc::clone(&block),
            from,
            bytes: each.min(bytes - from),
        };
        match bytes {
            0 => vec![part(0)],
            _ => (0..bytes).step_by(each).map(part).collect(),
        }
    }

    /// Bytes that fit.
    pub(in crate::disk) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the kernel may write.
    pub(in crate::disk) fn address(&mut self) -> *mut u8 {
        self.block.address(self.from)
    }

    /// What the kernel has filled.
    ///
    /// # Safety
    /// The first `len` bytes are initialised, and the kernel no longer writes to any of them.
    pub(in crate::disk) unsafe fn filled(self, len: usize) -> Slice {
        assert!(len <= self.bytes);
        Slice {
            block: self.block,
            from: self.from,
            len,
        }
    }
}

/// A shared, immutable view of some bytes of a [`Memory`]. Cheap to clone and to cut.
#[derive(Clone)]
pub struct Slice {
    block: Arc<Block>,
    from: usize,
    len: usize,
}

impl Slice {
    /// A copy of `bytes` in aligned memory.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        Memory::copy_of(bytes).freeze()
    }

    /// A copy of `bytes` in aligned memory.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "takes a buffer's place; the copy is aligned"
    )]
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self::copy_of(&bytes)
    }

    /// `range` of this slice, without copying. Panics outside.
    #[must_use]
    pub fn sub(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} of {}",
            self.len
        );
        Self {
            block: Arc::clone(&self.block),
            from: self.from + range.start,
            len: range.end - range.start,
        }
    }

    /// This slice and the bytes that follow it at once in the same memory; `None` if `next` is
    /// not those.
    pub(in crate::disk) fn joined(&self, next: &Self) -> Option<Self> {
        let follows = Arc::ptr_eq(&self.block, &next.block) && self.from + self.len == next.from;
        follows.then(|| Self {
            block: Arc::clone(&self.block),
            from: self.from,
            len: self.len + next.len,
        })
    }

    /// Bytes of the whole allocation that this slice keeps alive.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.block.capacity
    }

    /// True where direct I/O can take the slice as it is: whole blocks on block addresses.
    #[must_use]
    pub fn is_whole_blocks(&self) -> bool {
        self.from.is_multiple_of(BLOCK_BYTES) && self.len.is_multiple_of(BLOCK_BYTES)
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: below the published length: initialised, and never written again.
        unsafe { std::slice::from_raw_parts(self.block.address(self.from), self.len) }
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_up_to_its_capacity() {
        let mut memory = Memory::new(5000);
        assert_eq!(memory.capacity(), 8192);
        assert_eq!(memory.append(&[7; 8000]), 8000);
        assert_eq!(memory.append(&[8; 8000]), 192);
        assert_eq!(memory.spare(), 0);
        let all = memory.freeze();
        assert_eq!((all[7999], all[8000], all.len()), (7, 8, 8192));
    }

    #[test]
    fn blocks_are_aligned_and_padding_is_zero() {
        let mut memory = Memory::new(1);
        memory.append(b"abc");
        assert_eq!(memory.pad_to_block(), BLOCK_BYTES - 3);
        assert_eq!(memory.pad_to_block(), 0);
        let slice = memory.freeze();
        assert!(slice.is_whole_blocks());
        assert_eq!(slice.as_ptr() as usize % BLOCK_BYTES, 0);
        assert!(slice[3..].iter().all(|byte| *byte == 0));
        assert!(!slice.sub(1..2).is_whole_blocks());
    }

    #[test]
    fn patches_only_what_nobody_has_seen() {
        let mut memory = Memory::new(64);
        memory.append(b"final");
        let seen = memory.slice(0..5);
        memory.append(b"draft");
        memory.patch(5, b"clean");
        assert_eq!(memory.unpublished_mut(), b"clean");
        assert_eq!(
            (&*seen, memory.bytes()),
            (&b"final"[..], &b"finalclean"[..])
        );
    }

    #[test]
    #[should_panic(expected = "outside 5..5")]
    fn refuses_to_patch_what_was_seen() {
        let mut memory = Memory::copy_of(b"final");
        let _seen = memory.slice(0..5);
        memory.patch(4, b"x");
    }

    #[test]
    fn what_is_in_use_stays_when_freed_memory_is_given_back() {
        let kept: Vec<Slice> = (0..64).map(|n| Slice::copy_of(&[n; 9000])).collect();
        drop(
            (0..64)
                .map(|n| Slice::copy_of(&[n; 9000]))
                .collect::<Vec<_>>(),
        );
        give_back_freed();
        for (number, slice) in (0..).zip(&kept) {
            assert_eq!(slice[..], [number; 9000]);
        }
    }

    #[test]
    fn an_empty_memory_is_harmless() {
        let slice = Memory::new(0).freeze();
        assert!(slice.is_empty() && slice.sub(0..0).is_empty() && slice.is_whole_blocks());
    }

    #[test]
    fn parts_of_a_space_join_to_one_slice_in_their_order() {
        for (bytes, counts) in [
            (0, vec![0]),
            (4096, vec![4096]),
            (10_000, vec![4096, 4096, 1808]),
        ] {
            let parts = Space::parts(bytes, 4096);
            let filled: Vec<Slice> = parts
                .into_iter()
                .zip(1..)
                .map(|(mut part, mark)| {
                    let len = part.bytes();
                    // SAFETY: the part's own bytes, which nobody else refers to.
                    unsafe { part.address().write_bytes(mark, len) }
                    // SAFETY: just written.
                    unsafe { part.filled(len) }
                })
                .collect();
            let lengths: Vec<usize> = filled.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, counts);
            let mut all = filled[0].clone();
            for part in &filled[1..] {
                assert!(part.joined(&all).is_none());
                all = all.joined(part).unwrap();
            }
            assert_eq!(all.len(), bytes);
            assert!((0..bytes).all(|at| usize::from(all[at]) == 1 + at / 4096));
        }
    }

    #[test]
    fn a_slice_outlives_its_owner_and_crosses_threads() {
        let memory = Memory::copy_of(b"hello");
        let slice = memory.slice(1..4);
        drop(memory);
        assert!(live_bytes() >= BLOCK_BYTES && live_blocks() >= 1);
        assert_eq!(slice.kept_bytes(), BLOCK_BYTES);
        let reader = std::thread::spawn(move || slice.to_vec());
        assert_eq!(reader.join().unwrap(), b"ell");
    }

    /// The one claim that matters: readers of a published prefix and the appending owner, on two
    /// threads at once, never disturb one another. Run it under miri for the proof.
    #[test]
    fn reads_a_published_prefix_while_the_owner_appends() {
        let rounds: u8 = if cfg!(miri) { 20 } else { 200 };
        let mut memory = Memory::new(BLOCK_BYTES);
        let (send, receive) = std::sync::mpsc::channel::<Slice>();
        let reader = std::thread::spawn(move || {
            let mut seen = 0;
            while let Ok(prefix) = receive.recv() {
                for (index, byte) in prefix.iter().enumerate() {
                    assert_eq!(usize::from(*byte), index / 16);
                }
                seen = seen.max(prefix.len());
            }
            seen
        });
        for round in 0..rounds {
            memory.append(&[0xEE; 16]);
            memory.patch(usize::from(round) * 16, &[round; 16]);
            send.send(memory.slice(0..memory.len())).unwrap();
        }
        drop(send);
        assert_eq!(reader.join().unwrap(), usize::from(rounds) * 16);
    }
}
