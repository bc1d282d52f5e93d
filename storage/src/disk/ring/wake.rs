//! How the second ring wakes its shard: one eventfd, rung by the kernel for completions and by
//! helper threads for blocking calls, read by one task of the executor.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io::{Error, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use glommio::io::BufferedFile;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::Ring;

/// The eventfd.
pub(in crate::disk) struct Signal {
    descriptor: OwnedFd,
}

impl Signal {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self {
            descriptor: eventfd(0, EventfdFlags::CLOEXEC)?,
        })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Wakes the shard, from any thread.
    pub(in crate::disk) fn ring(&self) {
        let written = rustix::io::write(&self.descriptor, &1u64.to_ne_bytes());
        assert_eq!(written, Ok(8), "an eventfd takes 2^64-2 rings");
    }
}

/// Blocking calls that helper threads make for this shard.
pub(in crate::disk) struct Foreign {
    signal: Arc<Signal>,
    finished: Receiver<u64>,
    finish: Sender<u64>,
    waiting: RefCell<HashMap<u64, Waker>>,
    next: Cell<u64>,
    /// Nothing is pending in the ring, and nobody reads its eventfd any more.
    is_stopped: Cell<bool>,
}

impl Foreign {
    pub(super) fn new(signal: Arc<Signal>) -> Self {
        let (finish, finished) = channel();
        Self {
            signal,
            finished,
            finish,
            waiting: RefCell::default(),
            next: Cell::new(0),
            is_stopped: Cell::new(false),
        }
    }

    /// Wraps a blocking call: the first value is for a helper thread to run, the second resolves on
    /// this shard. The call runs to its end even if nobody waits for it any more. Once the ring has
    /// stopped, nobody is left to wake a task: the answer is then waited for in place.
    pub(in crate::disk) fn wrap<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> (Box<dyn FnOnce() + Send>, impl Future<Output = T>) {
        let number = self.next.get();
        self.next.set(number + 1);
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let filled = Arc::clone(&slot);
        let (finish, signal) = (self.finish.clone(), Arc::clone(&self.signal));
        let job = Box::new(move || {
            let value = call();
            *filled.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            filled.1.notify_one();
            // Fails only if the shard is gone, and then nobody waits.
            if finish.send(number).is_ok() {
                signal.ring();
            }
        });
        let answer = std::future::poll_fn(move |context| {
            let (value, is_filled) = &*slot;
            let mut value = value.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_stopped.get() {
                value = is_filled
                    .wait_while(value, |value| value.is_none())
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if let Some(value) = value.take() {
                return Poll::Ready(value);
            }
            drop(value);
            // A call that ends after the look above is collected on this thread, hence later.
            self.waiting
                .borrow_mut()
                .insert(number, context.waker().clone());
            Poll::Pending
        });
        (job, answer)
    }

    /// Calls that are waited for.
    pub(super) fn pending(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// The eventfd is read no more. Only when no call is [`Self::pending`].
    pub(super) fn stop(&self) {
        self.is_stopped.set(true);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.get()
    }

    pub(super) fn collect(&self, woken: &mut Vec<Waker>) {
        for number in self.finished.try_iter() {
            woken.extend(self.waiting.borrow_mut().remove(&number));
        }
    }
}

impl Ring {
    /// The task that wakes all others of this ring: reads the eventfd on the executor's own ring,
    /// as a file (glommio knows no eventfds). Runs until [`Ring::stop`] has drained the ring.
    pub async fn drive(self) -> Result<(), Error> {
        let descriptor = self.inner.signal.as_fd().try_clone_to_owned()?;
        // SAFETY: the descriptor was duplicated just now; the file is its only owner.
        let file = unsafe { BufferedFile::from_raw_fd(descriptor.into_raw_fd()) };
        loop {
            file.read_at(0, 8).await?;
            self.reap();
            // Not as soon as nothing is pending: a task woken just now may still make a blocking
            // call before `stop` has looked, whose end nobody else would tell.
            if self.inner.foreign.is_stopped() {
                file.close().await?;
                return Ok(());
            }
        }
    }
}

/// Runs a future that waits for nothing but this ring on the calling thread, without an executor:
/// for the start-up probe and tools.
pub fn block_on<T>(ring: &Ring, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        // Every wake-up comes with a ring of the eventfd, so no waker is needed.
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(value) = polled {
            return value;
        }
        let signal = &ring.inner.signal;
        match poll(&mut [PollFd::new(&signal.as_fd(), PollFlags::IN)], None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                panic!("poll of an eventfd: {error}")
            }
            _ => {}
        }
        let mut count = [0; 8];
        // Only this thread reads it, so a readable eventfd stays readable until here.
        if let Err(error) = rustix::io::read(signal.as_fd(), &mut count) {
            assert_eq!(
                error.kind(),
                ErrorKind::Interrupted,
                "read of an eventfd: {error}"
            );
        }
        ring.reap();
    }
}
