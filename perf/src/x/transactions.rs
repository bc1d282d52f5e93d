//! `cargo x transactions [--quick] [--dev] [--record]`: what a transaction costs, next to Apache Kafka.
//!
//! Applications with Kafka's own Java client copy 100 records a transaction from topic to topic, offsets
//! within the transaction (`perf/interop/clients/java/Copy.java`): one application, then four side by
//! side. Thalweg, Kafka, Kafka, Thalweg, each start on an empty folder, an acknowledgement flushed on
//! both sides. What readers of committed records get is counted: a copy that is lost or comes twice fails
//! the run. It is for a quiet machine and no part of CI.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::median::median;
use super::process::Program;
use super::server::{self, Build, Kind, Server, Setup};
use super::{Context, Failure, Outcome, Tally, packages};

const SCHEMA_VERSION: u32 = 1;
const PORT: u16 = 24_120;
const ORDER: [Kind; 4] = [Kind::Thalweg, Kind::Kafka, Kind::Kafka, Kind::Thalweg];
/// Applications side by side.
const APPLICATIONS: [usize; 2] = [1, 4];
const RECORDS: u64 = 100;
/// Beside what it measures, the application starts, fills its topic and counts what it copied.
const SPARE: Duration = Duration::from_secs(120);

/// What was asked for.
struct Options {
    quick: bool,
    build: Build,
    record: bool,
}

impl Options {
    fn parse(arguments: &[&str]) -> Outcome<Self> {
        let has = |word| arguments.contains(&word);
        let known = ["--quick", "--dev", "--record"];
        if let Some(word) = arguments.iter().find(|word| !known.contains(word)) {
            let known = known.join(", ");
            return Err(Failure::new(format!("`{word}`: only {known} are known")));
        }
        if has("--record") && has("--dev") {
            let words = "figures of a development build are not recorded";
            return Err(Failure::new(words));
        }
        Ok(Self {
            quick: has("--quick"),
            build: if has("--dev") {
                Build::Dev
            } else {
                Build::Release
            },
            record: has("--record"),
        })
    }

    /// Seconds to warm up, for both have machines that compile or caches that fill, and to measure.
    fn seconds(&self) -> [u64; 2] {
        if self.quick { [4, 6] } else { [10, 30] }
    }

    fn form(&self) -> &'static str {
        if self.quick { "quick" } else { "full" }
    }
}

/// What the application prints.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Told {
    /// Transactions within the time measured.
    measured: u64,
    seconds: f64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
    /// All of them, the warm-up's too.
    transactions: u64,
    /// Records that a reader of committed ones got.
    copied: u64,
}

/// One load on one start of a server.
#[derive(Debug, Serialize)]
struct Run {
    server: &'static str,
    applications: usize,
    #[serde(flatten)]
    told: Told,
}

/// All runs of one call.
#[derive(Debug, Serialize)]
struct Results {
    schema_version: u32,
    form: &'static str,
    build: &'static str,
    /// What an acknowledgement is on both sides.
    durability: &'static str,
    cores: usize,
    records_per_transaction: u64,
    runs: Vec<Run>,
}

/// Runs the comparison.
pub fn transactions(arguments: &[&str]) -> Outcome<Tally> {
    let options = Options::parse(arguments)?;
    let (thalweg, jars) = (server::thalweg(options.build)?, packages::kafka_jars()?);
    let folder = packages::root().join("perf/interop/clients/java");
    let classes = packages::java_classes(&folder, &jars)?;
    let mut results = Results {
        schema_version: SCHEMA_VERSION,
        form: options.form(),
        build: match options.build {
            Build::Release => "release",
            Build::Dev => "dev",
        },
        durability: "flush",
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        records_per_transaction: RECORDS,
        runs: Vec::new(),
    };
    let mut tally = Tally::default();
    for kind in ORDER {
        let program = match kind {
            Kind::Thalweg => &thalweg,
            Kind::Kafka => &jars,
        };
        for applications in APPLICATIONS {
            let mut setup = Setup::fresh(kind, "transactions", PORT, program)?;
            setup.extra = extra(kind);
            eprintln!("== {kind:?}, {applications} applications");
            let told = session(
                Server::new(setup),
                (&classes, &jars),
                applications,
                &options,
            )
            .context(|| format!("{kind:?}"))?;
            results.runs.push(Run {
                server: name(kind),
                applications,
                told,
            });
            tally.passed += 1;
        }
    }
    tell(&results.table());
    let folder = match options.record {
        true => packages::root().join("perf/results"),
        false => packages::cache(),
    };
    let path = folder.join(format!("transactions-{}.json", options.form()));
    let json = serde_json::to_string_pretty(&results).context(|| "writing results as JSON")?;
    fs::write(&path, json + "\n").context(|| format!("writing {}", path.display()))?;
    tell(&format!("results are in {}\n", path.display()));
    Ok(tally)
}

/// Acknowledged means flushed on both sides.
fn extra(kind: Kind) -> Vec<String> {
    let words: &[&str] = match kind {
        Kind::Thalweg => &["--durability", "flush"],
        Kind::Kafka => &["log.flush.interval.messages=1"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Thalweg => "Thalweg",
        Kind::Kafka => "Apache Kafka",
    }
}

fn session(
    mut server: Server,
    (classes, jars): (&Path, &Path),
    applications: usize,
    options: &Options,
) -> Outcome<Told> {
    server.start()?;
    let [warm_up, seconds] = options.seconds();
    let path = format!("{}:{}/*", classes.display(), jars.display());
    let numbers = [applications as u64, RECORDS, warm_up, seconds].map(|one| one.to_string());
    let output = Program::new("java")
        .args(["-Xmx512m", "-cp", &path, "Copy", &server.address()])
        .args(&numbers)
        .limit(SPARE + Duration::from_secs(warm_up + seconds))
        .run()
        .context(|| format!("copying\n{}", server.words()))?;
    server.stop()?;
    fs::remove_dir_all(&server.setup().dir).context(|| "removing the server's folder")?;
    let line = output.stdout.lines().last().unwrap_or_default();
    let told: Told = serde_json::from_str(line).context(|| format!("not the result: {line}"))?;
    let wanted = told.transactions * RECORDS;
    if told.copied != wanted {
        let words = format!("{} records are copied, not {wanted}", told.copied);
        return Err(Failure::new(words));
    }
    Ok(told)
}

/// A figure of a run, and whether less of it is better.
type Figure = (&'static str, fn(&Told) -> f64, bool);

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds and counts far below 2^52"
)]
const FIGURES: [Figure; 4] = [
    (
        "transactions/s",
        |told| told.measured as f64 / told.seconds,
        false,
    ),
    ("p50, us", |told| told.p50_us as f64, true),
    ("p99, us", |told| told.p99_us as f64, true),
    ("max, us", |told| told.max_us as f64, true),
];

impl Results {
    /// A line a figure: the runs in their order, then how many times better Thalweg is.
    fn table(&self) -> String {
        let mut text = format!(
            "{RECORDS} records a transaction, offsets within; {} build, {} form, {} cores.\n\
             An acknowledgement is flushed to the device on both sides.\n\n\
             | applications | | Thalweg | Kafka | Kafka | Thalweg | Thalweg is better by |\n\
             |---:|---|---:|---:|---:|---:|---:|\n",
            self.build, self.form, self.cores
        );
        for applications in APPLICATIONS {
            for (words, figure, less_is_better) in FIGURES {
                text += &self.line(applications, (words, figure, less_is_better));
            }
        }
        text
    }

    fn line(&self, applications: usize, (words, figure, less_is_better): Figure) -> String {
        let runs = || {
            self.runs
                .iter()
                .filter(move |run| run.applications == applications)
        };
        let shown: String = runs()
            .map(|run| format!(" {:.0} |", figure(&run.told)))
            .collect();
        let side = |kind| {
            let mine = runs().filter(|run| run.server == name(kind));
            median(mine.map(|run| figure(&run.told)).collect())
        };
        let (ours, theirs) = (side(Kind::Thalweg), side(Kind::Kafka));
        let ratio = match less_is_better {
            true => theirs / ours,
            false => ours / theirs,
        };
        format!("| {applications} | {words} |{shown} {ratio:.2} |\n")
    }
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
    fn a_ratio_above_one_is_in_thalwegs_favour_whichever_way_the_figure_points() {
        let run = |kind, measured, p99_us| Run {
            server: name(kind),
            applications: 4,
            told: Told {
                measured,
                seconds: 2.0,
                p50_us: 1,
                p99_us,
                max_us: 9,
                transactions: 1,
                copied: 100,
            },
        };
        let results = Results {
            schema_version: SCHEMA_VERSION,
            form: "quick",
            build: "release",
            durability: "flush",
            cores: 2,
            records_per_transaction: RECORDS,
            runs: vec![
                run(Kind::Thalweg, 800, 20),
                run(Kind::Kafka, 200, 100),
                run(Kind::Kafka, 200, 100),
                run(Kind::Thalweg, 1200, 20),
            ],
        };
        let table = results.table();
        let expected = "| 4 | transactions/s | 400 | 100 | 100 | 600 | 5.00 |";
        assert!(table.contains(expected), "{table}");
        assert!(
            table.contains("| 4 | p99, us | 20 | 100 | 100 | 20 | 5.00 |"),
            "{table}"
        );
    }

    #[test]
    fn options_are_known_or_refused() {
        assert!(Options::parse(&["--quick", "--dev"]).is_ok());
        assert!(Options::parse(&["--record", "--dev"]).is_err());
        assert!(Options::parse(&["--fast"]).is_err());
    }
}
