//! Many partitions, many consumers that wait in long polls, and nothing to read: what does it cost?
//!
//! Each consumer is a connection with a fetch session over its own few partitions, as Kafka's own
//! client holds it: one full fetch, then empty ones that wait for Kafka's default of 500 ms.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::client::{Client, Session};
use super::metric::{Figures, Metric};
use super::scene::Scene;
use crate::x::{Context, Failure, Outcome};

const TOPIC: &str = "idle";
const PARTITIONS: i32 = 1000;
const CONSUMERS: i32 = 500;
/// A thread of a consumer does next to nothing.
const STACK_BYTES: usize = 128 << 10;

impl Scene<'_> {
    pub(super) fn idle(&self) -> Outcome<Figures> {
        let address = self.server.address();
        let mut client = Client::connect(&address)?;
        client.create(TOPIC, PARTITIONS, &[])?;
        client.records(TOPIC, PARTITIONS)?;
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
    let mine: Vec<i32> = (0..PARTITIONS)
        .filter(|partition| partition % CONSUMERS == index)
        .collect();
    let mut client = Client::connect(address)?;
    let mut session = Session::default();
    while !done.load(Ordering::Acquire) {
        client.wait(TOPIC, &mine, &mut session)?;
    }
    Ok(())
}
