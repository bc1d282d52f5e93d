//! `cargo x generator`: what the load generator itself can do, and whether its figures are true.
//!
//! Against the generator's own sink, a server that only acknowledges: the most one event loop
//! sends, how late it is at a steady rate, and, with delays from known distributions, how far its
//! percentiles lie from the delays that the sink applied. Real time and real sockets; the same
//! proof by a virtual clock, exact on any machine, is `bench/tests/truth.rs`.
//!
//! Deliberately absent: a verdict on the figures. They are the machine's as much as ours; only an
//! error fails.

use std::time::Duration;

use thalweg_bench::settings::Workload;
use thalweg_bench::sink::{Delay, Sink, SinkConfig};
use thalweg_bench::{Report, Settings, load};

use super::{Context, Failure, Outcome, Tally};

const WARM_UP: Duration = Duration::from_secs(1);
const DURATION: Duration = Duration::from_secs(5);
const PARTITIONS: i32 = 8;
const BATCH_BYTES: usize = 64 << 10;
/// Bytes of a record's value, and records per second: half of a million records, half of a GB.
const PROMISED: [(usize, f64); 2] = [(100, 500_000.0), (1024, 488_281.0)];
const MS: Duration = Duration::from_millis(1);
const DELAYS: [Delay; 3] = [
    Delay::Fixed(MS.saturating_mul(20)),
    Delay::Uniform(MS.saturating_mul(10), MS.saturating_mul(30)),
    Delay::Exponential(MS.saturating_mul(20)),
];
/// Connections under a delay: one request at a time each, so that enough are counted.
const DELAYED_PRODUCERS: usize = 64;
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

pub fn generator(arguments: &[&str]) -> Outcome<Tally> {
    if !arguments.is_empty() {
        return Err(Failure::new("cargo x generator takes no words"));
    }
    let mut tally = Tally::default();
    for (size, rate) in PROMISED {
        let most = run(Delay::None, |settings| settings.record_bytes = size)?.0;
        eprintln!(
            "{size} B at most: {:.0} records/s, {:.0} MB/s on one event loop",
            most.records_per_second, most.mb_per_second
        );
        let steady = run(Delay::None, |settings| {
            settings.record_bytes = size;
            settings.rate = Some(rate);
        })?;
        let lag = steady.0.schedule_lag_us;
        eprintln!(
            "{size} B at {rate:.0} records/s: sent {:.0}; schedule lag p50 {:.0} us, p99 {:.0} \
             us, max {:.0} us",
            steady.0.records_per_second, lag.p50, lag.p99, lag.max
        );
        tally.passed += 2;
    }
    for delay in DELAYS {
        let (report, sink) = run(delay, |settings| {
            settings.record_bytes = 100;
            settings.batch_bytes = 100;
            settings.in_flight = 1;
            settings.producers = DELAYED_PRODUCERS;
            settings.warm_up = Duration::ZERO;
        })?;
        let (found, applied) = (report.latency_us, sink.applied());
        let found = [found.p50, found.p90, found.p99, found.p999];
        let each = QUANTILES
            .iter()
            .zip(found)
            .map(|((name, quantile), found)| {
                let applied = applied.quantile_us(*quantile);
                let off = (found / applied - 1.0) * 100.0;
                format!("{name} {found:.0} us for {applied:.0} ({off:+.1}%)")
            });
        eprintln!("{delay:?}: {}", each.collect::<Vec<_>>().join(", "));
        tally.passed += 1;
    }
    Ok(tally)
}

fn run(delay: Delay, change: impl FnOnce(&mut Settings)) -> Outcome<(Report, Sink)> {
    let config = SinkConfig {
        delay,
        ..SinkConfig::new()
    };
    let sink = Sink::start(config).context(|| "starting the sink")?;
    let mut settings = Settings::new(Workload::Produce);
    settings.brokers = sink.address();
    settings.partitions = PARTITIONS;
    settings.batch_bytes = BATCH_BYTES;
    settings.warm_up = WARM_UP;
    settings.duration = DURATION;
    change(&mut settings);
    let report = load::run(&settings).context(|| format!("a load against a sink, {delay:?}"))?;
    if report.errors > 0 || report.records == 0 {
        return Err(Failure::new(format!(
            "errors, or no records: {}",
            report.text()
        )));
    }
    Ok((report, sink))
}
