//! One shard: what it owns, how it talks to the others, what waits on it.

mod catalog;
pub mod core;
pub mod host;
pub mod lending;
pub mod mailbox;
pub mod parked;
pub mod partition;
pub mod pulse;
pub mod questions;
pub mod queues;
pub mod router;
#[expect(
    clippy::module_inception,
    reason = "the layout names it so: one shard, on glommio"
)]
pub mod shard;
pub mod sessions;
pub mod wait;
