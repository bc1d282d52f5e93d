//! One shard's storage as the node sees it: a journal, and the logs of the shard's partitions.
//!
//! Single-threaded: a [`Store`] lives in an `Rc` on its shard, its state behind one `RefCell` that
//! is never borrowed across an await. It has no executor: the node spawns [`Store::commit_loop`]
//! (the latency class), [`Store::move_loop`], [`Store::flush_loop`] and [`Store::grow_loop`]
//! (background), and calls [`Store::maintain`] about once a second with the time.
//!
//! The way of a produce: `admit` (waits for room, and loads partial tail blocks) -> `append` for
//! each batch (synchronous; offsets are final, nothing is visible) -> `durable` (waits for the
//! round's flush) -> answer. Whatever an answer names waits the same way, a duplicate's too.
//!
//! Deliberately absent: names of topics, clocks, the network, replication.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use thalweg_wire::ids::{Offset, PartitionId, TimestampMs};

use crate::counters::Counters;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::journal::queue::RoundQueue;
use crate::journal::round::Touched;
use crate::journal::wait::Event;
use crate::journal::writer::Journal;
use crate::log::{Log, PartitionView};

mod admit;
mod clean;
mod handles;
pub(crate) mod lifecycle;
mod maintain;
mod open;
mod copy;
pub(crate) mod read;
mod slot;
mod stop;
mod types;
mod write;

pub use admit::Permit;
use handles::Handles;
pub(crate) use slot::{MovedPlace, Slot};
pub use types::{
    Durability, Health, Isolation, Mutation, NewPartition, PartitionSpec, ReadAnswer, ReadRequest,
    StoppedLog, StoreConfig, Ticket,
};

/// Called with a partition whose high watermark moved, and the new one.
pub type VisibleHook = Box<dyn Fn(PartitionId, Offset)>;

/// What the shard holds; borrowed briefly, never across an await.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) slots: BTreeMap<PartitionId, Slot>,
    /// Sum of the slots' carry bounds: what the reserve must be able to take.
    carry_bound: u64,
    /// Bytes of permits given and not yet dropped.
    admitted: u64,
    /// Those who wait for a permit, first come first served.
    waiting: VecDeque<u64>,
    waiters_made: u64,
    /// The last move found the disk full.
    full: bool,
    /// Another try after that is due.
    retry: bool,
    stopping: bool,
    mover_busy: bool,
    /// Directories of deleted partitions, to be removed in steps.
    trash: VecDeque<PathBuf>,
    /// Directories with names that no `sync_dir` covered.
    pub(crate) dirs_unsynced: BTreeSet<PathBuf>,
    now: TimestampMs,
    /// When `maintain` last asked for a flush.
    flushed_at: TimestampMs,
    /// The last partition that retention looked at in this circle.
    retained: Option<PartitionId>,
    pub(crate) counters: Counters,
    /// Segments that are checked because of what a reader met.
    pub(crate) suspects: BTreeSet<(PartitionId, Offset)>,
}

/// One shard's storage; see the module's head.
pub struct Store<D: Disk> {
    pub(crate) disk: D,
    pub(crate) config: StoreConfig,
    pub(crate) journal: Journal<D>,
    pub(crate) handles: Handles<D>,
    pub(crate) state: RefCell<State>,
    hook: RefCell<Option<Rc<VisibleHook>>>,
    /// The mover has a reason to look again.
    moves: Event,
    /// A move ended, or the mover did.
    moved: Event,
}

/// The journal file that is being emptied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Victim {
    /// Its rounds are below this one.
    pub(crate) end: u64,
    /// Partitions with less pending are carried whole.
    pub(crate) move_bytes_min: u64,
}

impl State {
    /// Changes a slot and keeps the sum of the bounds right.
    pub(crate) fn change<T>(
        &mut self,
        id: PartitionId,
        change: impl FnOnce(&mut Slot) -> T,
    ) -> Option<T> {
        let slot = self.slots.get_mut(&id)?;
        self.carry_bound -= slot.carry_bound();
        let value = change(slot);
        self.carry_bound += slot.carry_bound();
        Some(value)
    }

    fn insert(&mut self, slot: Slot) {
        self.carry_bound += slot.carry_bound();
        self.slots.insert(slot.log.id(), slot);
    }

    fn remove(&mut self, id: PartitionId) -> Option<Slot> {
        let slot = self.slots.remove(&id)?;
        self.carry_bound -= slot.carry_bound();
        Some(slot)
    }

    /// A partition's files durably hold everything below these places.
    pub(crate) fn moved(&mut self, id: PartitionId, places: &[MovedPlace]) {
        self.change(id, |slot| {
            for place in places {
                slot.moved(place);
            }
            slot.recount();
        });
    }

    /// Journals a partition again; see [`Slot::carry`]. One that is small is carried whole, so that
    /// it is not met again in each of the next files.
    pub(crate) fn carry(&mut self, id: PartitionId, victim: &Victim, queue: &mut RoundQueue) {
        let carried = self.change(id, |slot| {
            let all = slot.pending < victim.move_bytes_min;
            slot.carry(victim.end, all, queue)
        });
        self.counters.carried_bytes += carried.unwrap_or(0);
    }

    /// What `carry` of these partitions would take of the journal's room.
    pub(crate) fn carry_cost(&self, ids: &[PartitionId], victim: &Victim) -> u64 {
        let slots = ids.iter().filter_map(|id| self.slots.get(id));
        let costs = slots.map(|slot| {
            let all = slot.pending < victim.move_bytes_min;
            slot.carry_cost(victim.end, all)
        });
        costs.sum()
    }
}

impl<D: Disk> Store<D> {
    /// Settings it runs with.
    #[must_use]
    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// Calls `hook` whenever a partition's high watermark moved (long polls wake by it). It runs
    /// outside of any borrow and may call the store.
    pub fn set_visible_hook(&self, hook: VisibleHook) {
        *self.hook.borrow_mut() = Some(Rc::new(hook));
    }

    /// The numbers of a partition; `None` if this shard does not serve it.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<PartitionView> {
        self.with_log(id, |log| log.view())
    }

    /// All partitions, in the order of their ids.
    #[must_use]
    pub fn partitions(&self) -> Vec<(PartitionId, PartitionView)> {
        let state = self.state.borrow();
        let views = state.slots.iter().map(|(id, slot)| (*id, slot.log.view()));
        views.collect()
    }

    /// Writes rounds until the store is stopped or poisoned. Spawn once, in the latency class.
    pub async fn commit_loop(self: Rc<Self>) {
        self.journal.run(|touched| self.on_durable(&touched)).await;
        // Whoever waits for something that will not come any more looks again.
        self.moves.notify();
        self.moved.notify();
    }

    /// Flushes beside the rounds with [`Durability::Write`]; ends at once with `Flush`. Spawn once.
    pub async fn flush_loop(self: Rc<Self>) {
        self.journal.run_flush().await;
    }

    /// Grows the journal's pool while there is demand. Spawn once, in the background.
    pub async fn grow_loop(self: Rc<Self>) {
        self.journal.run_grow().await;
    }

    /// The shard's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let state = self.state.borrow();
        let journal = self.journal.counters();
        let slots = state.slots.values();
        Counters {
            rounds: journal.rounds,
            round_bytes: journal.round_bytes,
            flushes: journal.flushes,
            rounds_acknowledged: journal.rounds_acknowledged,
            files_recycled: journal.files_recycled,
            journal_bytes: journal.journal_bytes,
            journal_free_bytes: journal.journal_free_bytes,
            pending_bytes: slots.clone().map(|slot| slot.pending).sum(),
            chunk_bytes: slots.map(|slot| slot.log.memory_bytes() as u64).sum(),
            partitions: state.slots.len() as u64,
            ..state.counters
        }
    }

    /// The shard's state.
    #[must_use]
    pub fn health(&self) -> Health {
        if let Some(cause) = self.journal.poisoned() {
            return Health::Poisoned(cause.to_string());
        }
        if self.state.borrow().full {
            return Health::Full;
        }
        Health::Ok
    }

    /// Lends a partition's log.
    pub(crate) fn with_log<T>(
        &self,
        id: PartitionId,
        look: impl FnOnce(&mut Log) -> T,
    ) -> Option<T> {
        let mut state = self.state.borrow_mut();
        Some(look(&mut state.slots.get_mut(&id)?.log))
    }

    /// A round may be acknowledged: logs learn it, then those who wait for visible records.
    fn on_durable(&self, touched: &[Touched]) {
        let mut visible = Vec::new();
        let mut state = self.state.borrow_mut();
        for touched in touched {
            let (Touched::Records(id, _) | Touched::LogStart(id, _)) = touched;
            let Some(slot) = state.slots.get_mut(id) else {
                continue;
            };
            match touched {
                Touched::Records(id, next) if slot.log.on_durable(*next) => {
                    visible.push((*id, slot.log.view().high_watermark));
                }
                Touched::Records(..) => {}
                Touched::LogStart(_, start) => slot.log.on_start_durable(*start),
            }
        }
        drop(state);
        if self.under_pressure() {
            self.moves.notify();
        }
        let hook = self.hook.borrow().clone();
        let Some(hook) = hook else {
            return;
        };
        for (id, high_watermark) in visible {
            hook(id, high_watermark);
        }
    }

    /// The error that ends every write now, if there is one.
    fn refusal(&self) -> Option<StoreError> {
        if let Some(cause) = self.journal.poisoned() {
            return Some(StoreError::Poisoned(cause));
        }
        self.state.borrow().stopping.then_some(StoreError::Stopping)
    }
}
