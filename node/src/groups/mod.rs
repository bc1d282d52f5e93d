//! Groups on the shards of their partitions of `__consumer_offsets`.
//!
//! ```text
//! handlers/k08.. -> route (finds partition and shard) -> mailbox -> part (a queue per partition)
//!   -> coordinator::groups::GroupShard -> Step -> append (one batch) -> accepted
//!   -> replies wait for the high watermark -> gather -> mailbox -> route -> handler -> connection
//! ```
//!
//! A [`part::Part`] is one partition's groups: loaded from the log when this node begins to lead it
//! ([`load`]), then worked one event at a time ([`run`]). A request is one message to each shard
//! that it concerns; that message is answered at once and the answer follows as a message of its
//! own, so that a JoinGroup that waits for minutes holds no credit of the mesh. What a part runs is a
//! [`machine::Machine`]; transactions have theirs ([`crate::transactions`]). Appends of many
//! events share a round of the journal, and nothing here waits for a flush but answers.
//! Deliberately absent: what groups do (`thalweg_coordinator::groups`).

pub mod ask;
pub mod gather;
pub mod load;
pub mod machine;
pub mod part;
pub mod route;
pub mod run;
pub mod settings;
pub mod table;
