//! Bounds of the settings, and what follows from them. Pure.

/// Data directories of a node: its one journal lies on one device.
pub const DATA_DIRS_MAX: usize = 1;
/// Bytes of a configuration file that are read.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Shards of a node: a shard's number is part of journal paths and session ids.
pub const SHARDS_MAX: u16 = 256;
/// Bytes of a shard's smallest useful share of memory.
pub const SHARD_MEMORY_BYTES_MIN: u64 = 32 << 20;
/// Bytes of the smallest journal file: a round of the largest request must fit twice.
pub const JOURNAL_FILE_BYTES_MIN: u64 = 4 << 20;
/// Bytes of the largest journal file.
pub const JOURNAL_FILE_BYTES_MAX: u64 = 1 << 30;
/// Journal files of a shard: one is written while the other is freed.
pub const JOURNAL_FILES_MIN: u64 = 2;
/// Bytes of the journal, all shards together.
pub const JOURNAL_BYTES_MAX: u64 = 64 << 30;
/// Bytes that are reserved ahead in a segment.
pub const PREALLOCATE_BYTES_MIN: u64 = 1 << 20;
/// Bytes that are reserved ahead in a segment.
pub const PREALLOCATE_BYTES_MAX: u64 = 1 << 30;
/// io_uring entries of a shard.
pub const RING_ENTRIES_MIN: u32 = 16;
/// io_uring entries of a shard, the kernel's own bound.
pub const RING_ENTRIES_MAX: u32 = 32_768;
/// Milliseconds of a task's turn.
pub const PREEMPT_MS_MAX: i64 = 1_000;
/// Block in which everything is written that goes around the page cache.
pub const BLOCK_BYTES: u64 = 4_096;

const _: () = assert!(JOURNAL_FILE_BYTES_MIN.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(JOURNAL_FILE_BYTES_MAX * JOURNAL_FILES_MIN <= JOURNAL_BYTES_MAX);
const _: () = assert!(PREALLOCATE_BYTES_MIN.is_multiple_of(BLOCK_BYTES));
