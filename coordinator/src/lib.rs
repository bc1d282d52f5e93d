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
//! Groups have their own log, `__consumer_offsets`, and their own circle of the same shape: see [`groups`].
//!
//! Deliberately absent: a quorum of several voters, replication and transactions, which come with their modules;
//! and any knowledge of sockets, files and cores.

#![forbid(unsafe_code)]

pub mod error;
pub mod metadata;
pub mod configs;
pub mod controller;
pub mod answer;
pub mod groups;
pub mod format;
