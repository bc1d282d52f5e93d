//! One node of several shards on one executor and one disk.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use thalweg_config::{Loaded, Sources, load};
use thalweg_coordinator::controller::brokers::Start;
use thalweg_node::node::NodeFacts;
use thalweg_node::request::Listener;
use thalweg_node::runtime::facts::{self, Given};
use thalweg_node::runtime::start::{self, format_directory, new_id, read_identity};
use thalweg_node::shard::core::ShardCore;
use thalweg_node::shard::host::{Gone, Host, Now, PendingReply, Queue};
use thalweg_node::shard::mailbox::Message;
use thalweg_node::shard::wait::{LocalFuture, answer};
use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::store::{Store, StoreConfig};
use thalweg_storage::testing::{Handle, Prng};
use thalweg_wire::ids::{NodeId, ShardId, TimestampMs};

/// Wall time at the executor's zero.
const EPOCH_MS: i64 = 1_790_000_000_000;

pub(crate) type Core = Rc<ShardCore<MemoryDisk>>;
type Cores = Rc<RefCell<Vec<Weak<ShardCore<MemoryDisk>>>>>;

/// The world of one simulated shard.
struct SimHost {
    shard: ShardId,
    shards: u16,
    handle: Handle,
    cores: Cores,
    prng: RefCell<Prng>,
}

impl Host for SimHost {
    fn shard(&self) -> ShardId {
        self.shard
    }

    fn shards(&self) -> u16 {
        self.shards
    }

    fn now(&self) -> Now {
        let since = self.handle.now();
        Now {
            wall: TimestampMs(EPOCH_MS + i64::try_from(since.as_millis()).unwrap()),
            mono: u64::try_from(since.as_nanos()).unwrap(),
        }
    }

    fn spawn(&self, _: Queue, task: LocalFuture<()>) {
        drop(self.handle.spawn(task));
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<()> {
        let handle = self.handle.clone();
        Box::pin(async move { handle.sleep(duration).await })
    }

    fn send(&self, to: ShardId, message: Message) -> LocalFuture<Result<PendingReply, Gone>> {
        let core = self
            .cores
            .borrow()
            .get(usize::from(to.0))
            .and_then(Weak::upgrade);
        let (from, handle) = (self.shard, self.handle.clone());
        Box::pin(async move {
            let core = core.ok_or(Gone)?;
            let serving = core.serve(from, message);
            let (sender, waiter) = answer();
            drop(handle.spawn(async move { sender.send(serving.await) }));
            let pending: PendingReply = Box::pin(async move { waiter.await.ok_or(Gone) });
            Ok(pending)
        })
    }

    fn random(&self, bytes: &mut [u8; 16]) {
        self.prng.borrow_mut().fill(bytes);
    }

    fn disk_space(&self, _: &Path) -> Option<(u64, u64)> {
        Some((1 << 40, 1 << 39))
    }

    fn adopt(&self, _: OwnedFd, _: Listener) {
        panic!("a simulated node has no sockets");
    }
}

/// A running node.
pub(crate) struct Node {
    pub(crate) cores: Vec<Core>,
    pub(crate) disk: MemoryDisk,
}

/// Small limits, so that rolls, moves and recycling happen within a run.
pub(crate) fn settings(set: &[&str]) -> Loaded {
    let defaults = [
        "storage.journal_file=4MiB",
        "storage.journal=16MiB",
        "log.segment.bytes=1048576",
    ];
    let set: Vec<String> = defaults
        .iter()
        .chain(set)
        .map(|s| (*s).to_owned())
        .collect();
    load(&Sources {
        set: &set,
        ..Sources::default()
    })
    .unwrap_or_else(|report| panic!("{report}"))
}

/// Starts a node on what is on the disk, as `runtime/boot.rs` and `seat.rs` do.
pub(crate) async fn start(
    handle: Handle,
    disk: MemoryDisk,
    loaded: &Loaded,
    shards: u16,
    seed: u64,
) -> Node {
    let mut prng = Prng::new(seed ^ 0x51ed);
    let mut random = |bytes: &mut [u8; 16]| prng.fill(bytes);
    let cores: Cores = Rc::default();
    let hosts: Vec<Rc<SimHost>> = (0..shards)
        .map(|shard| {
            Rc::new(SimHost {
                shard: ShardId(shard),
                shards,
                handle: handle.clone(),
                cores: Rc::clone(&cores),
                prng: RefCell::new(Prng::new(seed ^ u64::from(shard))),
            })
        })
        .collect();
    let now = hosts[0].now().wall;
    let mut incarnation = Start {
        node: NodeId(loaded.settings.node.id),
        directory: new_id(&mut random),
        broker_incarnation: new_id(&mut random),
        controller_incarnation: new_id(&mut random),
        broker_endpoints: Vec::new(),
        controller_endpoints: vec![facts::controller_endpoint(&loaded.settings)],
        rack: None,
        now,
    };
    let meta = match read_identity(&disk).await.unwrap() {
        Some(meta) => meta,
        None => format_directory(&disk, "VGtQDSZxTKGsWYpvdlEsew", &incarnation)
            .await
            .unwrap(),
    };
    incarnation.directory = meta.directory;
    let facts = Arc::new(facts::node(
        loaded,
        &Given {
            meta,
            incarnation: incarnation.broker_incarnation,
            shards,
            kafka: SocketAddr::from(([127, 0, 0, 1], 9092)),
            host: "sim".to_owned(),
        },
    ));
    incarnation.broker_endpoints.clone_from(&facts.endpoints);
    let config = facts::store(&loaded.settings, shards, 1 << 30, 1 << 40);
    let recovered = start::recover(&disk, config, &facts, now).await;
    let recovered = recovered.unwrap_or_else(|error| panic!("seed {seed}: recovery: {error}"));
    let mut opened = Vec::new();
    for host in &hosts {
        let core = open(host, &disk, config, (&recovered.specs, &facts)).await;
        cores.borrow_mut().push(Rc::downgrade(&core));
        opened.push(core);
    }
    let cores = opened;
    let led = start::lead(&cores[0], &disk, recovered.reader, &incarnation).await;
    led.unwrap_or_else(|error| panic!("seed {seed}: lead: {error}"));
    Node { cores, disk }
}

async fn open(
    host: &Rc<SimHost>,
    disk: &MemoryDisk,
    config: StoreConfig,
    (specs, facts): (&[thalweg_storage::store::PartitionSpec], &Arc<NodeFacts>),
) -> Core {
    let config = StoreConfig {
        shard: host.shard,
        ..config
    };
    let now = host.now().wall;
    let store = Store::open(disk.clone(), config, specs, now).await.unwrap();
    drop(host.handle.spawn(Rc::clone(&store).commit_loop()));
    drop(host.handle.spawn(Rc::clone(&store).move_loop()));
    drop(host.handle.spawn(Rc::clone(&store).flush_loop()));
    drop(host.handle.spawn(Rc::clone(&store).grow_loop()));
    let shared: Rc<dyn Host> = Rc::<SimHost>::clone(host);
    ShardCore::new(shared, store, disk.clone(), Arc::clone(facts))
}
