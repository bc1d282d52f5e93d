//! Pure state machines of a Thalweg cluster: no I/O, no clock, no randomness of its own.
//!
//! ```text
//! request view --> controller (handlers) --> records --> metadata::record::encode_batch --> bytes
//!                        ^                                                                   |
//!                        | image (a value, shared by Arc)                  append, flush (node, storage)
//!                        |                                                                   v
//! answer (read-only) <---+------ metadata::replay (the only writer) <-- metadata::log::LogReader
//! ```
//!
//! Handlers propose, replay disposes: a handler computes a response and records from an image, and nothing
//! changes until the records are durable and the reader has applied them, at start-up, on this node
//! and on others alike. Proposals of one node are worked one after the other: each from the image that holds
//! the one before. Ids and time are arguments.
//!
//! Groups and transactions have their own logs, `__consumer_offsets` and `__transaction_state`, and their own
//! circles of the same shape: see [`groups`] and [`transactions`].
//!
//! Deliberately absent: a quorum of several voters and replication, which come with their modules;
//! and any knowledge of sockets, files and cores.

#![forbid(unsafe_code)]

pub mod error;
pub mod metadata;
pub mod configs;
pub mod controller;
pub mod answer;
pub mod quotas;
pub mod groups;
pub mod transactions;
pub mod format;
