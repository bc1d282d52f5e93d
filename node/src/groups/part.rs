//! One partition of an internal topic and the machine that keeps its state: what waits for it, and who
//! is owed an answer.
//!
//! Invariants: events are worked one at a time, in the order in which they came, but for heartbeats,
//! which do not wait for room in the log that others wait for; a reply is given
//! when the high watermark has reached what it waits for, never before; when a part closes,
//! everybody who is owed an answer gets NOT_COORDINATOR. Deliberately absent: the log (`run.rs`).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use thalweg_coordinator::groups::step::{Reply, Scene, Token};
use thalweg_coordinator::groups::time::{Moment, Steady};
use thalweg_coordinator::metadata::image::Image;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Offset, PartitionId};

use super::gather::{PartAnswer, Place};
use super::machine::{Machine, Worked};
use crate::shard::wait::Signal;

/// Whether a part can be asked.
enum State<M> {
    /// Its records are being read.
    Loading,
    /// It serves.
    Active(Box<M>),
    /// It serves no more: led elsewhere, deleted, or what it acknowledged can't be kept.
    Closed,
}

/// The machine of one partition.
pub struct Part<M: Machine> {
    /// The partition.
    pub id: PartitionId,
    state: RefCell<State<M>>,
    queue: RefCell<VecDeque<M::Ask>>,
    owed: RefCell<BTreeMap<Token, Place<M::Answer>>>,
    /// Replies that wait for the high watermark, in the order of the offsets they wait for.
    waiting: RefCell<VecDeque<Reply<M::Answer>>>,
    tokens: Cell<u64>,
    /// What the timer sleeps for.
    alarm: Cell<Option<Steady>>,
    /// A task works the queue.
    pub(super) running: Cell<bool>,
    /// A task watches for replies that will never be due.
    pub(super) watching: Cell<bool>,
    /// A heartbeat came.
    pub(super) beating: Signal,
    /// The timer has to look again.
    pub(super) rearmed: Signal,
    /// The high watermark moved, or the part closed.
    pub(super) moved: Signal,
}

impl<M: Machine> Part<M> {
    /// A part whose records are about to be read.
    #[must_use]
    pub fn loading(id: PartitionId) -> Rc<Self> {
        Rc::new(Self {
            id,
            state: RefCell::new(State::Loading),
            queue: RefCell::default(),
            owed: RefCell::default(),
            waiting: RefCell::default(),
            tokens: Cell::new(0),
            alarm: Cell::new(None),
            running: Cell::new(false),
            watching: Cell::new(false),
            beating: Signal::default(),
            rearmed: Signal::default(),
            moved: Signal::default(),
        })
    }

    /// Everything below the high watermark was read.
    pub(super) fn activate(&self, machine: M) {
        let mut state = self.state.borrow_mut();
        if matches!(*state, State::Loading) {
            *state = State::Active(Box::new(machine));
        }
    }

    /// True once it serves no more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::Closed)
    }

    /// Queues a question; `place` hears of it. True if there is work.
    pub fn submit(&self, place: Place<M::Answer>, ask: impl FnOnce(Token) -> M::Ask) -> bool {
        let refusal = match *self.state.borrow() {
            State::Active(_) => None,
            State::Loading => Some(ErrorCode::CoordinatorLoadInProgress),
            State::Closed => Some(ErrorCode::NotCoordinator),
        };
        if let Some(code) = refusal {
            place.fill(Err(code));
            return false;
        }
        let token = Token(self.tokens.get());
        self.tokens.set(token.0 + 1);
        let ask = ask(token);
        let is_beat = M::is_beat(&ask);
        self.owed.borrow_mut().insert(token, place);
        self.queue.borrow_mut().push_back(ask);
        if is_beat {
            self.beating.notify();
        }
        true
    }

    /// Queues something that nobody waits for. It is kept while the part is loading.
    pub fn tell(&self, ask: M::Ask) {
        if !self.is_closed() {
            self.queue.borrow_mut().push_back(ask);
        }
    }

    /// Does something to the machine, if it serves.
    pub fn change<T>(&self, change: impl FnOnce(&mut M) -> T) -> Option<T> {
        match &mut *self.state.borrow_mut() {
            State::Active(machine) => Some(change(machine)),
            State::Loading | State::Closed => None,
        }
    }

    /// Works the next deadline or event, if there is one.
    pub(super) fn next_step(&self, image: &Image, now: Moment) -> Option<M::Step> {
        let mut state = self.state.borrow_mut();
        let State::Active(machine) = &mut *state else {
            return None;
        };
        if machine.next_due().is_some_and(|due| due <= now.steady)
            && let Some(step) = machine.tick(now)
        {
            return Some(step);
        }
        loop {
            let ask = self.queue.borrow_mut().pop_front()?;
            match machine.work(ask, Scene { now, image }) {
                Worked::Step(step) => return Some(step),
                Worked::Nothing => {}
                Worked::Failed(token) => self.answer(token, Err(ErrorCode::UnknownServerError)),
            }
        }
    }

    /// Works the events that wait behind a step which the log has no room for and change nothing that a
    /// step depends on: members must not fail because the device is slow.
    pub(super) fn beat(&self, image: &Image, now: Moment) {
        let beats: VecDeque<M::Ask> = {
            let mut queue = self.queue.borrow_mut();
            let (beats, others) = queue.drain(..).partition(M::is_beat);
            *queue = others;
            beats
        };
        for beat in beats {
            let beaten = self.change(|machine| machine.beat(beat, Scene { now, image }));
            for reply in beaten.unwrap_or_default() {
                self.answer(reply.to, Ok(reply.answer));
            }
        }
    }

    /// The log took the step's records at that offset, or refused them.
    pub(super) fn settle(
        &self,
        step: M::Step,
        outcome: Result<Offset, ErrorCode>,
        now: Moment,
    ) -> Vec<Reply<M::Answer>> {
        // Closed meanwhile: who was owed an answer has it.
        let replies = self.change(|machine| match outcome {
            Ok(base) => machine.accepted(step, base, now),
            Err(code) => machine.refused(step, code, now),
        });
        replies.unwrap_or_default()
    }

    /// Gives replies, each at its time. True if some wait.
    pub(super) fn give(&self, replies: Vec<Reply<M::Answer>>, visible: Offset) -> bool {
        for reply in replies {
            if reply.after <= visible {
                self.answer(reply.to, Ok(reply.answer));
            } else {
                self.waiting.borrow_mut().push_back(reply);
            }
        }
        !self.waiting.borrow().is_empty()
    }

    /// The high watermark is there.
    pub(crate) fn visible(&self, visible: Offset) {
        loop {
            let mut waiting = self.waiting.borrow_mut();
            let is_due = waiting.front().is_some_and(|reply| reply.after <= visible);
            let due = waiting.pop_front_if(|_| is_due);
            drop(waiting);
            let Some(reply) = due else { break };
            self.answer(reply.to, Ok(reply.answer));
        }
        self.moved.notify();
    }

    /// What the first waiting reply waits for.
    pub(super) fn awaited(&self) -> Option<Offset> {
        self.waiting.borrow().front().map(|reply| reply.after)
    }

    fn answer(&self, token: Token, answer: PartAnswer<M::Answer>) {
        let place = self.owed.borrow_mut().remove(&token);
        if let Some(place) = place {
            place.fill(answer);
        }
    }

    /// The next deadline.
    pub(super) fn next_due(&self) -> Option<Steady> {
        match &*self.state.borrow() {
            State::Active(machine) => machine.next_due(),
            State::Loading | State::Closed => None,
        }
    }

    /// The timer sleeps for this.
    pub(super) fn set_alarm(&self, due: Option<Steady>) {
        self.alarm.set(due);
    }

    /// Tells the timer if something is due before it wakes.
    pub(super) fn check_alarm(&self) {
        let due = self.next_due();
        let early = match (due, self.alarm.get()) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(due), Some(alarm)) => due < alarm,
        };
        if early {
            self.alarm.set(due);
            self.rearmed.notify();
        }
    }

    /// Serves no more; everybody who waits is told so.
    pub fn close(&self) {
        let before = std::mem::replace(&mut *self.state.borrow_mut(), State::Closed);
        if let State::Active(machine) = before {
            for reply in machine.unload() {
                self.answer(reply.to, Ok(reply.answer));
            }
        }
        let waiting = self.waiting.take();
        for reply in waiting {
            let refused = M::refuse(reply.answer, ErrorCode::NotCoordinator);
            self.answer(reply.to, Ok(refused));
        }
        self.queue.borrow_mut().clear();
        // What is left hears it from its dropped places.
        drop(self.owed.take());
        self.rearmed.notify();
        self.moved.notify();
    }

    /// Requests that are owed an answer.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.owed.borrow().len()
    }
}
