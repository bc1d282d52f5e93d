//! A load that remembers everything it was told, and the audit that holds a server to it.
//!
//! [`load`] writes from several threads (idempotent producers, transactions, compacted keys, topics
//! deleted and made again, records deleted, a reader beside them); [`ledger`] keeps what was sent,
//! answered and shown, each with the place in the fault disk's log at which that was so; [`mod@audit`]
//! reads a server back and names the first contradiction for a cut at a given place.
//!
//! Values prove themselves: each holds its stream and sequence and bytes that follow from them.
//! Deliberately absent: judging a server that did not crash (`bench` does that).

pub mod audit;
pub mod client;
pub mod ledger;
pub mod load;
pub mod value;

pub use audit::{Found, audit};
pub use client::Client;
pub use ledger::Ledger;
