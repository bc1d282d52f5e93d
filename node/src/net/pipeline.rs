//! What is held for the requests of one connection, from their frames to their answers.
//!
//! Invariants: a request's share of the shard's bytes is given back when it is answered, or as soon
//! as its frame is gone; its share of the connection's when its answer was sent, or with the frame;
//! bytes of answers are counted until they were sent. Deliberately absent: sockets, waiting.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::connection::{Ending, Link, Net};
use crate::outgoing::Answer;
use crate::shard::pulse::{Busy, Pulse};
use crate::shard::wait::{Budget, Permit, Signal};

/// What one request holds while it is worked on.
#[derive(Clone)]
pub struct Share(Rc<Held>);

struct Held {
    own: RefCell<Option<Permit>>,
    shard: RefCell<Option<Permit>>,
    pulse: Pulse,
    busy: RefCell<Option<Busy>>,
    goes_on: Cell<bool>,
    rests: Cell<bool>,
}

impl Share {
    /// Bytes of the connection's pipeline and of the shard's requests.
    #[must_use]
    pub fn new(own: Permit, shard: Permit, pulse: Pulse) -> Self {
        Self(Rc::new(Held {
            own: RefCell::new(Some(own)),
            shard: RefCell::new(Some(shard)),
            pulse,
            busy: RefCell::default(),
            goes_on: Cell::new(false),
            rests: Cell::new(false),
        }))
    }

    /// The request was read and its frame is gone: nothing of it is in memory any more.
    pub fn frame_gone(&self) {
        self.0.own.take();
        self.0.shard.take();
    }

    /// The request is not done at once.
    pub(super) fn goes_on(&self) {
        self.0.goes_on.set(true);
        self.0.settle();
    }

    /// The request only waits for others from now on, or no longer.
    pub fn rests(&self, rests: bool) {
        self.0.rests.set(rests);
        self.0.settle();
    }

    fn answered(&self) {
        self.0.shard.take();
        self.0.goes_on.set(false);
        self.0.settle();
    }
}

impl Held {
    fn settle(&self) {
        let works = self.goes_on.get() && !self.rests.get();
        let mut busy = self.busy.borrow_mut();
        match (works, busy.is_some()) {
            (true, false) => *busy = Some(self.pulse.begin()),
            (false, true) => *busy = None,
            _ => {}
        }
    }
}

/// Bytes of an answer, counted until it was sent.
struct Waiting {
    net: Rc<Net>,
    link: Rc<Link>,
    bytes: usize,
}

impl Waiting {
    fn begin(net: &Rc<Net>, link: &Rc<Link>, bytes: usize) -> Self {
        link.waiting.set(link.waiting.get() + bytes);
        net.answer_bytes.set(net.answer_bytes.get() + bytes);
        Self {
            net: Rc::clone(net),
            link: Rc::clone(link),
            bytes,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.link.waiting.set(self.link.waiting.get() - self.bytes);
        let all = self.net.answer_bytes.get() - self.bytes;
        self.net.answer_bytes.set(all);
    }
}

/// One request.
pub(super) struct Entry {
    pub(super) answer: RefCell<Option<Answer>>,
    share: Share,
    waiting: RefCell<Option<Waiting>>,
}

impl Entry {
    pub(super) fn new(share: Share) -> Self {
        Self {
            answer: RefCell::default(),
            share,
            waiting: RefCell::default(),
        }
    }

    pub(super) fn finish(&self, net: &Rc<Net>, link: &Rc<Link>, answer: Answer) {
        self.share.answered();
        *self.waiting.borrow_mut() = Some(Waiting::begin(net, link, answer.own_bytes()));
        *self.answer.borrow_mut() = Some(answer);
        if net.answer_bytes.get() > net.limits.shard_answer_bytes_max
            && let Some(close) = &*net.close_fullest.borrow()
        {
            close();
        }
    }
}

/// Requests that are read and not yet answered, in order.
pub(super) struct Pipeline {
    pub(super) entries: RefCell<VecDeque<Rc<Entry>>>,
    pub(super) bytes: Budget,
    /// An entry was answered, or reading has ended.
    pub(super) ready: Signal,
    /// An entry was sent.
    pub(super) room: Signal,
    pub(super) reading_over: Cell<bool>,
    pub(super) ending: RefCell<Option<Ending>>,
}

impl Pipeline {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            entries: RefCell::default(),
            bytes: Budget::new(bytes_max),
            ready: Signal::default(),
            room: Signal::default(),
            reading_over: Cell::new(false),
            ending: RefCell::default(),
        }
    }

    pub(super) fn end(&self, ending: Ending) {
        let mut slot = self.ending.borrow_mut();
        if slot.is_none() {
            *slot = Some(ending);
        }
    }

    pub(super) fn take_ready(&self) -> Vec<Rc<Entry>> {
        let mut entries = self.entries.borrow_mut();
        let mut ready = Vec::new();
        while entries
            .front()
            .is_some_and(|entry| entry.answer.borrow().is_some())
        {
            ready.extend(entries.pop_front());
        }
        ready
    }

    /// True if answers that can't go yet keep slices from being freed.
    pub(super) fn holds_memory(&self) -> bool {
        self.entries.borrow().iter().any(|entry| {
            let answer = entry.answer.borrow();
            answer.as_ref().is_some_and(Answer::holds_memory)
        })
    }

    /// Gives slices back: the memory is wanted by others.
    pub(super) fn shed(&self) {
        for entry in &*self.entries.borrow() {
            if let Some(answer) = &*entry.answer.borrow() {
                answer.shed();
            }
        }
    }
}
