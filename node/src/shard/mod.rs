//! One shard: what it owns, how it talks to the others, what waits on it.

pub mod host;
pub mod mailbox;
pub mod parked;
pub mod queues;
pub mod router;
pub mod wait;
