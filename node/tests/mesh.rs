//! Two shards that fill the channels to each other: requests wait for credits, replies never wait.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by it")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};
use thalweg_node::runtime::nudge;
use thalweg_node::shard::mailbox::{Message, Reply};
use thalweg_node::shard::router::{CREDITS, Ports, mesh};
use thalweg_node::shard::wait::{Either, LocalFuture, race};
use thalweg_wire::ids::ShardId;

/// Several times what the channels hold.
const MESSAGES: usize = 4 * CREDITS;

/// Sends all at once, answers each late, and tells in which order the peer's messages came.
async fn flood(ports: Ports, peer: ShardId) -> Vec<u32> {
    let received = Rc::new(Cell::new(Vec::new()));
    let arriving = Rc::clone(&received);
    let serve = move |_, message| -> LocalFuture<Reply> {
        let Message::Wake(numbers) = message else {
            panic!("only wakes are sent");
        };
        let mut all = arriving.take();
        all.extend(numbers);
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
        let mut sending = router.send(peer, Message::Wake(vec![number]));
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

#[test]
fn both_directions_full_do_not_block_each_other() {
    let (tell, told) = channel();
    let shards = mesh(2).into_iter().enumerate().map(|(shard, ports)| {
        let peer = ShardId(u16::try_from(1 - shard).unwrap());
        let builder = LocalExecutorBuilder::new(Placement::Unbound)
            .ring_depth(64)
            .io_memory(1 << 20)
            .preempt_timer(Duration::from_millis(1));
        let tell = tell.clone();
        let main = move || async move { tell.send(flood(ports, peer).await).unwrap() };
        nudge::executor(format!("mesh-{shard}"), builder, main).unwrap()
    });
    nudge::prepare().unwrap();
    nudge::nudge(shards.collect()).unwrap();
    for _ in 0..2 {
        let received = told.recv_timeout(Duration::from_secs(120)).unwrap();
        assert_eq!(received.len(), MESSAGES);
        assert!(received.is_sorted(), "messages overtook each other");
    }
}
