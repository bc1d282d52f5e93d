//! `cargo x groups [--quick] [--dev] [--record]`: what consumer groups cost, next to Apache Kafka.
//!
//! Three figures of each server: a rebalance of many members on many partitions, commits of many
//! groups, and how soon after a restart all of them can be asked for their offsets. Thalweg, Kafka,
//! Kafka, Thalweg, so that a machine that drifts treats both alike; each start on an empty folder,
//! both with an acknowledgement that means flushed. It is for a quiet machine and no part of CI.
//!
//! Deliberately absent: members of the consumer protocol (KIP-848).

mod commits;
mod crowd;
mod rebalance;
mod report;

use std::fs;
use std::time::{Duration, Instant};

use report::{Results, Run};

use super::server::{self, Build, Kind, Server, Setup};
use super::{Context, Failure, Outcome, Tally, packages};

const PORT: u16 = 24_100;
/// So that all members of a first generation are in it; no part of what is measured.
const DELAY: &str = "group.initial.rebalance.delay.ms=3000";
const ORDER: [Kind; 4] = [Kind::Thalweg, Kind::Kafka, Kind::Kafka, Kind::Thalweg];

/// How large everything is.
struct Shape {
    members: usize,
    partitions: i32,
    rounds: u32,
    groups: usize,
    connections: usize,
    duration: Duration,
}

/// What was asked for.
struct Options {
    quick: bool,
    build: Build,
    record: bool,
}

impl Options {
    fn parse(arguments: &[&str]) -> Outcome<Self> {
        let mut options = Self {
            quick: false,
            build: Build::Release,
            record: false,
        };
        for word in arguments {
            match *word {
                "--quick" => options.quick = true,
                "--dev" => options.build = Build::Dev,
                "--record" => options.record = true,
                _ => {
                    let known = "only --quick, --dev and --record are known";
                    return Err(Failure::new(format!("`{word}`: {known}")));
                }
            }
        }
        if options.record && options.build == Build::Dev {
            return Err(Failure::new(
                "figures of a development build are not recorded",
            ));
        }
        Ok(options)
    }

    fn shape(&self) -> Shape {
        Shape {
            members: 200,
            partitions: 1_000,
            rounds: if self.quick { 5 } else { 30 },
            groups: 10_000,
            connections: 200,
            duration: Duration::from_secs(if self.quick { 5 } else { 30 }),
        }
    }

    fn form(&self) -> &'static str {
        if self.quick { "quick" } else { "full" }
    }
}

/// Runs the comparison.
pub fn groups(arguments: &[&str]) -> Outcome<Tally> {
    let options = Options::parse(arguments)?;
    let (thalweg, jars) = (server::thalweg(options.build)?, packages::kafka_jars()?);
    let shape = options.shape();
    let mut results = Results::new(options.form(), options.build, &shape);
    let mut tally = Tally::default();
    for kind in ORDER {
        let program = match kind {
            Kind::Thalweg => &thalweg,
            Kind::Kafka => &jars,
        };
        let mut setup = Setup::fresh(kind, "groups", PORT, program)?;
        setup.extra = extra(kind);
        eprintln!("== {kind:?}");
        let run = session(Server::new(setup), &shape).context(|| format!("{kind:?}"))?;
        results.runs.push(run);
        tally.passed += 1;
    }
    tell(&results.table());
    let folder = match options.record {
        true => packages::root().join("perf/results"),
        false => packages::cache(),
    };
    let path = folder.join(format!("groups-{}.json", options.form()));
    fs::write(&path, results.json()?).context(|| format!("writing {}", path.display()))?;
    tell(&format!("results are in {}\n", path.display()));
    Ok(tally)
}

/// Acknowledged means flushed on both sides.
fn extra(kind: Kind) -> Vec<String> {
    let words: &[&str] = match kind {
        Kind::Thalweg => &["--durability", "flush", "--set", DELAY],
        Kind::Kafka => &["log.flush.interval.messages=1", DELAY],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn session(mut server: Server, shape: &Shape) -> Outcome<Run> {
    server.start()?;
    let address = server.address();
    let rebalance_ms = rebalance::measure(&address, shape)
        .context(|| format!("rebalancing\n{}", server.words()))?;
    eprintln!("   rebalances: {}", rebalance_ms.len());
    let committed =
        commits::measure(&address, shape).context(|| format!("committing\n{}", server.words()))?;
    eprintln!("   commits: {}", committed.commits);
    server.stop()?;
    let started = Instant::now();
    let ready = server.start()?;
    commits::reloaded(&address, shape, &committed)
        .context(|| format!("loading groups\n{}", server.words()))?;
    let reload = started.elapsed();
    eprintln!("   all groups are there again");
    let kind = server.setup().kind;
    server.stop()?;
    fs::remove_dir_all(&server.setup().dir).context(|| "removing the server's folder")?;
    Ok(Run {
        server: kind,
        rebalance_ms,
        commits_per_second: committed.per_second,
        commits: committed.commits,
        ready_ms: ready.as_secs_f64() * 1e3,
        reload_ms: reload.as_secs_f64() * 1e3,
    })
}

#[expect(clippy::print_stdout, reason = "the table is the command's result")]
fn tell(text: &str) {
    print!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_equal_and_the_order_mirrors_the_sides() {
        assert!(extra(Kind::Thalweg).contains(&"flush".to_owned()));
        assert!(extra(Kind::Kafka).contains(&"log.flush.interval.messages=1".to_owned()));
        let mut mirrored = ORDER;
        mirrored.reverse();
        assert_eq!(ORDER, mirrored);
    }

    #[test]
    fn options_are_known_or_refused() {
        assert!(Options::parse(&["--quick", "--dev"]).is_ok());
        assert!(Options::parse(&["--record", "--dev"]).is_err());
        assert!(Options::parse(&["--fast"]).is_err());
    }
}
