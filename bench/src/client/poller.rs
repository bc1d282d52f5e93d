//! Which connections can be read or written, and waiting until one can, or until a moment.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::BenchError;
use crate::error::io;

/// Events taken by one wait; the others wait for the next one.
const EVENTS_MAX: usize = 256;

/// An epoll instance.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller")
            .field("epoll", &self.epoll)
            .finish_non_exhaustive()
    }
}

/// What is asked about a connection: always whether it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    pub token: u64,
    pub write: bool,
}

impl Poller {
    pub fn new() -> Result<Self, BenchError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|errno| io("making an epoll instance")(errno.into()))?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    pub fn add(&self, socket: BorrowedFd<'_>, interest: Interest) -> Result<(), BenchError> {
        let data = epoll::EventData::new_u64(interest.token);
        epoll::add(&self.epoll, socket, data, flags(interest))
            .map_err(|errno| io("watching a socket")(errno.into()))
    }

    pub fn change(&self, socket: BorrowedFd<'_>, interest: Interest) -> Result<(), BenchError> {
        let data = epoll::EventData::new_u64(interest.token);
        epoll::modify(&self.epoll, socket, data, flags(interest))
            .map_err(|errno| io("watching a socket")(errno.into()))
    }

    /// The tokens of connections that something can be done with; none after `timeout`.
    pub fn wait(&mut self, timeout: Duration, tokens: &mut Vec<u64>) -> Result<(), BenchError> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(io("waiting for sockets")(errno.into())),
        }
        tokens.clear();
        tokens.extend(self.events.iter().map(|event| event.data.u64()));
        Ok(())
    }
}

fn flags(interest: Interest) -> epoll::EventFlags {
    match interest.write {
        true => epoll::EventFlags::IN | epoll::EventFlags::OUT,
        false => epoll::EventFlags::IN,
    }
}
