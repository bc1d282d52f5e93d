//! One shard's journal and its partitions' logs on disk.
//!
//! The stretch of the write path in this crate: [`store::Store::append`] -> the partition's
//! [`log`] (sequence, offset, chunk) -> [`journal`] round -> flush -> `durable` -> later moved to a
//! segment. The read path: [`store::Store::read`] -> plan -> pieces of memory or file.

mod append;
pub mod chunks;
mod clean;
pub mod counters;
pub mod disk;
pub mod epochs;
pub mod error;
pub mod files;
pub mod journal;
pub mod log;
mod moves;
pub mod producers;
mod progress;
pub mod read;
pub mod recover;
pub mod retain;
pub mod scrub;
pub mod segment;
pub mod store;
pub mod testing;
