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
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

// In the order in which a request meets them.
pub mod bytes;
pub mod ids;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod api;
pub mod messages;
pub mod batch;
pub mod outgoing;
pub mod throttle;
