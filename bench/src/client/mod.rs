//! The lean client: connections on `wire`, and the calls around a load.
//!
//! ```text
//! Connection  one call at a time, blocking: setting up, asking for ends, groups
//!     |
//!     v
//! Link        the same socket without blocking: the load itself, many requests under way
//! Poller      which links can be read or written
//! ```
//! An answer has to carry the correlation id that is next, since Kafka answers in order on a
//! connection. Deliberately absent: retries and reconnects; an error is counted, and only the failover
//! load opens another connection.

mod cluster;
mod group;
mod link;
mod poller;
mod request;

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use thalweg_wire::bytes::{Message, View};
use thalweg_wire::header::encode_request;

use crate::BenchError;
use crate::error::{decode, io};

pub use cluster::{Cluster, producer_id};
pub use group::{Group, Member};
pub use link::{Answer, Link};
pub use poller::{Interest, Poller};
pub use request::{Place, Request};

/// A server that says nothing for so long is gone.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Larger than any answer that was asked for.
pub const ANSWER_BYTES_MAX: usize = 256 << 20;
pub const CLIENT_ID: &str = "thalweg-bench";

/// A connection for one call at a time.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    answer: Vec<u8>,
    next_id: i32,
}

impl Connection {
    pub fn open(address: &str) -> Result<Self, BenchError> {
        let socket = TcpStream::connect(address).map_err(io("connecting"))?;
        Self::over(socket, SILENCE_MAX)
    }

    /// Connecting may take so long, and so may each later wait for the socket.
    pub fn open_within(address: &str, limit: Duration) -> Result<Self, BenchError> {
        let mut failure = None;
        for address in address.to_socket_addrs().map_err(io("resolving"))? {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(socket) => return Self::over(socket, limit),
                Err(error) => failure = Some(error),
            }
        }
        let none = || std::io::Error::other(format!("{address} has no address"));
        Err(io("connecting")(failure.unwrap_or_else(none)))
    }

    fn over(socket: TcpStream, limit: Duration) -> Result<Self, BenchError> {
        socket
            .set_nodelay(true)
            .map_err(io("setting TCP_NODELAY"))?;
        socket
            .set_read_timeout(Some(limit))
            .and_then(|()| socket.set_write_timeout(Some(limit)))
            .map_err(io("setting a time limit"))?;
        Ok(Self {
            socket,
            answer: Vec::new(),
            next_id: 0,
        })
    }

    /// Asks, waits, and decodes the answer.
    pub fn call<'a, M: Message, V: View<'a>>(
        &'a mut self,
        request: &M,
        version: i16,
    ) -> Result<V, BenchError> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let frame = encode_request(request, version, id, Some(CLIENT_ID))?;
        self.socket.write_all(&frame).map_err(io("sending"))?;
        let flexible = V::Owned::FIRST_FLEXIBLE.is_some_and(|first| version >= first);
        let body = self.receive(id, flexible)?;
        V::decode(body, version).map_err(decode(V::Owned::NAME))
    }

    fn receive(&mut self, id: i32, flexible: bool) -> Result<&[u8], BenchError> {
        let mut prefix = [0; 4];
        self.socket
            .read_exact(&mut prefix)
            .map_err(io("receiving"))?;
        let length = u32::from_be_bytes(prefix) as usize;
        if length > ANSWER_BYTES_MAX || length < 4 + usize::from(flexible) {
            return Err(BenchError::Protocol(format!("an answer of {length} bytes")));
        }
        self.answer.resize(length, 0);
        self.socket
            .read_exact(&mut self.answer)
            .map_err(io("receiving"))?;
        match self.answer.split_first_chunk::<4>() {
            Some((found, body)) if i32::from_be_bytes(*found) == id => {
                Ok(body.get(usize::from(flexible)..).unwrap_or_default())
            }
            _ => Err(BenchError::Protocol(format!("no answer to request {id}"))),
        }
    }

    /// The socket, for a load. Nothing is under way on it.
    #[must_use]
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }
}
