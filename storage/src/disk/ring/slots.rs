//! The second ring's table of operations: what each owns until it has completed.
//!
//! The user data of an entry is its slot's index and its part: a write with a linked flush is one
//! slot with two parts.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use io_uring::squeue::Entry;

use crate::disk::Slice;
use crate::disk::buffer::Space;

#[expect(dead_code, reason = "the kernel reads these, we only keep them alive")]
/// What the kernel uses while an operation is in flight, and nobody may free or change.
pub(super) enum Resource {
    Write {
        file: Arc<OwnedFd>,
        parts: Vec<Slice>,
        vectors: Box<[libc::iovec]>,
    },
    Read {
        file: Arc<OwnedFd>,
        space: Space,
    },
    Sync {
        file: Arc<OwnedFd>,
    },
    /// A socket's readiness: the kernel holds its own reference.
    Poll,
    /// Refused before it was submitted.
    Nothing,
}

struct Slot {
    resource: Resource,
    waker: Option<Waker>,
    is_abandoned: bool,
    /// Completions still to come.
    left: u8,
    results: [i32; 2],
}

/// See the module's head.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Operations that wait for room, in order.
    pub(super) queue: VecDeque<(usize, [Option<Entry>; 2])>,
    pub(super) in_flight: usize,
    pub(super) polls: usize,
    /// Who waits for the ring to have nothing pending.
    pub(super) drained: Option<Waker>,
}

impl Slots {
    /// A slot for an operation, whose entries get their user data by this.
    pub(super) fn insert(
        &mut self,
        resource: Resource,
        entries: [Option<Entry>; 2],
    ) -> (usize, [Option<Entry>; 2]) {
        let left = 1 + u8::from(entries[1].is_some());
        let slot = self.place(Slot {
            resource,
            waker: None,
            is_abandoned: false,
            left,
            results: [0; 2],
        });
        let [first, second] = entries;
        let first = first.map(|entry| entry.user_data(user_data(slot, 0)));
        (
            slot,
            [
                first,
                second.map(|entry| entry.user_data(user_data(slot, 1))),
            ],
        )
    }

    /// A slot whose operation was refused.
    pub(super) fn insert_done(&mut self, result: i32) -> usize {
        self.place(Slot {
            resource: Resource::Nothing,
            waker: None,
            is_abandoned: false,
            left: 0,
            results: [result, 0],
        })
    }

    /// Ends a slot whose entry never reached the kernel.
    pub(super) fn finish(&mut self, slot: usize, result: i32) {
        let slot = &mut self.slots[slot];
        slot.left = 0;
        slot.results[0] = result;
    }

    /// A completion arrived; returns whom to wake.
    pub(super) fn complete(&mut self, user_data: u64, result: i32) -> Option<Waker> {
        let at = usize::try_from(user_data >> 1).expect("an index of ours");
        let slot = &mut self.slots[at];
        slot.results[usize::from(user_data & 1 == 1)] = result;
        slot.left -= 1;
        if slot.left > 0 {
            return None;
        }
        if matches!(slot.resource, Resource::Poll) {
            self.polls -= 1;
        } else {
            self.in_flight -= 1;
        }
        let waker = slot.waker.take();
        if slot.is_abandoned {
            drop(self.release(at));
        }
        waker
    }

    /// The results, once all have arrived; until then `waker` is remembered.
    pub(super) fn poll(&mut self, at: usize, waker: &Waker) -> Option<([i32; 2], Resource)> {
        let slot = &mut self.slots[at];
        if slot.left > 0 {
            slot.waker = Some(waker.clone());
            return None;
        }
        let results = slot.results;
        Some((results, self.release(at)))
    }

    /// Nobody waits for the operation any more: its slot is free once it has completed. Returns
    /// whether it is still under way.
    pub(super) fn abandon(&mut self, at: usize) -> bool {
        let slot = &mut self.slots[at];
        if slot.left == 0 {
            drop(self.release(at));
            return false;
        }
        slot.is_abandoned = true;
        slot.waker = None;
        true
    }

    fn place(&mut self, slot: Slot) -> usize {
        if let Some(at) = self.free.pop() {
            self.slots[at] = slot;
            return at;
        }
        self.slots.push(slot);
        self.slots.len() - 1
    }

    fn release(&mut self, at: usize) -> Resource {
        self.free.push(at);
        std::mem::replace(&mut self.slots[at].resource, Resource::Nothing)
    }
}

pub(super) fn user_data(slot: usize, part: u64) -> u64 {
    (slot as u64) << 1 | part
}
