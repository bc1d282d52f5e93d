//! The porter of shard 0: lets connections in by the bounds and quotas that hold now, and sends each to its shard.
//!
//! Deliberately absent: the counting (`net/door.rs`), listening (`net/listener.rs`).

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use thalweg_coordinator::metadata::image::Image;
use thalweg_storage::disk::uring::UringDisk;
use thalweg_wire::ids::{Offset, ShardId};

use super::facts;
use super::logs::RateLimit;
use super::seat::Room;
use crate::net::door::{Bounds, Door};
use crate::net::listener::Accepted;
use crate::quotas::connection_windows;
use crate::request::Listener;
use crate::shard::core::ShardCore;
use crate::shard::host::{Host, Queue};
use crate::shard::mailbox::Message;

/// Sockets that are kept for a while before they are closed; more are closed at once.
const HELD_BACK_MAX: usize = 1_024;

/// Stands at the door: asks the newest image for its bounds and sends each connection to its shard.
pub(super) struct Porter {
    room: Rc<Room>,
    door: RefCell<Door>,
    /// As of that offset of the metadata log.
    bounds: RefCell<Option<(Offset, Bounds)>>,
    complaints: RateLimit,
    /// Sockets of addresses that are throttled.
    held_back: Rc<Cell<usize>>,
}

impl Porter {
    pub(super) fn new(room: &Rc<Room>, door: Door) -> Rc<Self> {
        Rc::new(Self {
            room: Rc::clone(room),
            door: RefCell::new(door),
            bounds: RefCell::default(),
            complaints: RateLimit::default(),
            held_back: Rc::default(),
        })
    }

    pub(super) fn take(
        &self,
        socket: OwnedFd,
        peer: SocketAddr,
        listener: Listener,
    ) -> Option<Duration> {
        let core = self.room.core()?;
        let bounds = self.bounds(&core.image());
        let now = self.room.host.now().mono;
        if let Some(wait) = self.throttle(&core, peer) {
            self.hold_back(&core, socket, wait);
            return None;
        }
        let pause = self.door.borrow_mut().pace(now, &bounds);
        let place = match self.door.borrow_mut().admit(peer.ip(), &bounds) {
            Ok(place) => place,
            Err(full) => {
                core.metrics.connections_refused.add(1);
                if let Some(suppressed) = self.complaints.admit(now) {
                    tracing::warn!(%peer, suppressed, reason = %full, "a connection is refused");
                }
                return pause;
            }
        };
        let shard = ShardId(place.shard);
        let message = Message::Connection(Accepted {
            socket,
            listener,
            place,
        });
        let hand_over = async move {
            // A shard that is gone drops the connection, and its place with it.
            let _gone = core.ask(shard, message).await;
        };
        self.room.host.spawn(Queue::Network, Box::pin(hand_over));
        pause
    }

    /// How long the address has to wait for exceeding its rate of new connections.
    fn throttle(&self, core: &ShardCore<UringDisk>, peer: SocketAddr) -> Option<Duration> {
        let limit = core.quotas()?.connections(peer.ip())?;
        let windows = connection_windows(&core.node);
        let now = self.room.host.now().mono;
        self.door
            .borrow_mut()
            .throttle(peer.ip(), (limit, windows), now)
    }

    /// Keeps a socket for as long as its address is throttled and closes it then, as Kafka does: a client that is
    /// closed at once only comes back sooner.
    fn hold_back(&self, core: &Rc<ShardCore<UringDisk>>, socket: OwnedFd, wait: Duration) {
        core.metrics.connections_refused.add(1);
        let held = Rc::clone(&self.held_back);
        if held.get() >= HELD_BACK_MAX {
            return;
        }
        held.set(held.get() + 1);
        let host = Rc::clone(&self.room.host);
        let hold = async move {
            host.sleep(wait).await;
            drop(socket);
            held.set(held.get() - 1);
        };
        self.room.host.spawn(Queue::Network, Box::pin(hold));
    }

    fn bounds(&self, image: &Image) -> Bounds {
        let mut known = self.bounds.borrow_mut();
        match &*known {
            Some((offset, bounds)) if *offset == image.offset => bounds.clone(),
            _ => {
                let bounds = facts::bounds(&self.room.node.broker_configs, image);
                *known = Some((image.offset, bounds.clone()));
                bounds
            }
        }
    }
}
