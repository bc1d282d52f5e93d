//! Segments: files of record batches with Kafka's names, and the indexes beside them.

pub mod index;
pub mod name;
pub mod time_index;
pub mod txn_index;
