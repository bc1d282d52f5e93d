//! Pieces -> socket: gathered sends of memory, sendfile of file ranges, waiting for room.
//!
//! Invariants: bytes leave in the order of the pieces; one sendfile moves at most
//! [`SEND_FILE_BYTES_MAX`] and the task yields after each; a failed or short send is an error and
//! the caller closes the connection, since a response whose head is out can't be taken back.
//! The socket is non-blocking (sendfile has no flag of its own for that), and a full one is waited for
//! by the second ring. Meanwhile memory that others want is given back, and after the wait file
//! ranges are bound anew: what was resident may be gone by then.
//!
//! This file and the disk's are the only ones with `unsafe`: glommio's sockets give and take raw
//! descriptors only. Deliberately absent: deciding what is resident (storage does).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use futures_lite::AsyncRead;
use glommio::net::{TcpListener, TcpStream};
use rustix::net::{SendAncillaryBuffer, SendFlags};
use thalweg_storage::disk::ring::Ring;
use thalweg_storage::read::{Bound, FileRange};

use crate::outgoing::{Lending, Stretch};
use crate::sending::{Next, Sending};
use crate::shard::wait::{Either, race};

/// Largest range that one sendfile call moves; more would hold the shard too long (design: reads).
pub const SEND_FILE_BYTES_MAX: usize = 256 << 10;
/// What a connection does about memory while it waits.
pub struct Holding<'a> {
    /// The shard's.
    pub lending: &'a Lending,
    /// Gives back what answers behind those being sent hold.
    pub shed: &'a dyn Fn(),
}

/// Bytes that left a socket, by the way they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Copied from memory by the kernel.
    pub memory: u64,
    /// By sendfile.
    pub file: u64,
}

/// A connected socket, shared by the reading and the writing task of its connection.
pub struct Socket {
    stream: RefCell<TcpStream>,
    raw: RawFd,
    ring: Ring,
    sent: Cell<Sent>,
    total: Cell<u64>,
}

impl Socket {
    /// Takes over an accepted socket on this shard.
    pub fn adopt(socket: OwnedFd, ring: Ring) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let raw = socket.into_raw_fd();
        // SAFETY: the descriptor was owned until the line above and is given up to the stream.
        let stream = unsafe { TcpStream::from_raw_fd(raw) };
        Ok(Self {
            stream: RefCell::new(stream),
            raw,
            ring,
            sent: Cell::default(),
            total: Cell::default(),
        })
    }

    /// The descriptor, for calls that glommio lacks.
    pub fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `self.stream` owns this descriptor, is never replaced, and lives as long as
        // `self`, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.raw) }
    }

    /// Ends both directions: pending reads see the end, pending sends fail.
    pub fn shut_down(&self) {
        // A socket that is already closed by the peer has nothing left to shut down.
        let _already_gone = rustix::net::shutdown(self.fd(), rustix::net::Shutdown::Both);
    }

    /// Ends reading: pending reads see the end, answers still go out.
    pub fn shut_down_reading(&self) {
        // As above.
        let _already_gone = rustix::net::shutdown(self.fd(), rustix::net::Shutdown::Read);
    }

    /// Waits for bytes and hands them to `take`, at most the length of `scratch` at a time.
    /// Answers how many there were; 0 is the end.
    pub async fn receive(
        &self,
        scratch: &RefCell<Vec<u8>>,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        poll_fn(|context| {
            let mut scratch = scratch.borrow_mut();
            let mut stream = self.stream.borrow_mut();
            match Pin::new(&mut *stream).poll_read(context, &mut scratch) {
                Poll::Ready(Ok(bytes)) => {
                    take(scratch.get(..bytes).unwrap_or_default());
                    Poll::Ready(Ok(bytes))
                }
                other => other,
            }
        })
        .await
    }

    /// Receives straight into `buffer`'s spare room if bytes are there; `None` if not.
    pub fn receive_into(&self, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let room = rustix::buffer::spare_capacity(buffer);
        match rustix::net::recv(self.fd(), room, rustix::net::RecvFlags::DONTWAIT) {
            Ok((bytes, _)) => Ok(Some(bytes)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What has left so far; the counter starts again.
    pub fn take_sent(&self) -> Sent {
        self.sent.take()
    }

    /// Sends answers, in order.
    pub async fn send(&self, sending: &mut Sending, holding: &Holding<'_>) -> io::Result<()> {
        loop {
            match sending.next() {
                Next::Done => return Ok(()),
                Next::Memory { parts, more } => match self.send_memory(&parts, more) {
                    Ok(sent) => {
                        self.count(sent, 0);
                        sending.advance(sent);
                    }
                    Err(rustix::io::Errno::AGAIN) => self.room(sending, holding).await?,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                },
                Next::File(stretch, range, sent) => {
                    if !self.send_file(sending, &stretch, (&range, sent)).await? {
                        self.room(sending, holding).await?;
                    }
                }
                Next::Plan(stretch) => {
                    // Who waits for memory holds none: all who do could wait for each other.
                    sending.shed();
                    (holding.shed)();
                    let planned = stretch.binder.replan(&stretch).await?;
                    sending.planned(planned);
                }
            }
        }
    }

    fn send_memory(&self, parts: &[&[u8]], more: bool) -> Result<usize, rustix::io::Errno> {
        let parts: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, more);
        let mut control = SendAncillaryBuffer::default();
        rustix::net::sendmsg(self.fd(), &parts, &mut control, flags)
    }

    /// Sends from a file range, or has it read into memory; false where the socket is full.
    async fn send_file(
        &self,
        sending: &mut Sending,
        stretch: &Rc<Stretch>,
        (range, sent): (&FileRange, usize),
    ) -> io::Result<bool> {
        let (bound, permit) = stretch.binder.bind(stretch, range).await?;
        let (descriptor, position, bytes) = match bound {
            Bound::Memory(slices) => {
                sending.bound(slices, permit);
                return Ok(true);
            }
            Bound::File {
                descriptor,
                position,
                bytes,
            } => (descriptor, position, bytes),
        };
        drop(permit);
        let end = position + bytes as u64;
        let mut position = position + sent as u64;
        while position < end {
            let bytes = usize::try_from(end - position)
                .unwrap_or(SEND_FILE_BYTES_MAX)
                .min(SEND_FILE_BYTES_MAX);
            match rustix::fs::sendfile(self.fd(), &descriptor, Some(&mut position), bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => {
                    self.count(0, sent as u64);
                    sending.advance(sent);
                    glommio::yield_if_needed().await;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Waits for room in the socket; gives back what others want meanwhile.
    async fn room(&self, sending: &mut Sending, holding: &Holding<'_>) -> io::Result<()> {
        let mut writable = pin!(self.ring.writable(self.fd()));
        let mut is_wanted = holding.lending.is_wanted();
        loop {
            if is_wanted {
                sending.shed();
                (holding.shed)();
            }
            match race(writable.as_mut(), holding.lending.claimed()).await {
                Either::Left(writable) => return writable,
                Either::Right(()) => is_wanted = true,
            }
        }
    }

    /// Bytes that ever left, to tell a slow peer from one that takes nothing.
    pub fn total(&self) -> u64 {
        self.total.get()
    }

    fn count(&self, memory: usize, file: u64) {
        self.total.set(self.total.get() + memory as u64 + file);
        let mut sent = self.sent.get();
        sent.memory += memory as u64;
        sent.file += file;
        self.sent.set(sent);
    }
}

/// A listening socket that was made elsewhere, on this executor.
pub fn listen_on(socket: OwnedFd) -> TcpListener {
    let raw = socket.into_raw_fd();
    // SAFETY: the descriptor was owned until the line above and is given up to the listener.
    unsafe { TcpListener::from_raw_fd(raw) }
}

/// Waits for a connection; the socket belongs to no executor yet.
pub async fn accept(listener: &TcpListener) -> io::Result<(OwnedFd, SocketAddr)> {
    let accepted = listener.shared_accept().await.map_err(io::Error::from)?;
    let peer = accepted.peer_addr().map_err(io::Error::from)?;
    let stream = accepted.bind_to_executor();
    // SAFETY: `stream` owns the descriptor and outlives the borrow.
    let borrowed = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    Ok((borrowed.try_clone_to_owned()?, peer))
}
