//! Our own aligned memory: atomically counted, `Send`, append-only below a published length.
//!
//! One owner ([`Memory`]) appends; any number of [`Slice`]s, on any shard, read below the length
//! that was published when they were made. This is the one memory type of the whole data path:
//! round buffers, tail chunks, direct reads, pieces of responses. The first owner is the only
//! writer, which is why appending needs `&mut Memory` while slices are alive.

/// (To be written by the disk's author; the signatures below are the contract.)
#[derive(Debug)]
pub struct Memory {}

/// (See [`Memory`].)
#[derive(Clone, Debug)]
pub struct Slice {}
