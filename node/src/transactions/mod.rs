//! Transactions on the shards of their partitions of `__transaction_state`.
//!
//! ```text
//! handlers/k22.. -> route (finds partition and shard) -> mailbox -> part (`groups::part`)
//!   -> coordinator::transactions::TxnShard -> Step -> append (one batch) -> accepted
//!   -> decided and durable: markers -> mailbox -> the partitions' shards -> durable -> complete
//! ```
//!
//! The parts are those of groups ([`crate::groups::machine`]): loaded, worked and answered in the same way. What is
//! added is [`markers`]: a decision is carried to every partition of its transaction, however often it takes,
//! and [`verify`]: a batch that would begin a transaction in a partition is appended only if the coordinator knows
//! of it. Deliberately absent: what transactions do (`thalweg_coordinator::transactions`).

pub mod machine;
pub mod markers;
pub mod route;
pub mod settings;
pub mod verify;
