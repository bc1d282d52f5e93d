//! What a shard's logic needs of the world around it: tasks, timers, clocks, the other shards.
//!
//! The real host is glommio's executor with the mesh (`shard/shard.rs`, `shard/router.rs`); the
//! simulator's is storage's seeded executor. Everything between frame and acknowledgement is
//! written against this trait and the storage engine's `Disk`, and names no runtime.

use std::path::Path;
use std::time::Duration;

use thalweg_wire::ids::{ShardId, TimestampMs};

use super::mailbox::{Message, Reply};
use super::wait::LocalFuture;
use crate::net::listener::Accepted;

/// Latency classes of tasks; see `shard/queues.rs` for their shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Sockets, requests, the mesh.
    Network,
    /// The journal's rounds.
    Commit,
    /// Reads of old data, filling of the page cache, checks that take long.
    Reads,
    /// Moves, retention, deletion, pool growth.
    Background,
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock.
    pub wall: TimestampMs,
    /// Nanoseconds on a clock that never goes back.
    pub mono: u64,
}

/// The other shard is gone (the node is stopping).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// The answer to a message that is on its way.
pub type PendingReply = LocalFuture<Result<Reply, Gone>>;

/// The world around one shard.
pub trait Host: 'static {
    /// This shard.
    fn shard(&self) -> ShardId;
    /// How many shards the node has.
    fn shards(&self) -> u16;
    /// Reads the clocks.
    fn now(&self) -> Now;
    /// Runs a task to its end in the background.
    fn spawn(&self, queue: Queue, task: LocalFuture<()>);
    /// Resolves after `duration`.
    fn sleep(&self, duration: Duration) -> LocalFuture<()>;
    /// Sends to another shard: resolves when the message is in the channel (it may wait for a
    /// credit, in the order of first polls), to a future of the reply.
    /// Messages between two shards arrive in the order in which these futures resolve.
    fn send(&self, to: ShardId, message: Message) -> LocalFuture<Result<PendingReply, Gone>>;
    /// Fills `bytes` from a source that cannot be guessed.
    fn random(&self, bytes: &mut [u8; 16]);
    /// Bytes of the file system that holds `path`: all, and those still to be had.
    fn disk_space(&self, path: &Path) -> Option<(u64, u64)>;
    /// Takes over an accepted connection.
    fn adopt(&self, accepted: Accepted);
}
