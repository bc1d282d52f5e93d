//! One server while rows are played on it: the generator's runs, and what they cost the server.
//!
//! CPU time counts over the whole life of a generator, its warm-up included, and so do the records
//! it is divided by: they are the growth of the topic's end offsets, as the server tells it. Neither
//! is taken from the generator's word. Rates and latencies are of the measured window alone.

use std::path::Path;
use std::time::{Duration, Instant};

use thalweg_bench::Report;

use super::account::{self, Account};
use super::client::Client;
use super::metric::{Figures, Metric};
use super::options::{Options, Times};
use super::programs::Programs;
use super::rows::{Plan, Row};
use super::subject::{Durability, Subject};
use super::words::Words;
use crate::x::process::Program;
use crate::x::server::Server;
use crate::x::{Context, Failure, Outcome, metrics};

/// Beyond its own time a generator may wait so long for answers before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(40);
/// Creating fewer partitions than this takes no time worth telling.
const PARTITIONS_TOLD_MIN: i32 = 1000;
/// A topic of so many partitions gets a few records in each before anything is measured: with the
/// first index entry, after 4 KiB, a partition costs Kafka about 20 ms once, and no topic in use pays
/// that.
const PARTITIONS_TOUCHED_MIN: i32 = 100;
/// So long the first records of all partitions may take.
const TOUCH_PATIENCE: Duration = Duration::from_secs(180);
/// Half of Kafka's most, where no run on Kafka came before.
const HALF_RATE_DEFAULT: f64 = 100_000.0;

/// Segments of a size that roll every second or two, and a topic that holds a few of them.
const SOAK: &str = "produce --topic soak --partitions 4 --rate 20000 \
    --topic-config segment.bytes=8388608 --topic-config retention.bytes=16777216 \
    --topic-config file.delete.delay.ms=1000";
const SOAK_LONG: &str = "produce --topic soak --partitions 4 --rate 50000 \
    --topic-config segment.bytes=268435456 --topic-config retention.bytes=1073741824";
const SOAK_LONG_TIME: Duration = Duration::from_secs(3600);

pub(super) struct Scene<'a> {
    pub(super) server: Server,
    pub(super) subject: Subject,
    pub(super) durability: Durability,
    pub(super) options: &'a Options,
    pub(super) times: Times,
    pub(super) programs: &'a Programs,
    /// Half of Kafka's most in row 8p; the same for all who follow.
    pub(super) half_rate: Option<f64>,
    /// Set when the server was started anew for cold rows.
    pub(super) restart_seconds: Option<f64>,
}

/// Counters at the start of a load.
pub(super) struct Before {
    account: Account,
    process: u32,
}

impl Scene<'_> {
    pub(super) fn play(&mut self, row: &Row) -> Outcome<Figures> {
        match row.plan {
            Plan::Load(_) => self.load(row.words(self.is_long())),
            Plan::Soak => self.soak(),
            Plan::Warm => self.warm(),
            Plan::Cold(consumers) => self.cold(consumers),
            Plan::Disturbed => self.disturbed(),
            Plan::Idle => self.idle(),
            Plan::Foreign(tool) => self.foreign(tool),
            Plan::Absent(why) => Err(Failure::new(why)),
        }
    }

    pub(super) fn is_long(&self) -> bool {
        self.options.form == super::results::Form::Long
    }

    /// Runs the generator with these words.
    pub(super) fn load(&self, words: &str) -> Outcome<Figures> {
        let words = self.words(words);
        let asked = Instant::now();
        let created = self.create(&words)?;
        let mut records = self.records(&words)?;
        let created = created.then(|| asked.elapsed().as_secs_f64());
        let mut touched = None;
        if created.is_some() && words.partitions() >= PARTITIONS_TOUCHED_MIN {
            touched = Some(self.touch(&words)?);
            records = self.records(&words)?;
        }
        let before = self.before()?;
        let report = self.generate(&words)?;
        let grown = self.records(&words)?.saturating_sub(records) * words.copies();
        let mut figures = self.after(&before, grown, grown * words.record_bytes())?;
        figures.extend(figures_of(&report, &words));
        if let Some(seconds) = created.filter(|_| words.partitions() >= PARTITIONS_TOLD_MIN) {
            figures.insert(Metric::CreateSeconds, seconds);
            figures.extend(touched.map(|seconds| (Metric::FirstRecordsSeconds, seconds)));
        }
        Ok(figures)
    }

    pub(super) fn words(&self, words: &str) -> Words {
        Words::new(words, self.half_rate.unwrap_or(HALF_RATE_DEFAULT))
    }

    /// True if the topic was not there before.
    pub(super) fn create(&self, words: &Words) -> Outcome<bool> {
        let mut client = Client::connect(&self.server.address())?;
        client.create(words.topic(), words.partitions(), &words.topic_configs())
    }

    /// Records in all partitions of a load's topic so far, as the server tells it.
    pub(super) fn records(&self, words: &Words) -> Outcome<u64> {
        Client::connect(&self.server.address())?.records(words.topic(), words.partitions())
    }

    fn soak(&mut self) -> Outcome<Figures> {
        if !self.is_long() {
            return self.load(SOAK);
        }
        let usual = self.times;
        self.times.row = SOAK_LONG_TIME;
        let figures = self.load(SOAK_LONG);
        self.times = usual;
        figures
    }

    pub(super) fn process(&self) -> Outcome<u32> {
        self.server.process().context(|| "the server does not run")
    }

    pub(super) fn dir(&self) -> &Path {
        &self.server.setup().dir
    }

    pub(super) fn before(&self) -> Outcome<Before> {
        let process = self.process()?;
        account::reset_peak(process);
        Ok(Before {
            account: Account::take(process, self.dir())?,
            process,
        })
    }

    /// What it cost since then to write or deliver so much.
    pub(super) fn after(&self, before: &Before, records: u64, bytes: u64) -> Outcome<Figures> {
        let account = Account::take(before.process, self.dir())?;
        let mut figures = before.account.until(&account).figures(records, bytes);
        let (_, peak) = metrics::memory_mib(before.process)?;
        figures.insert(Metric::PeakMib, peak as f64);
        Ok(figures)
    }

    /// The first records of each partition; how many seconds that took.
    fn touch(&self, words: &Words) -> Outcome<f64> {
        let started = Instant::now();
        let report = self.generator(
            &words.touching(),
            (Duration::ZERO, Duration::from_secs(1)),
            TOUCH_PATIENCE,
        );
        let report = report.context(|| "writing to each partition of a new topic")?;
        match report.errors {
            0 => Ok(started.elapsed().as_secs_f64()),
            errors => Err(Failure::new(format!(
                "{errors} errors with the first records of a new topic ({:?})",
                report.first_error
            ))),
        }
    }

    /// One run of the generator; an answer with errors is still an answer.
    pub(super) fn generate(&self, words: &Words) -> Outcome<Report> {
        self.generator(words, (self.times.row_warm_up, self.times.row), PATIENCE)
    }

    fn generator(
        &self,
        words: &Words,
        (warm_up, measured): (Duration, Duration),
        patience: Duration,
    ) -> Outcome<Report> {
        let milliseconds = |time: Duration| format!("{}ms", time.as_millis());
        let output = Program::new(&self.programs.generator)
            .args(words.each())
            .args(["--brokers", &self.server.address(), "--format", "json"])
            .args(["--durability", self.durability.name()])
            .args(["--warm-up", &milliseconds(warm_up)])
            .args(["--duration", &milliseconds(measured)])
            .limit(warm_up + measured + patience)
            .finish()?;
        let report: Result<Report, _> = serde_json::from_str(output.stdout.trim());
        match report {
            // A rate of which nothing was kept is a figure too.
            Ok(report) if report.records > 0 || words.rate().is_some() => Ok(report),
            Ok(report) => Err(Failure::new(format!(
                "no record came through, {} errors (first: {:?})",
                report.errors, report.first_error
            ))),
            Err(_) if !output.status.success() => {
                let words = output.stderr.lines().last().unwrap_or_default();
                Err(Failure::new(format!(
                    "the generator ended with {}: {words}",
                    output.status
                )))
            }
            Err(error) => Err(error).context(|| "reading the generator's report"),
        }
    }
}

/// What the generator itself saw.
pub(super) fn figures_of(report: &Report, words: &Words) -> Figures {
    let mut figures = Figures::from([
        (Metric::RecordsPerSecond, report.records_per_second),
        (Metric::MbPerSecond, report.mb_per_second),
        (Metric::Errors, report.errors as f64),
    ]);
    let latency = &report.latency_us;
    if latency.count > 0 && !words.consumes() {
        figures.extend([
            (Metric::P50Us, latency.p50),
            (Metric::P99Us, latency.p99),
            (Metric::P999Us, latency.p999),
            (Metric::P9999Us, latency.p9999),
            (Metric::MaxUs, latency.max),
        ]);
    }
    if let Some(rate) = words.rate() {
        figures.insert(Metric::RateAsked, rate);
        figures.insert(Metric::ScheduleLagP99Us, report.schedule_lag_us.p99);
        if let Some(ratio) = worst_to_median(&report.timeline_worst_us) {
            figures.insert(Metric::WorstToMedianSecond, ratio);
        }
    }
    figures
}

/// Of two seconds neither is the median: a shorter run has no such figure.
fn worst_to_median(worst_us: &[u64]) -> Option<f64> {
    let mut sorted = worst_us.to_vec();
    sorted.sort_unstable();
    let median = *sorted.get(sorted.len() / 2)?;
    let worst = *sorted.last()?;
    (sorted.len() >= 3 && median > 0).then(|| worst as f64 / median as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_second_is_told_against_the_median() {
        assert_eq!(worst_to_median(&[100, 400, 100, 200, 100]), Some(4.0));
        assert_eq!(worst_to_median(&[100, 400]), None);
        assert_eq!(worst_to_median(&[0, 0, 9]), None);
    }
}
