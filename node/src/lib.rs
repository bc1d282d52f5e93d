//! The node: sockets, shards, request handlers, start and stop, command line.
//!
//! ```text
//! socket -> net/connection -> net/frames -> dispatch -> handlers/kNN_* -> shard/router
//!   -> shard/partition -> storage ... -> shard/parked -> net/connection -> net/send_file -> socket
//! ```

pub mod net;
pub mod request;
pub mod outgoing;
pub mod sending;
pub mod led;
pub mod viewpoint;
pub mod dispatch;
pub mod handlers;
pub mod shard;
pub mod groups;
pub mod transactions;
pub mod error;
pub mod topics;
pub mod node;
pub mod quotas;
pub mod runtime;
pub mod metrics;
pub mod admin;
pub mod cli;
