//! Futures of operations on the second ring.

use std::future::Future;
use std::io::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Ring;
use super::slots::{Resource, user_data};
use crate::disk::Slice;

/// How a write becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::disk) enum Durable {
    /// Not by itself.
    No,
    /// RWF_DSYNC on the write.
    Flag,
    /// An fdatasync linked behind the write.
    LinkedSync,
}

/// A disk operation under way: submitted when it was made, not when it is first polled.
#[must_use = "an operation's failure must be seen"]
pub(in crate::disk) struct Operation {
    ring: Ring,
    /// `None` once its results were taken.
    slot: Option<usize>,
}

/// What an operation came to.
pub(in crate::disk) struct Completed {
    results: [i32; 2],
    resource: Resource,
}

impl Operation {
    pub(super) fn new(slot: usize, ring: Ring) -> Self {
        Self {
            ring,
            slot: Some(slot),
        }
    }
}

impl Completed {
    /// Bytes done by the first part, or the first failure of any part.
    pub(in crate::disk) fn bytes(&self) -> Result<usize, Error> {
        for result in self.results {
            if result < 0 {
                return Err(Error::from_raw_os_error(-result));
            }
        }
        Ok(usize::try_from(self.results[0]).unwrap_or(0))
    }

    /// What a read brought.
    pub(in crate::disk) fn into_slice(self) -> Result<Slice, Error> {
        let bytes = self.bytes()?;
        let Resource::Read { space, .. } = self.resource else {
            unreachable!("only reads are asked for what they brought");
        };
        // SAFETY: the kernel has said that it wrote `bytes` bytes from the beginning, and is done.
        Ok(unsafe { space.filled(bytes) })
    }
}

impl Future for Operation {
    type Output = Completed;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Completed> {
        self.ring.reap();
        let slot = self.slot.expect("not polled after its end");
        let polled = self
            .ring
            .inner
            .slots
            .borrow_mut()
            .poll(slot, context.waker());
        match polled {
            Some((results, resource)) => {
                self.slot = None;
                Poll::Ready(Completed { results, resource })
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.ring.inner.slots.borrow_mut().abandon(slot);
        }
    }
}

/// A wait for a descriptor's readiness; ends with the poll's events.
#[must_use = "nothing is waited for unless it is awaited"]
pub struct Readiness {
    ring: Ring,
    slot: Option<usize>,
}

impl Readiness {
    pub(super) fn new(slot: usize, ring: Ring) -> Self {
        Self {
            ring,
            slot: Some(slot),
        }
    }
}

impl Future for Readiness {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.ring.reap();
        let slot = self.slot.expect("not polled after its end");
        let polled = self
            .ring
            .inner
            .slots
            .borrow_mut()
            .poll(slot, context.waker());
        let Some(([result, _], _)) = polled else {
            return Poll::Pending;
        };
        self.slot = None;
        Poll::Ready(if result < 0 {
            Err(Error::from_raw_os_error(-result))
        } else {
            Ok(())
        })
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let is_under_way = self.ring.inner.slots.borrow_mut().abandon(slot);
        if is_under_way {
            self.ring.remove_poll(user_data(slot, 0));
        }
    }
}
