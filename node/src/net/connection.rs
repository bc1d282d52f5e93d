//! One connection: frames in, answers out in the order of the requests.
//!
//! Two tasks share a connection. The reader cuts frames, starts each request in order and goes on
//! with the next; the writer sends answers from the front of the pipeline, all that are ready in
//! one go. Invariants: an answer never overtakes an earlier one; after a request that closes the
//! connection nothing more is read or sent; the reader stops while the pipeline holds
//! [`Limits::pipeline_requests_max`] requests or the connection's or shard's bytes in flight are
//! used up, so a peer that does not read its answers stops being read.
//! Deliberately absent: what requests mean ([`Service`]), idle times (`net/registry.rs`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use super::frames::{FrameError, Frames, RESERVE_BYTES_MAX};
use super::send_file::Socket;
use thalweg_storage::disk::ring::Ring;

use crate::metrics::Metrics;
use crate::outgoing::{Answer, Outgoing};
use crate::request::{Frame, Origin};
use crate::shard::host::{Host, Queue};
use crate::shard::wait::{Budget, LocalFuture, Permit, Signal, Turnstile, poll_once};

/// Limits of connections; each has a test that reaches it in `tests/limits.rs`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest frame (`socket.request.max.bytes`).
    pub frame_bytes_max: usize,
    /// Requests of one connection that are read but not answered.
    pub pipeline_requests_max: usize,
    /// Bytes of one connection's requests and answers that are not done with.
    pub pipeline_bytes_max: usize,
    /// Bytes of all requests of a shard that are being worked on.
    pub shard_request_bytes_max: usize,
    /// Bytes of all unfinished frames of a shard; a connection that would exceed it is closed.
    pub shard_partial_bytes_max: usize,
}

/// What the connections of one shard share.
pub struct Net {
    /// Their limits.
    pub limits: Limits,
    /// The world.
    pub host: Rc<dyn Host>,
    /// What requests are given to.
    pub service: Rc<dyn Service>,
    /// The shard's counters.
    pub metrics: Rc<Metrics>,
    /// Waits for room in sockets before sendfile.
    pub ring: Ring,
    /// Bytes of requests being worked on.
    pub request_bytes: Budget,
    /// Bytes of unfinished frames.
    pub partial_bytes: Cell<usize>,
    /// Where sockets are read into before the bytes are sorted.
    pub scratch: RefCell<Vec<u8>>,
}

impl Net {
    /// For the connections of one shard.
    #[must_use]
    pub fn new(
        limits: Limits,
        host: Rc<dyn Host>,
        service: Rc<dyn Service>,
        metrics: Rc<Metrics>,
        ring: Ring,
    ) -> Rc<Self> {
        Rc::new(Self {
            limits,
            host,
            service,
            metrics,
            ring,
            request_bytes: Budget::new(limits.shard_request_bytes_max),
            partial_bytes: Cell::new(0),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        })
    }
}

/// Who answers requests.
pub trait Service {
    /// Starts a request. Called in the order of a connection's requests; the order of appends is
    /// taken here, from `link`, before the future is first polled.
    fn call(&self, frame: Frame, link: &Rc<Link>) -> LocalFuture<Answer>;
}

/// What requests of one connection share.
pub struct Link {
    /// Where they come from.
    pub origin: Origin,
    /// The order of their appends.
    pub appends: Turnstile,
    /// When the last bytes came, on the host's clock.
    pub heard: Cell<u64>,
    /// When the frame that is not whole yet began.
    pub frame_since: Cell<Option<u64>>,
    /// Requests read and not answered.
    pub in_flight: Cell<usize>,
    /// While answers are being sent: when the peer last took some of them, and how much it had
    /// taken by then.
    pub sending: Cell<Option<(u64, u64)>>,
    /// The order of requests about groups: one that waits for other members lets none pass.
    pub groups: Turnstile,
    /// The share of the shard's request bytes that the request being started holds.
    lease: RefCell<Option<Lease>>,
    hurried: Cell<bool>,
    closed: Cell<bool>,
    closing: Signal,
}

/// A request's share of the shard's request bytes, until it is answered or keeps nothing of its
/// frame.
#[derive(Clone)]
pub struct Lease(Rc<RefCell<Option<Permit>>>);

impl Lease {
    /// Gives the share back: what goes on waiting holds no frame.
    pub fn release(&self) {
        self.0.take();
    }
}

impl Link {
    /// The link of a new connection.
    #[must_use]
    pub fn new(origin: Origin, now: u64) -> Rc<Self> {
        Rc::new(Self {
            origin,
            appends: Turnstile::default(),
            groups: Turnstile::default(),
            lease: RefCell::default(),
            heard: Cell::new(now),
            frame_since: Cell::new(None),
            in_flight: Cell::new(0),
            sending: Cell::new(None),
            hurried: Cell::new(false),
            closed: Cell::new(false),
            closing: Signal::default(),
        })
    }

    fn heard(&self, now: u64, frames: &Frames) {
        self.heard.set(now);
        let since = match self.frame_since.get() {
            Some(since) if !frames.is_ready() => since,
            _ => now,
        };
        self.frame_since
            .set((frames.partial_bytes() > 0).then_some(since));
    }

    /// The share of the request that is being started; to be taken before the first wait.
    pub fn take_lease(&self) -> Option<Lease> {
        self.lease.take()
    }

    /// Tells everything that waits on behalf of the peer that it is gone.
    pub fn close(&self) {
        self.closed.set(true);
        self.closing.notify();
    }

    /// Tells long polls to answer with what they have: the node is stopping.
    pub fn stop_waiting(&self) {
        self.hurried.set(true);
        self.closing.notify();
    }

    /// Resolves when nothing should wait any longer: the peer is gone, or the node is stopping.
    pub async fn hurried(&self) {
        while !self.closed.get() && !self.hurried.get() {
            self.closing.wait().await;
        }
    }

    /// True if nothing should wait any longer.
    #[must_use]
    pub fn is_hurried(&self) -> bool {
        self.closed.get() || self.hurried.get()
    }
}

/// Why a connection ended.
#[derive(Debug)]
pub enum Ending {
    /// The peer closed it.
    Eof,
    /// The peer closed it in the middle of a frame, or its socket failed.
    Io(io::Error),
    /// Its bytes are no frames.
    Frame(FrameError),
    /// A request asked for it (malformed, unsupported, failed acks=0 produce).
    Request(String),
    /// Unfinished frames of this shard have no room for more.
    PartialBytes(usize),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Eof => write!(f, "closed by the peer"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Frame(error) => write!(f, "{error}"),
            Self::Request(reason) => write!(f, "{reason}"),
            Self::PartialBytes(bytes) => {
                write!(
                    f,
                    "unfinished requests hold {bytes} bytes, no room for more"
                )
            }
        }
    }
}

struct Entry {
    answer: RefCell<Option<Answer>>,
    _bytes: Permit,
    /// Given back when the request is answered: a peer that does not read its answers keeps its
    /// own connection's share, not the shard's.
    shard_bytes: Lease,
}

impl Entry {
    fn finish(&self, answer: Answer) {
        *self.answer.borrow_mut() = Some(answer);
        self.shard_bytes.release();
    }
}

/// Requests that are read and not yet answered, in order.
struct Pipeline {
    entries: RefCell<VecDeque<Rc<Entry>>>,
    bytes: Budget,
    /// An entry was answered, or reading has ended.
    ready: Signal,
    /// An entry was sent.
    room: Signal,
    reading_over: Cell<bool>,
    ending: RefCell<Option<Ending>>,
}

impl Pipeline {
    fn end(&self, ending: Ending) {
        let mut slot = self.ending.borrow_mut();
        if slot.is_none() {
            *slot = Some(ending);
        }
    }

    fn take_ready(&self) -> Vec<Rc<Entry>> {
        let mut entries = self.entries.borrow_mut();
        let mut ready = Vec::new();
        while entries
            .front()
            .is_some_and(|entry| entry.answer.borrow().is_some())
        {
            ready.extend(entries.pop_front());
        }
        ready
    }
}

/// Serves one connection until it ends and says why it did.
pub async fn serve(net: Rc<Net>, socket: Rc<Socket>, link: Rc<Link>) -> Ending {
    let pipeline = Rc::new(Pipeline {
        entries: RefCell::default(),
        bytes: Budget::new(net.limits.pipeline_bytes_max),
        ready: Signal::default(),
        room: Signal::default(),
        reading_over: Cell::new(false),
        ending: RefCell::default(),
    });
    let reader = {
        let (net, socket) = (Rc::clone(&net), Rc::clone(&socket));
        let (link, pipeline) = (Rc::clone(&link), Rc::clone(&pipeline));
        async move {
            let ending = read_requests(&net, &socket, &link, &pipeline).await;
            pipeline.end(ending);
            pipeline.reading_over.set(true);
            pipeline.ready.notify();
        }
    };
    net.host.spawn(Queue::Network, Box::pin(reader));
    write_answers(&net, &socket, &link, &pipeline).await;
    link.close();
    socket.shut_down();
    // Requests still being worked on keep what they hold until they are done; nobody waits.
    pipeline.entries.borrow_mut().clear();
    // The reader ends by itself: its socket is shut down, and nothing it waits for needs the peer.
    while !pipeline.reading_over.get() {
        let wait = pipeline.ready.wait();
        pipeline.room.notify();
        wait.await;
    }
    pipeline.ending.take().unwrap_or(Ending::Eof)
}

async fn read_requests(
    net: &Rc<Net>,
    socket: &Socket,
    link: &Rc<Link>,
    pipeline: &Rc<Pipeline>,
) -> Ending {
    let mut frames = Frames::new(net.limits.frame_bytes_max);
    let mut partial = Partial { net, bytes: 0 };
    let ending = loop {
        while let Some(frame) = frames.take() {
            if !start(net, link, pipeline, frame).await {
                return Ending::Eof;
            }
        }
        let received = receive(net, socket, &mut frames).await;
        let all = partial.set(frames.partial_bytes());
        match received {
            Ok(Ok(0)) if frames.partial_bytes() == 0 => break Ending::Eof,
            Ok(Ok(0)) => break Ending::Io(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(_)) if all > net.limits.shard_partial_bytes_max => {
                break Ending::PartialBytes(all);
            }
            Ok(Ok(bytes)) => {
                link.heard(net.host.now().mono, &frames);
                net.metrics.received_bytes.add(bytes as u64);
            }
            Ok(Err(error)) => break Ending::Frame(error),
            Err(error) => break Ending::Io(error),
        }
    };
    // Requests that came whole before a bad one are still answered.
    while let Some(frame) = frames.take() {
        if !start(net, link, pipeline, frame).await {
            break;
        }
    }
    ending
}

/// One connection's share of the bytes of unfinished frames.
struct Partial<'a> {
    net: &'a Net,
    bytes: usize,
}

impl Partial<'_> {
    /// Sets the share; answers the sum of all.
    fn set(&mut self, bytes: usize) -> usize {
        let all = self.net.partial_bytes.get() - self.bytes + bytes;
        self.net.partial_bytes.set(all);
        self.bytes = bytes;
        all
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// One read from the socket: straight into a large unfinished frame, or through the scratch.
async fn receive(
    net: &Net,
    socket: &Socket,
    frames: &mut Frames,
) -> io::Result<Result<usize, FrameError>> {
    if let Some(buffer) = frames.direct()
        && let Some(bytes) = socket.receive_into(buffer)?
    {
        return Ok(frames.received().map(|()| bytes));
    }
    let mut fed = Ok(());
    let bytes = socket
        .receive(&net.scratch, |bytes| fed = frames.feed(bytes))
        .await?;
    Ok(fed.map(|()| bytes))
}

/// Starts a request; false if the connection is over.
async fn start(net: &Rc<Net>, link: &Rc<Link>, pipeline: &Rc<Pipeline>, frame: Frame) -> bool {
    while pipeline.entries.borrow().len() >= net.limits.pipeline_requests_max {
        let wait = pipeline.room.wait();
        wait.await;
        if link.closed.get() {
            return false;
        }
    }
    let bytes = pipeline.bytes.take(frame.len()).await;
    let shard_bytes = net.request_bytes.take(frame.len()).await;
    if link.closed.get() || pipeline.ending.borrow().is_some() {
        return false;
    }
    let entry = Rc::new(Entry {
        answer: RefCell::new(None),
        _bytes: bytes,
        shard_bytes: Lease(Rc::new(RefCell::new(Some(shard_bytes)))),
    });
    pipeline.entries.borrow_mut().push_back(Rc::clone(&entry));
    link.in_flight.set(pipeline.entries.borrow().len());
    *link.lease.borrow_mut() = Some(entry.shard_bytes.clone());
    let mut work = net.service.call(frame, link);
    link.lease.take();
    // Most requests make progress, and many are done, without waiting: no task for those.
    if let Some(answer) = poll_once(&mut work) {
        entry.finish(answer);
        pipeline.ready.notify();
        return true;
    }
    let pipeline = Rc::clone(pipeline);
    net.host.spawn(
        Queue::Network,
        Box::pin(async move {
            let answer = work.await;
            entry.finish(answer);
            pipeline.ready.notify();
        }),
    );
    true
}

async fn write_answers(net: &Net, socket: &Socket, link: &Link, pipeline: &Pipeline) {
    loop {
        let wait = pipeline.ready.wait();
        let ready = pipeline.take_ready();
        if ready.is_empty() {
            if pipeline.reading_over.get() && pipeline.entries.borrow().is_empty() {
                return;
            }
            wait.await;
            continue;
        }
        let mut responses: Vec<Outgoing> = Vec::with_capacity(ready.len());
        let mut held = Vec::new();
        let mut close = None;
        for entry in &ready {
            match entry.answer.borrow_mut().take() {
                Some(Answer::Respond(outgoing)) => responses.push(outgoing),
                Some(Answer::Hold(outgoing, permit)) => {
                    responses.push(outgoing);
                    held.push(permit);
                }
                Some(Answer::Close(reason)) => {
                    close = Some(reason);
                    break;
                }
                Some(Answer::Silent) | None => {}
            }
        }
        link.sending
            .set(Some((net.host.now().mono, socket.total())));
        let sent = socket.send(&responses).await;
        link.sending.set(None);
        let bytes = socket.take_sent();
        net.metrics.sent(bytes.memory, bytes.file);
        drop((responses, ready, held));
        link.in_flight.set(pipeline.entries.borrow().len());
        pipeline.room.notify();
        if let Err(error) = sent {
            pipeline.end(Ending::Io(error));
            return;
        }
        if let Some(reason) = close {
            pipeline.end(Ending::Request(reason));
            return;
        }
    }
}

const _: () = assert!(RESERVE_BYTES_MAX <= SCRATCH_BYTES);
/// Size of a shard's scratch: one read of a socket takes at most this much.
pub const SCRATCH_BYTES: usize = 256 << 10;
