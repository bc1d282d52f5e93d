//! Results as text: a line while it runs, a table of medians at the end.

use std::fmt::Write;

use super::{Results, Sample, rows};

pub(super) fn line(sample: &Sample) -> String {
    let (report, row) = (&sample.report, sample.row);
    let latency = &report.latency_us;
    format!(
        "{row:46} {:>9.0}/s {:>7.1} MB/s  p50 {:>8.0}  p99 {:>8.0}  p99.9 {:>8.0} us  {:>6.2} CPU-s/GB{}",
        report.records_per_second,
        report.mb_per_second,
        latency.p50,
        latency.p99,
        latency.p999,
        sample.cpu_seconds_per_gb,
        if report.errors > 0 {
            format!("  {} ERRORS", report.errors)
        } else {
            String::new()
        },
    )
}

pub(super) fn whole(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# Side by side, quick\n");
    if let Some(first) = results.samples.first() {
        let here = &first.report.environment;
        let _ = writeln!(
            text,
            "Commit {}; Apache Kafka 4.3.0 with its defaults and 1 GiB of heap; {} CPUs ({}), Linux {}; \
             generator and server share the cores. Latency in us, in open loop from the intended send \
             time. Medians of the repeats.\n",
            results.commit, here.cpus, here.cpu, here.kernel
        );
    }
    let limits = &results.limits;
    let _ = writeln!(
        text,
        "The machine itself: echo of 1 KiB over loopback p50 {:.0}, p99 {:.0}; write and fdatasync of \
         4 KiB p50 {:.0}, p99 {:.0}.\n",
        limits.echo_p50_us,
        limits.echo_p99_us,
        limits.durable_write_p50_us,
        limits.durable_write_p99_us
    );
    let _ = writeln!(
        text,
        "| row | server | records/s | MB/s | p50 | p99 | p99.9 | CPU-s/GB | device flushes/s | errors |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    );
    for row in rows::QUICK {
        for subject in subjects(results) {
            table_row(&mut text, results, row.name, &subject);
        }
    }
    starts(&mut text, results);
    text
}

fn table_row(text: &mut String, results: &Results, row: &str, subject: &str) {
    let of = |get: &dyn Fn(&Sample) -> f64| {
        let mine = results
            .samples
            .iter()
            .filter(|s| s.row == row && s.subject == subject);
        median(mine.map(get).collect())
    };
    let _ = writeln!(
        text,
        "| {row} | {subject} | {:.0} | {:.1} | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} |",
        of(&|s| s.report.records_per_second),
        of(&|s| s.report.mb_per_second),
        of(&|s| s.report.latency_us.p50),
        of(&|s| s.report.latency_us.p99),
        of(&|s| s.report.latency_us.p999),
        of(&|s| s.cpu_seconds_per_gb),
        of(&|s| s.device_flushes as f64 / s.report.seconds),
        of(&|s| s.report.errors as f64),
    );
}

fn starts(text: &mut String, results: &Results) {
    let _ = writeln!(
        text,
        "\n| server | first start to ready, ms | memory after start, MiB | peak, MiB |\n|---|---|---|---|"
    );
    for subject in subjects(results) {
        let of = |get: &dyn Fn(&super::Start) -> f64| {
            median(
                results
                    .starts
                    .iter()
                    .filter(|s| s.subject == subject)
                    .map(get)
                    .collect(),
            )
        };
        let _ = writeln!(
            text,
            "| {subject} | {:.0} | {:.0} | {:.0} |",
            of(&|s| s.ready_ms as f64),
            of(&|s| s.resident_mib as f64),
            of(&|s| s.peak_mib_after_load as f64),
        );
    }
}

fn subjects(results: &Results) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for sample in &results.samples {
        if !names.contains(&sample.subject) {
            names.push(sample.subject.clone());
        }
    }
    names
}

/// Of two, the mean: neither is the better witness.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(low), Some(high)) if values.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (_, Some(value)) => *value,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_repeats() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0]) - 2.5).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }
}
