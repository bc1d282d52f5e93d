//! The second ring itself: limits, ownership, socket waits.

use std::os::unix::net::UnixStream;
use std::task::{Context, Waker};

use super::*;
use crate::disk::live_bytes;
use crate::testing::TempDir;

fn file_in(dir: &TempDir) -> Arc<OwnedFd> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).read(true).write(true);
    Arc::new(options.open(dir.path().join("file")).unwrap().into())
}

fn block(fill: u8) -> Slice {
    Slice::from_vec(vec![fill; 4096])
}

fn space(bytes: usize) -> Space {
    Space::parts(bytes, bytes).remove(0)
}

#[test]
fn more_than_fits_in_flight_waits_in_order() {
    let dir = TempDir::new("ring");
    let (ring, file) = (Ring::new().unwrap(), file_in(&dir));
    let writes: Vec<_> = (0..OPERATIONS_MAX as u64 + 300)
        .map(|at| ring.write(&file, at * 4096, vec![block(1)], Durable::No))
        .collect();
    block_on(&ring, async {
        for write in writes {
            assert_eq!(write.await.bytes().unwrap(), 4096);
        }
    });
    assert_eq!(ring.pending(), 0);
}

#[test]
fn more_than_the_queue_holds_is_refused() {
    let dir = TempDir::new("ring");
    let (ring, file) = (Ring::new().unwrap(), file_in(&dir));
    // A pipe that nobody writes to keeps every place in flight taken.
    let (idle, filler) = std::io::pipe().unwrap();
    let idle = Arc::new(OwnedFd::from(idle));
    let stuck: Vec<_> = (0..OPERATIONS_MAX)
        .map(|_| ring.read(&idle, 0, space(1)))
        .collect();
    let queued: Vec<_> = (0..QUEUE_MAX).map(|_| ring.sync(&file)).collect();
    let refused = block_on(&ring, ring.sync(&file));
    assert_eq!(
        refused.bytes().unwrap_err().raw_os_error(),
        Some(libc::EBUSY)
    );
    drop((stuck, queued, filler));
}

#[test]
fn a_dropped_read_keeps_its_memory_until_it_ends() {
    let ring = Ring::new().unwrap();
    let (read_end, write_end) = std::io::pipe().unwrap();
    let mut read = Box::pin(ring.read(&Arc::new(read_end.into()), 0, space(1 << 20)));
    assert!(
        read.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(read);
    assert_eq!(ring.pending(), 1);
    assert!(live_bytes() >= 1 << 20);
    rustix::io::write(&write_end, b"late").unwrap();
    block_on(&ring, ring.stop());
    assert_eq!(ring.pending(), 0);
}

#[test]
fn dropping_the_ring_waits_for_what_is_in_flight() {
    let dir = TempDir::new("ring");
    let file = file_in(&dir);
    let ring = Ring::new().unwrap();
    for at in 0..64 {
        drop(ring.write(&file, at * 4096, vec![block(7)], Durable::LinkedSync));
    }
    drop(ring);
    assert_eq!(
        std::fs::read(dir.path().join("file")).unwrap(),
        vec![7; 64 * 4096]
    );
}

#[test]
fn a_failure_is_told_with_its_cause() {
    let ring = Ring::new().unwrap();
    let read_only = Arc::new(OwnedFd::from(
        std::fs::File::open("/proc/self/exe").unwrap(),
    ));
    for durable in [Durable::No, Durable::Flag, Durable::LinkedSync] {
        let write = block_on(&ring, ring.write(&read_only, 0, vec![block(1)], durable));
        assert_eq!(
            write.bytes().unwrap_err().raw_os_error(),
            Some(libc::EBADF),
            "{durable:?}"
        );
    }
}

#[test]
fn neighbours_in_memory_are_one_vector() {
    let whole = Slice::from_vec(vec![0; 16_384]);
    let parts = [
        whole.sub(0..4096),
        whole.sub(4096..8192),
        whole.sub(12_288..16_384),
    ];
    let lengths: Vec<_> = vectors_of(&parts)
        .iter()
        .map(|vector| vector.iov_len)
        .collect();
    assert_eq!(lengths, [8192, 4096]);
}

#[test]
fn waits_until_a_socket_takes_more() {
    use std::io::{Read, Write};
    let ring = Ring::new().unwrap();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    block_on(&ring, ring.writable(std::os::fd::AsFd::as_fd(&near))).unwrap();
    while near.write(&[0; 65_536]).is_ok() {}
    let mut wait = Box::pin(ring.writable(std::os::fd::AsFd::as_fd(&near)));
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        all.len()
    });
    block_on(&ring, wait).unwrap();
    drop(near);
    assert!(reader.join().unwrap() > 0);
}

#[test]
fn a_dropped_wait_frees_its_place() {
    let ring = Ring::new().unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    for _ in 0..1000 {
        let mut wait = Box::pin(ring.readable(std::os::fd::AsFd::as_fd(&near)));
        assert!(
            wait.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    block_on(&ring, ring.writable(std::os::fd::AsFd::as_fd(&near))).unwrap();
    let places = ring.inner.slots.borrow().polls;
    assert!(
        places < 1000,
        "{places} of 1,000 dropped waits still hold a place"
    );
}

#[test]
fn stopping_refuses_new_work() {
    let dir = TempDir::new("ring");
    let (ring, file) = (Ring::new().unwrap(), file_in(&dir));
    block_on(&ring, ring.stop());
    let refused = block_on(&ring, ring.sync(&file));
    assert_eq!(
        refused.bytes().unwrap_err().raw_os_error(),
        Some(libc::EBUSY)
    );
}

/// Runs `test` on an executor with a ring that is driven, and stops the ring beside it.
fn while_stopping<T: Future<Output = ()> + 'static>(test: impl FnOnce(Ring) -> T + Send + 'static) {
    let builder = glommio::LocalExecutorBuilder::default()
        .ring_depth(64)
        .io_memory(1 << 20);
    let executor = builder.spawn(move || async move {
        let ring = Ring::new().unwrap();
        let driving = glommio::spawn_local(ring.clone().drive());
        let working = glommio::spawn_local(test(ring.clone()));
        ring.stop().await;
        working.await;
        driving.await.unwrap();
    });
    executor.unwrap().join().unwrap();
}

/// A blocking call that ends only once it was looked for.
async fn call_slowly(ring: &Ring) {
    let (go, told) = std::sync::mpsc::channel();
    let (job, answer) = ring.foreign().wrap(move || told.recv());
    std::thread::spawn(job);
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(2));
        go.send(()).unwrap();
    });
    answer.await.unwrap();
}

/// The task that reads the eventfd used to end as soon as nothing was pending, before a task that
/// it had just woken made its call: nobody was left to tell of the call's end, and a stop that met
/// the journal's growth hung. So did a call begun when `stop` had already looked.
#[test]
fn a_blocking_call_begun_while_stopping_is_waited_for() {
    let dir = TempDir::new("ring");
    let file = file_in(&dir);
    while_stopping(move |ring| {
        // Begun at once, so that the stop finds it pending.
        let write = ring.write(&file, 0, vec![block(1)], Durable::No);
        async move {
            write.await.bytes().unwrap();
            call_slowly(&ring).await;
        }
    });
}

#[test]
fn a_blocking_call_begun_after_the_stop_is_waited_for() {
    while_stopping(|ring| async move {
        while !ring.foreign().is_stopped() {
            glommio::timer::sleep(std::time::Duration::from_millis(1)).await;
        }
        call_slowly(&ring).await;
    });
}
