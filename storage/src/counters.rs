//! What a shard's storage has done so far, in numbers that only grow, and what it holds now.
//!
//! They prove the rest: flushes against acknowledged rounds, bytes copied, carried and moved per
//! byte accepted. Plain integers of one shard; the node sums and names them for `/metrics`.

/// A shard's counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches accepted (duplicates not counted).
    pub appends: u64,
    /// Bytes of those batches.
    pub append_bytes: u64,
    /// Bytes copied on the way in: into chunks and into rounds.
    pub copied_bytes: u64,
    /// Journal rounds written.
    pub rounds: u64,
    /// Bytes of those rounds, with headers and padding.
    pub round_bytes: u64,
    /// Device flushes that the journal waited for: durable writes and separate flushes.
    pub flushes: u64,
    /// Rounds that were acknowledged.
    pub rounds_acknowledged: u64,
    /// Record bytes journaled again because their journal file was recycled.
    pub carried_bytes: u64,
    /// Bytes written to segments by moves.
    pub moved_bytes: u64,
    /// Move barriers.
    pub barriers: u64,
    /// Moves that failed.
    pub moves_failed: u64,
    /// Journal files freed for re-use.
    pub files_recycled: u64,
    /// Bytes of segments that the log cleaner worked through, where something went.
    pub cleaned_bytes: u64,
    /// What it kept of them.
    pub cleaned_bytes_kept: u64,
    /// Bytes of segments that the scrub read again.
    pub scrubbed_bytes: u64,
    /// Ranges of segments that failed their checksum and are not served.
    pub quarantined_ranges: u64,
    /// Segments whose indexes were made anew because they did not agree with the log.
    pub reindexed_segments: u64,
    /// Produce requests that waited for room in the window.
    pub admissions_delayed: u64,
    /// Produce requests refused because the disk is full or the journal poisoned.
    pub admissions_refused: u64,
    /// Reads of segments that planning a fetch or a search needed.
    pub plan_reads: u64,
    /// Now: bytes of the journal's files.
    pub journal_bytes: u64,
    /// Now: bytes in journal files that are free, the rest of the current one included.
    pub journal_free_bytes: u64,
    /// Now: bytes accepted and not yet in segments.
    pub pending_bytes: u64,
    /// Now: bytes of tail chunks.
    pub chunk_bytes: u64,
    /// Now: partitions.
    pub partitions: u64,
}
