//! Transactions, as Kafka's transaction coordinator keeps them (KIP-98, KIP-890).
//!
//! ```text
//! request, timer --> TxnShard (state of one `__transaction_state` partition) --> Step
//!                        ^                                                        | records
//!                        | accepted(step, base offset) / refused(step, error)     v
//!                        +-------------------------------- append to the partition (node, storage)
//!                        |
//!                        +--> replies, each with the offset that must be committed before it is given
//!                        +--> marker jobs, once the decision is committed (`markers`)
//! ```
//!
//! One [`shard::TxnShard`] holds the transactional ids that hash to one partition. What is logged of an id
//! ([`state::Txn`]) changes only by `replay`, at the start and on the running node alike. A commit goes
//!
//! ```text
//! Ongoing -> PrepareCommit (logged: decided) -> markers to all partitions -> CompleteCommit (logged)
//! ```
//!
//! and is carried on from whichever record is the last one in the log: a shard that finds a prepared transaction
//! when it is loaded asks for its markers again. Markers are never asked for before the decision is below the
//! high watermark, since a crash could take it back; that is also why every answer waits for what is logged.
//!
//! Versions: a client of version 2 has its epoch raised by each end of a transaction, so that nothing of an
//! earlier transaction can become part of a later one; version 0 and 1 keep the epoch. A transaction that is
//! aborted by the coordinator (timeout, a new producer of the same id) has its epoch raised in any case.
//!
//! The node drives a shard as it drives `groups`: one event at a time, its records appended before the next.
//!
//! Deliberately absent: I/O, clocks, producer ids (a step that needs one says so and is asked for again with
//! one), two-phase commit (KIP-939), authorization.

pub mod config;
mod record;
pub mod state;
pub mod step;
pub mod shard;
mod init;
mod end;
mod partitions;
mod admin;

pub use record::ReplayError;
