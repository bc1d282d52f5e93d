//! The small files: indexes, producer snapshots, checkpoints, and those that are text anyway.

use std::io;
use std::path::Path;

use serde_json::{Value, json};
use thalweg_storage::files::producers::{SnapshotEntry, decode_snapshot};
use thalweg_storage::segment::name;
use thalweg_storage::segment::txn_index::{self, TxnIndex};

use super::segment::last_offset_at;
use super::sink::Sink;
use super::{Seen, Wish};

/// Larger than the largest index; what is larger is none.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Which small file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Small {
    Index,
    TimeIndex,
    TxnIndex,
    Snapshot,
    Checkpoint,
    Text,
}

/// A file's entries, and what is wrong with it.
#[derive(Debug, Default)]
struct Content {
    entries: Vec<(String, Value)>,
    problems: Vec<String>,
    /// Zeros behind the entries: set aside.
    zeros: usize,
}

/// Prints one file.
pub(super) fn dump(path: &Path, small: Small, wish: &Wish, sink: &mut Sink) -> io::Result<Seen> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let bytes = std::fs::read(path)?;
    let content = match small {
        Small::Index => index(path, &bytes)?,
        Small::TimeIndex => time_index(path, &bytes),
        Small::TxnIndex => txn_index(&bytes),
        Small::Snapshot => snapshot(&bytes),
        Small::Checkpoint => checkpoint(&bytes),
        Small::Text => text(&bytes),
    };
    let file = path.display().to_string();
    if !wish.brief {
        sink.put(
            || format!("{file}:"),
            || json!({"kind": "file", "file": file}),
        )?;
        let count = wish.count.and_then(|count| usize::try_from(count).ok());
        for (line, value) in content.entries.iter().take(count.unwrap_or(usize::MAX)) {
            sink.put(
                || format!("  {line}"),
                || json!({"kind": "entry", "file": file, "entry": value}),
            )?;
        }
    }
    let sound = content.problems.is_empty();
    let state = if sound { "whole" } else { "rot" };
    let text = || {
        let mut text = format!("{file}: {state}, {} entries", content.entries.len());
        if content.zeros > 0 {
            text += &format!(", then {} bytes set aside", content.zeros);
        }
        for problem in &content.problems {
            text += &format!("\n  ROT: {problem}");
        }
        text
    };
    sink.put(text, || {
        json!({
            "kind": "index",
            "file": file,
            "state": state,
            "entries": content.entries.len(),
            "zeros": content.zeros,
            "problems": content.problems,
        })
    })?;
    Ok(if sound { Seen::Sound } else { Seen::Rot })
}

fn base_of(path: &Path) -> i64 {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(name::parse).map_or(0, |(base, _)| base.0)
}

/// Entries of fixed size up to the zeros that are set aside.
fn entries_of<const N: usize>(bytes: &[u8], content: &mut Content) -> Vec<[u8; N]> {
    let (entries, rest) = bytes.as_chunks::<N>();
    // The first entry of an index may be zeros, and no other.
    let used = entries
        .iter()
        .rposition(|entry| entry.iter().any(|byte| *byte != 0));
    let used = used.map_or(0, |last| last + 1);
    content.zeros = (entries.len() - used) * N + rest.len();
    if rest.iter().any(|byte| *byte != 0) {
        content
            .problems
            .push(format!("{} bytes behind the last entry", rest.len()));
    }
    entries.iter().take(used).copied().collect()
}

fn field<const N: usize>(entry: &[u8], at: usize) -> [u8; N] {
    let bytes = entry.get(at..).and_then(<[u8]>::first_chunk);
    bytes.copied().unwrap_or([0; N])
}

/// An offset index; every entry is held against the segment beside it.
fn index(path: &Path, bytes: &[u8]) -> io::Result<Content> {
    let mut content = Content::default();
    let base = base_of(path);
    let log = path.with_extension("log");
    let has_log = log.is_file();
    let mut last = (-1, -1);
    for entry in entries_of::<8>(bytes, &mut content) {
        let offset = base + i64::from(u32::from_be_bytes(field(&entry, 0)));
        let position = i64::from(u32::from_be_bytes(field(&entry, 4)));
        if (offset, position) <= last || position <= last.1 {
            content
                .problems
                .push(format!("offset {offset} at {position} does not ascend"));
        }
        last = (offset, position);
        if has_log {
            let found = last_offset_at(&log, u64::try_from(position).unwrap_or(0))?;
            // Kafka's own entries name the last offset of the batch, too.
            if found != Some(offset) {
                let found = found.map_or("no batch".to_owned(), |last| {
                    format!("one that ends at {last}")
                });
                content
                    .problems
                    .push(format!("offset {offset} at {position}: there is {found}"));
            }
        }
        let line = format!("offset {offset} at {position}");
        content
            .entries
            .push((line, json!({"offset": offset, "position": position})));
    }
    Ok(content)
}

fn time_index(path: &Path, bytes: &[u8]) -> Content {
    let mut content = Content::default();
    let base = base_of(path);
    let mut last = (i64::MIN, -1);
    for entry in entries_of::<12>(bytes, &mut content) {
        let timestamp = i64::from_be_bytes(field(&entry, 0));
        let offset = base + i64::from(u32::from_be_bytes(field(&entry, 8)));
        if timestamp <= last.0 || offset < last.1 {
            content
                .problems
                .push(format!("timestamp {timestamp} to {offset} does not ascend"));
        }
        last = (timestamp, offset);
        let line = format!("timestamp {timestamp} to offset {offset}");
        content
            .entries
            .push((line, json!({"timestamp": timestamp, "offset": offset})));
    }
    content
}

fn txn_index(bytes: &[u8]) -> Content {
    let mut content = Content::default();
    let index = TxnIndex::from_bytes(bytes);
    for txn in index.entries() {
        let line = format!(
            "producer {}, aborted from {} to {}, last stable {}",
            txn.producer, txn.first, txn.last, txn.last_stable
        );
        let value = json!({
            "producer": txn.producer.0,
            "first": txn.first.0,
            "last": txn.last.0,
            "last_stable": txn.last_stable.0,
        });
        content.entries.push((line, value));
    }
    let left = bytes.len() - index.entries().len() * txn_index::ENTRY_BYTES;
    if left > 0 {
        content
            .problems
            .push(format!("{left} bytes behind the last entry"));
    }
    content
}

fn snapshot(bytes: &[u8]) -> Content {
    let mut content = Content::default();
    match decode_snapshot(bytes) {
        Ok(lines) => content.entries = lines.iter().map(producer).collect(),
        Err(error) => content.problems.push(error.to_string()),
    }
    content
}

fn producer(entry: &SnapshotEntry) -> (String, Value) {
    let last = &entry.last;
    let line = format!(
        "producer {}/{}, last sequence {} at offset {}, timestamp {}, coordinator epoch {}, transaction from {}",
        entry.producer,
        entry.epoch,
        last.last_sequence,
        last.last_offset,
        last.timestamp,
        entry.coordinator_epoch,
        entry.txn_first
    );
    let value = json!({
        "producer": entry.producer.0,
        "epoch": entry.epoch.0,
        "last_sequence": last.last_sequence.0,
        "last_offset": last.last_offset.0,
        "offset_delta": last.offset_delta,
        "timestamp": last.timestamp.0,
        "coordinator_epoch": entry.coordinator_epoch,
        "transaction_first": entry.txn_first.0,
    });
    (line, value)
}

/// Kafka's checkpoints: a version, a count, and lines.
fn checkpoint(bytes: &[u8]) -> Content {
    let mut content = text(bytes);
    // As Kafka makes them, before there is anything to say.
    if bytes.is_empty() {
        return content;
    }
    let first =
        |at: usize, content: &Content| content.entries.get(at).map(|(line, _)| line.clone());
    let counted = first(1, &content).and_then(|line| line.trim().parse::<usize>().ok());
    if first(0, &content).as_deref() != Some("0") {
        content.problems.push("its version is unknown".to_owned());
    }
    content.entries.drain(..2.min(content.entries.len()));
    if counted != Some(content.entries.len()) {
        content
            .problems
            .push("it has not as many lines as it says".to_owned());
    }
    content
}

fn text(bytes: &[u8]) -> Content {
    let mut content = Content::default();
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let lines = text.lines().filter(|line| !line.is_empty());
            content.entries = lines.map(|line| (line.to_owned(), line.into())).collect();
        }
        Err(_) => content.problems.push("it is no text".to_owned()),
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_where_zeros_begin() {
        let mut bytes = vec![0; 8];
        bytes.extend([0, 0, 0, 5, 0, 0, 1, 0]);
        bytes.extend([0; 24]);
        let content = index(Path::new("none/00000000000000000100.index"), &bytes).unwrap();
        let lines: Vec<&str> = content
            .entries
            .iter()
            .map(|(line, _)| line.as_str())
            .collect();
        assert_eq!(lines, ["offset 100 at 0", "offset 105 at 256"]);
        assert_eq!((content.zeros, content.problems.len()), (24, 0));
        let back = [[0, 0, 0, 5, 0, 0, 1, 0], [0, 0, 0, 4, 0, 0, 2, 0]].concat();
        let content = index(Path::new("none/0.index"), &back).unwrap();
        assert_eq!(content.problems.len(), 1);
    }

    #[test]
    fn checkpoints_have_as_many_lines_as_they_say() {
        let good = checkpoint(b"0\n2\n0 0\n5 1200\n");
        assert_eq!((good.entries.len(), good.problems.len()), (2, 0));
        assert_eq!(checkpoint(b"0\n2\n0 0\n").problems.len(), 1);
        assert_eq!(checkpoint(b"1\n0\n").problems.len(), 1);
        assert_eq!(checkpoint(b"").problems.len(), 0);
        assert_eq!(checkpoint(&[0xff]).problems.len(), 3);
    }

    #[test]
    fn time_indexes_ascend() {
        let entry =
            |time: i64, offset: u32| [&time.to_be_bytes()[..], &offset.to_be_bytes()[..]].concat();
        let good = [entry(5, 1), entry(6, 1)].concat();
        assert!(
            time_index(Path::new("0.timeindex"), &good)
                .problems
                .is_empty()
        );
        let bad = [entry(5, 1), entry(5, 2)].concat();
        assert_eq!(time_index(Path::new("0.timeindex"), &bad).problems.len(), 1);
    }
}
