//! Listening: sockets of our own, and who gets the next connection.
//!
//! A port is first bound without SO_REUSEPORT or SO_REUSEADDR tricks of a second node: a plain
//! exclusive bind fails if anyone else listens there, while SO_REUSEPORT alone would let a second
//! node of the same user share the port silently. Shard 0 accepts and hands each connection to the
//! shard with the fewest. Deliberately absent: name resolution (the configuration has addresses).

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::{Domain, Protocol, Socket, Type};

use super::send_file;
use crate::request::Listener;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A bound listener before it belongs to an executor.
#[derive(Debug)]
pub struct Bound {
    /// Which listener it is.
    pub listener: Listener,
    /// The address it got (a configured port of 0 is known here).
    pub address: SocketAddr,
    socket: OwnedFd,
}

/// Binds a listener's address exclusively and listens.
pub fn bind(listener: Listener, address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.cloexec(),
        Some(Protocol::TCP),
    )?;
    // Only lets a restart follow a stop at once (connections in TIME_WAIT); two listeners on one
    // port stay impossible, since the other one did not ask to share it.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok(Bound {
        listener,
        address: bound,
        socket: socket.into(),
    })
}

/// How many connections each shard has; read and written by all of them.
#[derive(Debug)]
pub struct Loads(Vec<AtomicUsize>);

impl Loads {
    /// For `shards` shards.
    pub fn new(shards: u16) -> Arc<Self> {
        Arc::new(Self((0..shards).map(|_| AtomicUsize::new(0)).collect()))
    }

    /// Counts one connection more for the shard that has the fewest, and names it. `None` if each
    /// has `max`.
    pub fn assign(&self, max: usize) -> Option<u16> {
        let (shard, load) = self
            .0
            .iter()
            .enumerate()
            .min_by_key(|(_, load)| load.load(Ordering::Relaxed))?;
        if load.load(Ordering::Relaxed) >= max {
            return None;
        }
        load.fetch_add(1, Ordering::Relaxed);
        u16::try_from(shard).ok()
    }

    /// Counts one connection less.
    pub fn release(&self, shard: u16) {
        if let Some(load) = self.0.get(usize::from(shard)) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Connections of a shard.
    pub fn get(&self, shard: u16) -> usize {
        self.0
            .get(usize::from(shard))
            .map_or(0, |load| load.load(Ordering::Relaxed))
    }
}

/// Accepts for ever and hands each socket to `place`.
pub async fn accept_all(bound: Bound, place: Rc<dyn Fn(OwnedFd, SocketAddr, Listener)>) {
    let listener = send_file::listen_on(bound.socket);
    loop {
        match send_file::accept(&listener).await {
            Ok((socket, peer)) => place(socket, peer, bound.listener),
            Err(error) => {
                // Out of descriptors, or the peer is gone already: one connection fails, not the
                // listener. The pause keeps a lasting shortage from spinning.
                tracing::warn!(listener = ?bound.listener, %error, "accept failed");
                glommio::timer::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_node_does_not_get_the_port() {
        let first = bind(Listener::Kafka, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let second = bind(Listener::Kafka, first.address);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn connections_go_to_the_shard_with_the_fewest_until_all_are_full() {
        let loads = Loads::new(2);
        assert_eq!(loads.assign(2), Some(0));
        assert_eq!(loads.assign(2), Some(1));
        loads.release(0);
        assert_eq!(loads.assign(2), Some(0));
        assert_eq!(loads.assign(2), Some(0));
        assert_eq!(loads.assign(2), Some(1));
        assert_eq!(loads.assign(2), None);
    }
}
