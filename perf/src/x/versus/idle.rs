//! Many partitions, many consumers that wait in long polls, and nothing to read: what does it cost?
//!
//! Each consumer is a connection with a fetch session over its own few partitions, as Kafka's own
//! client holds it: one full fetch, then empty ones that wait for Kafka's default of 500 ms.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use thalweg_bench::client::{self, Receiver, Sender};
use thalweg_wire::messages::{fetch_request as request, fetch_response};

use super::metric::{Figures, Metric};
use super::scene::Scene;
use crate::x::{Context, Failure, Outcome};

const TOPIC: &str = "idle";
const PARTITIONS: i32 = 1000;
const CONSUMERS: i32 = 500;
const VERSION: i16 = 12;
const WAIT_MS: i32 = 500;
/// A thread of a consumer does next to nothing.
const STACK_BYTES: usize = 128 << 10;

impl Scene<'_> {
    pub(super) fn idle(&self) -> Outcome<Figures> {
        let words = format!("produce --topic {TOPIC} --partitions {PARTITIONS}");
        let settings = self.settings(&words)?;
        client::create_topic(&settings).context(|| "creating the topic")?;
        client::end_offsets(&settings).context(|| "waiting for leaders")?;
        let address = self.server.address();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let consumers: Vec<_> = (0..CONSUMERS)
                .map(|index| {
                    let (address, done) = (&address, &done);
                    thread::Builder::new()
                        .stack_size(STACK_BYTES)
                        .spawn_scoped(scope, move || wait(address, index, done))
                })
                .collect();
            let figures = self.watch();
            done.store(true, Ordering::Release);
            for consumer in consumers {
                let consumer = consumer.context(|| "starting a waiting consumer")?;
                match consumer.join() {
                    Ok(result) => result?,
                    Err(_) => return Err(Failure::new("a waiting consumer panicked")),
                }
            }
            figures
        })
    }

    fn watch(&self) -> Outcome<Figures> {
        // Sessions are being made meanwhile.
        thread::sleep(self.times.settle + self.times.row_warm_up);
        let before = self.before()?;
        thread::sleep(self.times.row);
        let mut figures = self.after(&before, 0, 0)?;
        if let Some(cores) = figures.get(&Metric::CpuCores).copied() {
            figures.insert(Metric::IdleCpuPercent, cores * 100.0);
        }
        Ok(figures)
    }
}

/// One consumer, until it is told to stop.
fn wait(address: &str, index: i32, done: &AtomicBool) -> Outcome<()> {
    let (mut sender, mut receiver) = client::connect(address).context(|| "connecting")?;
    let (mut session, mut epoch) = (0, 0);
    while !done.load(Ordering::Acquire) {
        session = fetch(&mut sender, &mut receiver, (index, session, epoch))?;
        epoch = if session == 0 { 0 } else { epoch + 1 };
    }
    Ok(())
}

/// One fetch; the session that the server keeps from now on.
fn fetch(
    sender: &mut Sender,
    receiver: &mut Receiver,
    (index, session, epoch): (i32, i32, i32),
) -> Outcome<i32> {
    let mine = (0..PARTITIONS).filter(|partition| partition % CONSUMERS == index);
    let partitions = mine.map(|partition| request::FetchPartition {
        partition,
        current_leader_epoch: -1,
        fetch_offset: 0,
        last_fetched_epoch: -1,
        log_start_offset: -1,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    });
    let topics = match epoch {
        0 => vec![request::FetchTopic {
            topic: Cow::Borrowed(TOPIC),
            partitions: partitions.collect(),
            ..Default::default()
        }],
        _ => Vec::new(),
    };
    let request = request::FetchRequest {
        replica_id: -1,
        max_wait_ms: WAIT_MS,
        min_bytes: 1,
        max_bytes: 50 << 20,
        session_id: session,
        session_epoch: epoch,
        topics,
        ..Default::default()
    };
    sender
        .send(&request, VERSION)
        .context(|| "sending a fetch")?;
    let answer: fetch_response::FetchResponseView<'_> = receiver
        .view(VERSION)
        .context(|| "waiting for a fetch's answer")?;
    match answer.error_code {
        0 => Ok(answer.session_id),
        // The session is gone or its epoch is wrong: the next fetch makes another.
        70 | 71 => Ok(0),
        code => Err(Failure::new(format!(
            "a waiting fetch was answered with {code}"
        ))),
    }
}
