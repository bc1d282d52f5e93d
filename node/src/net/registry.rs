//! The open connections of one shard: begin, watch over, end.
//!
//! A sweep once a second closes connections that were silent for too long and those whose frame
//! does not get whole in time, so that no connection needs a timer of its own. Invariants: every
//! connection's place is given back once, when its last task ends. Deliberately absent: what
//! connections say, and how many there may be (`net/door.rs`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use thalweg_wire::ids::ShardId;

use super::connection::{self, Ending, Link, Net};
use super::door::Place;
use super::listener::Accepted;
use super::send_file::Socket;
use crate::request::Origin;
use crate::runtime::logs::RateLimit;
use crate::shard::host::Queue;
use crate::shard::wait::Signal;

/// An open connection.
type Open = (Rc<Link>, Rc<Socket>);

/// The connections of one shard.
pub struct Registry {
    net: Rc<Net>,
    open: RefCell<BTreeMap<u64, Open>>,
    next: Cell<u64>,
    stopping: Cell<bool>,
    ended: Signal,
    complaints: RateLimit,
}

impl Registry {
    /// No connections yet.
    pub fn new(net: Rc<Net>) -> Rc<Self> {
        let registry = Rc::new(Self {
            net,
            open: RefCell::default(),
            next: Cell::new(0),
            stopping: Cell::new(false),
            ended: Signal::default(),
            complaints: RateLimit::default(),
        });
        let weak = Rc::downgrade(&registry);
        let close = move || {
            if let Some(registry) = weak.upgrade() {
                registry.close_fullest();
            }
        };
        *registry.net.close_fullest.borrow_mut() = Some(Box::new(close));
        registry
    }

    fn shard(&self) -> ShardId {
        self.net.host.shard()
    }

    /// Serves an accepted connection.
    pub fn adopt(self: &Rc<Self>, accepted: Accepted) {
        let (link, socket, place) = match self.begin(accepted) {
            Ok(begun) => begun,
            Err(error) => {
                tracing::debug!(shard = self.shard().0, %error, "a connection was gone at once");
                return;
            }
        };
        let registry = Rc::clone(self);
        let serving = async move {
            let number = link.origin.connection;
            let ending =
                connection::serve(Rc::clone(&registry.net), socket, Rc::clone(&link)).await;
            registry.open.borrow_mut().remove(&number);
            registry.net.metrics.connections.set(registry.len());
            drop(place);
            registry.tell(&link.origin, &ending);
            registry.ended.notify();
        };
        self.net.host.spawn(Queue::Network, Box::pin(serving));
    }

    fn begin(&self, accepted: Accepted) -> std::io::Result<(Rc<Link>, Rc<Socket>, Place)> {
        let Accepted {
            socket,
            listener,
            place,
        } = accepted;
        if self.stopping.get() {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        self.net.metrics.connections.set(self.len() + 1);
        let raw = socket2::SockRef::from(&socket);
        // Answers are whole when they are sent: waiting for more to send only delays them.
        raw.set_tcp_nodelay(true)?;
        if let Some(bytes) = self.net.limits.send_buffer_bytes {
            raw.set_send_buffer_size(bytes)?;
        }
        let address = |address: socket2::SockAddr| {
            address
                .as_socket()
                .ok_or(std::io::ErrorKind::AddrNotAvailable)
        };
        let origin = Origin {
            connection: self.next.get() << 16 | u64::from(self.shard().0),
            listener,
            peer: address(raw.peer_addr()?)?,
            local: address(raw.local_addr()?)?,
        };
        self.next.set(self.next.get() + 1);
        let link = Link::new(origin, self.net.host.now().mono);
        let socket = Rc::new(Socket::adopt(socket, self.net.ring.clone())?);
        self.open
            .borrow_mut()
            .insert(origin.connection, (Rc::clone(&link), Rc::clone(&socket)));
        Ok((link, socket, place))
    }

    /// One line for a connection that ended badly, and not more than a few a second.
    fn tell(&self, origin: &Origin, ending: &Ending) {
        let shard = self.shard().0;
        let (peer, listener) = (origin.peer, origin.listener.name());
        match ending {
            Ending::Eof => tracing::debug!(shard, %peer, listener, "connection closed by its peer"),
            Ending::Io(error) => {
                tracing::debug!(shard, %peer, listener, %error, "connection lost");
            }
            Ending::Frame(_) | Ending::Request(_) | Ending::PartialBytes(_) => {
                self.net.metrics.connections_refused.add(1);
                if let Some(suppressed) = self.complaints.admit(self.net.host.now().mono) {
                    tracing::warn!(
                        shard, %peer, listener, suppressed, reason = %ending,
                        "connection closed"
                    );
                }
            }
        }
    }

    /// Closes what was silent for `idle_ms` (negative: never) or does not get its frame whole.
    pub fn sweep(&self, idle_ms: i64) {
        let now = self.net.host.now().mono;
        let idle = u64::try_from(idle_ms)
            .unwrap_or(u64::MAX)
            .saturating_mul(1_000_000);
        for (link, socket) in self.open.borrow().values() {
            if link.is_overdue(now, idle, socket.total()) {
                socket.shut_down();
            }
        }
    }

    /// Closes the connection whose answers wait in most bytes, if all together are too many: its
    /// peer does not read them. What is being closed already counts no more.
    fn close_fullest(&self) {
        let open = self.open.borrow();
        let alive = || open.values().filter(|(link, _)| !link.is_closed());
        let all: usize = alive().map(|(link, _)| link.waiting.get()).sum();
        if all <= self.net.limits.shard_answer_bytes_max {
            return;
        }
        if let Some((link, socket)) = alive().max_by_key(|(link, _)| link.waiting.get()) {
            tracing::warn!(
                shard = self.shard().0,
                peer = %link.origin.peer,
                bytes = link.waiting.get(),
                "a connection is closed: it does not read its answers, and others have no room"
            );
            link.close();
            socket.shut_down();
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// True if none is open.
    pub fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Takes no more requests; what was read is still answered.
    pub fn stop_reading(&self) {
        self.stopping.set(true);
        for (link, socket) in self.open.borrow().values() {
            link.stop_waiting();
            socket.shut_down_reading();
        }
    }

    /// Resolves when no connection is left.
    pub async fn emptied(&self) {
        while !self.is_empty() {
            self.ended.wait().await;
        }
    }

    /// Ends all that are left at once.
    pub fn abort(&self) {
        for (link, socket) in self.open.borrow().values() {
            link.close();
            socket.shut_down();
        }
    }
}
