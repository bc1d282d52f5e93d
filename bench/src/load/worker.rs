//! An event loop: one thread that serves the connections of its share of producers or consumers.
//!
//! One loop serves hundreds of connections, so that a generator with many clients costs no more
//! than one with few. Producers and consumers have loops of their own: a large answer to a consumer
//! must not make a producer late. With a virtual clock the loop moves time on when all that is left
//! to do is to wait for it.

use std::fs;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::stage::Stage;
use super::tally::Tally;
use crate::BenchError;
use crate::client::{Interest, Link, Poller, SILENCE_MAX};

/// However little there is to do, a loop looks around so often: whether others failed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A producer or a consumer on one connection.
pub(super) trait Actor: Send {
    fn link(&self) -> &Link;
    fn link_mut(&mut self) -> &mut Link;

    /// The socket takes bytes again.
    fn flush(&mut self) -> Result<(), BenchError> {
        self.link_mut().flush()
    }

    /// Sends what is to be sent now.
    fn act(&mut self, tally: &mut Tally) -> Result<(), BenchError>;

    /// Works through the answers that came.
    fn read(&mut self, tally: &mut Tally) -> Result<(), BenchError>;

    /// When to act without having been asked; none: only an answer changes anything.
    fn wake_ns(&self) -> Option<u64>;

    /// True while an answer is owed.
    fn is_waiting(&self) -> bool;

    fn is_done(&self) -> bool;

    /// Adds what was counted on the side.
    fn finish(&mut self, tally: &mut Tally);
}

struct Worker {
    stage: Arc<Stage>,
    poller: Poller,
    actors: Vec<Box<dyn Actor>>,
    /// By actor: whether its socket is asked to take bytes.
    writing: Vec<bool>,
    tally: Tally,
    heard: Instant,
}

/// Shares actors out to so many threads, and starts them.
pub(super) fn spawn(
    actors: Vec<Box<dyn Actor>>,
    threads: usize,
    stage: &Arc<Stage>,
) -> Vec<thread::JoinHandle<Result<Tally, BenchError>>> {
    let mut shares: Vec<Vec<Box<dyn Actor>>> = Vec::new();
    shares.resize_with(threads.min(actors.len()).max(1), Vec::new);
    let count = shares.len();
    for (index, actor) in actors.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(index % count) {
            share.push(actor);
        }
    }
    let start = |share: Vec<Box<dyn Actor>>| {
        let stage = Arc::clone(stage);
        thread::spawn(move || {
            let result = Worker::new(share, Arc::clone(&stage)).and_then(Worker::run);
            if result.is_err() {
                stage.fail();
            }
            result
        })
    };
    shares.into_iter().map(start).collect()
}

impl Worker {
    fn new(actors: Vec<Box<dyn Actor>>, stage: Arc<Stage>) -> Result<Self, BenchError> {
        let poller = Poller::new()?;
        for (index, actor) in actors.iter().enumerate() {
            let token = index as u64;
            let write = false;
            poller.add(actor.link().socket(), Interest { token, write })?;
        }
        Ok(Self {
            writing: vec![false; actors.len()],
            stage,
            poller,
            actors,
            tally: Tally::default(),
            heard: Instant::now(),
        })
    }

    fn run(mut self) -> Result<Tally, BenchError> {
        wake_on_time();
        let mut tokens = Vec::new();
        while !self.actors.iter().all(|actor| actor.is_done()) && !self.stage.has_failed() {
            self.act()?;
            let timeout = self.timeout();
            self.poller.wait(timeout, &mut tokens)?;
            for token in &tokens {
                self.serve(*token as usize)?;
            }
            self.listen(!tokens.is_empty())?;
        }
        for actor in &mut self.actors {
            actor.finish(&mut self.tally);
        }
        self.tally.cpu_seconds = cpu_seconds();
        Ok(self.tally)
    }

    /// Those whose time has come act.
    fn act(&mut self) -> Result<(), BenchError> {
        for index in 0..self.actors.len() {
            let now = self.stage.clock.now_ns();
            let Some(actor) = self.actors.get_mut(index) else {
                continue;
            };
            if actor.wake_ns().is_some_and(|wake| wake <= now) {
                actor.act(&mut self.tally)?;
                self.watch(index)?;
            }
        }
        Ok(())
    }

    /// How long there is nothing to do but to wait for sockets.
    fn timeout(&self) -> Duration {
        let wake = self.actors.iter().filter_map(|actor| actor.wake_ns()).min();
        let now = self.stage.clock.now_ns();
        match wake {
            Some(wake) if wake <= now => Duration::ZERO,
            Some(wake) => {
                let idle = !self.actors.iter().any(|actor| actor.is_waiting());
                if idle && self.stage.clock.skip_to(wake) {
                    return Duration::ZERO;
                }
                Duration::from_nanos(wake - now).min(LOOK_EVERY)
            }
            None => LOOK_EVERY,
        }
    }

    fn serve(&mut self, index: usize) -> Result<(), BenchError> {
        let Some(actor) = self.actors.get_mut(index) else {
            return Ok(());
        };
        if actor.link().wants_to_write() {
            actor.flush()?;
        }
        if actor.link_mut().fill()? {
            actor.read(&mut self.tally)?;
        }
        actor.act(&mut self.tally)?;
        self.watch(index)
    }

    /// Asks the poller for what the actor needs now.
    fn watch(&mut self, index: usize) -> Result<(), BenchError> {
        let (Some(actor), Some(writing)) = (self.actors.get(index), self.writing.get_mut(index))
        else {
            return Ok(());
        };
        let write = actor.link().wants_to_write();
        if write != *writing {
            *writing = write;
            let token = index as u64;
            let interest = Interest { token, write };
            self.poller.change(actor.link().socket(), interest)?;
        }
        Ok(())
    }

    /// An owed answer that does not come ends the run.
    fn listen(&mut self, heard: bool) -> Result<(), BenchError> {
        if heard {
            self.heard = Instant::now();
        } else if self.heard.elapsed() > SILENCE_MAX
            && self.actors.iter().any(|actor| actor.is_waiting())
        {
            let seconds = SILENCE_MAX.as_secs();
            let what = format!("no answer from the server for {seconds} s");
            return Err(BenchError::Protocol(what));
        } else if !self.actors.iter().any(|actor| actor.is_waiting()) {
            self.heard = Instant::now();
        }
        Ok(())
    }
}

/// The kernel may wake a sleeping thread up to 50 us late unless told otherwise.
pub(super) fn wake_on_time() {
    // Where it is not allowed, the schedule lag in the report tells.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

/// Of this thread; 0 where the kernel does not say.
pub(super) fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse::<f64>().ok());
    ns.unwrap_or(0.0) / 1e9
}
