//! The loads: producers, consumers, or both, on event loops that share a clock and little else.
//!
//! ```text
//! run: workload -> sides (producers? consumers, from where, what they measure)
//!        |
//!        v
//! drive: connect -> start the clock -> worker threads -> join -> check what was seen
//!            worker: event loop over actors   producer: pace, keys -> template, frames -> link
//!                                             consumer: fetch -> order
//! ```
//! failover: a writer a partition -> its leader, again until it is acknowledged -> reread
//!
//! Nothing is sent before everything is connected. Consumers that follow at the end of the log are
//! told where it ends once the producers are done, and have to get there.

pub mod clock;
pub mod pace;
mod catch_up;
mod consumer;
mod failover;
mod frames;
mod keys;
mod live;
mod order;
mod producer;
mod queues;
mod reread;
mod stage;
mod stamp;
mod sweep;
mod tally;
mod template;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::client::{Cluster, Group};
use crate::report::{Report, Run};
use crate::settings::Workload;
use crate::{BenchError, Settings};
use clock::Clock;
use consumer::{Measure, Task};
use live::Progress;
use stage::Stage;

pub use tally::{Latencies, Outages, Second, Tally};

/// Where consumers begin and what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// What is there at the start of the run, from the start of the log.
    Stored,
    /// What comes from now on, partitions shared out.
    Tail,
    /// What comes from now on, all of it to each.
    TailEach,
}

/// Who takes part in a run.
#[derive(Clone, Copy, Debug)]
struct Sides {
    produce: bool,
    read: Option<Reading>,
}

/// What the two sides measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) produced: Tally,
    pub(crate) consumed: Tally,
    /// Through a consumer group.
    pub(crate) grouped: bool,
}

/// Runs what the settings say.
pub fn run(settings: &Settings) -> Result<Report, BenchError> {
    let started = Instant::now();
    let cluster = Cluster::prepare(settings)?;
    let setup_seconds = started.elapsed().as_secs_f64();
    if let Some(sweep) = settings.sweep {
        return sweep::run(settings, &cluster, sweep);
    }
    let mut report = match settings.workload {
        Workload::CatchUp => catch_up::run(settings, &cluster)?,
        Workload::Failover => failover::run(settings, &cluster)?,
        _ => once(settings, &cluster, Clock::real())?,
    };
    report.setup_seconds = setup_seconds;
    Ok(report)
}

/// Runs one load by a clock of the caller's, for tests of the generator itself.
pub fn run_by(settings: &Settings, clock: Clock) -> Result<Report, BenchError> {
    let cluster = Cluster::prepare(settings)?;
    once(settings, &cluster, clock)
}

/// One load, as the workload says.
fn once(settings: &Settings, cluster: &Cluster, clock: Clock) -> Result<Report, BenchError> {
    let (produce, read) = match settings.workload {
        Workload::Produce | Workload::ManyPartitions | Workload::Failover => (true, None),
        Workload::Consume => (false, Some(Reading::Stored)),
        Workload::E2e | Workload::Mixed => (true, Some(Reading::Tail)),
        Workload::FanOut => (true, Some(Reading::TailEach)),
        Workload::CatchUp => (true, Some(Reading::Stored)),
    };
    let window = match produce {
        true => window(settings),
        // Everything counts, however long it takes.
        false => (0, u64::MAX),
    };
    let stage = Arc::new(Stage::new(clock, window));
    let measured = drive(settings, cluster, &stage, Sides { produce, read })?;
    Ok(Report::new(settings, &Run::of(settings, &measured)))
}

/// From the end of the warm-up to the end of the run.
fn window(settings: &Settings) -> (u64, u64) {
    let from_ns = settings.warm_up.as_nanos() as u64;
    (from_ns, from_ns + settings.duration.as_nanos() as u64)
}

/// Connects, runs and checks.
fn drive(
    settings: &Settings,
    cluster: &Cluster,
    stage: &Arc<Stage>,
    sides: Sides,
) -> Result<Measured, BenchError> {
    let (mut readers, mut group) = (Vec::new(), None);
    if let Some(reading) = sides.read {
        let shares = shares(settings, cluster, reading)?;
        group = shares.group;
        let task = Task {
            measure: match reading {
                Reading::Stored => Measure::Fetch,
                Reading::Tail | Reading::TailEach => Measure::Record,
            },
            records: settings
                .records
                .filter(|_| reading == Reading::Stored)
                .map(|records| records / settings.consumers as u64),
        };
        if reading == Reading::Stored {
            stage.set_ends(cluster.ends()?);
        }
        for from in &shares.from {
            readers.extend(consumer::start(settings, stage, cluster, (from, task))?);
        }
    }
    let mut writers = Vec::new();
    if sides.produce {
        writers = producer::start(settings, stage, cluster)?;
    }
    stage.clock.start();
    let progress = Progress::start(settings, stage, sides.produce);
    let reading = worker::spawn(readers, settings.threads, stage);
    let writing = worker::spawn(writers, settings.threads, stage);
    let result = collect(cluster, stage, sides, (writing, reading));
    progress.stop();
    let grouped = group.is_some();
    let left = group.map_or(Ok(()), Group::leave);
    let mut measured = result?;
    left?;
    measured.grouped = grouped;
    check(settings, sides, &mut measured)?;
    Ok(measured)
}

type Workers = Vec<thread::JoinHandle<Result<Tally, BenchError>>>;

/// Waits for both sides, in the order in which they end.
fn collect(
    cluster: &Cluster,
    stage: &Stage,
    sides: Sides,
    (writing, reading): (Workers, Workers),
) -> Result<Measured, BenchError> {
    let (produced, consumed);
    if sides.read == Some(Reading::Stored) {
        consumed = sum(reading);
        stage.stop_producers();
        produced = sum(writing);
    } else {
        produced = sum(writing);
        match cluster.ends() {
            Ok(ends) => stage.set_ends(ends),
            Err(_) => stage.fail(),
        }
        consumed = sum(reading);
    }
    // What went wrong on the side that ends first is why the other one had to stop.
    let (mut produced, mut consumed) = match sides.read {
        Some(Reading::Stored) => {
            let consumed = consumed?;
            (produced?, consumed)
        }
        _ => (produced?, consumed?),
    };
    let all = stage.clock.now_ns() as f64 / 1e9;
    produced.seconds = stage.seconds();
    consumed.seconds = match sides.read {
        Some(Reading::Stored) => all.min(stage.seconds()),
        _ => stage.seconds(),
    };
    Ok(Measured {
        produced,
        consumed,
        grouped: false,
    })
}

fn sum(workers: Workers) -> Result<Tally, BenchError> {
    let mut total = Tally::default();
    let mut failure = None;
    for worker in workers {
        match joined(worker) {
            Ok(tally) => total.add(&tally),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(total), Err)
}

/// Whether what was read is what was acknowledged. A record that was refused may be there or not.
fn check(settings: &Settings, sides: Sides, measured: &mut Measured) -> Result<(), BenchError> {
    let (written, read) = (&measured.produced, &mut measured.consumed);
    let copies = match sides.read {
        None => return Ok(()),
        Some(Reading::Stored) => {
            // Who wrote those records, and what was refused then, is not known here.
            read.errors += u64::from(read.missing_records > 0);
            return Ok(());
        }
        Some(Reading::Tail) => 1,
        Some(Reading::TailEach) => settings.consumers as u64,
    };
    let least = written.records_in_all * copies;
    let most = least + written.refused_records * copies;
    if !(least..=most).contains(&read.records_in_all) {
        return Err(BenchError::Wrong(format!(
            "{least} records acknowledged, {} consumed",
            read.records_in_all
        )));
    }
    if read.missing_records > written.refused_records * copies {
        return Err(BenchError::Wrong(format!(
            "{} records refused, {} left out",
            written.refused_records * copies,
            read.missing_records
        )));
    }
    Ok(())
}

/// Where each consumer begins, by partition.
struct Shares {
    from: Vec<BTreeMap<i32, i64>>,
    group: Option<Group>,
}

fn shares(settings: &Settings, cluster: &Cluster, reading: Reading) -> Result<Shares, BenchError> {
    let from = match reading {
        Reading::Stored => cluster.starts()?,
        Reading::Tail | Reading::TailEach => cluster.ends()?,
    };
    let of = |wanted: &dyn Fn(i32) -> bool| -> BTreeMap<i32, i64> {
        let some = from.iter().filter(|(partition, _)| wanted(**partition));
        some.map(|(partition, offset)| (*partition, *offset))
            .collect()
    };
    let mut shares = Shares {
        from: Vec::new(),
        group: None,
    };
    let grouped = settings
        .group
        .as_deref()
        .filter(|_| reading != Reading::TailEach);
    if let Some(name) = grouped
        && Group::supported(cluster)?
    {
        let members = Group::join(cluster, settings, name)?;
        for member in &members {
            shares
                .from
                .push(of(&|partition| member.partitions.contains(&partition)));
        }
        shares.group = Some(Group::keep(members, name));
        return Ok(shares);
    }
    for index in 0..settings.consumers {
        let own = |partition: i32| partition as usize % settings.consumers == index;
        shares.from.push(match reading {
            Reading::TailEach => from.clone(),
            _ => of(&own),
        });
    }
    Ok(shares)
}

pub(crate) fn joined<T>(
    handle: thread::JoinHandle<Result<T, BenchError>>,
) -> Result<T, BenchError> {
    match handle.join() {
        Ok(result) => result,
        Err(_) => Err(BenchError::Protocol(
            "a thread of the generator panicked".to_owned(),
        )),
    }
}
