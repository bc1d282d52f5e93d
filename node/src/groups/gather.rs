//! The answers to one request from the partitions of one shard, sent when the last is there.
//!
//! Invariant: whoever asked hears once, whatever becomes of the partitions: a [`Gather`] that is
//! dropped early sends what it has, and NOT_COORDINATOR for the rest.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use thalweg_coordinator::groups::step::Answer;
use thalweg_wire::error_code::ErrorCode;

/// What one partition has to say to a request.
pub type PartAnswer<A = Answer> = Result<A, ErrorCode>;

/// Where the answers go.
pub type Deliver<A = Answer> = Box<dyn FnOnce(Vec<PartAnswer<A>>)>;

/// Answers of several partitions on their way to one asker.
pub struct Gather<A = Answer> {
    answers: RefCell<Vec<Option<PartAnswer<A>>>>,
    left: Cell<usize>,
    deliver: Cell<Option<Deliver<A>>>,
}

/// One partition's place in a [`Gather`].
pub struct Place<A = Answer> {
    gather: Rc<Gather<A>>,
    at: usize,
}

impl<A> Gather<A> {
    /// A place for each of `count` partitions, in order.
    pub fn places(count: usize, deliver: Deliver<A>) -> Vec<Place<A>> {
        let gather = Rc::new(Self {
            answers: RefCell::new((0..count).map(|_| None).collect()),
            left: Cell::new(count),
            deliver: Cell::new(Some(deliver)),
        });
        (0..count)
            .map(|at| Place {
                gather: Rc::clone(&gather),
                at,
            })
            .collect()
    }

    fn send(&self) {
        let Some(deliver) = self.deliver.take() else {
            return;
        };
        let answers = self.answers.take().into_iter();
        deliver(
            answers
                .map(|answer| answer.unwrap_or(Err(ErrorCode::NotCoordinator)))
                .collect(),
        );
    }
}

impl<A> Drop for Gather<A> {
    fn drop(&mut self) {
        self.send();
    }
}

impl<A> Place<A> {
    /// This partition's answer.
    pub fn fill(self, answer: PartAnswer<A>) {
        if let Some(slot) = self.gather.answers.borrow_mut().get_mut(self.at) {
            *slot = Some(answer);
        }
        let left = self.gather.left.get().saturating_sub(1);
        self.gather.left.set(left);
        if left == 0 {
            self.gather.send();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asked_hears_once_even_if_a_partition_says_nothing() {
        let heard: Rc<RefCell<Vec<Vec<PartAnswer>>>> = Rc::default();
        let told = Rc::clone(&heard);
        let mut places = Gather::places(2, Box::new(move |all| told.borrow_mut().push(all)));
        let last = places.pop().unwrap();
        let first = places.pop().unwrap();
        last.fill(Ok(Answer::List(Vec::new())));
        assert!(heard.borrow().is_empty());
        drop(first);
        let expected = vec![Err(ErrorCode::NotCoordinator), Ok(Answer::List(Vec::new()))];
        assert_eq!(*heard.borrow(), [expected]);
    }
}
