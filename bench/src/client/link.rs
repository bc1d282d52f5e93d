//! A connection without blocking: whole frames out, whole frames in.
//!
//! Requests are patched in place in buffers that keep their bytes from one use to the next, and go
//! to the socket from there: as long as the socket takes them whole, no byte is copied in user
//! space. What it does not take waits in its buffer, in order.
//!
//! Invariants: answers come in the order of requests, which is checked by correlation id; a frame
//! that was begun is never abandoned.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use thalweg_wire::frame::{self, Frame};

use super::{ANSWER_BYTES_MAX, Request};
use crate::BenchError;
use crate::error::io;

/// One read asks for so much at least; answers to produce requests come a hundred in one.
const READ_BYTES: usize = 64 << 10;
/// Where the correlation id lies in a request's frame.
pub(super) const CORRELATION_AT: usize = 8;

/// A whole answer in a buffer of its own.
#[derive(Debug)]
pub struct Answer {
    pub bytes: Vec<u8>,
    /// Where its body lies.
    pub body: Range<usize>,
}

/// A non-blocking connection.
#[derive(Debug)]
pub struct Link {
    socket: TcpStream,
    /// Frames that the socket did not take yet; the first one from `written` on.
    outgoing: VecDeque<Request>,
    written: usize,
    /// Frames that were sent, their bytes kept for the next use.
    spare: Vec<Request>,
    /// Received and not handled: `incoming[start..end]`.
    incoming: Vec<u8>,
    start: usize,
    end: usize,
    next_out: i32,
    next_in: i32,
}

impl Link {
    /// Takes over a connection on which nothing is under way.
    pub fn new(socket: TcpStream) -> Result<Self, BenchError> {
        socket
            .set_nonblocking(true)
            .map_err(io("making a socket non-blocking"))?;
        Ok(Self {
            socket,
            outgoing: VecDeque::new(),
            written: 0,
            spare: Vec::new(),
            incoming: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            next_out: 0,
            next_in: 0,
        })
    }

    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// A request that was sent, its bytes still in place, or an empty one.
    pub fn buffer(&mut self) -> Request {
        self.spare.pop().unwrap_or_default()
    }

    /// Sends a whole frame, prefix included, or keeps what the socket does not take. Its
    /// correlation id is filled in here.
    pub fn send(&mut self, mut request: Request) -> Result<(), BenchError> {
        request.number(self.next_out);
        self.next_out = self.next_out.wrapping_add(1);
        self.outgoing.push_back(request);
        self.flush()
    }

    /// Writes what the socket takes.
    pub fn flush(&mut self) -> Result<(), BenchError> {
        while let Some(request) = self.outgoing.front() {
            let rest = request.bytes.get(self.written..).unwrap_or_default();
            match self.socket.write(rest) {
                Ok(count) if count < rest.len() => self.written += count,
                Ok(_) => {
                    self.written = 0;
                    self.spare.extend(self.outgoing.pop_front());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io("sending")(error)),
            }
        }
        Ok(())
    }

    /// True while the socket has to be asked again.
    pub fn wants_to_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Reads once; false if there was nothing.
    pub fn fill(&mut self) -> Result<bool, BenchError> {
        self.make_room()?;
        let room = self.incoming.get_mut(self.end..).unwrap_or_default();
        loop {
            match self.socket.read(room) {
                Ok(0) => {
                    let closed = std::io::Error::from(ErrorKind::UnexpectedEof);
                    return Err(io("receiving")(closed));
                }
                Ok(count) => {
                    self.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io("receiving")(error)),
            }
        }
    }

    /// The rest of the frame under way fits, and one read's worth.
    fn make_room(&mut self) -> Result<(), BenchError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let received = self.incoming.get(self.start..self.end).unwrap_or_default();
        let missing = match frame::next(received, ANSWER_BYTES_MAX) {
            Frame::NeedMore { missing } => missing.max(READ_BYTES),
            Frame::Whole { .. } => READ_BYTES,
            Frame::TooBig { size } => return impossible(size),
            Frame::Negative { size } => return impossible(size),
        };
        if self.end + missing > self.incoming.len() {
            self.incoming.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end + missing > self.incoming.len() {
            self.incoming.resize(self.end + missing, 0);
        }
        Ok(())
    }

    /// The next whole answer's body; the header before it has tags if `flexible`.
    pub fn answer(&mut self, flexible: bool) -> Result<Option<&[u8]>, BenchError> {
        let body = self.next_body(flexible)?;
        Ok(body.and_then(|range| self.incoming.get(range)))
    }

    /// The next whole answer in a buffer of its own, so that the next request can leave before
    /// this answer is worked through. `spare` is received into from now on.
    pub fn take_answer(
        &mut self,
        flexible: bool,
        mut spare: Vec<u8>,
    ) -> Result<Option<Answer>, BenchError> {
        let Some(body) = self.next_body(flexible)? else {
            return Ok(None);
        };
        let left = self.incoming.get(self.start..self.end).unwrap_or_default();
        let length = left.len().max(READ_BYTES);
        if spare.len() < length {
            spare.resize(length, 0);
        }
        if let Some(head) = spare.get_mut(..left.len()) {
            head.copy_from_slice(left);
        }
        (self.start, self.end) = (0, left.len());
        let bytes = std::mem::replace(&mut self.incoming, spare);
        Ok(Some(Answer { bytes, body }))
    }

    fn next_body(&mut self, flexible: bool) -> Result<Option<Range<usize>>, BenchError> {
        let received = self.incoming.get(self.start..self.end).unwrap_or_default();
        let Frame::Whole { frame, .. } = frame::next(received, ANSWER_BYTES_MAX) else {
            return Ok(None);
        };
        let expected = self.next_in;
        self.next_in = self.next_in.wrapping_add(1);
        let from = self.start + frame::SIZE_BYTES;
        self.start = from + frame.len();
        match frame.split_first_chunk::<4>() {
            Some((id, body)) if i32::from_be_bytes(*id) == expected && !body.is_empty() => {
                Ok(Some(from + 4 + usize::from(flexible)..self.start))
            }
            _ => Err(BenchError::Protocol(format!(
                "no answer to request {expected}"
            ))),
        }
    }
}

fn impossible<T>(size: impl std::fmt::Display) -> Result<T, BenchError> {
    Err(BenchError::Protocol(format!("an answer of {size} bytes")))
}
