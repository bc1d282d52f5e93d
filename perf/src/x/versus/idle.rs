//! Many partitions, many consumers that wait in long polls, and nothing to read: what does it cost?
//!
//! Each consumer is a connection with a fetch session over its own few partitions, as Kafka's own
//! client holds it: one full fetch, then empty ones that wait for Kafka's default of 500 ms. It is a
//! member of a group too, with a heartbeat every three seconds on a second connection.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, Session};
use super::member::Member;
use super::metric::{Figures, Metric};
use super::scene::Scene;
use crate::x::{Context, Failure, Outcome};

const TOPIC: &str = "idle";
const PARTITIONS: i32 = 1000;
const CONSUMERS: i32 = 500;
const GROUP_MEMBERS: i32 = 10;
/// Until all groups are stable.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// A thread of a consumer does next to nothing.
const STACK_BYTES: usize = 128 << 10;

impl Scene<'_> {
    pub(super) fn idle(&self) -> Outcome<Figures> {
        let address = self.server.address();
        let mut client = Client::connect(&address)?;
        client.create(TOPIC, PARTITIONS, &[])?;
        client.records(TOPIC, PARTITIONS)?;
        let (joined, done) = (AtomicI32::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let consumers: Vec<_> = (0..CONSUMERS)
                .map(|index| {
                    let (address, joined, done) = (&address, &joined, &done);
                    thread::Builder::new()
                        .stack_size(STACK_BYTES)
                        .spawn_scoped(scope, move || wait(address, index, (joined, done)))
                })
                .collect();
            let figures = self.watch(&joined);
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

    fn watch(&self, joined: &AtomicI32) -> Outcome<Figures> {
        let started = Instant::now();
        while joined.load(Ordering::Acquire) < CONSUMERS {
            if started.elapsed() > PATIENCE {
                return Err(Failure::new("the groups of waiting consumers do not form"));
            }
            thread::sleep(PAUSE);
        }
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
fn wait(address: &str, index: i32, (joined, done): (&AtomicI32, &AtomicBool)) -> Outcome<()> {
    let mine: Vec<i32> = (0..PARTITIONS)
        .filter(|partition| partition % CONSUMERS == index)
        .collect();
    let mut member = Member::join(address, format!("idle-{}", index / GROUP_MEMBERS))?;
    joined.fetch_add(1, Ordering::AcqRel);
    let mut client = Client::connect(address)?;
    let mut session = Session::default();
    while !done.load(Ordering::Acquire) {
        client.wait(TOPIC, &mine, &mut session)?;
        member.stay()?;
    }
    Ok(())
}
