//! The parts of one shard, and the answers that travel between shards.
//!
//! Answers to another shard share messages: one at a time to each, with whatever is there by then.
//! Deliberately absent: tasks (`run.rs`, `route.rs`).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use thalweg_coordinator::groups::shard::GroupShard;
use thalweg_coordinator::groups::step::Answer;
use thalweg_wire::ids::{PartitionId, ShardId};

use super::gather::PartAnswer;
use super::machine::Machine;
use super::part::Part;
use crate::shard::wait::{AnswerSender, AnswerWaiter, answer};

/// One request's answers on their way to another shard: its number there, and what each part said.
pub type Parcel<A = Answer> = (u64, Vec<PartAnswer<A>>);

/// The groups of one shard.
pub type GroupTable = Table<GroupShard>;

/// Who waits for the answers to one request.
type Waiting<M> = AnswerSender<Vec<PartAnswer<<M as Machine>::Answer>>>;
/// Some parts.
pub(crate) type Parts<M> = Vec<Rc<Part<M>>>;

/// The parts of one shard, of one kind.
pub struct Table<M: Machine> {
    parts: RefCell<BTreeMap<PartitionId, Rc<Part<M>>>>,
    /// Requests of this shard's connections that other shards work on.
    asked: RefCell<BTreeMap<u64, Waiting<M>>>,
    numbers: Cell<u64>,
    outbox: RefCell<BTreeMap<ShardId, Vec<Parcel<M::Answer>>>>,
    sending: RefCell<BTreeSet<ShardId>>,
    /// The node stops: no part is opened any more.
    stopped: Cell<bool>,
}

impl<M: Machine> Default for Table<M> {
    fn default() -> Self {
        Self {
            parts: RefCell::default(),
            asked: RefCell::default(),
            numbers: Cell::default(),
            outbox: RefCell::default(),
            sending: RefCell::default(),
            stopped: Cell::default(),
        }
    }
}

impl<M: Machine> Table<M> {
    /// The part of a partition, if this shard serves it.
    #[must_use]
    pub fn part(&self, id: PartitionId) -> Option<Rc<Part<M>>> {
        self.parts.borrow().get(&id).cloned()
    }

    /// All parts, in order.
    #[must_use]
    pub fn parts(&self) -> Vec<Rc<Part<M>>> {
        self.parts.borrow().values().cloned().collect()
    }

    /// Opens parts that are wanted and new, and takes out those that are not wanted any more.
    pub(crate) fn follow(&self, wanted: &BTreeSet<PartitionId>) -> (Parts<M>, Parts<M>) {
        let mut parts = self.parts.borrow_mut();
        let gone: Vec<Rc<Part<M>>> = parts
            .extract_if(.., |id, _| !wanted.contains(id))
            .map(|(_, part)| part)
            .collect();
        let mut opened = Vec::new();
        if !self.stopped.get() {
            for id in wanted {
                parts.entry(*id).or_insert_with(|| {
                    let part = Part::loading(*id);
                    opened.push(Rc::clone(&part));
                    part
                });
            }
        }
        (opened, gone)
    }

    /// Puts a new part where one has failed, if it is still the one.
    pub(super) fn replace(&self, failed: &Rc<Part<M>>) -> Option<Rc<Part<M>>> {
        let mut parts = self.parts.borrow_mut();
        let slot = parts.get_mut(&failed.id)?;
        if !Rc::ptr_eq(slot, failed) || self.stopped.get() {
            return None;
        }
        *slot = Part::loading(failed.id);
        Some(Rc::clone(slot))
    }

    /// No more groups on this shard.
    pub fn stop(&self) {
        self.stopped.set(true);
        let parts = std::mem::take(&mut *self.parts.borrow_mut());
        for part in parts.values() {
            part.close();
        }
    }

    /// A number for a request to another shard, and the wait for its answers.
    pub(super) fn ask(&self) -> (u64, AnswerWaiter<Vec<PartAnswer<M::Answer>>>) {
        let number = self.numbers.get();
        self.numbers.set(number + 1);
        let (sender, waiter) = answer();
        self.asked.borrow_mut().insert(number, sender);
        (number, waiter)
    }

    /// Nobody waits for this request's answers any more.
    pub(super) fn forget(&self, number: u64) {
        self.asked.borrow_mut().remove(&number);
    }

    /// Answers from another shard.
    pub fn answered(&self, parcels: Vec<Parcel<M::Answer>>) {
        for (number, answers) in parcels {
            let sender = self.asked.borrow_mut().remove(&number);
            if let Some(sender) = sender {
                sender.send(answers);
            }
        }
    }

    /// Puts answers on their way; true if the caller must start a sender to this shard.
    pub(super) fn post(&self, to: ShardId, parcel: Parcel<M::Answer>) -> bool {
        self.outbox.borrow_mut().entry(to).or_default().push(parcel);
        self.sending.borrow_mut().insert(to)
    }

    /// The next message of a shard's sender; `None` ends the sender.
    pub(super) fn posted(&self, to: ShardId) -> Option<Vec<Parcel<M::Answer>>> {
        let parcels = self.outbox.borrow_mut().remove(&to);
        if parcels.is_none() {
            self.sending.borrow_mut().remove(&to);
        }
        parcels
    }

    /// Requests of this shard's connections that other shards work on.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.borrow().len()
    }
}
