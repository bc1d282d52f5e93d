//! The shard's journal: everything accepted is durable here first, whatever partition it is of.
//!
//! In the order of the write path: [`entry`] gives what happened a type and a layout; `queue`
//! collects entries into rounds; `round` makes a round an aligned write; `pool` says where it
//! goes; `writer` writes one round after the other and poisons; `replay` reads them back; [`inspect`]
//! shows them to tools.
//!
//! Deliberately absent: names. Entries are keyed by (topic id, partition index), so that a topic
//! that is deleted and made again never meets its predecessor's records.

pub mod entry;
pub(crate) mod pool;
pub(crate) mod queue;
pub(crate) mod replay;
pub mod inspect;
pub(crate) mod round;
pub(crate) mod writer;
#[cfg(test)]
mod tests;
pub(crate) mod wait;
