//! Snapshots as Prometheus' text format: one series per shard.

use std::fmt::Write;

use super::Snapshot;
use super::stages::Summary;

/// One line of the table below.
struct Series {
    name: &'static str,
    help: &'static str,
    value: fn(&Snapshot) -> u64,
}

macro_rules! series {
    ($($name:literal, $help:literal, $value:expr;)*) => {
        &[$(Series { name: $name, help: $help, value: $value }),*]
    };
}

/// Names end in `_total` where the number only grows.
const SERIES: &[Series] = series! {
    "requests_total", "Requests with a sound head.", |s| s.requests;
    "connections", "Open connections.", |s| s.connections;
    "connections_refused_total", "Connections closed for what they sent.", |s| s.connections_refused;
    "received_bytes_total", "Bytes received from clients.", |s| s.received_bytes;
    "sent_memory_bytes_total", "Bytes sent from memory.", |s| s.sent_memory_bytes;
    "sent_file_bytes_total", "Bytes sent by sendfile.", |s| s.sent_file_bytes;
    "held_bytes", "Memory that answers hold until they are sent.", |s| s.held_bytes;
    "parked_fetches", "Fetches that wait for records.", |s| s.parked;
    "fetch_sessions", "Fetch sessions.", |s| s.sessions;
    "batches_total", "Batches appended for clients.", |s| s.batches;
    "duplicates_total", "Batches that were in the log already.", |s| s.duplicates;
    "batch_bytes_total", "Bytes of batches appended for clients.", |s| s.batch_bytes;
    "appends_total", "Batches accepted by the storage engine.", |s| s.storage.appends;
    "append_bytes_total", "Bytes of batches accepted.", |s| s.storage.append_bytes;
    "copied_bytes_total", "Bytes copied into chunks and rounds.", |s| s.storage.copied_bytes;
    "journal_rounds_total", "Journal rounds written.", |s| s.storage.rounds;
    "journal_round_bytes_total", "Bytes of journal rounds.", |s| s.storage.round_bytes;
    "journal_rounds_acknowledged_total", "Rounds acknowledged.", |s| s.storage.rounds_acknowledged;
    "journal_flushes_total", "Device flushes that the journal waited for.", |s| s.storage.flushes;
    "journal_carried_bytes_total", "Bytes journaled again.", |s| s.storage.carried_bytes;
    "journal_files_recycled_total", "Journal files freed.", |s| s.storage.files_recycled;
    "journal_bytes", "Bytes of the journal's files.", |s| s.storage.journal_bytes;
    "journal_free_bytes", "Bytes free in them.", |s| s.storage.journal_free_bytes;
    "moved_bytes_total", "Bytes written to segments.", |s| s.storage.moved_bytes;
    "move_barriers_total", "Barriers of moves.", |s| s.storage.barriers;
    "moves_failed_total", "Moves that failed.", |s| s.storage.moves_failed;
    "admissions_delayed_total", "Appends that waited for room.", |s| s.storage.admissions_delayed;
    "admissions_refused_total", "Appends refused for want of room.", |s| s.storage.admissions_refused;
    "plan_reads_total", "Reads of segments to plan a fetch.", |s| s.storage.plan_reads;
    "pending_bytes", "Bytes accepted and not yet in segments.", |s| s.storage.pending_bytes;
    "chunk_bytes", "Bytes of tail chunks.", |s| s.storage.chunk_bytes;
    "partitions", "Partitions.", |s| s.storage.partitions;
    "offered_file_bytes_total", "Bytes offered for sendfile.", |s| s.reads.send_file_bytes;
    "cold_direct_bytes_total", "Bytes read directly.", |s| s.reads.direct_bytes;
    "cold_fill_bytes_total", "Bytes read to fill the page cache.", |s| s.reads.fill_bytes;
    "mended_ranges_total", "Ranges with parts missing in the page cache, read back.", |s| s.reads.mended;
    "verified_bytes_total", "Bytes verified before sendfile.", |s| s.reads.verified_bytes;
    "reclaimed_ranges_total", "Ranges that left the page cache meanwhile.", |s| s.reads.reclaimed;
    "scrubbed_bytes_total", "Bytes of segments that the scrub read again.", |s| s.storage.scrubbed_bytes;
    "quarantined_ranges_total", "Ranges of segments that failed their checksum and are not served.", |s| s.storage.quarantined_ranges;
    "reindexed_segments_total", "Segments whose indexes were made anew because they did not agree.", |s| s.storage.reindexed_segments;
    "corrupt_ranges_total", "Ranges refused because a batch was bad.", |s| s.reads.corrupt;
};

/// The text of a scrape.
#[must_use]
pub fn render(shards: &[(u16, Snapshot)]) -> String {
    let mut out = String::new();
    for series in SERIES {
        let kind = if series.name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        let name = series.name;
        // Writing to a String can't fail.
        let _ = writeln!(
            out,
            "# HELP thalweg_{name} {}\n# TYPE thalweg_{name} {kind}",
            series.help
        );
        for (shard, snapshot) in shards {
            let value = (series.value)(snapshot);
            let _ = writeln!(out, "thalweg_{name}{{shard=\"{shard}\"}} {value}");
        }
    }
    out
}

/// The text of the stages: quantiles of one shard can't be merged with another's, so each has its own.
#[must_use]
pub fn render_stages(shards: &[(u16, Vec<Summary>)]) -> String {
    const NAME: &str = "thalweg_stage_seconds";
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(
        out,
        "# HELP {NAME} Time of requests by stage.\n# TYPE {NAME} summary"
    );
    for (shard, summaries) in shards {
        for summary in summaries {
            let Summary { api, stage, .. } = summary;
            let labels = format!("shard=\"{shard}\",api=\"{api}\",stage=\"{stage}\"");
            for (quantile, micros) in summary.quantiles {
                let seconds = std::time::Duration::from_micros(micros).as_secs_f64();
                let _ = writeln!(out, "{NAME}{{{labels},quantile=\"{quantile}\"}} {seconds}");
            }
            let _ = writeln!(out, "{NAME}_sum{{{labels}}} {}", summary.sum / 1e6);
            let _ = writeln!(out, "{NAME}_count{{{labels}}} {}", summary.count);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_a_type_and_one_line_a_shard() {
        let snapshot = Snapshot {
            requests: 7,
            ..Snapshot::default()
        };
        let text = render(&[(0, snapshot), (1, Snapshot::default())]);
        assert!(text.contains("# TYPE thalweg_requests_total counter\n"));
        assert!(text.contains("thalweg_requests_total{shard=\"0\"} 7\n"));
        assert!(text.contains("# TYPE thalweg_connections gauge\n"));
        assert_eq!(text.lines().count(), SERIES.len() * 4);
    }
}
