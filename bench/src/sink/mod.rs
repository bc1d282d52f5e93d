//! A server that only acknowledges: what the generator itself can do, and whether it tells the truth.
//!
//! It answers the calls that a load makes, at once or after a delay from a known distribution, and
//! counts the delays that it applied; a generator's percentiles have to be those. With memory it
//! also keeps what it was sent, so that consumers have something to read, and can be told to serve
//! it wrong. A thread a connection, plain sockets: it is a measuring device, not a server.
//!
//! Deliberately absent: checks of what comes, more than one topic, anything that lasts.

mod answers;
mod delay;
mod kept;

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use thalweg_wire::bytes::Message;
use thalweg_wire::header::{RequestHeaderView, ResponseHead};
use thalweg_wire::messages::produce_request::ProduceRequest;

use crate::BenchError;
use crate::error::{decode, io};
use crate::load::Latencies;
use crate::load::clock::Clock;
use answers::Answers;

pub use delay::Delay;
pub use kept::{Fault, Kept};

/// Larger than any request of a load.
const REQUEST_BYTES_MAX: usize = 64 << 20;
/// Read at once, so that small requests cost one call for many.
const READ_BYTES: usize = 256 << 10;

/// What a sink is to be.
#[derive(Debug)]
pub struct SinkConfig {
    pub listen: String,
    pub delay: Delay,
    /// Moved on by each delay, if it is a virtual one.
    pub clock: Clock,
    /// None: what comes is forgotten.
    pub kept: Option<Arc<Kept>>,
}

impl SinkConfig {
    /// Acknowledges at once, on a free port of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            delay: Delay::None,
            clock: Clock::real(),
            kept: None,
        }
    }
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// A running sink. It ends with the process, or accepts no more once dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    delay: Delay,
    clock: Clock,
    kept: Option<Arc<Kept>>,
    partitions: Arc<AtomicI32>,
    /// Delays as they were applied, not as they were measured.
    applied: Mutex<Latencies>,
    closed: AtomicBool,
}

impl Sink {
    pub fn start(config: SinkConfig) -> Result<Self, BenchError> {
        let listener = TcpListener::bind(&config.listen).map_err(io("listening"))?;
        let address = listener.local_addr().map_err(io("listening"))?;
        let shared = Arc::new(Shared {
            address,
            delay: config.delay,
            clock: config.clock,
            kept: config.kept,
            partitions: Arc::new(AtomicI32::new(1)),
            applied: Mutex::new(Latencies::default()),
            closed: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &serving));
        Ok(Self { address, shared })
    }

    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The delays applied to produce requests so far.
    #[must_use]
    pub fn applied(&self) -> Latencies {
        let applied = self.shared.applied.lock();
        applied.map(|applied| applied.clone()).unwrap_or_default()
    }

    /// Serves until the process ends.
    pub fn serve(&self) {
        while !self.shared.closed.load(Ordering::Acquire) {
            thread::sleep(Duration::from_secs(1));
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // Wakes the listener, so that it sees that.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, socket) in listener.incoming().enumerate() {
        if shared.closed.load(Ordering::Acquire) {
            return;
        }
        let (Ok(socket), shared) = (socket, Arc::clone(shared)) else {
            continue;
        };
        thread::spawn(move || {
            // A generator that hangs up has what it wanted.
            drop(serve(socket, &shared, number as u64));
        });
    }
}

fn serve(socket: TcpStream, shared: &Shared, number: u64) -> Result<(), BenchError> {
    socket
        .set_nodelay(true)
        .map_err(io("setting TCP_NODELAY"))?;
    let mut out = socket.try_clone().map_err(io("sharing a socket"))?;
    let mut requests = BufReader::with_capacity(READ_BYTES, socket);
    let mut answers = Answers::new(shared.address, shared.kept.clone(), &shared.partitions);
    let mut delays = shared.delay.seeded(number);
    let mut frame = Vec::new();
    loop {
        let mut prefix = [0; 4];
        requests.read_exact(&mut prefix).map_err(io("receiving"))?;
        let length = u32::from_be_bytes(prefix) as usize;
        if length > REQUEST_BYTES_MAX {
            return Err(BenchError::Protocol(format!("a request of {length} bytes")));
        }
        if frame.len() < length {
            frame.resize(length, 0);
        }
        let request = frame.get_mut(..length).unwrap_or_default();
        requests.read_exact(request).map_err(io("receiving"))?;
        let (head, body) = RequestHeaderView::decode(request).map_err(decode("a request"))?;
        if ProduceRequest::API_KEY == Some(head.api_key) {
            shared.hold(delays.next_ns());
        }
        let response = ResponseHead {
            api_key: head.api_key,
            version: head.version,
            correlation_id: head.correlation_id,
        };
        if let Some(answer) = answers.answer(response, body)? {
            out.write_all(&answer).map_err(io("sending"))?;
        }
    }
}

impl Shared {
    /// Lets the delay pass and counts it.
    fn hold(&self, ns: u64) {
        if ns > 0 && !self.clock.skip_to(self.clock.now_ns() + ns) {
            thread::sleep(Duration::from_nanos(ns));
        }
        if let Ok(mut applied) = self.applied.lock() {
            applied.record(ns);
        }
    }
}
