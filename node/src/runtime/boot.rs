//! The main thread: everything before the shards, and waiting for them.
//!
//! In order: cores and limits, the directory's lock, what the device can do, whose directory it is
//! (formatted if empty), the sockets, then one executor per shard. A socket that can't be had or a
//! directory in use is found out before anything is written. Deliberately absent: settings (the
//! command line reads them), what shards do (`seat.rs`).

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement as Pin, PoolPlacement};
use thalweg_config::Loaded;
use thalweg_config::units::{Address, Auto};
use thalweg_coordinator::controller::brokers::Start;
use thalweg_coordinator::format::MetaProperties;
use thalweg_storage::disk::lock::DirLock;
use thalweg_storage::disk::probe::Probe;
use thalweg_storage::disk::ring::block_on;
use thalweg_storage::disk::uring::UringDisk;
use thalweg_storage::recover::Report;
use thalweg_wire::ids::{NodeId, ShardId, Uuid};

use super::facts::{self, Given};
use super::import::{Expected, import};
use super::place::{self, IO_MEMORY_BYTES, Machine, Placement, Wanted};
use super::seat::{self, Event, Head, Seat};
use super::start::{StartError, check_identity, format_directory, new_id, read_identity};
use super::{clock, nudge, signals, watchdog};
use crate::net::door::Door;
use crate::net::listener::{Bound, bind};
use crate::node::NodeFacts;
use crate::request::Listener;
use crate::shard::router::mesh;

/// Why the node does not start, or ended.
#[derive(Debug)]
pub enum BootError {
    /// The data directory can't be used; what was tried, and why not.
    Data(PathBuf, StartError),
    /// Another process has the data directory.
    InUse(PathBuf),
    /// A socket can't be had.
    Listen(String, io::Error),
    /// The machine refuses what the node needs.
    Machine(String),
    /// A shard ended on its own.
    Shard(String),
}

impl std::fmt::Display for BootError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Data(dir, cause) => write!(f, "{}: {cause}", dir.display()),
            Self::InUse(dir) => write!(f, "{} is in use by another process", dir.display()),
            Self::Listen(address, cause) => write!(f, "can't listen on {address}: {cause}"),
            Self::Machine(reason) | Self::Shard(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for BootError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Data(_, cause) => Some(cause),
            Self::Listen(_, cause) => Some(cause),
            Self::InUse(_) | Self::Machine(_) | Self::Shard(_) => None,
        }
    }
}

/// What a node that serves says of itself.
#[derive(Debug)]
pub struct Banner {
    /// This node.
    pub node: Arc<NodeFacts>,
    /// Where its shards run.
    pub placement: Placement,
    /// What locked memory there is.
    pub memlock: Option<u64>,
    /// The admin port, if it is open.
    pub admin: Option<SocketAddr>,
    /// What the device can do.
    pub probe: Probe,
    /// What recovery found.
    pub report: Report,
}

/// Random bytes from the kernel. Without them no id is safe, so there is no going on.
fn random(bytes: &mut [u8; 16]) {
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the kernel gives no random bytes: {error}");
    }
}

/// A random id.
#[must_use]
pub fn random_id() -> Uuid {
    new_id(&mut random)
}

/// The data directory of the settings.
#[must_use]
pub fn data_dir(loaded: &Loaded) -> PathBuf {
    let first = loaded.settings.node.data.0.first();
    first.map_or_else(|| PathBuf::from("data"), PathBuf::from)
}

/// Locks a data directory.
pub fn lock(data: &Path) -> Result<DirLock, BootError> {
    DirLock::acquire(data).map_err(|error| match error.cause.kind() {
        io::ErrorKind::WouldBlock => BootError::InUse(data.to_path_buf()),
        _ => BootError::Data(data.to_path_buf(), error.into()),
    })
}

/// This incarnation, before the sockets are known.
fn first_start(loaded: &Loaded) -> Start {
    Start {
        node: NodeId(loaded.settings.node.id),
        directory: random_id(),
        broker_incarnation: random_id(),
        controller_incarnation: random_id(),
        broker_endpoints: Vec::new(),
        controller_endpoints: vec![facts::controller_endpoint(&loaded.settings)],
        rack: loaded.settings.kafka.broker_rack.clone(),
        now: clock::now().wall,
    }
}

/// Whose directory it is; formatted if nobody's. True if it was formatted now.
pub fn identity(
    loaded: &Loaded,
    data: &Path,
    probe: Probe,
) -> Result<(MetaProperties, bool), BootError> {
    let failed = |error: StartError| BootError::Data(data.to_path_buf(), error);
    let disk = UringDisk::open(data, probe, &[]).map_err(|error| failed(error.into()))?;
    let wanted = match &loaded.settings.cluster.id {
        Auto::Set(id) => Some(id.clone()),
        Auto::Auto => None,
    };
    let work = async {
        if let Some(meta) = read_identity(&disk).await? {
            check_identity(&meta, NodeId(loaded.settings.node.id), wanted.as_deref())?;
            return Ok((meta, false));
        }
        let cluster = wanted.unwrap_or_else(|| random_id().to_string());
        let meta = format_directory(&disk, &cluster, &first_start(loaded)).await?;
        Ok((meta, true))
    };
    block_on(disk.ring(), work).map_err(failed)
}

struct Sockets {
    kafka: Bound,
    admin: Option<Bound>,
}

fn open_sockets(loaded: &Loaded) -> Result<Sockets, BootError> {
    let listen = &loaded.settings.listen;
    let backlog = loaded.settings.kafka.socket_listen_backlog_size;
    let kafka = bind_address(Listener::Kafka, &listen.kafka, backlog)?;
    let Some(address) = listen.admin.address() else {
        return Ok(Sockets { kafka, admin: None });
    };
    let chosen = loaded
        .values
        .get(&thalweg_config::Key::Own("listen.admin"))
        .is_some();
    match bind_address(Listener::Internal, address, backlog) {
        Ok(bound) => Ok(Sockets {
            kafka,
            admin: Some(bound),
        }),
        Err(error) if chosen => Err(error),
        Err(error) => {
            // Nobody asked for this port: a second node on the machine must not fail over it.
            tracing::warn!(%error, "no admin port: set listen.admin to another address");
            Ok(Sockets { kafka, admin: None })
        }
    }
}

fn bind_address(listener: Listener, address: &Address, backlog: i32) -> Result<Bound, BootError> {
    let failed = |cause| BootError::Listen(address.to_string(), cause);
    let host = if address.host.is_empty() {
        "0.0.0.0"
    } else {
        &address.host
    };
    let mut resolved = (host, address.port).to_socket_addrs().map_err(failed)?;
    let first = resolved
        .next()
        .ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?;
    bind(listener, first, backlog).map_err(failed)
}

/// The machine as the settings let it be used.
fn usable_machine(loaded: &Loaded) -> Result<Machine, BootError> {
    let mut machine = place::machine();
    if let Auto::Set(list) = &loaded.settings.shards.cpus {
        let wanted = place::cores_of(list).unwrap_or_default();
        machine.cores.retain(|core| wanted.contains(core));
        if machine.cores.is_empty() {
            let words = format!("shards.cpus = {list:?} names no core this process may use");
            return Err(BootError::Machine(words));
        }
    }
    Ok(machine)
}

fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn memory_bytes() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn free_bytes(data: &Path) -> u64 {
    rustix::fs::statvfs(data).map_or(0, |stat| stat.f_bavail * stat.f_frsize)
}

/// Takes over Kafka's log directory.
fn take_over(loaded: &Loaded, from: &Path, data: &Path) -> Result<(), BootError> {
    let expected = Expected {
        node: NodeId(loaded.settings.node.id),
        cluster: match &loaded.settings.cluster.id {
            Auto::Set(id) => Some(id),
            Auto::Auto => None,
        },
    };
    import(from, data, expected).map_err(|error| BootError::Data(from.to_path_buf(), error.into()))
}

/// Runs the node until it is told to stop, on a copy of Kafka's log directory if one is named. `ready` is
/// called once it serves.
pub fn run(
    loaded: &Loaded,
    kafka: Option<&Path>,
    ready: impl FnOnce(&Banner),
) -> Result<(), BootError> {
    let machine = usable_machine(loaded)?;
    place::raise_open_files();
    let wanted = Wanted {
        shards: match loaded.settings.shards.count {
            Auto::Set(count) => count,
            Auto::Auto => 0,
        },
        ring_depth: usize::try_from(loaded.settings.shards.ring_entries).unwrap_or(usize::MAX),
    };
    let placement = place::place(&machine, wanted);
    let data = data_dir(loaded);
    let _lock = lock(&data)?;
    let probe = Probe::run(&data).map_err(|error| BootError::Data(data.clone(), error.into()))?;
    let sockets = open_sockets(loaded)?;
    if let Some(from) = kafka {
        take_over(loaded, from, &data)?;
    }
    let (meta, _) = identity(loaded, &data, probe)?;
    let mut start = first_start(loaded);
    start.directory = meta.directory;
    let node = Arc::new(facts::node(
        loaded,
        &Given {
            meta,
            incarnation: start.broker_incarnation,
            shards: placement.shards,
            kafka: sockets.kafka.address,
            host: host_name(),
        },
    ));
    start.broker_endpoints.clone_from(&node.endpoints);
    let admin = sockets.admin.as_ref().map(|bound| bound.address);
    let stop = signals::watch()
        .map_err(|error| BootError::Machine(format!("signals can't be watched: {error}")))?;
    let head = Head {
        listeners: vec![sockets.kafka],
        door: Door::new(node.shards),
        admin: sockets.admin,
        start,
        stop,
    };
    let (events, told) = channel();
    spawn_shards(&data, &placement, probe, &node, (head, events))?;
    let banner = |report| Banner {
        node: Arc::clone(&node),
        placement,
        memlock: machine.memlock_bytes,
        admin,
        probe,
        report,
    };
    wait(&told, node.shards, |report| ready(&banner(report)))
}

fn spawn_shards(
    data: &Path,
    placement: &Placement,
    probe: Probe,
    node: &Arc<NodeFacts>,
    (head, events): (Head, Sender<Event>),
) -> Result<(), BootError> {
    let shards = placement.shards;
    let settings = &node.settings;
    let store = facts::store(settings, shards, memory_bytes(), free_bytes(data));
    let hearts: Vec<watchdog::Heart> = (0..shards).map(|_| watchdog::Heart::default()).collect();
    let machine = |what: &str, error: io::Error| BootError::Machine(format!("{what}: {error}"));
    nudge::prepare().map_err(|error| machine("no signal to wake shards", error))?;
    let mut threads = Vec::new();
    let mut head = Some(head);
    for (index, (ports, heart)) in mesh(shards).into_iter().zip(&hearts).enumerate() {
        let shard = ShardId(u16::try_from(index).unwrap_or(u16::MAX));
        let seat = Seat {
            shard,
            ports,
            data: data.to_path_buf(),
            probe,
            helper_cpus: Vec::new(),
            node: Arc::clone(node),
            store,
            limits: facts::limits(settings),
            heart: Arc::clone(heart),
            events: events.clone(),
            head: head.take(),
        };
        threads.push(spawn_shard(placement, settings.shards.preempt.0, seat)?);
    }
    // At once: a shard may need it to start.
    nudge::nudge(threads).map_err(|error| machine("no thread to wake shards", error))?;
    watchdog::watch(hearts).map_err(|error| machine("no thread for the watchdog", error))
}

/// Tells when a shard's thread is gone before it could say anything itself.
struct Alarm(ShardId, Sender<Event>);

impl Drop for Alarm {
    fn drop(&mut self) {
        // Nobody listens once the node has stopped.
        let _stopped = self.1.send(Event::Ended(self.0));
    }
}

fn spawn_shard(
    placement: &Placement,
    preempt_ms: i64,
    seat: Seat,
) -> Result<JoinHandle<()>, BootError> {
    let shard = seat.shard;
    let pin = placement
        .pinned
        .get(usize::from(shard.0))
        .map_or(Pin::Unbound, |core| Pin::Fixed(*core));
    let alarm = Alarm(shard, seat.events.clone());
    let preempt = Duration::from_millis(u64::try_from(preempt_ms).unwrap_or(1).max(1));
    let builder = LocalExecutorBuilder::new(pin)
        .ring_depth(placement.ring_depth)
        .io_memory(IO_MEMORY_BYTES)
        .preempt_timer(preempt)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1));
    let main = move || async move {
        seat::run(seat).await;
        drop(alarm);
    };
    nudge::executor(format!("shard-{shard}"), builder, main)
        .map_err(|error| BootError::Machine(format!("shard {shard} can't start: {error}")))
}

fn wait(told: &Receiver<Event>, shards: u16, ready: impl FnOnce(Report)) -> Result<(), BootError> {
    let mut ready = Some(ready);
    let mut ended = std::collections::BTreeSet::new();
    while ended.len() < usize::from(shards) {
        match told.recv() {
            Ok(Event::Ready(report)) => {
                if let Some(ready) = ready.take() {
                    ready(*report);
                }
            }
            Ok(Event::Failed(reason)) => return Err(BootError::Shard(reason)),
            Ok(Event::Ended(shard)) if ready.is_some() => {
                let words = format!(
                    "shard {shard} could not start: io_uring refused, or too little locked memory"
                );
                return Err(BootError::Machine(words));
            }
            Ok(Event::Ended(shard)) => {
                ended.insert(shard);
            }
            Err(_) => break,
        }
    }
    Ok(())
}
