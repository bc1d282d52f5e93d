//! The mesh: messages between shards, built pairwise from glommio's shared channels.
//!
//! For each ordered pair (a, b) there is a channel of requests a -> b and a channel of replies
//! b -> a, both of [`CREDITS`]. A sender takes a credit (by its message's bytes) before it sends and
//! keeps it until the reply is there, so a request always finds room and so does its reply: replies never wait, and
//! two shards that are both busy can't wait on each other. Credits are granted first come first
//! served, so messages keep their order. Deliberately absent: priorities, retries.

use std::cell::RefCell;
use std::rc::Rc;

use glommio::channels::shared_channel::{
    ConnectedReceiver, ConnectedSender, SharedReceiver, SharedSender, new_bounded,
};
use thalweg_wire::ids::ShardId;

use super::host::{Gone, PendingReply};
use super::mailbox::{Message, Reply};
use super::wait::{AnswerSender, Budget, LocalFuture, Permit, answer};

/// Requests that one shard may have on the way to another. Enough that a full pipeline of
/// produce requests to 2 shards never waits; small enough that a stuck shard is felt at once.
pub const CREDITS: usize = 256;
/// Bytes of requests that one shard may have on the way to another: what they point to stays in
/// memory until they are answered. A single larger one goes alone.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// What a request counts at least, so that no more than [`CREDITS`] are ever under way.
const MESSAGE_BYTES_MIN: usize = MESSAGE_BYTES_MAX / CREDITS;

type Numbered<T> = (u32, T);

/// One shard's ends of all its channels, before they are connected.
pub struct Ports {
    shard: ShardId,
    peers: Vec<Port>,
}

struct Port {
    peer: ShardId,
    requests_out: SharedSender<Numbered<Message>>,
    replies_in: SharedReceiver<Numbered<Reply>>,
    requests_in: SharedReceiver<Numbered<Message>>,
    replies_out: SharedSender<Numbered<Reply>>,
}

/// The ports of `shards` shards, in order.
pub fn mesh(shards: u16) -> Vec<Ports> {
    let mut all: Vec<Ports> = (0..shards)
        .map(|shard| Ports {
            shard: ShardId(shard),
            peers: Vec::new(),
        })
        .collect();
    for a in 0..shards {
        for b in a + 1..shards {
            let (ab_requests, b_requests) = new_bounded(CREDITS);
            let (ba_requests, a_requests) = new_bounded(CREDITS);
            let (ab_replies, b_replies) = new_bounded(CREDITS);
            let (ba_replies, a_replies) = new_bounded(CREDITS);
            let ports = [
                (a, b, ab_requests, a_replies, a_requests, ab_replies),
                (b, a, ba_requests, b_replies, b_requests, ba_replies),
            ];
            for (own, peer, requests_out, replies_in, requests_in, replies_out) in ports {
                if let Some(ports) = all.get_mut(usize::from(own)) {
                    ports.peers.push(Port {
                        peer: ShardId(peer),
                        requests_out,
                        replies_in,
                        requests_in,
                        replies_out,
                    });
                }
            }
        }
    }
    all
}

/// What runs a message on the shard that received it.
pub type Serve = Rc<dyn Fn(ShardId, Message) -> LocalFuture<Reply>>;
/// What spawns the mesh's tasks.
pub type Spawn = Rc<dyn Fn(LocalFuture<()>)>;

/// One shard's connected ends.
#[derive(Clone)]
pub struct Router {
    peers: Rc<Vec<Rc<Peer>>>,
}

struct Peer {
    shard: ShardId,
    requests: ConnectedSender<Numbered<Message>>,
    credits: Budget,
    waiting: RefCell<Waiting>,
}

#[derive(Default)]
struct Waiting {
    slots: Vec<Option<(AnswerSender<Reply>, Permit)>>,
    free: Vec<u32>,
}

impl Waiting {
    fn enter(&mut self, waiter: AnswerSender<Reply>, credit: Permit) -> u32 {
        let entry = Some((waiter, credit));
        match self.free.pop() {
            Some(number) => {
                if let Some(slot) = self.slots.get_mut(number as usize) {
                    *slot = entry;
                }
                number
            }
            None => {
                self.slots.push(entry);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    fn leave(&mut self, number: u32) -> Option<(AnswerSender<Reply>, Permit)> {
        let entry = self.slots.get_mut(number as usize)?.take();
        self.free.push(number);
        entry
    }
}

impl Ports {
    /// No ports: what is left of a shard's ports once they are connected.
    #[must_use]
    pub fn none(shard: ShardId) -> Self {
        Self {
            shard,
            peers: Vec::new(),
        }
    }

    /// Connects all channels. Every shard must do so at the same time: each waits for its peers.
    pub async fn connect(self, serve: Serve, spawn: Spawn) -> Router {
        let mut peers = Vec::new();
        let mut incoming = Vec::new();
        debug_assert!(
            self.peers.iter().all(|port| port.peer != self.shard),
            "no port to itself"
        );
        for port in self.peers {
            // All shards connect a pair's channels in an order that can't cross: the futures are
            // polled together, so no shard waits for a channel its peer has not reached.
            let requests = port.requests_out.connect();
            let replies = port.replies_in.connect();
            let requests_in = port.requests_in.connect();
            let replies_out = port.replies_out.connect();
            let ((requests, replies), (requests_in, replies_out)) = futures_lite::future::zip(
                futures_lite::future::zip(requests, replies),
                futures_lite::future::zip(requests_in, replies_out),
            )
            .await;
            let peer = Rc::new(Peer {
                shard: port.peer,
                requests,
                credits: Budget::new(MESSAGE_BYTES_MAX),
                waiting: RefCell::default(),
            });
            spawn(Box::pin(take_replies(Rc::clone(&peer), replies)));
            incoming.push((port.peer, requests_in, replies_out));
            peers.push(peer);
        }
        for (peer, requests, replies) in incoming {
            let serving = serve_requests(
                peer,
                requests,
                replies,
                Rc::clone(&serve),
                Rc::clone(&spawn),
            );
            spawn(Box::pin(serving));
        }
        Router {
            peers: Rc::new(peers),
        }
    }
}

async fn take_replies(peer: Rc<Peer>, replies: ConnectedReceiver<Numbered<Reply>>) {
    while let Some((number, reply)) = replies.recv().await {
        let entry = peer.waiting.borrow_mut().leave(number);
        if let Some((waiter, _credit)) = entry {
            waiter.send(reply);
        }
    }
    // The peer is gone: whoever still waits is told so by the dropped senders.
    peer.waiting.borrow_mut().slots.clear();
}

async fn serve_requests(
    peer: ShardId,
    requests: ConnectedReceiver<Numbered<Message>>,
    replies: ConnectedSender<Numbered<Reply>>,
    serve: Serve,
    spawn: Spawn,
) {
    let replies = Rc::new(replies);
    while let Some((number, message)) = requests.recv().await {
        let reply = serve(peer, message);
        let replies = Rc::clone(&replies);
        spawn(Box::pin(async move {
            let reply = reply.await;
            let sent = replies.try_send((number, reply));
            debug_assert!(
                !matches!(&sent, Err(glommio::GlommioError::WouldBlock(_))),
                "a reply found no room although its request held a credit"
            );
        }));
    }
}

impl Router {
    /// See `Host::send`.
    pub fn send(&self, to: ShardId, message: Message) -> LocalFuture<Result<PendingReply, Gone>> {
        let peer = self
            .peers
            .iter()
            .find(|peer| peer.shard == to)
            .map(Rc::clone);
        Box::pin(async move {
            let peer = peer.ok_or(Gone)?;
            let bytes = message.bytes().max(MESSAGE_BYTES_MIN);
            let credit = peer.credits.take(bytes).await;
            let (sender, waiter) = answer();
            let number = peer.waiting.borrow_mut().enter(sender, credit);
            if peer.requests.try_send((number, message)).is_err() {
                // With a credit there is room, so the peer must be gone.
                drop(peer.waiting.borrow_mut().leave(number));
                return Err(Gone);
            }
            let pending: PendingReply = Box::pin(async move { waiter.await.ok_or(Gone) });
            Ok(pending)
        })
    }
}
