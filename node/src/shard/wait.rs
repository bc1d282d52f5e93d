//! Waiting within one shard: one-shot answers, signals, byte budgets, turns.
//!
//! All of it is single-threaded (`Rc`, `Cell`) and knows no executor, so that the path from frame
//! to acknowledgement runs on the simulator's executor too. Invariants: a [`Budget`] grants in the
//! order of the first polls; a [`Turnstile`] lets through in the order in which turns were taken,
//! a dropped turn counts as passed; nothing here allocates without a bound of its user's.
//! Deliberately absent: anything that crosses threads (the mesh does that), and time.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A boxed future of one shard.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Which of two futures came first.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The first.
    Left(A),
    /// The second.
    Right(B),
}

/// Runs both and answers with the one that is ready first; the other is dropped.
pub async fn race<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let mut a = pin!(a);
    let mut b = pin!(b);
    poll_fn(|context| {
        if let Poll::Ready(value) = a.as_mut().poll(context) {
            return Poll::Ready(Either::Left(value));
        }
        if let Poll::Ready(value) = b.as_mut().poll(context) {
            return Poll::Ready(Either::Right(value));
        }
        Poll::Pending
    })
    .await
}

/// Polls once without waiting: `Some` if the future is already done.
///
/// A pending future is polled again with its real waker by whoever takes it on.
pub fn poll_once<T>(future: &mut LocalFuture<T>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    match future.as_mut().poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Lets other tasks of the same queue run once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    sender_gone: bool,
}

/// The sending half of a one-shot answer.
pub struct AnswerSender<T>(Rc<RefCell<Slot<T>>>);

/// The waiting half of a one-shot answer; resolves to `None` if the sender is gone.
pub struct AnswerWaiter<T>(Rc<RefCell<Slot<T>>>);

/// A one-shot answer between two tasks of one shard.
#[must_use]
pub fn answer<T>() -> (AnswerSender<T>, AnswerWaiter<T>) {
    let slot = Rc::new(RefCell::new(Slot {
        value: None,
        waker: None,
        sender_gone: false,
    }));
    (AnswerSender(Rc::clone(&slot)), AnswerWaiter(slot))
}

impl<T> AnswerSender<T> {
    /// Hands the answer over. If nobody waits any more it is dropped.
    pub fn send(self, value: T) {
        self.0.borrow_mut().value = Some(value);
    }
}

impl<T> Drop for AnswerSender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.borrow_mut();
            slot.sender_gone = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for AnswerWaiter<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.borrow_mut();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Some(value));
        }
        if slot.sender_gone {
            return Poll::Ready(None);
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Something happened: wakes everyone who waits. Waiters check their own condition again.
#[derive(Default)]
pub struct Signal {
    version: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
}

impl Signal {
    /// Wakes all waiters.
    pub fn notify(&self) {
        self.version.set(self.version.get() + 1);
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        for waker in wakers {
            waker.wake();
        }
    }

    /// Waits for the next [`Signal::notify`] after this call (not after the first poll).
    pub fn wait(&self) -> impl Future<Output = ()> + '_ {
        let seen = self.version.get();
        poll_fn(move |context| self.poll_since(seen, context))
    }

    fn poll_since(&self, seen: u64, context: &Context<'_>) -> Poll<()> {
        if self.version.get() != seen {
            return Poll::Ready(());
        }
        let mut wakers = self.wakers.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

struct Claim {
    id: u64,
    amount: usize,
    granted: bool,
    waker: Option<Waker>,
}

#[derive(Default)]
struct BudgetState {
    limit: usize,
    used: usize,
    next: u64,
    queue: VecDeque<Claim>,
    claimed: Rc<Signal>,
}

impl BudgetState {
    /// One claim always fits an unused budget, however large it is: else it would wait for ever.
    fn fits(&self, amount: usize) -> bool {
        self.used == 0 || self.used.saturating_add(amount) <= self.limit
    }

    /// Takes a granted claim out of the queue; an ungranted one goes on waiting.
    fn collect(&mut self, id: u64, waker: &Waker) -> bool {
        let Some(at) = self.queue.iter().position(|claim| claim.id == id) else {
            return false;
        };
        match self.queue.get_mut(at) {
            Some(claim) if !claim.granted => {
                claim.waker = Some(waker.clone());
                false
            }
            _ => self.queue.remove(at).is_some(),
        }
    }

    fn grant(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for at in 0..self.queue.len() {
            let fits = self
                .queue
                .get(at)
                .is_some_and(|claim| claim.granted || self.fits(claim.amount));
            let Some(claim) = self.queue.get_mut(at) else {
                break;
            };
            if !fits {
                break;
            }
            if !claim.granted {
                claim.granted = true;
                self.used += claim.amount;
                wakers.extend(claim.waker.take());
            }
        }
        wakers
    }
}

/// A named amount of something (bytes, slots) shared by the tasks of one shard, first come first
/// served.
#[derive(Clone)]
pub struct Budget(Rc<RefCell<BudgetState>>);

impl Budget {
    /// A budget of `limit`.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Rc::new(RefCell::new(BudgetState {
            limit,
            ..BudgetState::default()
        })))
    }

    /// True if somebody waits for what others have taken.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.0.borrow().queue.is_empty()
    }

    /// Resolves when somebody begins to wait for what others have taken, after this call.
    pub fn claimed(&self) -> impl Future<Output = ()> + 'static {
        let claimed = Rc::clone(&self.0.borrow().claimed);
        let seen = claimed.version.get();
        poll_fn(move |context| claimed.poll_since(seen, context))
    }

    /// How much is taken at the moment.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.borrow().used
    }

    /// Takes `amount` now, or not at all.
    #[must_use]
    pub fn try_take(&self, amount: usize) -> Option<Permit> {
        let mut state = self.0.borrow_mut();
        if !state.queue.is_empty() || !state.fits(amount) {
            return None;
        }
        state.used += amount;
        Some(Permit {
            budget: self.clone(),
            amount,
        })
    }

    /// Takes `amount`, waiting behind everyone who asked (was polled) before.
    pub fn take(&self, amount: usize) -> Take {
        Take {
            budget: self.clone(),
            amount,
            claim: None,
        }
    }

    fn give_back(&self, amount: usize) {
        let wakers = {
            let mut state = self.0.borrow_mut();
            debug_assert!(state.used >= amount, "more given back than taken");
            state.used = state.used.saturating_sub(amount);
            state.grant()
        };
        for waker in wakers {
            waker.wake();
        }
    }
}

/// Waiting for a [`Budget`].
pub struct Take {
    budget: Budget,
    amount: usize,
    claim: Option<u64>,
}

impl Future for Take {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        let amount = self.amount;
        let budget = self.budget.clone();
        let mut claimed = None;
        let mut state = budget.0.borrow_mut();
        let granted = match self.claim {
            None if state.queue.is_empty() && state.fits(amount) => {
                state.used += amount;
                true
            }
            None => {
                let id = state.next;
                state.next += 1;
                state.queue.push_back(Claim {
                    id,
                    amount,
                    granted: false,
                    waker: Some(context.waker().clone()),
                });
                self.claim = Some(id);
                claimed = Some(Rc::clone(&state.claimed));
                false
            }
            Some(id) => state.collect(id, context.waker()),
        };
        drop(state);
        if let Some(claimed) = claimed {
            claimed.notify();
        }
        if !granted {
            return Poll::Pending;
        }
        self.claim = None;
        Poll::Ready(Permit { budget, amount })
    }
}

impl Drop for Take {
    fn drop(&mut self) {
        let Some(id) = self.claim else { return };
        let mut state = self.budget.0.borrow_mut();
        let granted = state
            .queue
            .iter()
            .any(|claim| claim.id == id && claim.granted);
        state.queue.retain(|claim| claim.id != id);
        drop(state);
        // Even an ungranted claim may have held up those behind it.
        self.budget.give_back(if granted { self.amount } else { 0 });
    }
}

/// A part of a [`Budget`], given back when dropped.
pub struct Permit {
    budget: Budget,
    amount: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.give_back(self.amount);
    }
}

#[derive(Default)]
struct Turns {
    next: u64,
    serving: u64,
    passed: BTreeSet<u64>,
    waiting: BTreeMap<u64, Waker>,
}

/// Lets tasks through in the order in which they took their turns.
#[derive(Clone, Default)]
pub struct Turnstile(Rc<RefCell<Turns>>);

/// A place in the order of a [`Turnstile`]; dropping it lets the next one through.
pub struct Turn {
    stile: Turnstile,
    number: u64,
}

impl Turnstile {
    /// Takes the next place. To be called where the order is still known.
    #[must_use]
    pub fn turn(&self) -> Turn {
        let mut turns = self.0.borrow_mut();
        let number = turns.next;
        turns.next += 1;
        Turn {
            stile: self.clone(),
            number,
        }
    }
}

impl Turn {
    /// Waits until all earlier turns have been dropped.
    pub async fn arrive(&self) {
        poll_fn(|context| {
            let mut turns = self.stile.0.borrow_mut();
            if turns.serving == self.number {
                return Poll::Ready(());
            }
            turns.waiting.insert(self.number, context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let waker = {
            let mut turns = self.stile.0.borrow_mut();
            turns.waiting.remove(&self.number);
            turns.passed.insert(self.number);
            let mut serving = turns.serving;
            while turns.passed.remove(&serving) {
                serving += 1;
            }
            turns.serving = serving;
            turns.waiting.remove(&serving)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed<T>(future: impl Future<Output = T> + 'static) -> LocalFuture<T> {
        Box::pin(future)
    }

    #[test]
    fn budget_grants_in_order_and_lets_one_large_claim_through() {
        let budget = Budget::new(10);
        let first = budget
            .try_take(50)
            .expect("an unused budget grants anything");
        assert!(budget.try_take(1).is_none());
        let mut second = boxed(budget.take(8));
        let mut third = boxed(budget.take(8));
        let mut fourth = boxed(budget.take(2));
        assert!(poll_once(&mut second).is_none());
        assert!(poll_once(&mut third).is_none());
        assert!(poll_once(&mut fourth).is_none());
        drop(first);
        let second = poll_once(&mut second).expect("its turn");
        // The fourth would fit but must not overtake the third.
        assert!(poll_once(&mut fourth).is_none());
        drop(third);
        let _fourth = poll_once(&mut fourth).expect("no longer behind the third");
        assert_eq!(budget.used(), 10);
        drop(second);
        assert_eq!(budget.used(), 2);
    }

    #[test]
    fn holders_are_told_when_somebody_waits() {
        let budget = Budget::new(10);
        let holder = budget.try_take(8);
        let mut claimed = boxed(budget.claimed());
        let _fits = budget.try_take(2).expect("there is room");
        assert!(!budget.is_wanted() && poll_once(&mut claimed).is_none());
        let mut waiting = boxed(budget.take(5));
        assert!(poll_once(&mut waiting).is_none());
        assert!(budget.is_wanted() && poll_once(&mut claimed).is_some());
        // Told once for each claim, so that whoever has nothing to give can wait for the next.
        let mut next = boxed(budget.claimed());
        assert!(poll_once(&mut next).is_none());
        assert!(budget.try_take(0).is_none(), "nobody overtakes");
        drop(holder);
        assert!(poll_once(&mut waiting).is_some() && !budget.is_wanted());
        assert!(poll_once(&mut next).is_none());
    }

    #[test]
    fn turns_pass_in_order_even_when_one_is_given_up() {
        let stile = Turnstile::default();
        let (a, b, c) = (stile.turn(), stile.turn(), stile.turn());
        let c = Rc::new(c);
        let waits = Rc::clone(&c);
        let mut third = boxed(async move { waits.arrive().await });
        assert!(poll_once(&mut third).is_none());
        drop(b);
        assert!(poll_once(&mut third).is_none());
        drop(a);
        assert!(poll_once(&mut third).is_some());
    }

    #[test]
    fn signal_between_check_and_wait_is_not_lost() {
        let signal = Rc::new(Signal::default());
        let waiting = {
            let signal = Rc::clone(&signal);
            async move {
                let wait = signal.wait();
                signal.notify();
                wait.await;
            }
        };
        assert!(poll_once(&mut boxed(waiting)).is_some());
    }

    #[test]
    fn answer_tells_that_its_sender_is_gone() {
        let (sender, waiter) = answer::<u8>();
        let mut waiter: LocalFuture<Option<u8>> = Box::pin(waiter);
        assert!(poll_once(&mut waiter).is_none());
        drop(sender);
        assert_eq!(poll_once(&mut waiter), Some(None));
    }
}
