//! Wakes every shard from outside, twenty times a second.
//!
//! glommio 0.9.0 takes "no task queue ran" for "no task is ready": when the preemption timer that it
//! arms before it looks at the queues has fired by the time it looks (the thread lost its core, or
//! handing sends to the kernel took that long), it goes to sleep with tasks that were woken. They
//! then wait for the shard's next event, and for ever if there is none: about one start in fifty of
//! two shards on a busy machine hung while the shards connected. A wake by another thread reaches
//! the executor's own eventfd whatever its tasks do, so such a sleep ends within [`EVERY`].
//! Deliberately absent: any count of how often it was needed (the executor does not tell).

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// Between two wakes: the longest that a woken task waits because of the above. Two idle shards cost
/// 3.3% of a core when they are woken each 10 ms, so it can't be much less.
pub const EVERY: Duration = Duration::from_millis(50);

/// One shard's waker, as soon as it runs.
#[derive(Clone, Debug, Default)]
pub struct Nudge(Arc<Mutex<Option<Waker>>>);

impl Nudge {
    fn set(&self, waker: Option<Waker>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waker;
    }

    fn wake(&self) {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = slot.as_ref() {
            waker.wake_by_ref();
        }
    }

    /// The task that is woken; it has nothing to do and never ends by itself.
    pub async fn be_woken(self) {
        let given = Given(self);
        let mut known: Option<Waker> = None;
        poll_fn(|context| {
            if !known
                .as_ref()
                .is_some_and(|waker| waker.will_wake(context.waker()))
            {
                known = Some(context.waker().clone());
                given.0.set(known.clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// Takes the waker back when the shard's tasks end.
struct Given(Nudge);

impl Drop for Given {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// Wakes them for as long as the process lives.
pub fn nudge(shards: Vec<Nudge>) -> std::io::Result<()> {
    let turn = move || {
        loop {
            std::thread::sleep(EVERY);
            shards.iter().for_each(Nudge::wake);
        }
    };
    std::thread::Builder::new()
        .name("nudge".to_owned())
        .spawn(turn)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_ended_is_not_woken() {
        let nudge = Nudge::default();
        nudge.wake();
        let mut woken = Box::pin(nudge.clone().be_woken());
        let mut context = std::task::Context::from_waker(Waker::noop());
        assert!(woken.as_mut().poll(&mut context).is_pending());
        assert!(nudge.0.lock().unwrap().is_some());
        nudge.wake();
        drop(woken);
        assert!(nudge.0.lock().unwrap().is_none());
    }
}
