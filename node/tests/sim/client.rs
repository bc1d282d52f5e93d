//! A client of the simulated node: frames in, frames out, through the real codecs.
//!
//! A request is begun when [`Client::begin`] returns, so requests of one connection can be
//! pipelined; what comes back is the body of the response. Answers are put together from their
//! pieces the way a socket would send them, ranges bound when it is their turn, slices given back now
//! and then.
//! Deliberately absent: retries (the workload), what answers mean (the checker).

use std::cell::Cell;
use std::rc::Rc;

use thalweg_node::net::connection::{Link, Service, Share};
use thalweg_node::outgoing::{Answer, Outgoing};
use thalweg_node::request::{Frame, Listener, Origin};
use thalweg_node::sending::{Next, Sending};
use thalweg_node::shard::wait::Budget;
use thalweg_storage::read::Bound;
use thalweg_storage::testing::{Handle, Task};
use thalweg_wire::bytes::Message;
use thalweg_wire::header::{ResponseHead, encode_request};

use crate::world::{Dice, Node, dawdle};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// acks=0: there never is one.
    Silent,
    /// The connection was closed.
    Closed(String),
    /// A part of the answer could not be read when it was its turn.
    Unreadable(String),
}

/// One connection.
pub(crate) struct Client {
    service: Rc<dyn Service>,
    link: Rc<Link>,
    handle: Handle,
    dice: Dice,
    correlation: Cell<i32>,
}

impl Client {
    /// Connects to some shard of the node.
    pub(crate) fn connect(node: &Node) -> Self {
        let (service, connection) = node.seat();
        let origin = Origin {
            connection,
            listener: Listener::Kafka,
            peer: ([127, 0, 0, 1], 40_000).into(),
            local: ([127, 0, 0, 1], 9092).into(),
        };
        Self {
            service,
            link: Link::new(origin, 0),
            handle: node.handle.clone(),
            dice: Rc::clone(&node.dice),
            correlation: Cell::new(0),
        }
    }

    /// Sends a request; the answer may be awaited later.
    pub(crate) fn begin<M: Message>(&self, body: &M, version: i16) -> Task<Result<Vec<u8>, Lost>> {
        let correlation = self.correlation.get();
        self.correlation.set(correlation + 1);
        let bytes = encode_request(body, version, correlation, Some("sim"));
        let bytes = bytes.expect("requests of the workload can be written");
        let head = ResponseHead {
            api_key: M::API_KEY.expect("a request"),
            version,
            correlation_id: correlation,
        };
        let work = self
            .service
            .call(Frame::new(bytes[4..].to_vec()), &self.link, self.share());
        let (handle, dice) = (self.handle.clone(), Rc::clone(&self.dice));
        self.handle.spawn(async move {
            let frame = match work.await {
                Answer::Respond(outgoing) => send(&handle, &dice, outgoing).await?,
                Answer::Silent => return Err(Lost::Silent),
                Answer::Close(reason) => return Err(Lost::Closed(reason)),
            };
            let size = i32::from_be_bytes(frame[..4].try_into().unwrap());
            assert_eq!(usize::try_from(size).unwrap(), frame.len() - 4);
            let (number, body) = head.decode(&frame[4..]).expect("a sound head");
            assert_eq!(number, head.correlation_id);
            Ok(body.to_vec())
        })
    }

    /// There is room for every request here.
    fn share(&self) -> Share {
        let permit = || Budget::new(1).try_take(0).expect("an empty budget");
        Share::new(permit(), permit(), self.service.pulse())
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call<M: Message>(&self, body: &M, version: i16) -> Result<Vec<u8>, Lost> {
        self.begin(body, version).await
    }
}

async fn send(handle: &Handle, dice: &Dice, outgoing: Outgoing) -> Result<Vec<u8>, Lost> {
    let length = outgoing.len();
    let mut sent = Vec::with_capacity(length);
    let mut sending = Sending::new(vec![outgoing]);
    let lost = |error: std::io::Error| Lost::Unreadable(error.to_string());
    loop {
        match sending.next() {
            Next::Done => break,
            Next::Memory { parts, .. } => {
                let bytes = parts.concat();
                // As much as the socket takes.
                let taken = 1 + dice.borrow_mut().below(bytes.len());
                sent.extend_from_slice(&bytes[..taken]);
                sending.advance(taken);
            }
            Next::File(stretch, range, _) => {
                match stretch.binder.bind(&stretch, &range).await.map_err(lost)? {
                    (Bound::Memory(slices), permit) => sending.bound(slices, permit),
                    (Bound::File { .. }, _) => panic!("the seeded disk has no files"),
                }
            }
            Next::Plan(stretch) => {
                let planned = stretch.binder.replan(&stretch).await.map_err(lost)?;
                sending.planned(planned);
            }
        }
        // A slow reader: what a range is bound to may have moved meanwhile, and others may want
        // the memory.
        dawdle(handle, dice, 20).await;
        if dice.borrow_mut().below(3) == 0 {
            sending.shed();
        }
    }
    assert_eq!(sent.len(), length, "an answer of another length");
    Ok(sent)
}
