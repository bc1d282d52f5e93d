//! Consumer groups (the classic protocol) and committed offsets, as Kafka's group coordinator keeps them.
//!
//! ```text
//! request, timer --> GroupShard (state of one `__consumer_offsets` partition) --> Step
//!                        ^                                                         | records
//!                        | accepted(step, base offset) / refused(step, error)      v
//!                        +--------------------------------- append to the partition (node, storage)
//!                        |
//!                        +--> replies, each with the offset that must be committed before it is given
//! ```
//!
//! One [`shard::GroupShard`] holds the groups whose ids hash to one partition ([`place`]). Its state is in two
//! layers. The *logged* layer (`logged.rs`) is what the records say: `replay` is its only writer, at the start and
//! on the running node alike. The *live* layer (`live.rs`) is what no record holds: who waits for a join or a
//! sync, votes, deadlines. It is made from the logged layer when the partition is loaded and dropped when it is
//! unloaded.
//!
//! How the node drives a shard:
//! - Start: `replay` every record below the high watermark, then `loaded`.
//! - Each request, and each deadline (`next_due`, `tick`), gives a [`step::Step`]. Its records are appended as one
//!   batch **before the shard is called again**; then `accepted` or `refused` is called with it, which gives the
//!   replies. A step without records is passed to `accepted` all the same. Heartbeats alone may come before the log
//!   has spoken, and go to `beaten`: they only move a deadline.
//! - What the log accepted is either committed later, or the shard is unloaded: there is no third way. So
//!   `accepted` changes the state at once, and replies wait for the high watermark instead: each names the
//!   offset it waits for. That goes for answers that only read, too: nothing is shown before it is committed.
//! - `now` is two clocks ([`time`]): one that only runs, for deadlines, and wall time, for records.
//! - A reply whose offset will never be committed is given as `answer.refused(code)`.
//! - End (leadership lost, journal poisoned): `unload`, which answers everybody who waits.
//!
//! Deliberately absent: I/O, clocks (time is an argument), timers (the shard keeps deadlines and names the next),
//! authorization, and members of both protocols in one group. The protocol of KIP-848 is in [`consumer`].

pub mod config;
pub mod place;
mod record;
mod logged;
mod live;
mod protocols;
pub mod time;
pub mod step;
mod deadlines;
mod work;
pub mod shard;
mod join;
mod sync;
mod presence;
mod commit;
mod txn_commit;
pub mod fetch;
pub mod admin;
mod expire;
pub mod consumer;

pub use logged::{Committed, Generation, Logged, LoggedMember, Offsets};
pub use record::ReplayError;
