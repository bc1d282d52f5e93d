//! The shard's second ring: disk writes, reads and flushes from our own memory, and readiness of
//! sockets, beside the executor's own rings.
//!
//! Why a second one: it submits at once instead of at the reactor's next pass, takes our memory,
//! and knows what the executor's rings do not (RWF_DSYNC, gathered writes, links, waiting for
//! writability). Its completions ring an eventfd, which wakes the shard; whoever awaits an
//! operation also looks at the completion queue itself.
//!
//! Invariants:
//! - From submission to completion the ring owns descriptor and buffers (`Slot::resource`):
//!   dropping the future frees nothing, and dropping the ring waits for what is in flight.
//! - A slot is used again only after its completions *and* its future are gone.
//! - At most [`OPERATIONS_MAX`] disk operations are in flight; more wait in order, at most
//!   [`QUEUE_MAX`]; beyond that they are refused with EBUSY. Socket waits have a limit of their own,
//!   since a slow peer may keep one open for hours.
//!
//! Deliberately absent: registered buffers and files, multishot, cancelling disk operations.

mod operation;
mod slots;
#[cfg(test)]
mod tests;
mod wake;

use std::cell::{Cell, RefCell};
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};

use super::Slice;
use super::buffer::Space;
pub use operation::Readiness;
pub(in crate::disk) use operation::{Durable, Operation};
use slots::{Resource, Slots};
pub use wake::block_on;
pub(in crate::disk) use wake::{Foreign, Signal};

/// Entries of the submission queue. Submission is immediate, so this bounds one burst only.
const RING_ENTRIES: u32 = 256;
/// Disk operations in flight; more would only queue in the device, where nothing can be overtaken.
pub const OPERATIONS_MAX: usize = 512;
/// Disk operations that wait for their turn.
pub const QUEUE_MAX: usize = 8192;
/// Sockets waited for at the same time.
pub const POLLS_MAX: usize = 65_536;

/// Marks the completion of a removal, which nobody waits for.
const IGNORED: u64 = u64::MAX;

/// See the module's head. Clones are handles; it belongs to the thread that made it.
#[derive(Clone)]
pub struct Ring {
    inner: Rc<Inner>,
}

struct Inner {
    ring: RefCell<IoUring>,
    slots: RefCell<Slots>,
    signal: Arc<Signal>,
    foreign: Foreign,
    /// No new operation is taken.
    is_stopping: Cell<bool>,
}

impl Ring {
    /// A ring with its eventfd. Must be made on the thread that uses it.
    pub fn new() -> Result<Self, Error> {
        let ring = IoUring::builder()
            .setup_clamp()
            .setup_cqsize(4 * RING_ENTRIES)
            .build(RING_ENTRIES)?;
        let signal = Arc::new(Signal::new()?);
        ring.submitter()
            .register_eventfd(signal.as_fd().as_raw_fd())?;
        let inner = Inner {
            ring: RefCell::new(ring),
            slots: RefCell::default(),
            foreign: Foreign::new(Arc::clone(&signal)),
            signal,
            is_stopping: Cell::new(false),
        };
        Ok(Self {
            inner: Rc::new(inner),
        })
    }

    /// Waits until a send to the socket can make progress (or it failed): what sendfile needs after
    /// EAGAIN. Dropping the future ends the wait; the descriptor stays the caller's.
    pub fn writable(&self, socket: BorrowedFd<'_>) -> Readiness {
        self.poll_descriptor(socket, libc::POLLOUT)
    }

    /// Waits until the descriptor has something to read (or failed).
    pub fn readable(&self, descriptor: BorrowedFd<'_>) -> Readiness {
        self.poll_descriptor(descriptor, libc::POLLIN)
    }

    /// Takes in what has completed, wakes who waits for it, and submits what had to wait. Called by
    /// the eventfd's task and by every poll of an operation; cheap when there is nothing.
    pub fn reap(&self) {
        let mut woken: Vec<Waker> = Vec::new();
        {
            let mut ring = self.inner.ring.borrow_mut();
            let mut slots = self.inner.slots.borrow_mut();
            for completion in ring.completion() {
                if completion.user_data() != IGNORED {
                    woken.extend(slots.complete(completion.user_data(), completion.result()));
                }
            }
        }
        self.inner.foreign.collect(&mut woken);
        self.pump();
        if self.pending() == 0 {
            woken.extend(self.inner.slots.borrow_mut().drained.take());
        }
        woken.into_iter().for_each(Waker::wake);
    }

    /// Disk operations in flight or waiting for their turn, and blocking calls waited for.
    #[must_use]
    pub fn pending(&self) -> usize {
        let slots = self.inner.slots.borrow();
        slots.in_flight + slots.queue.len() + self.inner.foreign.pending()
    }

    pub(in crate::disk) fn write(
        &self,
        file: &Arc<OwnedFd>,
        position: u64,
        parts: Vec<Slice>,
        durable: Durable,
    ) -> Operation {
        let descriptor = types::Fd(file.as_raw_fd());
        let flags = if durable == Durable::Flag {
            libc::RWF_DSYNC
        } else {
            0
        };
        let vectors = vectors_of(&parts);
        let write = if let [only] = &*vectors {
            let bytes = u32::try_from(only.iov_len).expect("at most IO_BYTES_MAX");
            opcode::Write::new(descriptor, only.iov_base.cast(), bytes)
                .offset(position)
                .rw_flags(flags)
                .build()
        } else {
            let count = u32::try_from(vectors.len()).expect("at most IOV_MAX");
            opcode::Writev::new(descriptor, vectors.as_ptr(), count)
                .offset(position)
                .rw_flags(flags)
                .build()
        };
        let resource = Resource::Write {
            file: Arc::clone(file),
            parts,
            vectors,
        };
        if durable != Durable::LinkedSync {
            return self.start(resource, [Some(write), None]);
        }
        let sync = opcode::Fsync::new(descriptor)
            .flags(types::FsyncFlags::DATASYNC)
            .build();
        self.start(
            resource,
            [
                Some(write.flags(io_uring::squeue::Flags::IO_LINK)),
                Some(sync),
            ],
        )
    }

    /// Reads as much as `space` takes; comes back with it.
    pub(in crate::disk) fn read(
        &self,
        file: &Arc<OwnedFd>,
        position: u64,
        mut space: Space,
    ) -> Operation {
        let count = u32::try_from(space.bytes()).expect("at most IO_BYTES_MAX");
        let read = opcode::Read::new(types::Fd(file.as_raw_fd()), space.address(), count)
            .offset(position)
            .build();
        self.start(
            Resource::Read {
                file: Arc::clone(file),
                space,
            },
            [Some(read), None],
        )
    }

    pub(in crate::disk) fn sync(&self, file: &Arc<OwnedFd>) -> Operation {
        let sync = opcode::Fsync::new(types::Fd(file.as_raw_fd()))
            .flags(types::FsyncFlags::DATASYNC)
            .build();
        self.start(
            Resource::Sync {
                file: Arc::clone(file),
            },
            [Some(sync), None],
        )
    }

    /// Refuses new work, waits for what is in flight, and ends [`Ring::drive`].
    pub async fn stop(&self) {
        self.inner.is_stopping.set(true);
        std::future::poll_fn(|context| {
            self.reap();
            if self.pending() == 0 {
                return std::task::Poll::Ready(());
            }
            self.inner.slots.borrow_mut().drained = Some(context.waker().clone());
            std::task::Poll::Pending
        })
        .await;
        self.inner.foreign.stop();
        self.inner.signal.ring();
    }

    pub(in crate::disk) fn foreign(&self) -> &Foreign {
        &self.inner.foreign
    }

    fn poll_descriptor(&self, descriptor: BorrowedFd<'_>, events: libc::c_short) -> Readiness {
        let events = u32::from(events.unsigned_abs());
        let entry = opcode::PollAdd::new(types::Fd(descriptor.as_raw_fd()), events).build();
        let mut slots = self.inner.slots.borrow_mut();
        if self.inner.is_stopping.get() || slots.polls >= POLLS_MAX {
            return Readiness::new(slots.insert_done(busy()), self.clone());
        }
        let (slot, [entry, _]) = slots.insert(Resource::Poll, [Some(entry), None]);
        slots.polls += 1;
        // Never queued: the descriptor is only lent, so the kernel must take its reference now.
        if !entry.is_some_and(|entry| self.inner.push(&[entry])) {
            slots.polls -= 1;
            slots.finish(slot, busy());
        }
        drop(slots);
        self.inner.submit();
        Readiness::new(slot, self.clone())
    }

    /// Asks the kernel to forget a wait whose future was dropped.
    fn remove_poll(&self, user_data: u64) {
        let remove = opcode::PollRemove::new(user_data)
            .build()
            .user_data(IGNORED);
        // Without room the wait ends with its socket instead; its slot is free from then on.
        if self.inner.push(&[remove]) {
            self.inner.submit();
        }
    }

    fn start(&self, resource: Resource, entries: [Option<Entry>; 2]) -> Operation {
        let slot = {
            let mut slots = self.inner.slots.borrow_mut();
            if self.inner.is_stopping.get() || slots.queue.len() >= QUEUE_MAX {
                slots.insert_done(busy())
            } else {
                let (slot, entries) = slots.insert(resource, entries);
                slots.queue.push_back((slot, entries));
                slot
            }
        };
        self.pump();
        Operation::new(slot, self.clone())
    }

    /// Submits queued operations while there is room for them in flight.
    fn pump(&self) {
        let mut any = false;
        {
            let mut slots = self.inner.slots.borrow_mut();
            while slots.in_flight < OPERATIONS_MAX
                && let Some((slot, entries)) = slots.queue.pop_front()
            {
                let pushed = match &entries {
                    [Some(first), Some(second)] => {
                        self.inner.push(&[first.clone(), second.clone()])
                    }
                    [Some(only), None] => self.inner.push(std::slice::from_ref(only)),
                    [None, _] => unreachable!("an operation has an entry"),
                };
                if !pushed {
                    slots.queue.push_front((slot, entries));
                    break;
                }
                slots.in_flight += 1;
                any = true;
            }
        }
        if any || !self.inner.ring.borrow_mut().submission().is_empty() {
            self.inner.submit();
        }
    }
}

impl Inner {
    /// Puts entries into the submission queue, all or none.
    fn push(&self, entries: &[Entry]) -> bool {
        for _ in 0..2 {
            let mut ring = self.ring.borrow_mut();
            // SAFETY: what the entries point to is owned by their slot until they have completed;
            // an entry of a socket's wait points to nothing.
            let pushed = unsafe { ring.submission().push_multiple(entries) };
            drop(ring);
            if pushed.is_ok() {
                return true;
            }
            self.submit();
        }
        false
    }

    fn submit(&self) {
        loop {
            match self.ring.borrow().submit() {
                Ok(_) => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY)) => {
                    // The kernel is short of memory or has completions to hand over first. The
                    // entries stay queued; the next reaping, which this causes, submits them.
                    self.signal.ring();
                    return;
                }
                Err(error) => panic!("io_uring_enter of the second ring: {error}"),
            }
        }
    }
}

impl Drop for Inner {
    /// The kernel may still read and write our memory: wait until it does not.
    fn drop(&mut self) {
        let ring = self.ring.get_mut();
        let slots = self.slots.get_mut();
        slots.queue.clear();
        while slots.in_flight > 0 {
            match ring.submit_and_wait(1) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    panic!("io_uring_enter while draining the second ring: {error}")
                }
                _ => {}
            }
            for completion in ring.completion() {
                if completion.user_data() != IGNORED {
                    slots.complete(completion.user_data(), completion.result());
                }
            }
        }
    }
}

fn busy() -> i32 {
    -libc::EBUSY
}

/// The gather list of `parts`, neighbours in memory joined.
fn vectors_of(parts: &[Slice]) -> Box<[libc::iovec]> {
    let mut vectors: Vec<libc::iovec> = Vec::with_capacity(parts.len());
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let base = part.as_ptr();
        match vectors.last_mut() {
            Some(last) if last.iov_base as usize + last.iov_len == base as usize => {
                last.iov_len += part.len();
            }
            _ => vectors.push(libc::iovec {
                iov_base: base.cast_mut().cast(),
                iov_len: part.len(),
            }),
        }
    }
    vectors.into_boxed_slice()
}
