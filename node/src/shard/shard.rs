//! One shard on glommio: the [`Host`] of its logic.
//!
//! Deliberately absent: all decisions; this is the thin shell that the simulator replaces.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use thalweg_wire::ids::ShardId;

use super::host::{Gone, Host, Now, PendingReply, Queue};
use super::mailbox::Message;
use super::queues::Queues;
use super::router::Router;
use super::wait::LocalFuture;
use crate::net::listener::Accepted;
use crate::runtime::clock;

/// What takes over an accepted connection.
pub type Adopt = Box<dyn Fn(Accepted)>;

/// The world of one shard on glommio.
pub struct GlommioHost {
    shard: ShardId,
    shards: u16,
    queues: Queues,
    router: RefCell<Option<Router>>,
    adopt: RefCell<Option<Adopt>>,
}

impl GlommioHost {
    /// The host of the current executor.
    pub fn new(shard: ShardId, shards: u16) -> Rc<Self> {
        Rc::new(Self {
            shard,
            shards,
            queues: Queues::create(),
            router: RefCell::default(),
            adopt: RefCell::default(),
        })
    }

    /// The mesh is connected.
    pub fn set_router(&self, router: Router) {
        *self.router.borrow_mut() = Some(router);
    }

    /// Sockets can be served.
    pub fn set_adopt(&self, adopt: Adopt) {
        *self.adopt.borrow_mut() = Some(adopt);
    }
}

impl Host for GlommioHost {
    fn shard(&self) -> ShardId {
        self.shard
    }

    fn shards(&self) -> u16 {
        self.shards
    }

    fn now(&self) -> Now {
        clock::now()
    }

    fn spawn(&self, queue: Queue, task: LocalFuture<()>) {
        match glommio::spawn_local_into(task, self.queues.get(queue)) {
            Ok(task) => drop(task.detach()),
            // The queues live as long as the executor; without one nothing can be served.
            Err(error) => panic!("task queue {queue:?} of shard {}: {error}", self.shard),
        }
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<()> {
        Box::pin(async move {
            glommio::timer::sleep(duration).await;
        })
    }

    fn send(&self, to: ShardId, message: Message) -> LocalFuture<Result<PendingReply, Gone>> {
        match &*self.router.borrow() {
            Some(router) => router.send(to, message),
            None => Box::pin(std::future::ready(Err(Gone))),
        }
    }

    fn random(&self, bytes: &mut [u8; 16]) {
        // The kernel's source is there from boot on; an id that is not random would be a defect.
        getrandom::fill(bytes).unwrap_or_else(|error| panic!("no random bytes: {error}"));
    }

    fn disk_space(&self, path: &Path) -> Option<(u64, u64)> {
        let space = rustix::fs::statvfs(path).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        Some((bytes(space.f_blocks), bytes(space.f_bavail)))
    }

    fn adopt(&self, accepted: Accepted) {
        if let Some(adopt) = &*self.adopt.borrow() {
            adopt(accepted);
        }
    }
}
