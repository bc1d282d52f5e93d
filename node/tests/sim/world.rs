//! The world of a simulated node: one executor, one seeded disk, a mesh of 1 to 3 shards.
//!
//! A [`Node`] starts as the real one does (`runtime::start`) and is asked as a connection asks
//! (`Service::call` with a `Link`); what is replaced is glommio, the sockets and the clocks.
//! Invariants: messages between two shards arrive in the order in which their sends resolved, after
//! seeded delays; everything random comes from the seed.
//! Deliberately absent: sockets, `runtime::boot` and `runtime::seat` (threads).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use thalweg_config::{Sources, load};
use thalweg_coordinator::controller::brokers::Start;
use thalweg_coordinator::format::MetaProperties;
use thalweg_node::dispatch::Dispatch;
use thalweg_node::net::connection::Service;
use thalweg_node::net::listener::Accepted;
use thalweg_node::node::NodeFacts;
use thalweg_node::runtime::facts::{self, Given};
use thalweg_node::runtime::start::{self, StartError};
use thalweg_node::shard::core::ShardCore;
use thalweg_node::shard::host::{Gone, Host, Now, PendingReply, Queue};
use thalweg_node::shard::mailbox::{Message, Reply};
use thalweg_node::shard::wait::{AnswerSender, Budget, LocalFuture, Permit, Signal, answer};
use thalweg_storage::counters::Counters;
use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::recover;
use thalweg_storage::store::{Store, StoreConfig};
use thalweg_storage::testing::{Handle, Prng};
use thalweg_wire::ids::{NodeId, ShardId, TimestampMs, Uuid};

type Core = ShardCore<MemoryDisk>;

/// Messages on the way between two shards: few, so that senders wait for each other.
const CREDITS: usize = 4;
/// Virtual time between two rounds of upkeep, as in `runtime::seat`.
const UPKEEP: Duration = Duration::from_secs(1);
/// When the first life of every world begins.
pub(crate) const EPOCH_MS: i64 = 1_700_000_000_000;

/// A generator that tasks share.
pub(crate) type Dice = Rc<RefCell<Prng>>;

/// Lets some other tasks run.
pub(crate) async fn dawdle(handle: &Handle, dice: &Dice, turns_max: usize) {
    let turns = dice.borrow_mut().below(turns_max + 1);
    for _ in 0..turns {
        handle.yield_now().await;
    }
}

struct Parcel {
    message: Message,
    sender: AnswerSender<Reply>,
    credit: Permit,
}

/// Messages from one shard to another.
struct Lane {
    from: ShardId,
    to: ShardId,
    credits: Budget,
    parcels: RefCell<VecDeque<Parcel>>,
    arrived: Signal,
}

/// All lanes, and who is at their ends.
struct Mesh {
    lanes: Vec<Rc<Lane>>,
    cores: RefCell<Vec<Rc<Core>>>,
}

impl Mesh {
    fn new(shards: u16) -> Rc<Self> {
        let pairs = (0..shards).flat_map(|from| (0..shards).map(move |to| (from, to)));
        let lane = |(from, to)| {
            Rc::new(Lane {
                from: ShardId(from),
                to: ShardId(to),
                credits: Budget::new(CREDITS),
                parcels: RefCell::default(),
                arrived: Signal::default(),
            })
        };
        Rc::new(Self {
            lanes: pairs.filter(|(from, to)| from != to).map(lane).collect(),
            cores: RefCell::default(),
        })
    }

    fn lane(&self, from: ShardId, to: ShardId) -> Option<Rc<Lane>> {
        let mut lanes = self.lanes.iter();
        lanes
            .find(|lane| lane.from == from && lane.to == to)
            .cloned()
    }

    /// Delivers what one lane carries, in order, with delays before and after.
    async fn carry(self: Rc<Self>, lane: Rc<Lane>, handle: Handle, dice: Dice) {
        loop {
            let wait = lane.arrived.wait();
            let Some(parcel) = lane.parcels.borrow_mut().pop_front() else {
                wait.await;
                continue;
            };
            dawdle(&handle, &dice, 3).await;
            let core = self.cores.borrow().get(usize::from(lane.to.0)).cloned();
            let Some(core) = core else {
                continue;
            };
            let reply = core.serve(lane.from, parcel.message);
            let (later, dice) = (handle.clone(), Rc::clone(&dice));
            let (sender, credit) = (parcel.sender, parcel.credit);
            handle
                .spawn(async move {
                    let reply = reply.await;
                    dawdle(&later, &dice, 3).await;
                    sender.send(reply);
                    drop(credit);
                })
                .detach();
        }
    }
}

/// One shard's view of the simulated world.
struct SimHost {
    shard: ShardId,
    shards: u16,
    handle: Handle,
    born: TimestampMs,
    dice: Dice,
    mesh: Weak<Mesh>,
}

impl Host for SimHost {
    fn shard(&self) -> ShardId {
        self.shard
    }

    fn shards(&self) -> u16 {
        self.shards
    }

    fn now(&self) -> Now {
        let now = self.handle.now();
        Now {
            wall: TimestampMs(self.born.0 + i64::try_from(now.as_millis()).unwrap()),
            mono: u64::try_from(now.as_nanos()).unwrap(),
        }
    }

    fn spawn(&self, _queue: Queue, task: LocalFuture<()>) {
        self.handle.spawn(task).detach();
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<()> {
        let handle = self.handle.clone();
        Box::pin(async move { handle.sleep(duration).await })
    }

    fn send(&self, to: ShardId, message: Message) -> LocalFuture<Result<PendingReply, Gone>> {
        let lane = self
            .mesh
            .upgrade()
            .and_then(|mesh| mesh.lane(self.shard, to));
        Box::pin(async move {
            let lane = lane.ok_or(Gone)?;
            let credit = lane.credits.take(1).await;
            let (sender, waiter) = answer();
            lane.parcels.borrow_mut().push_back(Parcel {
                message,
                sender,
                credit,
            });
            lane.arrived.notify();
            let pending: PendingReply = Box::pin(async move { waiter.await.ok_or(Gone) });
            Ok(pending)
        })
    }

    fn random(&self, bytes: &mut [u8; 16]) {
        self.dice.borrow_mut().fill(bytes);
    }

    fn disk_space(&self, _path: &Path) -> Option<(u64, u64)> {
        None
    }

    fn adopt(&self, _accepted: Accepted) {
        panic!("the simulated world has no sockets");
    }
}

/// What one start is given.
pub(crate) struct Birth {
    pub(crate) handle: Handle,
    pub(crate) disk: MemoryDisk,
    pub(crate) shards: u16,
    pub(crate) store: StoreConfig,
    pub(crate) born: TimestampMs,
    pub(crate) dice: Dice,
}

/// A node that serves.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) dice: Dice,
    pub(crate) disk: MemoryDisk,
    cores: Vec<Rc<Core>>,
    connections: Cell<u64>,
    _mesh: Rc<Mesh>,
}

impl Birth {
    fn incarnation(&self) -> Start {
        let random = || start::new_id(&mut |bytes| self.dice.borrow_mut().fill(bytes));
        Start {
            node: NodeId(1),
            directory: random(),
            broker_incarnation: random(),
            controller_incarnation: random(),
            broker_endpoints: Vec::new(),
            controller_endpoints: Vec::new(),
            rack: None,
            now: self.born,
        }
    }

    async fn identity(&self, start: &Start) -> Result<MetaProperties, StartError> {
        match start::read_identity(&self.disk).await? {
            Some(meta) => {
                start::check_identity(&meta, start.node, None)?;
                Ok(meta)
            }
            None => start::format_directory(&self.disk, "sim", start).await,
        }
    }

    fn facts(&self, meta: MetaProperties, incarnation: Uuid) -> Arc<NodeFacts> {
        // Few partitions, so that groups share them.
        let set = ["node.id=1", "offsets.topic.num.partitions=3"].map(str::to_owned);
        let loaded = load(&Sources {
            set: &set,
            ..Sources::default()
        });
        let loaded = loaded.expect("the defaults hold");
        Arc::new(facts::node(
            &loaded,
            &Given {
                meta,
                incarnation,
                shards: self.shards,
                kafka: ([127, 0, 0, 1], 9092).into(),
                host: "sim".to_owned(),
            },
        ))
    }

    fn host(&self, shard: ShardId, mesh: &Rc<Mesh>) -> Rc<SimHost> {
        Rc::new(SimHost {
            shard,
            shards: self.shards,
            handle: self.handle.clone(),
            born: self.born,
            dice: Rc::clone(&self.dice),
            mesh: Rc::downgrade(mesh),
        })
    }

    /// Starts a node on whatever the disk holds; it leads when this returns.
    pub(crate) async fn start(self) -> Result<Node, StartError> {
        let mut incarnation = self.incarnation();
        let meta = self.identity(&incarnation).await?;
        incarnation.directory = meta.directory;
        let facts = self.facts(meta, incarnation.broker_incarnation);
        incarnation.broker_endpoints.clone_from(&facts.endpoints);
        incarnation.controller_endpoints = vec![facts::controller_endpoint(&facts.settings)];
        let recovered = start::recover(&self.disk, self.store, &facts, self.born).await?;
        let mesh = Mesh::new(self.shards);
        let mut cores = Vec::new();
        for shard in (0..self.shards).map(ShardId) {
            let config = StoreConfig {
                shard,
                ..self.store
            };
            let store = Store::open(self.disk.clone(), config, &recovered.specs, self.born).await?;
            self.spawn_loops(&store);
            let host = self.host(shard, &mesh);
            cores.push(ShardCore::new(
                host,
                store,
                self.disk.clone(),
                Arc::clone(&facts),
            ));
        }
        mesh.cores.borrow_mut().clone_from(&cores);
        for lane in &mesh.lanes {
            let carrying =
                Rc::clone(&mesh).carry(Rc::clone(lane), self.handle.clone(), Rc::clone(&self.dice));
            self.handle.spawn(carrying).detach();
        }
        start::lead(&cores[0], &self.disk, recovered.reader, &incarnation).await?;
        Ok(Node {
            handle: self.handle,
            dice: self.dice,
            disk: self.disk,
            cores,
            connections: Cell::new(0),
            _mesh: mesh,
        })
    }

    fn spawn_loops(&self, store: &Rc<Store<MemoryDisk>>) {
        let spawn = |task: LocalFuture<()>| self.handle.spawn(task).detach();
        spawn(Box::pin(Rc::clone(store).commit_loop()));
        spawn(Box::pin(Rc::clone(store).move_loop()));
        spawn(Box::pin(Rc::clone(store).flush_loop()));
        spawn(Box::pin(Rc::clone(store).grow_loop()));
        let (handle, store, born) = (self.handle.clone(), Rc::clone(store), self.born);
        spawn(Box::pin(async move {
            loop {
                handle.sleep(UPKEEP).await;
                let now = TimestampMs(born.0 + i64::try_from(handle.now().as_millis()).unwrap());
                // A full or failing disk is a fault of the plan, and told to clients.
                let _told = store.maintain(now).await;
            }
        }));
    }
}

impl Node {
    /// A shard for the next connection, its service and the connection's number.
    pub(crate) fn seat(&self) -> (Rc<dyn Service>, u64) {
        let number = self.connections.get() + 1;
        self.connections.set(number);
        let at = self.dice.borrow_mut().below(self.cores.len());
        (Rc::new(Dispatch::new(Rc::clone(&self.cores[at]))), number)
    }

    /// The counters of each shard's store.
    pub(crate) fn counters(&self) -> Vec<Counters> {
        let stores = self.cores.iter().map(|core| &core.store);
        stores.map(|store| store.counters()).collect()
    }

    /// Wall time of the simulated machine.
    pub(crate) fn now(&self) -> TimestampMs {
        self.cores[0].host.now().wall
    }

    /// Stops as SIGTERM does.
    pub(crate) async fn stop(&self) -> Result<(), String> {
        let mut logs = Vec::new();
        for core in self.cores.iter().rev() {
            core.groups.stop();
            let stopped = core.store.stop_clean(self.now()).await;
            logs.extend(stopped.map_err(|error| format!("a clean stop failed: {error}"))?);
        }
        let marked = recover::mark_clean(&self.disk, &logs, 1).await;
        marked.map_err(|error| format!("a clean stop failed: {error}"))
    }
}
