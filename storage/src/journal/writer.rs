//! The commit loop: one round after the other, no timers; and the journal's shared state.
//!
//! Everything that arrived while a round was written goes out in the next one. One round is in
//! flight. With [`Durability::Flush`] a round's write answers after the flush, and only then its
//! entries count. With [`Durability::Write`] they count when the write completed; flushes run
//! beside the rounds, after so many bytes, when asked by time, and before anything is recycled.
//!
//! Poison: after a failed write or flush nothing is known of what it covered, and a later flush
//! that succeeds proves nothing. So no round is acknowledged any more, whoever waits gets the
//! error, recycling stops, and only a restart, which reads the journal back, helps.
//!
//! Deliberately absent: retries, timers, what the entries mean.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use thalweg_wire::ids::{ShardId, Uuid};

use super::pool::{FileIndex, Pool, Spot};
use super::queue::RoundQueue;
use super::round::{Seal, SealedRound, Touched, padded};
use super::wait::{Event, Tickets};
use crate::counters::Counters;
use crate::disk::{Disk, DiskError, File, OpenMode};
use crate::error::StoreError;
use crate::progress::Progress;
use crate::store::{Durability, Mutation, StoreConfig};

mod growth;

pub(crate) use growth::zeroed_file;

/// What a journal begins with, from recovery or format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalStart {
    /// Its directory: `journal/<shard>`.
    pub(crate) dir: PathBuf,
    /// Its id, which recovery chose.
    pub(crate) id: Uuid,
    /// Newest round written.
    pub(crate) newest: u64,
    /// That round's checksum.
    pub(crate) checksum: u32,
    /// Files with live rounds: index, first round, bytes written; oldest first.
    pub(crate) live: Vec<(FileIndex, u64, u64)>,
    /// All files of the directory.
    pub(crate) files: Vec<FileIndex>,
}

struct State<D: Disk> {
    queue: RoundQueue,
    pool: Pool,
    files: BTreeMap<FileIndex, D::File>,
    progress: Progress,
    /// Checksum of the newest sealed round.
    previous: u32,
    poison: Option<Rc<DiskError>>,
    closing: bool,
    /// Files written since the last flush, and bytes; `Write` durability only.
    unflushed_files: Vec<FileIndex>,
    unflushed_bytes: u64,
    flush_asked: bool,
    grow_asked: bool,
    /// Tries to grow that ended, well or not.
    grow_tries: u64,
    counters: Counters,
}

/// A shard's journal; see the module's head.
pub(crate) struct Journal<D: Disk> {
    disk: D,
    dir: PathBuf,
    id: Uuid,
    config: StoreConfig,
    state: RefCell<State<D>>,
    /// Something waits in the queue, or the loops are to end.
    work: Event,
    /// Somebody wants a flush.
    flush: Event,
    /// The pool should grow.
    grow: Event,
    /// Files were freed or added, bytes written, or poison: room may have changed.
    room: Event,
    acknowledged: Tickets,
    flushed: Tickets,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal's files.
    pub(crate) async fn open(
        disk: D,
        config: StoreConfig,
        start: JournalStart,
    ) -> Result<Self, StoreError> {
        let mut files = BTreeMap::new();
        for index in &start.files {
            let path = start.dir.join(index.name());
            files.insert(*index, disk.open(&path, OpenMode::Write).await?);
        }
        let mut pool = Pool::new(config.journal_file_bytes, start.files);
        let mut queue = RoundQueue::new(
            start.newest,
            config.round_bytes_max,
            config.journal_file_bytes,
        );
        for (file, first, position) in start.live {
            pool.adopt(file, first, position);
            queue.taken(position);
        }
        let state = State {
            queue,
            pool,
            files,
            progress: Progress::new(start.newest),
            previous: start.checksum,
            poison: None,
            closing: false,
            unflushed_files: Vec::new(),
            unflushed_bytes: 0,
            flush_asked: false,
            grow_asked: false,
            grow_tries: 0,
            counters: Counters::default(),
        };
        Ok(Self {
            disk,
            dir: start.dir,
            id: start.id,
            config,
            state: RefCell::new(state),
            work: Event::default(),
            flush: Event::default(),
            grow: Event::default(),
            room: Event::default(),
            acknowledged: Tickets::default(),
            flushed: Tickets::default(),
        })
    }

    /// Lends the queue for pushing entries, then sees that they go out.
    pub(crate) fn push<T>(&self, push: impl FnOnce(&mut RoundQueue) -> T) -> T {
        let value = push(&mut self.state.borrow_mut().queue);
        self.work.notify();
        value
    }

    /// Number of the newest round with an entry.
    pub(crate) fn newest(&self) -> u64 {
        self.state.borrow().queue.newest()
    }

    /// Why the journal takes nothing more.
    pub(crate) fn poisoned(&self) -> Option<Rc<DiskError>> {
        self.state.borrow().poison.clone()
    }

    /// Waits until a round may be acknowledged.
    pub(crate) async fn wait(&self, round: u64) -> Result<(), StoreError> {
        let reached = || self.settled(|progress| self.may_acknowledge(progress) >= round);
        self.acknowledged.until(round, reached).await
    }

    /// True if a round is flushed.
    pub(crate) fn is_flushed(&self, round: u64) -> bool {
        self.state.borrow().progress.durable() >= round
    }

    /// Waits until a round is flushed, whatever the durability; asks for the flush.
    pub(crate) async fn wait_flushed(&self, round: u64) -> Result<(), StoreError> {
        self.wait(round).await?;
        if self.config.durability == Durability::Write {
            self.ask_flush();
        }
        self.flushed
            .until(round, || {
                self.settled(|progress| progress.durable() >= round)
            })
            .await
    }

    fn settled(&self, reached: impl Fn(&Progress) -> bool) -> Option<Result<(), StoreError>> {
        let state = self.state.borrow();
        if reached(&state.progress) {
            return Some(Ok(()));
        }
        let poison = state.poison.clone()?;
        Some(Err(StoreError::Poisoned(poison)))
    }

    fn may_acknowledge(&self, progress: &Progress) -> u64 {
        match self.config.durability {
            Durability::Flush => progress.durable(),
            Durability::Write => progress.written(),
        }
    }

    /// Writes rounds until the journal is closed and empty, or poisoned. `on_done` is called for
    /// every round that may be acknowledged, before anybody who waits for it is woken.
    pub(crate) async fn run(&self, on_done: impl Fn(Vec<Touched>)) {
        while let Some((sealed, file, spot)) = self.next_round().await {
            let durable = self.config.durability == Durability::Flush
                && self.config.mutation != Mutation::AckBeforeFlush;
            let parts = sealed.parts.clone();
            match file.write_at(spot.position, parts, durable).await {
                Ok(()) => self.round_done(&sealed, spot),
                Err(_) if self.config.mutation == Mutation::IgnoreFailedRounds => {
                    self.round_done(&sealed, spot);
                }
                Err(error) => return self.poison(error),
            }
            if self.poisoned().is_some() {
                return;
            }
            let number = sealed.number;
            on_done(sealed.touched);
            self.acknowledged.reach(number);
            self.flushed.reach(number);
            self.room.notify();
        }
    }

    /// Waits for entries and for room, and seals the round that goes out now.
    async fn next_round(&self) -> Option<(SealedRound, D::File, Spot)> {
        self.work
            .until(|| {
                let mut state = self.state.borrow_mut();
                if state.poison.is_some() || (state.closing && state.queue.front_bytes().is_none())
                {
                    return Some(None);
                }
                let bytes = state.queue.front_bytes()?;
                let round = state.progress.written() + 1;
                let Some(spot) = state.pool.place(round, bytes) else {
                    self.ask_growth(&mut state);
                    return None;
                };
                state.queue.taken(spot.position + bytes as u64);
                if spot.switched {
                    self.ask_growth(&mut state);
                }
                Some(Some(self.seal(&mut state, spot)))
            })
            .await
    }

    fn seal(&self, state: &mut State<D>, spot: Spot) -> (SealedRound, D::File, Spot) {
        let builder = state.queue.take().expect("its size was just asked for");
        state.progress.submit(builder.number());
        let sealed = builder.seal(&Seal {
            journal: self.id,
            shard: self.config.shard,
            previous: state.previous,
            durable_through: state.progress.durable(),
        });
        state.previous = sealed.checksum;
        let file = state.files[&spot.file].clone();
        (sealed, file, spot)
    }

    fn round_done(&self, sealed: &SealedRound, spot: Spot) {
        let mut state = self.state.borrow_mut();
        state.progress.write_done(sealed.number);
        state.counters.rounds += 1;
        state.counters.round_bytes += sealed.bytes as u64;
        match self.config.durability {
            Durability::Flush => {
                state.progress.flush_done(sealed.number);
                state.counters.flushes += 1;
            }
            Durability::Write => {
                if !state.unflushed_files.contains(&spot.file) {
                    state.unflushed_files.push(spot.file);
                }
                state.unflushed_bytes += sealed.bytes as u64;
                if state.unflushed_bytes >= self.config.flush_bytes {
                    state.flush_asked = true;
                    self.flush.notify();
                }
            }
        }
        if state.poison.is_none() {
            state.counters.rounds_acknowledged += 1;
        }
    }

    fn poison(&self, error: DiskError) {
        tracing::error!(shard = self.config.shard.0, %error, "journal poisoned: nothing is acknowledged until a restart");
        let mut state = self.state.borrow_mut();
        state.poison.get_or_insert(Rc::new(error));
        drop(state);
        self.wake_all();
    }

    fn wake_all(&self) {
        self.work.notify();
        self.flush.notify();
        self.grow.notify();
        self.room.notify();
        self.acknowledged.reach(u64::MAX);
        self.flushed.reach(u64::MAX);
    }

    /// Asks for a flush beside the rounds; nothing to do where every round is flushed.
    pub(crate) fn ask_flush(&self) {
        self.state.borrow_mut().flush_asked = true;
        self.flush.notify();
    }

    /// Flushes beside the rounds until the journal is closed or poisoned.
    pub(crate) async fn run_flush(&self) {
        if self.config.durability == Durability::Flush {
            return;
        }
        while let Some((through, files)) = self.next_flush().await {
            for file in files {
                if let Err(error) = file.sync().await {
                    return self.poison(error);
                }
            }
            let mut state = self.state.borrow_mut();
            state.counters.flushes += 1;
            state.progress.flush_done(through);
            drop(state);
            self.flushed.reach(through);
        }
    }

    async fn next_flush(&self) -> Option<(u64, Vec<D::File>)> {
        self.flush
            .until(|| {
                let mut state = self.state.borrow_mut();
                if state.poison.is_some() {
                    return Some(None);
                }
                if !std::mem::take(&mut state.flush_asked) {
                    return state.closing.then_some(None);
                }
                state.unflushed_bytes = 0;
                let dirty = std::mem::take(&mut state.unflushed_files);
                let files = dirty.iter().map(|file| state.files[file].clone()).collect();
                Some(Some((state.progress.written(), files)))
            })
            .await
    }

    /// Bytes that may still be pushed before the journal's room ends, rounds that wait included.
    pub(crate) fn room(&self) -> u64 {
        let state = self.state.borrow();
        let room = state.pool.room(padded(self.config.round_bytes_max) as u64);
        room.saturating_sub(state.queue.padded_bytes() as u64)
    }

    /// Room that there is, once the pool has grown, whenever no file can be freed: then all but the
    /// current one are free. What needs more than this might wait for ever, as a file can only be
    /// freed when the next one was begun.
    pub(crate) fn room_sure(&self) -> u64 {
        let (_, most) = self.capacity();
        let files = most / self.config.journal_file_bytes;
        let round = padded(self.config.round_bytes_max) as u64;
        files.saturating_sub(1) * self.config.journal_file_bytes.saturating_sub(round)
    }

    /// Waits for `look` to give a value, asked again whenever room may have changed.
    pub(crate) async fn until_room<T>(&self, look: impl FnMut() -> Option<T>) -> T {
        self.room.until(look).await
    }

    /// Makes those who wait in [`Journal::until_room`] look again.
    pub(crate) fn notify_room(&self) {
        self.room.notify();
    }

    /// Bytes of the pool now, and of one at its largest.
    pub(crate) fn capacity(&self) -> (u64, u64) {
        let now = self.pool().bytes();
        (now, now.max(self.config.journal_bytes_max))
    }

    /// The pool, for asking.
    pub(crate) fn pool(&self) -> Ref<'_, Pool> {
        Ref::map(self.state.borrow(), |state| &state.pool)
    }

    /// Frees files below a round. The caller has made the trim entry that says so durable.
    pub(crate) fn recycle(&self, rounds_below: u64) {
        let mut state = self.state.borrow_mut();
        if state.poison.is_some() {
            // It failed between the trim's flush and now: nothing is written any more anyway.
            return;
        }
        let count = state.pool.recycle(rounds_below);
        state.counters.files_recycled += count as u64;
        drop(state);
        self.work.notify();
        self.room.notify();
    }

    /// Lets the loops end once everything pushed is written. Nothing may be pushed any more.
    pub(crate) fn close(&self) {
        self.state.borrow_mut().closing = true;
        self.wake_all();
    }

    /// The journal's part of the counters.
    pub(crate) fn counters(&self) -> Counters {
        let state = self.state.borrow();
        Counters {
            journal_bytes: state.pool.bytes(),
            journal_free_bytes: state.pool.room(0),
            ..state.counters
        }
    }
}

/// The directory of a shard's journal.
pub(crate) fn journal_dir(shard: ShardId) -> PathBuf {
    PathBuf::from("journal").join(shard.0.to_string())
}
