//! Every workload against a sink with memory: what is counted adds up, and wrong data is found.

use std::sync::Arc;
use std::time::Duration;

use thalweg_bench::settings::{Keys, Partitioner, Workload};
use thalweg_bench::sink::{Fault, Kept, Sink, SinkConfig};
use thalweg_bench::{BenchError, Report, Settings, load};

fn sink(fault: Fault, fault_at: usize) -> Sink {
    let kept = Some(Arc::new(Kept::new(fault, fault_at)));
    Sink::start(SinkConfig {
        kept,
        ..SinkConfig::new()
    })
    .expect("a port is free")
}

fn settings(workload: Workload, sink: &Sink) -> Settings {
    let mut settings = Settings::new(workload);
    settings.brokers = sink.address();
    settings.record_bytes = 50;
    settings.batch_bytes = 500;
    settings.rate = Some(2000.0);
    settings.warm_up = Duration::from_millis(100);
    settings.duration = Duration::from_millis(500);
    settings.fetch_wait_ms = 50;
    settings
}

/// What the window counts depends on the machine; what was checked does not.
fn sound(report: &Report) {
    assert_eq!((report.errors, report.missing_records), (0, 0));
    assert_eq!(report.foreign_records, 0);
    assert!(report.latency_us.count > 0 || report.unsent_records > 0);
    assert!(report.latency_us.p50 <= report.latency_us.p99);
    assert!(report.latency_us.p99 <= report.latency_us.max);
    let text = serde_json::from_str::<Report>(&report.json())
        .expect("a report is read as it was written")
        .text();
    assert_eq!(text, report.text());
    assert!(report.hgrm().contains("#[Max"));
}

#[test]
fn every_workload_runs_and_adds_up() {
    for workload in [
        Workload::Produce,
        Workload::E2e,
        Workload::Mixed,
        Workload::FanOut,
    ] {
        let sink = sink(Fault::None, 0);
        let mut settings = settings(workload, &sink);
        settings.partitions = 3;
        settings.producers = 2;
        settings.consumers = 2;
        sound(&load::run(&settings).unwrap());
    }
}

#[test]
fn what_was_produced_can_be_consumed() {
    for (session, keys) in [(true, Keys::None), (false, Keys::Zipf(20, 1.0))] {
        let sink = sink(Fault::None, 0);
        let mut settings = settings(Workload::Produce, &sink);
        settings.partitions = 5;
        settings.keys = keys;
        settings.partitioner = Partitioner::RoundRobin;
        let written = load::run(&settings).unwrap();
        sound(&written);
        settings.workload = Workload::Consume;
        settings.fetch_session = session;
        settings.consumers = 2;
        let report = load::run(&settings).unwrap();
        sound(&report);
        // The warm-up's records are there as well.
        assert_eq!(report.records, 1200 - written.unsent_records);
        settings.records = Some(100);
        assert!(load::run(&settings).unwrap().records >= 100);
    }
}

#[test]
fn a_drain_ends_the_run_and_is_told_apart() {
    let sink = sink(Fault::None, 0);
    let mut settings = settings(Workload::CatchUp, &sink);
    settings.backlog = 5000;
    let report = load::run(&settings).unwrap();
    sound(&report);
    assert_eq!(report.parts.len(), 3);
    let drain = report.parts.last().unwrap();
    assert!(drain.name.starts_with("the drain"), "{}", drain.name);
    assert!(drain.records >= 5000, "{}", drain.records);
}

#[test]
fn a_thousand_partitions_take_one_record_a_batch() {
    let sink = sink(Fault::None, 0);
    let mut settings = Settings::new(Workload::ManyPartitions);
    settings.brokers = sink.address();
    settings.rate = Some(5000.0);
    settings.warm_up = Duration::ZERO;
    settings.duration = Duration::from_millis(400);
    let report = load::run(&settings).unwrap();
    sound(&report);
    assert_eq!(report.batches, 2000 - report.unsent_records);
}

#[test]
fn every_codec_is_read_back() {
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let sink = sink(Fault::None, 0);
        let mut settings = settings(Workload::E2e, &sink);
        settings.codec = codec.to_owned();
        sound(&load::run(&settings).unwrap());
    }
}

#[test]
fn without_acknowledgements_records_are_only_sent() {
    let sink = sink(Fault::None, 0);
    let mut settings = settings(Workload::Produce, &sink);
    (settings.acks, settings.idempotent) = (0, false);
    let report = load::run(&settings).unwrap();
    assert_eq!((report.errors, report.batches), (0, 0));
    assert!(report.records > 0);
}

#[test]
fn a_sweep_finds_where_a_sink_still_keeps_up() {
    let sink = sink(Fault::None, 0);
    let mut settings = settings(Workload::Produce, &sink);
    settings.sweep = Some(thalweg_bench::settings::Sweep::Between {
        low: 100.0,
        high: 400.0,
        steps: 2,
    });
    match load::run(&settings) {
        Ok(report) => assert!(report.knee_rate.is_some() && !report.sweep.is_empty()),
        // On a machine that stands still even the lowest rate may be too much; then it says so.
        Err(error) => assert!(error.to_string().contains("too many"), "{error}"),
    }
}

/// `auto` has measured the maximum first: it begins at a twentieth of it and never goes beyond.
#[test]
fn an_automatic_sweep_chooses_its_own_rates() {
    let sink = sink(Fault::None, 0);
    let mut settings = settings(Workload::Produce, &sink);
    settings.sweep = Some(thalweg_bench::settings::Sweep::Auto);
    match load::run(&settings) {
        Ok(report) => {
            let rates: Vec<f64> = report.sweep.iter().map(|step| step.rate).collect();
            let (lowest, most) = (rates[0], rates[0] * 20.0 * 1.001);
            assert!(lowest > 0.0, "{rates:?}");
            assert!(
                rates.iter().all(|rate| (lowest..=most).contains(rate)),
                "{rates:?}"
            );
            let knee = report.knee_rate.unwrap();
            assert!(rates.contains(&knee), "{knee} is none of {rates:?}");
        }
        // As above.
        Err(error) => assert!(error.to_string().contains("too many"), "{error}"),
    }
}

/// The wrong word of each fault, when consumers follow the producers.
#[test]
fn wrong_data_is_found() {
    for (fault, word) in [
        (Fault::Flip, "bad checksum"),
        (Fault::Lose, "acknowledged"),
        (Fault::Repeat, "came again or late"),
    ] {
        let sink = sink(fault, 3);
        let settings = settings(Workload::E2e, &sink);
        let error = load::run(&settings).unwrap_err();
        assert!(matches!(error, BenchError::Wrong(_)), "{fault:?}: {error}");
        assert!(error.to_string().contains(word), "{fault:?}: {error}");
    }
}

/// And when they come later: a gap is counted, since its cause is not known any more.
#[test]
fn wrong_data_is_found_later() {
    for fault in [Fault::Flip, Fault::Repeat, Fault::Lose] {
        let sink = sink(fault, 3);
        let mut settings = settings(Workload::Produce, &sink);
        assert_eq!(load::run(&settings).unwrap().errors, 0);
        settings.workload = Workload::Consume;
        match load::run(&settings) {
            Err(BenchError::Wrong(_)) => assert_ne!(fault, Fault::Lose),
            Ok(report) => {
                assert_eq!(fault, Fault::Lose);
                assert!(report.missing_records > 0 && report.errors > 0);
            }
            Err(error) => panic!("{fault:?}: {error}"),
        }
    }
}

/// A refused batch leaves a gap that consumers may not complain of, but it is counted as refused.
#[test]
fn what_was_refused_is_no_wrong_data() {
    let sink = sink(Fault::Refuse, 3);
    let report = load::run(&settings(Workload::E2e, &sink)).unwrap();
    assert_eq!((report.errors, report.first_error), (1, Some(19)));
    assert!(report.refused_records > 0);
    assert!(report.missing_records <= report.refused_records);
}

/// Whatever hits one batch of each partition: it is sent again, once, and nothing else is lost.
#[test]
fn an_outage_is_measured_and_nothing_acknowledged_is_lost() {
    for (fault, failures) in [
        (Fault::None, 0),
        (Fault::Refuse, 3),
        (Fault::HangUpBefore, 3),
        (Fault::HangUpAfter, 3),
    ] {
        let sink = sink(fault, 3);
        let mut settings = settings(Workload::Failover, &sink);
        settings.partitions = 3;
        let report = load::run(&settings).unwrap();
        sound(&report);
        assert_eq!(report.unsent_records, 0);
        let unavailable = report.unavailable.unwrap();
        assert_eq!(unavailable.outages, failures, "{fault:?}");
        assert_eq!(unavailable.reconnects, failures, "{fault:?}");
        assert_eq!(unavailable.retries, failures, "{fault:?}");
        assert!(unavailable.longest_ms >= unavailable.median_ms);
        assert_eq!(failures > 0, unavailable.longest_ms > 0.0);
    }
}

#[test]
fn records_lost_in_an_outage_are_wrong_data() {
    for fault in [Fault::Lose, Fault::Repeat, Fault::Flip] {
        let sink = sink(fault, 3);
        let error = load::run(&settings(Workload::Failover, &sink)).unwrap_err();
        assert!(matches!(error, BenchError::Wrong(_)), "{fault:?}: {error}");
    }
}

#[test]
fn of_several_brokers_one_has_to_answer() {
    let sink = sink(Fault::None, 0);
    let mut settings = settings(Workload::Failover, &sink);
    settings.brokers = format!("127.0.0.1:1,{}", sink.address());
    sound(&load::run(&settings).unwrap());
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    let mut settings = Settings::new(Workload::Produce);
    settings.brokers = "127.0.0.1:1".to_owned();
    let told = load::run(&settings).unwrap_err().to_string();
    assert!(told.starts_with("connecting"), "{told}");
}
