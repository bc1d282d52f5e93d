//! `cargo x bench [--dev] [--kafka]`: a short slice of each load against a fresh server.
//!
//! Not a measurement: it shows that the generator and the server agree, record by record, on what
//! was written, at a modest rate and as fast as both can, and that a kill -9 loses nothing. Side-by-side figures are `versus`.

use std::thread;
use std::time::Duration;

use thalweg_bench::Settings;
use thalweg_bench::settings::{Partitioner, Workload};

use super::packages;
use super::server::{self, Build, Kind, Server, Setup};
use super::{Context, Failure, Outcome, Tally};

const PORT: u16 = 19392;
const SLICE: Duration = Duration::from_secs(3);
const FAILOVER_PARTITIONS: i32 = 20;
const FAILOVER_KILLS: u64 = 2;

pub fn bench(arguments: &[&str]) -> Outcome<Tally> {
    let (mut kind, mut build) = (Kind::Thalweg, Build::Release);
    for word in arguments {
        match *word {
            "--kafka" => kind = Kind::Kafka,
            "--dev" => build = Build::Dev,
            _ => {
                return Err(Failure::new(format!(
                    "`{word}`: only --kafka and --dev are known"
                )));
            }
        }
    }
    let program = match kind {
        Kind::Kafka => packages::kafka_jars()?,
        Kind::Thalweg => server::thalweg(build)?,
    };
    let mut server = Server::new(Setup::fresh(
        kind,
        &format!("bench-{kind:?}"),
        PORT,
        &program,
    )?);
    server.start()?;
    let mut tally = Tally::default();
    for settings in slices(&server.address()) {
        let name = format!("{:?} {}", settings.workload, settings.topic);
        let report = thalweg_bench::load::run(&settings).context(|| name.clone())?;
        eprint!("{name}: {}", report.text());
        if report.errors > 0 || report.records == 0 {
            return Err(Failure::new(format!(
                "{name}: errors, or no records\n{}",
                server.words()
            )));
        }
        tally.passed += 1;
    }
    tally.passed += failover(&mut server)?;
    server.stop()?;
    Ok(tally)
}

/// The node is killed twice while writers go on: each outage is felt, nothing acknowledged is lost.
fn failover(server: &mut Server) -> Outcome<u64> {
    let mut settings = Settings::new(Workload::Failover);
    settings.brokers = server.address();
    "failover".clone_into(&mut settings.topic);
    settings.partitions = FAILOVER_PARTITIONS;
    settings.warm_up = Duration::ZERO;
    settings.duration = 3 * SLICE;
    let load = thread::spawn(move || thalweg_bench::load::run(&settings));
    for _ in 0..FAILOVER_KILLS {
        thread::sleep(SLICE);
        server.kill()?;
        server.start()?;
    }
    let report = match load.join() {
        Ok(report) => report.context(|| "failover".to_owned())?,
        Err(_) => return Err(Failure::new("the failover load panicked")),
    };
    eprint!("Failover: {}", report.text());
    let outages = report.unavailable.map_or(0, |found| found.outages);
    // A kill may fall between two batches of a partition, but hardly of all.
    if report.errors > 0 || outages < FAILOVER_KILLS {
        return Err(Failure::new(format!(
            "failover: errors, or {outages} outages of {FAILOVER_KILLS} kills\n{}",
            server.words()
        )));
    }
    Ok(1)
}

fn slices(address: &str) -> Vec<Settings> {
    let slice = |workload, topic: &str, partitions| {
        let mut settings = Settings::new(workload);
        address.clone_into(&mut settings.brokers);
        topic.clone_into(&mut settings.topic);
        settings.partitions = partitions;
        settings.warm_up = Duration::from_secs(1);
        settings.duration = SLICE;
        settings
    };
    let mut steady = slice(Workload::Produce, "steady", 100);
    steady.rate = Some(1000.0);
    steady.producers = 2;
    steady.partitioner = Partitioner::RoundRobin;
    let mut e2e = slice(Workload::E2e, "e2e", 10);
    e2e.rate = Some(1000.0);
    e2e.consumers = 2;
    let most = slice(Workload::Produce, "max", 8);
    let mut compressed = slice(Workload::Produce, "zstd", 2);
    compressed.rate = Some(2000.0);
    "zstd".clone_into(&mut compressed.codec);
    vec![
        steady,
        e2e,
        most,
        slice(Workload::Consume, "max", 8),
        compressed,
    ]
}
