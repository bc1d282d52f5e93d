//! The shard's journal: everything accepted is durable here first, whatever partition it is of.
//!
//! In the order of the write path: [`entry`] gives what happened a type and a layout.
//!
//! Deliberately absent: names. Entries are keyed by (topic id, partition index), so that a topic
//! that is deleted and made again never meets its predecessor's records.

pub mod entry;
