//! Wakes every shard from outside, twenty times a second.
//!
//! glommio 0.9.0 takes "no task queue ran" for "no task is ready": when the preemption timer that it
//! arms before it looks at the queues has fired by the time it looks (the thread lost its core, or
//! handing sends to the kernel took that long), it goes to sleep with tasks that were woken. They
//! then wait for the shard's next event, and for ever if there is none. That can be the very first
//! task of a shard, so nothing that needs a task of its own can help: the thread gets a signal, which
//! ends the wait in the kernel, and the executor looks again. Such a sleep ends within [`EVERY`].
//! Deliberately absent: any count of how often it was needed (the executor does not tell).

use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::LocalExecutorBuilder;
use nix::sys::pthread::pthread_kill;
use nix::sys::signal::Signal;

/// Between two wakes: the longest that a woken task waits because of the above. Two idle shards cost
/// 3.3% of a core when they are woken each 10 ms, so it can't be much less.
pub const EVERY: Duration = Duration::from_millis(50);

/// Ignored by processes that do not ask for it, so that a stray one harms nobody.
const SIGNAL: Signal = Signal::SIGURG;

/// Makes the signal one that interrupts and does nothing else. Before the first shard's thread.
pub fn prepare() -> std::io::Result<()> {
    // That it came is of no interest; registering is what makes it interrupt.
    signal_hook::flag::register(SIGNAL as i32, Arc::new(AtomicBool::new(false)))?;
    Ok(())
}

/// Runs an executor to its end on a thread of its own. Not glommio's own spawning: that gives no
/// name of the thread to send a signal to.
pub fn executor<F: Future<Output = ()>>(
    name: String,
    builder: LocalExecutorBuilder,
    main: impl FnOnce() -> F + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let run = move || match builder.make() {
        Ok(executor) => executor.run(main()),
        Err(error) => tracing::error!(%error, "a shard's executor can't be made"),
    };
    std::thread::Builder::new().name(name).spawn(run)
}

/// Wakes the threads for as long as the process lives. They are never joined: a joined thread has no
/// name that a signal could be sent to.
pub fn nudge(shards: Vec<JoinHandle<()>>) -> std::io::Result<()> {
    let turn = move || {
        loop {
            std::thread::sleep(EVERY);
            shards.iter().for_each(wake);
        }
    };
    std::thread::Builder::new()
        .name("nudge".to_owned())
        .spawn(turn)?;
    Ok(())
}

fn wake(shard: &JoinHandle<()>) {
    if shard.is_finished() {
        return;
    }
    // It may end between the question and the signal: there is nobody to wake then.
    let _ended = pthread_kill(shard.as_pthread_t(), SIGNAL);
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::channel;

    use super::*;

    /// A wait in the kernel that nothing else would end, as a shard's in `io_uring_enter`.
    fn interrupted(socket: &UnixStream) -> bool {
        let mut polled = [rustix::event::PollFd::new(
            socket,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut polled, None) == Err(rustix::io::Errno::INTR)
    }

    #[test]
    fn a_sleeping_thread_is_woken_and_an_ended_one_is_let_be() {
        prepare().unwrap();
        let (tell, told) = channel();
        let sleeper = std::thread::spawn(move || {
            let (_open, quiet) = UnixStream::pair().unwrap();
            tell.send(interrupted(&quiet)).unwrap();
        });
        let ended = std::thread::spawn(|| {});
        while !ended.is_finished() {
            std::thread::yield_now();
        }
        wake(&ended);
        nudge(vec![sleeper, ended]).unwrap();
        assert!(told.recv_timeout(Duration::from_secs(60)).unwrap());
    }
}
