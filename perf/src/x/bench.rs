//! `cargo x bench [--dev] [--kafka]`: a short slice of each load against a fresh server.
//!
//! Not a measurement: it shows that the generator and the server agree, record by record, on what
//! was written, at a modest rate and as fast as both can. Side-by-side figures are `versus`.

use std::time::Duration;

use thalweg_bench::Settings;
use thalweg_bench::settings::{Partitioner, Workload};

use super::packages;
use super::server::{self, Build, Kind, Server, Setup};
use super::{Context, Failure, Outcome, Tally};

const PORT: u16 = 19392;
const SLICE: Duration = Duration::from_secs(3);

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
    server.stop()?;
    Ok(tally)
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
