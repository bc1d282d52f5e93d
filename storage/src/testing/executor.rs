//! A deterministic single-threaded executor: ready tasks are polled in an order drawn from a seed,
//! and time is virtual. One seed, one run.
//!
//! Time stands still while any task is ready and then jumps to the next timer. Nothing ready, no
//! timer and an unfinished main future is a deadlock: `block_on` panics with seed and step.
//!
//! Deliberately absent: threads, I/O, real time, cancelling a task from outside (drop the executor:
//! that is how a crash looks to the code on it).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::Prng;

type Job = Pin<Box<dyn Future<Output = ()>>>;

/// Polls that one run may take: far more than any honest test, so a livelock ends with a seed.
pub const STEPS_MAX: u64 = 200_000_000;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Flag {
    fn raised() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }

    fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Spawned {
    job: Job,
    flag: Arc<Flag>,
}

#[derive(Default)]
struct Shared {
    /// Tasks spawned since the last step.
    arrived: RefCell<Vec<Spawned>>,
    now: Cell<Duration>,
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    timers_made: Cell<u64>,
}

/// The executor; see the module's head.
pub struct Executor {
    seed: u64,
    prng: Prng,
    steps: u64,
    tasks: Vec<Spawned>,
    shared: Rc<Shared>,
}

/// What tasks hold of their executor: spawning, sleeping, the clock.
#[derive(Clone)]
pub struct Handle {
    shared: Rc<Shared>,
}

impl Executor {
    /// An executor whose order of polls `seed` determines.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            prng: Prng::new(seed),
            steps: 0,
            tasks: Vec::new(),
            shared: Rc::default(),
        }
    }

    /// A handle for tasks.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            shared: Rc::clone(&self.shared),
        }
    }

    /// Starts a task; dropping the returned [`Task`] lets it run on.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.handle().spawn(future)
    }

    /// Runs all tasks until `future` is done.
    pub fn block_on<T>(&mut self, future: impl Future<Output = T>) -> T {
        match self.run(future, u64::MAX) {
            Some(value) => value,
            None => panic!("deadlock: seed {} step {}", self.seed, self.steps),
        }
    }

    /// Runs all tasks until `future` is done; `None` where `steps` polls were made before that, or
    /// where nothing is ready any more and no timer is set. The future is dropped then: together
    /// with dropping the executor, that is a crash.
    pub fn run<T>(&mut self, future: impl Future<Output = T>, steps: u64) -> Option<T> {
        let mut future = pin!(future);
        let flag = Flag::raised();
        let waker = Waker::from(Arc::clone(&flag));
        let last = self.steps.saturating_add(steps);
        while self.steps < last {
            self.tasks.append(&mut self.shared.arrived.borrow_mut());
            let mut ready: Vec<usize> = (0..self.tasks.len())
                .filter(|at| self.tasks[*at].flag.is_raised())
                .collect();
            if flag.is_raised() {
                ready.push(usize::MAX);
            }
            if ready.is_empty() {
                if !self.jump() {
                    return None;
                }
                continue;
            }
            self.steps += 1;
            assert!(
                self.steps < STEPS_MAX,
                "livelock: seed {} step {}",
                self.seed,
                self.steps
            );
            let chosen = ready[self.prng.below(ready.len())];
            if chosen != usize::MAX {
                self.poll_task(chosen);
            } else if flag.take() {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(value) = polled {
                    return Some(value);
                }
            }
        }
        None
    }

    /// Polls made so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn poll_task(&mut self, at: usize) {
        let task = &mut self.tasks[at];
        task.flag.take();
        let waker = Waker::from(Arc::clone(&task.flag));
        if task
            .job
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            drop(self.tasks.swap_remove(at));
        }
    }

    /// Nothing is ready: time goes on to the next timer, if there is one.
    fn jump(&self) -> bool {
        let next = self.shared.timers.borrow_mut().pop_first();
        let Some(((due, _), waker)) = next else {
            return false;
        };
        self.shared.now.set(due.max(self.shared.now.get()));
        waker.wake();
        true
    }
}

impl Handle {
    /// Starts a task; dropping the returned [`Task`] lets it run on.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let slot = Rc::new(Slot {
            value: RefCell::new(None),
            waiter: RefCell::new(None),
        });
        let filled = Rc::clone(&slot);
        let job = Box::pin(async move {
            let value = future.await;
            *filled.value.borrow_mut() = Some(value);
            if let Some(waker) = filled.waiter.borrow_mut().take() {
                waker.wake();
            }
        });
        self.shared.arrived.borrow_mut().push(Spawned {
            job,
            flag: Flag::raised(),
        });
        Task { slot }
    }

    /// Virtual time since the executor was made.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.now.get()
    }

    /// Waits in virtual time.
    pub async fn sleep(&self, duration: Duration) {
        let due = self.now().saturating_add(duration);
        let number = self.shared.timers_made.get();
        self.shared.timers_made.set(number + 1);
        poll_fn(|context| {
            if self.now() >= due {
                self.shared.timers.borrow_mut().remove(&(due, number));
                return Poll::Ready(());
            }
            self.shared
                .timers
                .borrow_mut()
                .insert((due, number), context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Lets the other tasks have a turn.
    pub async fn yield_now(&self) {
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
}

struct Slot<T> {
    value: RefCell<Option<T>>,
    waiter: RefCell<Option<Waker>>,
}

/// The result of a spawned task, to be awaited; dropping it does not stop the task.
#[must_use = "await it for the result, or drop it on purpose"]
pub struct Task<T> {
    slot: Rc<Slot<T>>,
}

impl<T> Task<T> {
    /// The result, if the task has ended and it was not taken yet.
    pub fn try_take(&self) -> Option<T> {
        self.slot.value.borrow_mut().take()
    }

    /// Lets the task run on without anyone waiting for it.
    pub fn detach(self) {}
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Some(value) = self.try_take() {
            return Poll::Ready(value);
        }
        *self.slot.waiter.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Runs one future on an executor of its own.
pub fn block_on<T>(seed: u64, future: impl Future<Output = T>) -> T {
    Executor::new(seed).block_on(future)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(seed: u64) -> Vec<usize> {
        let mut executor = Executor::new(seed);
        let handle = executor.handle();
        let order: Rc<RefCell<Vec<usize>>> = Rc::default();
        let tasks: Vec<_> = (0..8)
            .map(|number| {
                let (handle, order) = (handle.clone(), Rc::clone(&order));
                executor.spawn(async move {
                    handle.yield_now().await;
                    order.borrow_mut().push(number);
                })
            })
            .collect();
        executor.block_on(async {
            for task in tasks {
                task.await;
            }
        });
        order.take()
    }

    #[test]
    fn one_seed_is_one_order() {
        assert_eq!(order_of(1), order_of(1));
        assert!((2..20).any(|seed| order_of(seed) != order_of(1)));
    }

    #[test]
    fn time_is_virtual() {
        let mut executor = Executor::new(3);
        let handle = executor.handle();
        let late = {
            let handle = handle.clone();
            executor.spawn(async move {
                handle.sleep(Duration::from_secs(3600)).await;
                handle.now()
            })
        };
        executor.block_on(handle.sleep(Duration::from_secs(1)));
        assert_eq!(handle.now(), Duration::from_secs(1));
        assert!(late.try_take().is_none());
        assert_eq!(executor.block_on(late), Duration::from_secs(3600));
    }

    #[test]
    fn a_run_can_be_cut_at_any_step() {
        let mut executor = Executor::new(4);
        let handle = executor.handle();
        let endless = async {
            loop {
                handle.yield_now().await;
            }
        };
        assert_eq!(executor.run::<()>(endless, 10), None);
        assert_eq!(executor.steps(), 10);
    }

    #[test]
    #[should_panic(expected = "deadlock: seed 5")]
    fn a_deadlock_names_its_seed() {
        Executor::new(5).block_on(std::future::pending::<()>());
    }
}
