//! One connection: requests out, answers in, in order.
//!
//! The two halves live on two threads, so that sending never waits for an answer. An answer has to
//! carry the correlation id that is next, since Kafka answers in order on a connection.

mod topics;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use thalweg_wire::bytes::{Message, View, Writer};

use crate::BenchError;
use crate::error::{decode, io};

pub use topics::{create_topic, end_offsets, producer_id};

/// A server that says nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Larger than any answer that was asked for.
const ANSWER_BYTES_MAX: usize = 256 << 20;
const CLIENT_ID: &[u8] = b"thalweg-bench";

/// The sending half.
#[derive(Debug)]
pub struct Sender {
    socket: TcpStream,
    frame: Vec<u8>,
    next_id: i32,
}

/// The receiving half.
#[derive(Debug)]
pub struct Receiver {
    socket: TcpStream,
    answer: Vec<u8>,
    next_id: i32,
}

pub fn connect(address: &str) -> Result<(Sender, Receiver), BenchError> {
    let socket = TcpStream::connect(address).map_err(io("connecting"))?;
    socket
        .set_nodelay(true)
        .map_err(io("setting TCP_NODELAY"))?;
    socket
        .set_read_timeout(Some(SILENCE_MAX))
        .map_err(io("setting a time limit"))?;
    let twin = socket.try_clone().map_err(io("sharing a socket"))?;
    let receiver = Receiver {
        socket: twin,
        answer: Vec::new(),
        next_id: 0,
    };
    Ok((
        Sender {
            socket,
            frame: Vec::new(),
            next_id: 0,
        },
        receiver,
    ))
}

impl Sender {
    /// Sends one request whole.
    pub fn send<M: Message>(&mut self, request: &M, version: i16) -> Result<(), BenchError> {
        let key = M::API_KEY.unwrap_or(-1);
        let flexible = M::FIRST_FLEXIBLE.is_some_and(|first| version >= first);
        let mut body = Writer::with_capacity(request.size(version)?);
        request.encode(version, &mut body)?;
        let head = 2 + 2 + 4 + 2 + CLIENT_ID.len() + usize::from(flexible);
        let length = u32::try_from(head + body.len()).unwrap_or(u32::MAX);
        self.frame.clear();
        self.frame.extend(length.to_be_bytes());
        self.frame.extend(key.to_be_bytes());
        self.frame.extend(version.to_be_bytes());
        self.frame.extend(self.next_id.to_be_bytes());
        self.frame.extend([0, CLIENT_ID.len() as u8]);
        self.frame.extend(CLIENT_ID);
        if flexible {
            self.frame.push(0);
        }
        self.frame.extend_from_slice(body.buffer());
        self.next_id = self.next_id.wrapping_add(1);
        self.socket.write_all(&self.frame).map_err(io("sending"))
    }

    /// Ends the conversation for both halves.
    pub fn close(&self) {
        drop(self.socket.shutdown(Shutdown::Both));
    }
}

impl Receiver {
    /// The next answer, for a request of this flexibility.
    pub fn receive(&mut self, flexible: bool) -> Result<&[u8], BenchError> {
        let mut prefix = [0; 4];
        self.socket
            .read_exact(&mut prefix)
            .map_err(io("receiving"))?;
        let length = u32::from_be_bytes(prefix) as usize;
        if length > ANSWER_BYTES_MAX || length < 4 + usize::from(flexible) {
            return Err(BenchError::Protocol(format!("an answer of {length} bytes")));
        }
        if self.answer.len() < length {
            self.answer.resize(length, 0);
        }
        let answer = self.answer.get_mut(..length).unwrap_or_default();
        self.socket.read_exact(answer).map_err(io("receiving"))?;
        let expected = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        match answer.split_first_chunk::<4>() {
            Some((id, body)) if i32::from_be_bytes(*id) == expected => {
                Ok(body.get(usize::from(flexible)..).unwrap_or_default())
            }
            _ => Err(BenchError::Protocol(format!(
                "no answer to request {expected}"
            ))),
        }
    }

    /// The next answer, decoded.
    pub fn view<'a, V: View<'a>>(&'a mut self, version: i16) -> Result<V, BenchError> {
        let flexible = V::Owned::FIRST_FLEXIBLE.is_some_and(|first| version >= first);
        V::decode(self.receive(flexible)?, version).map_err(decode(V::Owned::NAME))
    }
}
