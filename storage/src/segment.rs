//! Segments: files of record batches with Kafka's names, and the indexes beside them.

pub mod bad;
pub mod index;
pub mod name;
#[expect(
    clippy::module_inception,
    reason = "a segment is what this module is about"
)]
pub(crate) mod segment;
pub(crate) mod set;
mod table;
pub mod time_index;
pub mod txn_index;

/// Facts of one batch that an index, a scan or a search needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchFacts {
    /// Bytes of the batch.
    pub(crate) bytes: u64,
    /// First offset.
    pub(crate) base: thalweg_wire::ids::Offset,
    /// Last offset.
    pub(crate) last: thalweg_wire::ids::Offset,
    /// Largest timestamp.
    pub(crate) max_timestamp: thalweg_wire::ids::TimestampMs,
}
