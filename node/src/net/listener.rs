//! Listening: sockets of our own, and the connections that come in by them.
//!
//! A port is first bound without SO_REUSEPORT or SO_REUSEADDR tricks of a second node: a plain
//! exclusive bind fails if anyone else listens there, while SO_REUSEPORT alone would let a second
//! node of the same user share the port silently. Shard 0 accepts. Deliberately absent: who may come
//! in (`net/door.rs`), name resolution (the configuration has addresses).

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::door::Place;
use super::send_file;
use crate::request::Listener;
use crate::runtime::clock;
use crate::runtime::logs::RateLimit;

/// Connections that may wait to be accepted, at least: Kafka's default of 50 turns away a fleet that
/// comes back at once.
const BACKLOG_MIN: i32 = 1024;

/// A bound listener before it belongs to an executor.
#[derive(Debug)]
pub struct Bound {
    /// Which listener it is.
    pub listener: Listener,
    /// The address it got (a configured port of 0 is known here).
    pub address: SocketAddr,
    socket: OwnedFd,
}

/// Binds a listener's address exclusively and listens, with at least that backlog.
pub fn bind(listener: Listener, address: SocketAddr, backlog: i32) -> io::Result<Bound> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.cloexec(),
        Some(Protocol::TCP),
    )?;
    // Only lets a restart follow a stop at once (connections in TIME_WAIT); two listeners on one
    // port stay impossible, since the other one did not ask to share it.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.max(BACKLOG_MIN))?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok(Bound {
        listener,
        address: bound,
        socket: socket.into(),
    })
}

/// An accepted connection on its way to the shard that serves it.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket, which belongs to no executor yet.
    pub socket: OwnedFd,
    /// The listener it came in by.
    pub listener: Listener,
    /// Its place, given back when it ends.
    pub place: Place,
}

/// Takes an accepted socket; may say how long to wait before the next.
pub type Take = dyn Fn(OwnedFd, SocketAddr, Listener) -> Option<Duration>;

/// Accepts for ever and hands each socket to `take`.
pub async fn accept_all(bound: Bound, take: Rc<Take>) {
    let listener = send_file::listen_on(bound.socket);
    let complaints = RateLimit::default();
    loop {
        let pause = match send_file::accept(&listener).await {
            Ok((socket, peer)) => take(socket, peer, bound.listener),
            Err(error) => {
                // Out of descriptors, or the peer is gone already: one connection fails, not the
                // listener. The pause keeps a lasting shortage from spinning.
                if let Some(suppressed) = complaints.admit(clock::now().mono) {
                    tracing::warn!(listener = ?bound.listener, %error, suppressed, "accept failed");
                }
                Some(ACCEPT_PAUSE)
            }
        };
        if let Some(pause) = pause {
            glommio::timer::sleep(pause).await;
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_node_does_not_get_the_port() {
        let first = bind(Listener::Kafka, SocketAddr::from(([127, 0, 0, 1], 0)), 0).unwrap();
        let second = bind(Listener::Kafka, first.address, 0);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
