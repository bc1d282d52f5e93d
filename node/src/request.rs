//! One request as handlers see it: the received frame, its head, where it came from.
//!
//! The frame is immutable and shared: a request to partitions of several shards sends references
//! to it, never copies. Views borrow from it. Deliberately absent: what to do with it (dispatch).

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

/// A received frame without its size prefix. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Frame(Arc<Vec<u8>>);

impl Frame {
    /// Takes over received bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The listener a connection came in by; which APIs it serves follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    /// Clients.
    Kafka,
    /// Other brokers.
    Internal,
    /// Controllers.
    Controller,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of the connection, unique in this run of the node.
    pub connection: u64,
    /// By which listener.
    pub listener: Listener,
    /// The peer's address.
    pub peer: SocketAddr,
}
