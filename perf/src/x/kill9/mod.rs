//! `cargo x kill9 [--transactions] [--rounds N] [--seed N] [--kafka] [--dev]`: kill -9 in the middle of
//! producing, or of transactions.
//!
//! Four idempotent acks=all producers write to 100 partitions through a real client while the server
//! is killed and started, over and over. Then everything is read, and every acknowledgement ever
//! given is held against it: nothing lost, duplicated, moved or changed.
//!
//! kill -9 alone proves nothing about flushing, since the page cache survives it. So before each
//! kill the node's flushes are compared with its acknowledged rounds, and a run with one producer
//! and one request in flight has to cause at least one flush for each acknowledgement.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thalweg_bench::Settings;
use thalweg_bench::settings::Workload;

mod transactions;

use super::packages::{self, LIBRDKAFKA_NEW};
use super::process::{Daemon, Program};
use super::server::{self, Build, Kind, Server, Setup};
use super::{Context, Failure, Outcome, Tally, metrics};

const PORT: u16 = 19192;
const PRODUCERS: usize = 4;
const PARTITIONS: &str = "100";
/// Together 4,000 records a second: small batches everywhere when the server dies.
const PRODUCER_RATE: &str = "1000";
const TOPIC: &str = "kill9";
const DRAIN_LIMIT: Duration = Duration::from_secs(180);
const AUDIT_LIMIT: Duration = Duration::from_secs(600);

struct Plan {
    rounds: u64,
    seed: u64,
    kind: Kind,
    build: Build,
    /// Writers commit and abort, and a reader of committed records goes on all the time.
    transactions: bool,
}

pub fn kill9(arguments: &[&str]) -> Outcome<Tally> {
    let plan = Plan::parse(arguments)?;
    let python = packages::librdkafka(LIBRDKAFKA_NEW)?;
    let program = match plan.kind {
        Kind::Kafka => packages::kafka_jars()?,
        Kind::Thalweg => server::thalweg(plan.build)?,
    };
    let setup = Setup::fresh(plan.kind, &format!("kill9-{:?}", plan.kind), PORT, &program)?;
    let mut server = Server::new(setup);
    server.start()?;
    create_topic(&python, &server)?;
    if plan.transactions {
        let passed = transactions::run(&plan, &python, &mut server)?;
        server.stop()?;
        return Ok(Tally {
            passed,
            failed: 0,
            skipped: 0,
        });
    }
    let acks: Vec<PathBuf> = (0..PRODUCERS)
        .map(|index| server.setup().dir.join(format!("acks-{index}")))
        .collect();
    let writers = acks
        .iter()
        .enumerate()
        .map(|(index, path)| writer(&python, &server, index, path))
        .collect::<Outcome<Vec<Daemon>>>()?;
    let passed = kill_rounds(&plan, &mut server)?;
    stop_all(writers, &server)?;
    audit(&python, &server, &acks)?;
    let mut tally = Tally {
        passed: passed + 1,
        failed: 0,
        skipped: 0,
    };
    if plan.kind == Kind::Thalweg {
        one_flush_an_ack(&server)?;
        tally.passed += 1;
    }
    server.stop()?;
    Ok(tally)
}

/// Ends programs that run beside the server; each has to end well.
fn stop_all(daemons: Vec<Daemon>, server: &Server) -> Outcome<()> {
    for daemon in daemons {
        let status = daemon.stop(DRAIN_LIMIT)?;
        if !status.success() {
            let told = fs::read_to_string(server.setup().dir.join("writers.out"));
            return Err(Failure::new(format!(
                "a writer or reader failed: {}",
                told.unwrap_or_default()
            )));
        }
    }
    Ok(())
}

impl Plan {
    fn parse(arguments: &[&str]) -> Outcome<Self> {
        let mut plan = Self {
            rounds: 50,
            seed: 1,
            kind: Kind::Thalweg,
            build: Build::Release,
            transactions: false,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse().ok());
            match *word {
                "--kafka" => plan.kind = Kind::Kafka,
                "--dev" => plan.build = Build::Dev,
                "--transactions" => plan.transactions = true,
                "--rounds" => plan.rounds = number().context(|| "--rounds needs a number")?,
                "--seed" => plan.seed = number().context(|| "--seed needs a number")?,
                _ => return Err(Failure::new(format!("`{word}` is no option"))),
            }
        }
        Ok(plan)
    }
}

fn create_topic(python: &Path, server: &Server) -> Outcome<()> {
    Program::new(python)
        .arg(packages::root().join("perf/interop/clients/confluent.py"))
        .args(["create", &server.address(), TOPIC])
        .arg(format!("{{\"partitions\":{PARTITIONS}}}"))
        .run()?;
    Ok(())
}

fn writer(python: &Path, server: &Server, index: usize, acks: &Path) -> Outcome<Daemon> {
    Program::new(python)
        .arg(packages::root().join("perf/interop/writer.py"))
        .args([
            &server.address(),
            TOPIC,
            &index.to_string(),
            PARTITIONS,
            PRODUCER_RATE,
        ])
        .arg(acks)
        .spawn(&server.setup().dir.join("writers.out"))
}

fn kill_rounds(plan: &Plan, server: &mut Server) -> Outcome<u64> {
    let mut state = plan.seed;
    let mut times = Vec::new();
    for round in 1..=plan.rounds {
        // Knuth's generator: seeds stay good whatever a library does.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(250 + (state >> 33) % 750));
        if plan.kind == Kind::Thalweg {
            flushes_cover_rounds(server)?;
        }
        server.kill()?;
        let ready = server
            .start()
            .context(|| format!("round {round}, seed {}", plan.seed))?;
        times.push(ready.as_millis());
    }
    times.sort_unstable();
    if let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) {
        eprintln!(
            "{} kills; ready again after {median} ms (median), {longest} ms (longest)",
            times.len()
        );
    }
    Ok(plan.rounds)
}

fn flushes_cover_rounds(server: &Server) -> Outcome<()> {
    let text = metrics::get(&server.setup().admin(), "/metrics")?;
    // Read in this order, a round may be acknowledged in between, but only after its flush.
    let rounds = metrics::sum(&text, "thalweg_journal_rounds_acknowledged_total")?;
    let flushes = metrics::sum(&text, "thalweg_journal_flushes_total")?;
    if flushes < rounds {
        return Err(Failure::new(format!(
            "{rounds} rounds acknowledged after {flushes} flushes"
        )));
    }
    Ok(())
}

fn audit(python: &Path, server: &Server, acks: &[PathBuf]) -> Outcome<()> {
    let output = Program::new(python)
        .arg(packages::root().join("perf/interop/audit.py"))
        .args([&server.address(), TOPIC, PARTITIONS])
        .args(acks)
        .limit(AUDIT_LIMIT)
        .run()?;
    eprintln!("{}", output.stdout.trim());
    Ok(())
}

/// One producer, one request in flight: an acknowledgement cannot share its flush with another.
fn one_flush_an_ack(server: &Server) -> Outcome<()> {
    let read = || -> Outcome<(f64, u64)> {
        let text = metrics::get(&server.setup().admin(), "/metrics")?;
        let own = metrics::sum(&text, "thalweg_journal_flushes_total")?;
        Ok((own, metrics::device(&server.setup().dir)?.flushes))
    };
    let before = read()?;
    let mut settings = Settings::new(Workload::Produce);
    settings.brokers = server.address();
    settings.topic = "one-in-flight".to_owned();
    settings.in_flight = 1;
    settings.batch_bytes = settings.record_bytes;
    settings.warm_up = Duration::ZERO;
    settings.duration = Duration::from_secs(3);
    let report = thalweg_bench::load::run(&settings).context(|| "one request in flight")?;
    let after = read()?;
    let (own, device) = (after.0 - before.0, after.1 - before.1);
    let acks = report.requests;
    eprintln!(
        "{acks} acknowledgements one by one: {own} flushes by the node, {device} at the device"
    );
    if acks == 0 || report.errors > 0 || own < acks as f64 || device < acks {
        return Err(Failure::new("fewer flushes than acknowledgements"));
    }
    Ok(())
}
