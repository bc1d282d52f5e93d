//! Waiting without an executor: wakers kept until something happens. Single-threaded.
//!
//! Both types hold wakers only; what they wait for is the caller's state, looked at again after
//! every wake-up. A future that is dropped leaves a waker behind that wakes nobody: harmless, and
//! gone with the next wake-up.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Poll, Waker};

/// Something that may happen again and again; everybody who waits looks for himself.
#[derive(Debug, Default)]
pub(crate) struct Event {
    wakers: RefCell<Vec<Waker>>,
}

impl Event {
    /// Wakes everybody who waits.
    pub(crate) fn notify(&self) {
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        for waker in wakers {
            waker.wake();
        }
    }

    /// Waits until `look` gives a value; it is called at once and after every notification.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| {
            if let Some(value) = look() {
                return Poll::Ready(value);
            }
            let mut wakers = self.wakers.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// Waiters for a number to be reached, woken in order and only when it is.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    waiting: RefCell<BTreeMap<(u64, u64), Waker>>,
    next: Cell<u64>,
}

impl Tickets {
    /// Wakes everybody who waits for `reached` or less.
    pub(crate) fn reach(&self, reached: u64) {
        let woken = {
            let mut waiting = self.waiting.borrow_mut();
            let later = waiting.split_off(&(reached.saturating_add(1), 0));
            std::mem::replace(&mut *waiting, later)
        };
        for waker in woken.into_values() {
            waker.wake();
        }
    }

    /// Waits for a number, until `look` gives a value; it is called at once and when woken.
    pub(crate) async fn until<T>(&self, number: u64, mut look: impl FnMut() -> Option<T>) -> T {
        let key = (number, self.next.get());
        self.next.set(key.1 + 1);
        poll_fn(|context| {
            if let Some(value) = look() {
                return Poll::Ready(value);
            }
            let waker = context.waker().clone();
            self.waiting.borrow_mut().insert(key, waker);
            Poll::Pending
        })
        .await
    }
}

/// Runs futures, at most `limit` of them at a time, and gives their results in order of completion.
pub(crate) async fn concurrently<T, F: Future<Output = T>>(
    limit: usize,
    futures: impl IntoIterator<Item = F>,
) -> Vec<T> {
    let mut waiting = futures.into_iter();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut results = Vec::new();
    poll_fn(|context| {
        loop {
            while running.len() < limit
                && let Some(future) = waiting.next()
            {
                running.push(Box::pin(future));
            }
            let before = results.len();
            running.retain_mut(|future| match future.as_mut().poll(context) {
                Poll::Ready(result) => {
                    results.push(result);
                    false
                }
                Poll::Pending => true,
            });
            if running.is_empty() && results.len() == before {
                return Poll::Ready(());
            }
            if results.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    results
}

/// Futures that are started ahead of their turn: a few run while the result of the oldest is used.
pub(crate) struct Ahead<F: Future> {
    running: VecDeque<Running<F>>,
}

enum Running<F: Future> {
    Under(Pin<Box<F>>),
    Done(F::Output),
}

impl<F: Future> Ahead<F> {
    pub(crate) fn new() -> Self {
        Self {
            running: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Adds one behind the others; it begins with the next [`Ahead::next`].
    pub(crate) fn push(&mut self, future: F) {
        self.running.push_back(Running::Under(Box::pin(future)));
    }

    /// The result of the oldest; `None` if there is none. All others go on meanwhile.
    pub(crate) async fn next(&mut self) -> Option<F::Output> {
        poll_fn(|context| {
            for one in &mut self.running {
                if let Running::Under(future) = one
                    && let Poll::Ready(result) = future.as_mut().poll(context)
                {
                    *one = Running::Done(result);
                }
            }
            match self.running.pop_front() {
                None => Poll::Ready(None),
                Some(Running::Done(result)) => Poll::Ready(Some(result)),
                Some(under) => {
                    self.running.push_front(under);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Executor;
    use std::rc::Rc;

    #[test]
    fn tickets_wake_in_order_and_no_earlier() {
        let mut executor = Executor::new(1);
        let tickets = Rc::new(Tickets::default());
        let reached = Rc::new(Cell::new(0));
        let done = Rc::new(RefCell::new(Vec::new()));
        for number in [3, 1, 2] {
            let (tickets, reached, done) =
                (Rc::clone(&tickets), Rc::clone(&reached), Rc::clone(&done));
            let _running = executor.spawn(async move {
                tickets
                    .until(number, || (reached.get() >= number).then_some(()))
                    .await;
                done.borrow_mut().push(number);
            });
        }
        for (now, expected) in [(1, vec![1]), (3, vec![1, 2, 3])] {
            let target = expected.len();
            reached.set(now);
            tickets.reach(now);
            executor.run(
                poll_fn(|context| {
                    context.waker().wake_by_ref();
                    if done.borrow().len() == target {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                }),
                1_000,
            );
            done.borrow_mut().sort_unstable();
            assert_eq!(*done.borrow(), expected);
        }
    }
}
