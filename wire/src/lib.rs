//! Kafka's wire protocol: bytes in, typed requests out, and back.
//!
//! ```text
//! socket -> frame -> header -> messages (views, borrowed) -> batch (record sets, in place)
//!                                                                       |
//! socket <- outgoing (bytes and stored pieces) <- messages (owned, size-then-write)
//! ```
//!
//! Nothing is allocated before its length is checked, and views allocate nothing at all. The crate
//! does no I/O, reads no clock and has no unsafe code. Which APIs the node serves, in which
//! versions and on which listener, is stated once, in [`api`].

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod batch;
pub mod bytes;
pub mod frame;
pub mod ids;
pub mod messages;
