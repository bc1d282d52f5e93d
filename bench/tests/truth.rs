//! Does the generator tell the truth? Against a sink whose delays are known, by a virtual clock:
//! time passes only by the delays that the server applies and by waiting for the next record, so
//! that what has to come out is arithmetic, on however busy a machine.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use thalweg_bench::load::clock::Clock;
use thalweg_bench::settings::Workload;
use thalweg_bench::sink::{Delay, Sink, SinkConfig};
use thalweg_bench::{Report, Settings, load};

const MS: Duration = Duration::from_millis(1);

/// One record a request, one request at a time: a queue with one server.
fn settings(sink: &Sink, rate: Option<f64>) -> Settings {
    let mut settings = Settings::new(Workload::Produce);
    settings.brokers = sink.address();
    settings.rate = rate;
    settings.record_bytes = 100;
    settings.batch_bytes = 100;
    settings.in_flight = 1;
    settings.warm_up = Duration::ZERO;
    settings.duration = 20_000 * MS;
    settings
}

fn run(delay: Delay, rate: Option<f64>) -> (Report, Sink) {
    let moved = Arc::new(AtomicU64::new(0));
    let config = SinkConfig {
        delay,
        clock: Clock::Virtual(Arc::clone(&moved)),
        ..SinkConfig::new()
    };
    let sink = Sink::start(config).expect("a port is free");
    let report = load::run_by(&settings(&sink, rate), Clock::Virtual(moved)).expect("a run");
    assert_eq!(report.errors, 0);
    (report, sink)
}

fn within(found: f64, expected: f64, percent: f64) -> bool {
    (found - expected).abs() <= expected * percent / 100.0
}

/// At maximum rate a latency is the delay itself: the server's own count of what it applied and
/// the generator's percentiles are the same distribution.
#[test]
fn percentiles_are_those_of_the_delays() {
    for delay in [
        Delay::Fixed(3 * MS),
        Delay::Uniform(MS, 9 * MS),
        Delay::Exponential(2 * MS),
    ] {
        let (report, sink) = run(delay, None);
        let (found, applied) = (report.latency_us, sink.applied());
        assert!(found.count > 1000, "{delay:?}: {}", found.count);
        for (name, found, quantile) in [
            ("p50", found.p50, 0.5),
            ("p90", found.p90, 0.9),
            ("p99", found.p99, 0.99),
            ("p99.9", found.p999, 0.999),
            ("max", found.max, 1.0),
        ] {
            let expected = applied.quantile_us(quantile);
            assert!(
                within(found, expected, 2.0),
                "{delay:?} {name}: {found}, applied {expected}"
            );
        }
    }
}

/// At a rate the server can keep, records are never late: latency is the delay, lag is nothing.
#[test]
fn an_even_load_on_a_fast_server_waits_for_nothing() {
    let (report, _sink) = run(Delay::Fixed(2 * MS), Some(100.0));
    assert_eq!(report.records, 2000);
    assert!(
        within(report.latency_us.p50, 2000.0, 0.2),
        "{:?}",
        report.latency_us
    );
    assert!(
        within(report.latency_us.max, 2000.0, 0.2),
        "{:?}",
        report.latency_us
    );
    assert!(
        report.schedule_lag_us.max < 1.0,
        "{:?}",
        report.schedule_lag_us
    );
    assert_eq!((report.unsent_records, report.lag_told()), (0, None));
}

/// What an omission would hide: 200 records a second for a server that takes 10 ms each. The queue
/// grows by one record every 10 ms, and the latency of the record due at t is t + 10 ms, up to
/// those that never left.
#[test]
fn a_slow_server_cannot_hide_behind_its_own_slowness() {
    let (report, sink) = run(Delay::Fixed(10 * MS), Some(200.0));
    assert_eq!(sink.applied().count(), 2000);
    assert!(
        within(report.records as f64, 2000.0, 0.2),
        "{}",
        report.records
    );
    assert!(
        within(report.unsent_records as f64, 2000.0, 0.2),
        "{}",
        report.unsent_records
    );
    assert_eq!(report.latency_us.count, 4000);
    // Sent: 10 ms..10 s, rising evenly over the first 10 s. Unsent: 10 s..0 at the end.
    assert!(
        within(report.latency_us.p50, 5_005_000.0, 2.0),
        "{:?}",
        report.latency_us
    );
    assert!(
        within(report.latency_us.max, 10_000_000.0, 2.0),
        "{:?}",
        report.latency_us
    );
    // The schedule slipped by as much, and it was the server's fault.
    assert!(
        within(report.schedule_lag_us.max, 10_000_000.0, 2.0),
        "{:?}",
        report.schedule_lag_us
    );
    assert!(report.own_lag_us.max < 1.0, "{:?}", report.own_lag_us);
    let told = report.lag_told().unwrap();
    assert!(told.contains("no room"), "{told}");
    assert!(report.text().contains(&told));
}

/// Two records come due while one is answered: they leave together, one in time, one late.
#[test]
fn records_that_come_due_together_leave_together() {
    let moved = Arc::new(AtomicU64::new(0));
    let config = SinkConfig {
        delay: Delay::Fixed(10 * MS),
        clock: Clock::Virtual(Arc::clone(&moved)),
        ..SinkConfig::new()
    };
    let sink = Sink::start(config).unwrap();
    let mut settings = settings(&sink, Some(200.0));
    settings.batch_bytes = 200;
    let report = load::run_by(&settings, Clock::Virtual(moved)).unwrap();
    assert_eq!(sink.applied().count(), 2000);
    assert!(
        within(report.latency_us.p50, 10_000.0, 0.2),
        "{:?}",
        report.latency_us
    );
    assert!(
        within(report.latency_us.max, 15_000.0, 0.2),
        "{:?}",
        report.latency_us
    );
    assert!(report.own_lag_us.max < 1.0, "{:?}", report.own_lag_us);
}

/// Linger holds a request back, and the latency has it in it.
#[test]
fn linger_is_part_of_the_latency() {
    let moved = Arc::new(AtomicU64::new(0));
    let config = SinkConfig {
        delay: Delay::Fixed(MS),
        clock: Clock::Virtual(Arc::clone(&moved)),
        ..SinkConfig::new()
    };
    let sink = Sink::start(config).unwrap();
    let mut settings = settings(&sink, Some(100.0));
    settings.batch_bytes = 1000;
    settings.linger = 5 * MS;
    let report = load::run_by(&settings, Clock::Virtual(moved)).unwrap();
    assert!(
        within(report.latency_us.p50, 6000.0, 0.2),
        "{:?}",
        report.latency_us
    );
    // A full batch does not linger: ten records at 10 kHz are due within 1 ms.
    settings.rate = Some(10_000.0);
    settings.duration = 1000 * MS;
    let report = load::run(&settings).unwrap();
    assert_eq!(report.errors, 0);
}

/// The generator itself too late: told, and told as its own fault. The machine's clock is used here
/// because no virtual one passes while the generator works; nothing depends on how fast it is.
#[test]
fn a_generator_that_falls_behind_says_so() {
    let sink = Sink::start(SinkConfig::new()).unwrap();
    let mut settings = settings(&sink, Some(1e8));
    settings.record_bytes = 16;
    settings.batch_bytes = 1 << 16;
    settings.in_flight = 5;
    settings.duration = 300 * MS;
    let report = load::run(&settings).unwrap();
    assert!(report.own_lag_us.max > 1000.0, "{:?}", report.own_lag_us);
    assert!(report.unsent_records > 0);
    let told = report.lag_told().unwrap();
    assert!(report.text().contains(&told) && report.html().contains("class=\"warning\""));
}
