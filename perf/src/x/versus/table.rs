//! Results as Markdown: the whole table, and a line on the screen while it runs. Pure.

use std::fmt::Write;

use super::metric::{Metric, thousands};
use super::results::{Results, Sample};
use super::rows::{Plan, ROWS};
use super::subject::{Durability, ORDER, Subject};
use super::summary::{self, Cell, Line};
use crate::x::server::Kind;

/// What the table of all configurations shows, where a row has it.
const DETAILS: &[Metric] = &[
    Metric::RecordsPerSecond,
    Metric::MbPerSecond,
    Metric::P50Us,
    Metric::P99Us,
    Metric::P999Us,
    Metric::P9999Us,
    Metric::CpuSecondsPerGb,
    Metric::CpuCores,
    Metric::ContextSwitchesPerSecond,
    Metric::DeviceFlushesPerSecond,
    Metric::DeviceMbPerSecond,
    Metric::PeakMib,
    Metric::ScheduleLagP99Us,
    Metric::Errors,
];

/// What only a few rows have: told in words.
const EXTRAS: &[Metric] = &[
    Metric::CreateSeconds,
    Metric::RestartSeconds,
    Metric::P99BeforeUs,
    Metric::DrainMbPerSecond,
    Metric::WorstToMedianSecond,
    Metric::IdleCpuPercent,
];

/// A sample as it comes in.
pub(super) fn line(sample: &Sample) -> String {
    let shown: Vec<String> = DETAILS
        .iter()
        .take(8)
        .chain(EXTRAS)
        .filter_map(|metric| {
            let value = sample.figures.get(metric)?;
            Some(match metric {
                Metric::RecordsPerSecond | Metric::MbPerSecond | Metric::CpuSecondsPerGb => {
                    metric.tell(*value)
                }
                _ => format!("{} {}", metric.label(), metric.show(*value)),
            })
        })
        .collect();
    let errors = match sample.figures.get(&Metric::Errors) {
        Some(count) if *count > 0.0 => format!("  {count:.0} ERRORS"),
        _ => String::new(),
    };
    format!("{:6} {}{errors}", sample.row, shown.join("  "))
}

/// Everything, for a reader of `perf/results`.
pub(super) fn whole(results: &Results) -> String {
    let mut text = String::new();
    head(&mut text, results);
    let lines = summary::lines(results);
    for durability in [Durability::Flush, Durability::Write] {
        ratios(&mut text, results, &lines, durability);
    }
    servers(&mut text, results);
    absent(&mut text);
    failures(&mut text, results);
    for durability in [Durability::Flush, Durability::Write] {
        details(&mut text, &lines, durability);
    }
    text
}

fn head(text: &mut String, results: &Results) {
    let machine = &results.machine;
    let limits = &results.limits;
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        text,
        "# Thalweg and Apache Kafka {} side by side, {} form\n\n\
         Written by `cargo x versus`; `docs/benchmarks.md` tells how to read it. Commit {}; {} CPUs \
         ({}), {} MiB of memory, Linux {}. Generator and server share the cores. {:.1} s a load after \
         {:.1} s of warm-up; medians of {} repeat(s).\n",
        results.kafka_version,
        results.form.name(),
        results.commit,
        machine.cpus,
        machine.cpu,
        thousands(machine.memory_mib as f64),
        machine.kernel,
        results.row_seconds,
        results.warm_up_seconds,
        results
            .samples
            .iter()
            .map(|sample| sample.repeat + 1)
            .max()
            .unwrap_or(0),
    );
    let _ = writeln!(
        text,
        "The machine itself, in this run: 1 KiB there and back over loopback {:.0} us (p99 {:.0}); \
         4 KiB written past the page cache {:.0} us (p99 {:.0}), written and flushed {:.0} us \
         (p99 {:.0}); device {} MB/s written, {} MB/s read, 1 MiB at a time; loopback {} MB/s.\n",
        limits.echo_p50_us,
        limits.echo_p99_us,
        limits.direct_write_p50_us,
        limits.direct_write_p99_us,
        limits.durable_write_p50_us,
        limits.durable_write_p99_us,
        thousands(limits.device_write_mb_per_second),
        thousands(limits.device_read_mb_per_second),
        thousands(limits.loopback_mb_per_second),
    );
}

fn ratios(text: &mut String, results: &Results, lines: &[Line], durability: Durability) {
    let title = match durability {
        Durability::Flush => {
            "On the device when acknowledged: `--durability flush`, `flush.messages=1`"
        }
        Durability::Write => "Written when acknowledged: `--durability write`, Kafka's default",
    };
    let _ = writeln!(
        text,
        "## {title}\n\n\
         {}. A ratio above 1 is in Thalweg's favour.\n\n\
         | row | load | figure | Thalweg | Kafka | ratio | CPU-s/GB, Thalweg | Kafka | ratio | the machine allows |\n\
         |---|---|---|---|---|---|---|---|---|---|",
        results.form.spokesmen(),
    );
    for line in lines.iter().filter(|line| line.durability == durability) {
        let cost = |kind| {
            let cell = line.best(kind);
            let value = cell.and_then(|cell| cell.get(Metric::CpuSecondsPerGb));
            value.map_or("-".to_owned(), |value| Metric::CpuSecondsPerGb.show(value))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            line.row.id,
            line.row.title,
            line.row.headline.label(),
            side(line, Kind::Thalweg),
            side(line, Kind::Kafka),
            times(line.ratio(line.row.headline)),
            cost(Kind::Thalweg),
            cost(Kind::Kafka),
            times(line.ratio(Metric::CpuSecondsPerGb)),
            results.limits.tell(line.row.bound, line.durability),
        );
    }
    text.push('\n');
}

/// A side's headline figure, and what has to be said about it.
pub(super) fn side(line: &Line, kind: Kind) -> String {
    let metric = line.row.headline;
    let Some(cell) = line.best(kind) else {
        let played = line.cells.iter().any(|cell| cell.subject.kind() == kind);
        return if played { "no figure" } else { "failed" }.to_owned();
    };
    let mut told = cell
        .get(metric)
        .map_or("-".to_owned(), |value| metric.show(value));
    if let Some(kept) = cell.fell_short() {
        let _ = write!(told, " (kept only {}/s)", thousands(kept));
    }
    if let Some(before) = cell.get(Metric::P99BeforeUs) {
        let _ = write!(told, " (before: {})", Metric::P99BeforeUs.show(before));
    }
    match cell.get(Metric::Errors) {
        Some(count) if count > 0.0 => {
            let _ = write!(told, " ({count:.0} errors)");
        }
        _ => {}
    }
    told
}

pub(super) fn times(ratio: Option<f64>) -> String {
    match ratio {
        None => "-".to_owned(),
        Some(ratio) if ratio < 10.0 => format!("{ratio:.2}x"),
        Some(ratio) => format!("{}x", thousands(ratio)),
    }
}

fn servers(text: &mut String, results: &Results) {
    let _ = writeln!(
        text,
        "## Start and memory\n\n\
         | server | first start to ready, ms | memory after start, MiB | peak over all rows, MiB |\n\
         |---|---|---|---|"
    );
    for subject in ORDER {
        let of = |get: &dyn Fn(&super::results::ServerRun) -> f64| {
            summary::of_servers(results, subject, get).map_or("-".to_owned(), thousands)
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            subject.name(),
            of(&|run| run.ready_ms.round()),
            of(&|run| run.resident_mib as f64),
            of(&|run| run.peak_mib as f64),
        );
    }
    text.push('\n');
}

fn absent(text: &mut String) {
    let missing: Vec<String> = ROWS
        .iter()
        .filter_map(|row| match row.plan {
            Plan::Absent(why) => Some(format!("- {} ({}): {why}", row.id, row.title)),
            _ => None,
        })
        .collect();
    if !missing.is_empty() {
        let _ = writeln!(text, "## Rows not measured\n\n{}\n", missing.join("\n"));
    }
}

fn failures(text: &mut String, results: &Results) {
    if results.failures.is_empty() {
        return;
    }
    let _ = writeln!(text, "## Rows that failed\n");
    for failed in &results.failures {
        let _ = writeln!(
            text,
            "- {} on {} ({}): {}",
            failed.row,
            failed.subject.name(),
            failed.durability.name(),
            failed.words.lines().next().unwrap_or_default()
        );
    }
    text.push('\n');
}

fn details(text: &mut String, lines: &[Line], durability: Durability) {
    let heads: Vec<&str> = DETAILS.iter().map(|metric| metric.label()).collect();
    let _ = writeln!(
        text,
        "## All configurations, {}\n\n| row | server | {} | more |\n|---|---|{}---|",
        durability.name(),
        heads.join(" | "),
        "---|".repeat(heads.len())
    );
    for line in lines.iter().filter(|line| line.durability == durability) {
        for cell in &line.cells {
            let _ = writeln!(text, "{}", detail(line, cell));
        }
    }
    text.push('\n');
}

fn detail(line: &Line, cell: &Cell) -> String {
    let show = |metric: &Metric| {
        let value = cell.get(*metric);
        value.map_or("-".to_owned(), |value| metric.show(value))
    };
    let figures: Vec<String> = DETAILS.iter().map(show).collect();
    let more: Vec<String> = EXTRAS
        .iter()
        .filter_map(|metric| {
            let value = cell.get(*metric)?;
            Some(format!("{} {}", metric.label(), metric.tell(value)))
        })
        .collect();
    format!(
        "| {} | {} | {} | {} |",
        line.row.id,
        cell.subject.name(),
        figures.join(" | "),
        more.join(", ")
    )
}

/// The median first start of a side's better configuration, in ms, and its memory, in MiB.
pub(super) fn rest(results: &Results, kind: Kind) -> Option<(f64, f64)> {
    let of = |get: fn(&super::results::ServerRun) -> f64| {
        let sides = ORDER
            .into_iter()
            .filter(|subject: &Subject| subject.kind() == kind);
        sides
            .filter_map(|subject| summary::of_servers(results, subject, get))
            .min_by(f64::total_cmp)
    };
    Some((of(|run| run.ready_ms)?, of(|run| run.resident_mib as f64)?))
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::sample_results;
    use super::*;

    #[test]
    fn the_table_tells_both_sides_and_their_ratio() {
        let text = whole(&sample_results());
        let row = text
            .lines()
            .find(|line| line.starts_with("| 8p |"))
            .unwrap();
        assert!(
            row.contains("| 700 | 350 | 2.00x | 0.50 | 2.40 | 4.80x | 2,800 MB/s |"),
            "{row}"
        );
    }

    #[test]
    fn what_failed_and_what_is_absent_is_told() {
        let text = whole(&sample_results());
        assert!(
            text.contains("- 1 on Kafka, defaults (flush): it said no"),
            "{text}"
        );
        assert!(
            text.contains(
                "| 1 | 1 producer, 1 in flight, 1 KiB, 1 partition | p99 | 250 us | failed | - |"
            ),
            "{text}"
        );
        assert!(text.contains("needs replication"), "{text}");
    }
}
