//! Everything that shards say to each other: one closed enum each way.
//!
//! One message per (request, shard), never per partition. All of it is `Send`: record bytes travel
//! as the shared frame plus ranges, or as slices of the tail cache. Deliberately absent: channels
//! and credits (`shard/router.rs`).

use std::ops::Range;
use std::os::fd::OwnedFd;

use thalweg_wire::ids::PartitionId;

use crate::request::{Frame, Listener};

/// A request from one shard to another. Each is answered by exactly one [`Reply`].
#[derive(Debug)]
pub enum Message {
    /// Serve this connection.
    Connection {
        /// The accepted socket.
        socket: OwnedFd,
        /// The listener it came in by.
        listener: Listener,
    },
    /// Append these batches.
    Append(AppendJob),
}

/// The answer to a [`Message`].
#[derive(Debug)]
pub enum Reply {
    /// Done; nothing to say.
    Done,
}

/// The part of a produce request that one shard owns.
#[derive(Debug)]
pub struct AppendJob {
    /// The request's frame, which holds the batches.
    pub frame: Frame,
    /// The batches, in the order of the request.
    pub parts: Vec<AppendPart>,
}

/// One checked batch for one partition.
#[derive(Debug)]
pub struct AppendPart {
    /// The partition.
    pub partition: PartitionId,
    /// Where the batch lies in the frame.
    pub batch: Range<usize>,
}
