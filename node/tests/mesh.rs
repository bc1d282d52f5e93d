//! Two shards that fill the channels to each other: requests wait for credits, replies never wait.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by it")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};
use thalweg_node::runtime::nudge;
use thalweg_node::shard::mailbox::{Message, Reply};
use thalweg_node::shard::router::{CREDITS, MESSAGE_BYTES_MAX, Ports, mesh};
use thalweg_node::shard::wait::{Either, LocalFuture, race};
use thalweg_wire::ids::{PartitionId, PartitionIndex, ShardId, Uuid};

/// Several times what the channels hold.
const MESSAGES: usize = 4 * CREDITS;
const ANY: PartitionId = PartitionId {
    topic: Uuid::ZERO,
    index: PartitionIndex(0),
};

/// Sends all at once, answers each late, and tells in which order the peer's messages came.
async fn flood(ports: Ports, peer: ShardId) -> Vec<u32> {
    let received = Rc::new(Cell::new(Vec::new()));
    let arriving = Rc::clone(&received);
    let serve = move |_, message| -> LocalFuture<Reply> {
        let Message::Wake(numbers) = message else {
            panic!("only wakes are sent");
        };
        let mut all = arriving.take();
        all.extend(numbers.into_iter().map(|(number, _)| number));
        arriving.set(all);
        Box::pin(async {
            glommio::timer::sleep(Duration::from_micros(500)).await;
            Reply::Done
        })
    };
    let spawn = |task: LocalFuture<()>| drop(glommio::spawn_local(task).detach());
    let router = ports.connect(Rc::new(serve), Rc::new(spawn)).await;
    let answered = Rc::new(Cell::new(0));
    let mut order = Vec::new();
    for number in 0..u32::try_from(MESSAGES).unwrap() {
        // The place in the order is taken by the first poll.
        let mut sending = router.send(peer, Message::Wake(vec![(number, ANY)]));
        let early = thalweg_node::shard::wait::poll_once(&mut sending);
        order.push((early, sending));
    }
    for (early, sending) in order {
        let answered = Rc::clone(&answered);
        let task = async move {
            let pending = match early {
                Some(pending) => pending,
                None => sending.await,
            };
            assert!(matches!(pending.unwrap().await, Ok(Reply::Done)));
            answered.set(answered.get() + 1);
        };
        glommio::spawn_local(task).detach();
    }
    let all = async {
        while answered.get() < MESSAGES {
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
    };
    let late = glommio::timer::sleep(Duration::from_secs(60));
    assert!(
        matches!(race(all, late).await, Either::Left(())),
        "the mesh is stuck"
    );
    // The peer may still wait for answers of ours.
    glommio::timer::sleep(Duration::from_millis(200)).await;
    received.take()
}

/// Runs a shard's part on each of two executors; what each of them says.
fn on_two_shards<T, F>(part: impl Fn(Ports, ShardId) -> F + Copy + Send + 'static) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (tell, told) = channel();
    let shards = mesh(2).into_iter().enumerate().map(|(shard, ports)| {
        let peer = ShardId(u16::try_from(1 - shard).unwrap());
        let builder = LocalExecutorBuilder::new(Placement::Unbound)
            .ring_depth(64)
            .io_memory(1 << 20)
            .preempt_timer(Duration::from_millis(1));
        let tell = tell.clone();
        let main = move || async move { tell.send(part(ports, peer).await).unwrap() };
        nudge::executor(format!("mesh-{shard}"), builder, main).unwrap()
    });
    nudge::prepare().unwrap();
    nudge::nudge(shards.collect()).unwrap();
    (0..2)
        .map(|_| told.recv_timeout(Duration::from_secs(120)).unwrap())
        .collect()
}

#[test]
fn both_directions_full_do_not_block_each_other() {
    for received in on_two_shards(flood) {
        assert_eq!(received.len(), MESSAGES);
        assert!(received.is_sorted(), "messages overtook each other");
    }
}

/// Bytes of one large message, and how many of them are more than a shard may have on the way.
const LARGE_BYTES: usize = 12 << 20;
const LARGE_MESSAGES: usize = 12;

/// Sends large messages all at once and tells how many bytes of the peer's were there at most.
async fn flood_with_bytes(ports: Ports, peer: ShardId) -> usize {
    let there = Rc::new(Cell::new((0, 0)));
    let arriving = Rc::clone(&there);
    let serve = move |_, message: Message| -> LocalFuture<Reply> {
        let (now, most) = arriving.get();
        let now = now + message.bytes();
        arriving.set((now, most.max(now)));
        let leaving = Rc::clone(&arriving);
        Box::pin(async move {
            glommio::timer::sleep(Duration::from_millis(5)).await;
            let (now, most) = leaving.get();
            leaving.set((now - message.bytes(), most));
            Reply::Done
        })
    };
    let spawn = |task: LocalFuture<()>| drop(glommio::spawn_local(task).detach());
    let router = ports.connect(Rc::new(serve), Rc::new(spawn)).await;
    let answered = Rc::new(Cell::new(0));
    for _ in 0..LARGE_MESSAGES {
        let sending = router.send(peer, Message::AutoCreate(vec!["x".repeat(LARGE_BYTES)]));
        let answered = Rc::clone(&answered);
        let task = async move {
            let pending = sending.await;
            assert!(matches!(pending.unwrap().await, Ok(Reply::Done)));
            answered.set(answered.get() + 1);
        };
        glommio::spawn_local(task).detach();
    }
    let all = async {
        while answered.get() < LARGE_MESSAGES {
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
    };
    let late = glommio::timer::sleep(Duration::from_secs(60));
    assert!(
        matches!(race(all, late).await, Either::Left(())),
        "the mesh is stuck"
    );
    // The peer may still wait for answers of ours.
    glommio::timer::sleep(Duration::from_millis(200)).await;
    there.get().1
}

#[test]
fn bytes_on_their_way_to_a_shard_have_a_limit() {
    for most in on_two_shards(flood_with_bytes) {
        const { assert!(LARGE_BYTES * LARGE_MESSAGES > MESSAGE_BYTES_MAX) };
        assert!((LARGE_BYTES..=MESSAGE_BYTES_MAX).contains(&most), "{most}");
    }
}
