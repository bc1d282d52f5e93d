//! One connection: frames in, answers out in the order of the requests.
//!
//! Two tasks share a connection. The reader cuts frames, starts each request in order and goes on
//! with the next; the writer sends answers from the front of the pipeline, all that are ready in
//! one go. Invariants: an answer never overtakes an earlier one; after a request that closes the
//! connection nothing more is read or sent; the reader stops while the pipeline holds
//! [`Limits::pipeline_requests_max`] requests, while the connection's or shard's bytes in flight are
//! used up, and while its answers wait, so a peer that does not read its answers stops being read.
//! Deliberately absent: what requests mean ([`Service`]), idle times (`net/registry.rs`), what is
//! held for a request (`net/pipeline.rs`).

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::frames::{FrameError, Frames, RESERVE_BYTES_MAX};
pub use super::link::Link;
pub use super::pipeline::Share;
use super::pipeline::{Entry, Pipeline};
use super::send_file::{Holding, Socket};
use thalweg_storage::disk::ring::Ring;

use crate::metrics::Metrics;
use crate::outgoing::{Answer, Lending, Outgoing};
use crate::request::Frame;
use crate::sending::Sending;
use crate::shard::host::{Host, Queue};
use crate::shard::pulse::Pulse;
use crate::shard::wait::{Budget, Either, LocalFuture, poll_once, race};

/// Limits of connections; each has a test that reaches it in `tests/limits.rs`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest frame (`socket.request.max.bytes`).
    pub frame_bytes_max: usize,
    /// Bytes of a socket's send buffer (`socket.send.buffer.bytes`); the kernel decides if `None`.
    pub send_buffer_bytes: Option<usize>,
    /// Requests of one connection that are read but not answered.
    pub pipeline_requests_max: usize,
    /// Bytes of one connection's requests and answers that are not done with.
    pub pipeline_bytes_max: usize,
    /// Bytes of all requests of a shard that are being worked on.
    pub shard_request_bytes_max: usize,
    /// Bytes of all unfinished frames of a shard; a connection that would exceed it is closed.
    pub shard_partial_bytes_max: usize,
    /// Bytes of a shard's answers that wait to be sent, records apart; beyond it the connection
    /// with most of them is closed.
    pub shard_answer_bytes_max: usize,
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
    /// Bytes of answers that wait to be sent.
    pub answer_bytes: Cell<usize>,
    /// Memory that answers hold.
    pub lending: Lending,
    /// Keeps the shard awake while it works.
    pub pulse: Pulse,
    /// Closes the connection with most bytes of answers waiting.
    pub close_fullest: RefCell<Option<Box<dyn Fn()>>>,
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
            metrics,
            ring,
            request_bytes: Budget::new(limits.shard_request_bytes_max),
            partial_bytes: Cell::new(0),
            answer_bytes: Cell::new(0),
            lending: service.lending(),
            pulse: service.pulse(),
            close_fullest: RefCell::default(),
            service,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        })
    }
}

/// Who answers requests.
pub trait Service {
    /// Starts a request. Called in the order of a connection's requests; the order of appends is
    /// taken here, from `link`, before the future is first polled. `share` is what the request
    /// holds of its shard.
    fn call(&self, frame: Frame, link: &Rc<Link>, share: Share) -> LocalFuture<Answer>;
    /// Memory that its answers hold.
    fn lending(&self) -> Lending;
    /// What keeps its shard awake while it works.
    fn pulse(&self) -> Pulse;
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

/// Serves one connection until it ends and says why it did.
pub async fn serve(net: Rc<Net>, socket: Rc<Socket>, link: Rc<Link>) -> Ending {
    let pipeline = Rc::new(Pipeline::new(net.limits.pipeline_bytes_max));
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
    if link.is_muted() && !unmuted(net, link).await {
        return false;
    }
    while pipeline.entries.borrow().len() >= net.limits.pipeline_requests_max
        || link.waiting.get() >= net.limits.pipeline_bytes_max
    {
        let wait = pipeline.room.wait();
        wait.await;
        if link.is_closed() {
            return false;
        }
    }
    let bytes = pipeline.bytes.take(frame.len()).await;
    let shard_bytes = net.request_bytes.take(frame.len()).await;
    if link.is_closed() || pipeline.ending.borrow().is_some() {
        return false;
    }
    let share = Share::new(bytes, shard_bytes, net.pulse.clone());
    let entry = Rc::new(Entry::new(share.clone()));
    pipeline.entries.borrow_mut().push_back(Rc::clone(&entry));
    link.in_flight.set(pipeline.entries.borrow().len());
    let mut work = net.service.call(frame, link, share.clone());
    // Most requests make progress, and many are done, without waiting: no task for those.
    if let Some(answer) = poll_once(&mut work) {
        entry.finish(net, link, answer);
        pipeline.ready.notify();
        return true;
    }
    share.goes_on();
    let (net, link, pipeline) = (Rc::clone(net), Rc::clone(link), Rc::clone(pipeline));
    let host = Rc::clone(&net.host);
    let task = async move {
        let answer = work.await;
        entry.finish(&net, &link, answer);
        pipeline.ready.notify();
    };
    host.spawn(Queue::Network, Box::pin(task));
    true
}

/// Waits until the client is not throttled any more; false if the connection is over.
async fn unmuted(net: &Net, link: &Link) -> bool {
    loop {
        let left = link.muted_for(net.host.now().mono);
        if left == 0 || link.is_hurried() {
            return !link.is_closed();
        }
        let over = net.host.sleep(Duration::from_nanos(left));
        race(link.hurried(), over).await;
    }
}

/// Waits until there is something to send; answers that can't go yet give back what others want.
async fn ready(net: &Net, pipeline: &Pipeline, wait: impl Future<Output = ()>) {
    let mut wait = std::pin::pin!(wait);
    let mut is_wanted = net.lending.is_wanted();
    loop {
        if is_wanted {
            pipeline.shed();
        }
        if !pipeline.holds_memory() {
            return wait.await;
        }
        match race(wait.as_mut(), net.lending.claimed()).await {
            Either::Left(()) => return,
            Either::Right(()) => is_wanted = true,
        }
    }
}

async fn write_answers(net: &Net, socket: &Socket, link: &Link, pipeline: &Pipeline) {
    let holding = Holding {
        lending: &net.lending,
        shed: &|| pipeline.shed(),
    };
    loop {
        let wait = pipeline.ready.wait();
        let entries = pipeline.take_ready();
        if entries.is_empty() {
            if pipeline.reading_over.get() && pipeline.entries.borrow().is_empty() {
                return;
            }
            ready(net, pipeline, wait).await;
            continue;
        }
        let mut responses: Vec<Outgoing> = Vec::with_capacity(entries.len());
        let mut close = None;
        for entry in &entries {
            match entry.answer.borrow_mut().take() {
                Some(Answer::Respond(outgoing)) => responses.push(outgoing),
                Some(Answer::Close(reason)) => {
                    close = Some(reason);
                    break;
                }
                Some(Answer::Silent) | None => {}
            }
        }
        link.sending
            .set(Some((net.host.now().mono, socket.total())));
        let mut sending = Sending::new(responses);
        let sent = socket.send(&mut sending, &holding).await;
        link.sending.set(None);
        let bytes = socket.take_sent();
        net.metrics.sent(bytes.memory, bytes.file);
        drop((sending, entries));
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
