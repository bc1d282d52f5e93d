//! One shard's executor from its first task to its last: the glommio shell around [`ShardCore`].
//!
//! Shard 0 recovers, has the others open their stores, enters the new epoch, and only then listens;
//! the others wait for its messages. Stop goes the other way: no more requests, answers out,
//! journals emptied into segments, shard 0 last. Deliberately absent: threads (`boot.rs`).

use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use thalweg_coordinator::controller::brokers::Start;
use thalweg_storage::disk::probe::Probe;
use thalweg_storage::disk::uring::UringDisk;
use thalweg_storage::recover::{Report, mark_clean};
use thalweg_storage::scrub::ScrubPass;
use thalweg_storage::store::{PartitionSpec, StoppedLog, Store, StoreConfig};
use thalweg_wire::ids::ShardId;

use super::lap::Lap;
use super::porter::Porter;
use super::quiet::{self, Quiet};
use super::start::{self, StartError};
use super::watchdog::{BEAT, Heart};
use crate::dispatch::{COORDINATOR, Dispatch};
use crate::net::admin;
use crate::net::connection::{Limits, Net};
use crate::net::door::Door;
use crate::net::listener::{Bound, accept_all};
use crate::net::registry::Registry;
use crate::node::NodeFacts;
use crate::shard::core::ShardCore;
use crate::shard::host::{Host, Queue};
use crate::shard::mailbox::{Fault, Message, Reply};
use crate::shard::router::Ports;
use crate::shard::shard::GlommioHost;
use crate::shard::wait::{Either, LocalFuture, Signal, race};

/// Between two rounds of upkeep: retention, idle connections.
const UPKEEP: Duration = Duration::from_secs(1);
/// The first scrub begins so long after a start, or after a rest if that is shorter.
const SCRUB_AFTER: Duration = Duration::from_secs(600);
/// Without a rest at all, a shard with nothing to scrub would never come to rest.
const SCRUB_REST_MIN: Duration = Duration::from_secs(1);
/// Answers under way when the node stops get this long.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// glommio's first sleep takes tens of milliseconds; it is taken before anyone waits for it.
const WARM_UP: Duration = Duration::from_millis(1);

/// What the main thread is told.
#[derive(Debug)]
pub enum Event {
    /// The node serves.
    Ready(Box<Report>),
    /// The node can't start.
    Failed(String),
    /// A shard has ended.
    Ended(ShardId),
}

/// Everything one shard's thread is given.
pub struct Seat {
    /// Which shard.
    pub shard: ShardId,
    /// Its ends of the mesh.
    pub ports: Ports,
    /// The data directory.
    pub data: PathBuf,
    /// What the device can do.
    pub probe: Probe,
    /// Where blocking calls run.
    pub helper_cpus: Vec<usize>,
    /// This node.
    pub node: Arc<NodeFacts>,
    /// Settings of its store.
    pub store: StoreConfig,
    /// Limits of its connections.
    pub limits: Limits,
    /// Beats while it runs.
    pub heart: Heart,
    /// Where to tell.
    pub events: Sender<Event>,
    /// Only on shard 0.
    pub head: Option<Head>,
}

/// What only shard 0 is given.
pub struct Head {
    /// The client listeners.
    pub listeners: Vec<Bound>,
    /// Who may come in by them.
    pub door: Door,
    /// The admin listener.
    pub admin: Option<Bound>,
    /// This incarnation.
    pub start: Start,
    /// Readable when the node is to stop.
    pub stop: OwnedFd,
}

/// A shard that is being opened, open, or closing.
pub(super) struct Room {
    pub(super) host: Rc<GlommioHost>,
    disk: UringDisk,
    pub(super) node: Arc<NodeFacts>,
    store: StoreConfig,
    limits: Limits,
    core: RefCell<Option<Rc<ShardCore<UringDisk>>>>,
    registry: RefCell<Option<Rc<Registry>>>,
    over: Signal,
}

/// Runs the shard to its end.
pub async fn run(mut seat: Seat) {
    let events = seat.events.clone();
    let shard = seat.shard;
    if let Err(error) = run_shard(&mut seat).await {
        // The main thread ends the process with it; if that is gone, so is the node.
        let _no_main = events.send(Event::Failed(error.to_string()));
        return;
    }
    let _no_main = events.send(Event::Ended(shard));
}

async fn run_shard(seat: &mut Seat) -> Result<(), StartError> {
    let host = GlommioHost::new(seat.shard, seat.node.shards);
    glommio::timer::sleep(WARM_UP).await;
    let disk = UringDisk::open(&seat.data, seat.probe, &seat.helper_cpus)?;
    drive_ring(&host, &disk);
    let room = Rc::new(Room {
        host: Rc::clone(&host),
        disk,
        node: Arc::clone(&seat.node),
        store: StoreConfig {
            shard: seat.shard,
            ..seat.store
        },
        limits: seat.limits,
        core: RefCell::default(),
        registry: RefCell::default(),
        over: Signal::default(),
    });
    let over = {
        let room = Rc::clone(&room);
        async move { room.over.wait().await }
    };
    let mut over: LocalFuture<()> = Box::pin(over);
    // Taken before the first message can arrive, so that an early end is not missed.
    let _still_running = crate::shard::wait::poll_once(&mut over);
    connect(seat, &room).await;
    beat(&host, &seat.heart);
    match seat.head.take() {
        Some(head) => lead(&room, head, &seat.events).await?,
        None => over.await,
    }
    room.disk.ring().stop().await;
    Ok(())
}

fn drive_ring(host: &Rc<GlommioHost>, disk: &UringDisk) {
    let ring = disk.ring().clone();
    let drive = async move {
        if let Err(error) = ring.drive().await {
            // No write of this shard would ever be known to have ended.
            panic!("the second ring's eventfd can't be read: {error}");
        }
    };
    host.spawn(Queue::Commit, Box::pin(drive));
}

async fn connect(seat: &mut Seat, room: &Rc<Room>) {
    let ports = std::mem::replace(&mut seat.ports, Ports::none(seat.shard));
    let serving = Rc::clone(room);
    let spawning = Rc::clone(&room.host);
    let router = ports
        .connect(
            Rc::new(move |from, message| serving.serve(from, message)),
            Rc::new(move |task| spawning.spawn(Queue::Network, task)),
        )
        .await;
    room.host.set_router(router);
}

fn beat(host: &Rc<GlommioHost>, heart: &Heart) {
    let (pulse, heart) = (Rc::clone(host), Arc::clone(heart));
    let task = async move {
        loop {
            heart.fetch_add(1, Ordering::Relaxed);
            pulse.sleep(BEAT).await;
        }
    };
    host.spawn(Queue::Network, Box::pin(task));
}

/// Shard 0: from recovery to the end.
async fn lead(room: &Rc<Room>, head: Head, events: &Sender<Event>) -> Result<(), StartError> {
    let mut lap = Lap::new(&room.host);
    let now = room.host.now().wall;
    let recovered = start::recover(&room.disk, room.store, &room.node, now).await?;
    lap.end("recovered");
    let specs: Arc<[PartitionSpec]> = recovered.specs.into();
    let mut opening = Vec::new();
    for shard in others(room) {
        let message = Message::Open(Arc::clone(&specs));
        opening.push(room.host.send(shard, message).await.map_err(Fault::from)?);
    }
    room.open(&specs).await?;
    for reply in opening {
        if let Reply::Changed(result) = reply.await.map_err(Fault::from)? {
            result?;
        }
    }
    lap.end("stores opened");
    let core = room.core().ok_or(Fault::from(crate::shard::host::Gone))?;
    start::lead(&core, &room.disk, recovered.reader, &head.start).await?;
    lap.end("leading");
    let closing = Rc::new(Signal::default());
    let porter = Porter::new(room, head.door);
    for bound in head.listeners {
        listen(room, bound, &porter, &closing);
    }
    if let Some(bound) = head.admin {
        let serving = admin::serve(bound, core, room.disk.ring().clone());
        spawn_until(room, serving, &closing);
    }
    // Without a main thread there is nobody to serve for.
    let _no_main = events.send(Event::Ready(Box::new(recovered.report)));
    let told = room
        .disk
        .ring()
        .readable(std::os::fd::AsFd::as_fd(&head.stop))
        .await;
    if let Err(error) = told {
        tracing::error!(%error, "the stop signal can't be watched: stopping");
    }
    closing.notify();
    stop(room).await
}

fn others(room: &Room) -> impl Iterator<Item = ShardId> + use<> {
    (0..room.host.shards())
        .map(ShardId)
        .filter(|shard| *shard != COORDINATOR)
}

fn listen(room: &Rc<Room>, bound: Bound, porter: &Rc<Porter>, closing: &Rc<Signal>) {
    let porter = Rc::clone(porter);
    let take = move |socket, peer: SocketAddr, listener| porter.take(socket, peer, listener);
    spawn_until(room, accept_all(bound, Rc::new(take)), closing);
}

fn spawn_until(room: &Room, task: impl Future<Output = ()> + 'static, closing: &Rc<Signal>) {
    let closing = Rc::clone(closing);
    let until = async move {
        race(task, closing.wait()).await;
    };
    room.host.spawn(Queue::Network, Box::pin(until));
}

async fn stop(room: &Rc<Room>) -> Result<(), StartError> {
    for shard in others(room) {
        // A shard that is gone has nothing left to answer.
        let _gone = tell(room, shard, Message::Quiet).await;
    }
    room.quiet().await;
    let broker_epoch = room.core().map_or(-1, |core| own_epoch(&core));
    let mut stopped = Vec::new();
    for shard in others(room) {
        let halted = room.host.send(shard, Message::Halt).await;
        match halted.map_err(Fault::from)?.await {
            Ok(Reply::Stopped(logs)) => stopped.extend(logs?),
            _ => return Err(Fault::from(crate::shard::host::Gone).into()),
        }
    }
    stopped.extend(room.halt().await?);
    for shard in others(room) {
        tell(room, shard, Message::End).await?;
    }
    Ok(mark_clean(&room.disk, &stopped, broker_epoch).await?)
}

/// The epoch of this node's registration; -1 before it has one.
fn own_epoch(core: &ShardCore<UringDisk>) -> i64 {
    let image = core.image();
    let broker = image.brokers.get(&core.node.id);
    broker.map_or(-1, |broker| broker.epoch)
}

async fn tell(room: &Room, shard: ShardId, message: Message) -> Result<(), Fault> {
    let pending = room.host.send(shard, message).await?;
    match pending.await {
        Ok(Reply::Changed(result)) => result,
        // The last message's reply may be cut off by the end of its shard.
        _ => Ok(()),
    }
}

impl Room {
    pub(super) fn core(&self) -> Option<Rc<ShardCore<UringDisk>>> {
        self.core.borrow().clone()
    }

    fn serve(self: &Rc<Self>, from: ShardId, message: Message) -> LocalFuture<Reply> {
        let room = Rc::clone(self);
        match message {
            Message::Open(specs) => {
                Box::pin(async move { Reply::Changed(room.open(&specs).await.map_err(told)) })
            }
            Message::Quiet => Box::pin(async move {
                room.quiet().await;
                Reply::Done
            }),
            Message::Halt => {
                Box::pin(async move { Reply::Stopped(room.halt().await.map_err(told)) })
            }
            Message::End => Box::pin(async move {
                room.over.notify();
                Reply::Done
            }),
            message => match self.core() {
                Some(core) => core.serve(from, message),
                None => Box::pin(std::future::ready(Reply::Done)),
            },
        }
    }

    async fn open(self: &Rc<Self>, specs: &[PartitionSpec]) -> Result<(), StartError> {
        let now = self.host.now().wall;
        let store = Store::open(self.disk.clone(), self.store, specs, now).await?;
        let host: Rc<dyn Host> = Rc::<GlommioHost>::clone(&self.host);
        let spawn = |queue, task: LocalFuture<()>| self.host.spawn(queue, task);
        spawn(Queue::Commit, Box::pin(Rc::clone(&store).commit_loop()));
        spawn(Queue::Background, Box::pin(Rc::clone(&store).move_loop()));
        spawn(Queue::Background, Box::pin(Rc::clone(&store).flush_loop()));
        spawn(Queue::Background, Box::pin(Rc::clone(&store).grow_loop()));
        let core = ShardCore::new(
            host.clone(),
            store,
            self.disk.clone(),
            Arc::clone(&self.node),
        );
        let pulse = core.pulse.clone();
        spawn(Queue::Network, Box::pin(pulse.beat()));
        let service = Rc::new(Dispatch::new(Rc::clone(&core)));
        let metrics = Rc::clone(&core.metrics);
        let net = Net::new(
            self.limits,
            host,
            service,
            metrics,
            self.disk.ring().clone(),
        );
        let registry = Registry::new(net);
        let adopting = Rc::clone(&registry);
        self.host
            .set_adopt(Box::new(move |accepted| adopting.adopt(accepted)));
        *self.core.borrow_mut() = Some(core);
        *self.registry.borrow_mut() = Some(registry);
        spawn(Queue::Background, Box::pin(Rc::clone(self).upkeep()));
        spawn(Queue::Background, Box::pin(Rc::clone(self).cleaning()));
        spawn(Queue::Background, Box::pin(Rc::clone(self).scrubbing()));
        Ok(())
    }

    /// The log cleaner: one log after the other as long as one is dirty enough, then a rest.
    async fn cleaning(self: Rc<Self>) {
        let rest = u64::try_from(self.node.settings.kafka.log_cleaner_backoff_ms).unwrap_or(0);
        let rest = Duration::from_millis(rest.max(1));
        loop {
            self.host.sleep(rest).await;
            loop {
                let Some(core) = self.core() else { return };
                if !core.store.clean(self.host.now().wall).await {
                    break;
                }
            }
        }
    }

    /// The scrub: pass after pass over the sealed segments, at its rate, with rests between.
    async fn scrubbing(self: Rc<Self>) {
        let storage = &self.node.settings.storage;
        let rest = Duration::from_millis(u64::try_from(storage.scrub_rest.0).unwrap_or(0));
        let rate = storage.scrub_rate.0;
        if rate == 0 {
            return;
        }
        // A start has other things to do, and some nodes never run for as long as a rest.
        self.host.sleep(rest.min(SCRUB_AFTER)).await;
        loop {
            let mut pass = ScrubPass::default();
            while let Some(core) = self.core() {
                let pace = async |bytes: u64| {
                    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
                    let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                    self.host.sleep(time).await;
                    self.core().is_some()
                };
                match core.store.scrub_next(&mut pass, pace).await {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(shard = self.host.shard().0, %error, "the scrub could not read a segment");
                    }
                }
            }
            self.host.sleep(rest.max(SCRUB_REST_MIN)).await;
            if self.core().is_none() {
                return;
            }
        }
    }

    async fn upkeep(self: Rc<Self>) {
        let idle = self.node.settings.kafka.connections_max_idle_ms;
        let (mut quiet, mut told) = (Quiet::default(), 0);
        loop {
            self.host.sleep(UPKEEP).await;
            let (core, registry) = (self.core(), self.registry.borrow().clone());
            let (Some(core), Some(registry)) = (core, registry) else {
                return;
            };
            registry.sweep(idle);
            let traffic = core.metrics.traffic();
            quiet::add(traffic - std::mem::replace(&mut told, traffic));
            if self.host.shard() == COORDINATOR {
                quiet.look();
            }
            core.heal().await;
            if let Err(error) = core.store.maintain(self.host.now().wall).await {
                tracing::warn!(shard = self.host.shard().0, %error, "upkeep of the logs failed");
            }
        }
    }

    /// No more requests; what was read is answered, within limits.
    async fn quiet(&self) {
        let registry = self.registry.borrow().clone();
        let Some(registry) = registry else { return };
        registry.stop_reading();
        let waiting = self.host.sleep(ANSWER_TIME_MAX);
        if let Either::Right(()) = race(registry.emptied(), waiting).await {
            registry.abort();
            race(registry.emptied(), self.host.sleep(ANSWER_TIME_MAX)).await;
        }
    }

    /// The journal is emptied and says so.
    async fn halt(&self) -> Result<Vec<StoppedLog>, StartError> {
        let Some(core) = self.core() else {
            return Ok(Vec::new());
        };
        *self.core.borrow_mut() = None;
        core.groups.stop();
        core.txns.stop();
        Ok(core.store.stop_clean(self.host.now().wall).await?)
    }
}

/// An error on its way to shard 0: in words.
fn told(error: StartError) -> Fault {
    match error {
        StartError::Store(error) => error.into(),
        StartError::Lead(fault) => fault,
        other => Fault::new(
            thalweg_wire::error_code::ErrorCode::UnknownServerError,
            other.to_string(),
        ),
    }
}
