//! Keeps a shard's executor from sleeping on ready tasks while requests are worked on.
//!
//! glommio 0.9 can go to sleep with tasks that were woken (see `runtime/nudge.rs`); it wakes for its
//! next timer. So while work is under way there is a timer of [`PULSE`], and none otherwise: not for
//! an idle shard, not while requests only wait for records. Pure: sleeping is given.
//! Deliberately absent: any knowledge of whether it was needed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::wait::{LocalFuture, Signal, poll_once};

/// The longest sleep of a shard that has work under way. A wake-up that finds nothing costs a few
/// microseconds, so this is less than one percent of a core, and nothing at rest.
pub const PULSE: Duration = Duration::from_millis(2);

/// Waits for a time.
pub type Sleep = Box<dyn Fn(Duration) -> LocalFuture<()>>;

/// See the module's head.
#[derive(Clone)]
pub struct Pulse(Rc<Inner>);

struct Inner {
    sleep: Sleep,
    works: Cell<usize>,
    begun: Signal,
    first: RefCell<Option<LocalFuture<()>>>,
}

/// Held while something is worked on.
pub struct Busy(Pulse);

impl Pulse {
    /// A pulse by this sleep. Somebody must run [`Pulse::beat`].
    #[must_use]
    pub fn new(sleep: Sleep) -> Self {
        Self(Rc::new(Inner {
            sleep,
            works: Cell::new(0),
            begun: Signal::default(),
            first: RefCell::default(),
        }))
    }

    /// Something is worked on from now on.
    #[must_use]
    pub fn begin(&self) -> Busy {
        let works = self.0.works.get();
        self.0.works.set(works + 1);
        if works == 0 {
            // Armed at once: the task below may be the very one that is slept on.
            let mut timer = (self.0.sleep)(PULSE);
            if poll_once(&mut timer).is_none() {
                *self.0.first.borrow_mut() = Some(timer);
            }
            self.0.begun.notify();
        }
        Busy(self.clone())
    }

    /// Things being worked on.
    #[must_use]
    pub fn works(&self) -> usize {
        self.0.works.get()
    }

    /// Beats for ever, as long as there is work.
    pub async fn beat(self) {
        loop {
            let begun = self.0.begun.wait();
            if self.0.works.get() == 0 {
                begun.await;
            }
            (self.0.sleep)(PULSE).await;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let works = &self.0.0.works;
        works.set(works.get() - 1);
        if works.get() == 0 {
            self.0.0.first.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that is moved by hand: the timers that wait for it.
    #[derive(Clone, Default)]
    struct Timers(Rc<(Cell<usize>, Signal)>);

    impl Timers {
        fn pulse(&self) -> Pulse {
            let timers = self.clone();
            Pulse::new(Box::new(move |duration| {
                assert_eq!(duration, PULSE);
                let timers = timers.clone();
                Box::pin(async move {
                    let armed = Armed(timers.clone());
                    timers.0.0.set(timers.0.0.get() + 1);
                    timers.0.1.wait().await;
                    drop(armed);
                })
            }))
        }

        fn armed(&self) -> usize {
            self.0.0.get()
        }

        fn fire(&self) {
            self.0.1.notify();
        }
    }

    struct Armed(Timers);

    impl Drop for Armed {
        fn drop(&mut self) {
            self.0.0.0.set(self.0.armed() - 1);
        }
    }

    #[test]
    fn a_timer_is_armed_while_there_is_work_and_never_otherwise() {
        let timers = Timers::default();
        let pulse = timers.pulse();
        let mut beating: LocalFuture<()> = Box::pin(pulse.clone().beat());
        assert!(poll_once(&mut beating).is_none());
        assert_eq!(timers.armed(), 0, "nothing to do, nothing armed");
        let first = pulse.begin();
        // Even before the task was run.
        assert_eq!(timers.armed(), 1);
        let second = pulse.begin();
        for _ in 0..10 {
            assert!(poll_once(&mut beating).is_none());
            assert!(timers.armed() >= 1);
            timers.fire();
        }
        drop(first);
        assert_eq!(pulse.works(), 1);
        assert!(poll_once(&mut beating).is_none());
        assert!(timers.armed() >= 1);
        drop(second);
        timers.fire();
        assert!(poll_once(&mut beating).is_none());
        assert_eq!((pulse.works(), timers.armed()), (0, 0));
        timers.fire();
        assert!(poll_once(&mut beating).is_none());
        assert_eq!(timers.armed(), 0, "it does not beat at rest");
        let _again = pulse.begin();
        assert_eq!(timers.armed(), 1);
    }
}
