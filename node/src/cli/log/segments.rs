//! Segments and metadata snapshots: batches, their records, and what the file comes to.

use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};
use thalweg_storage::segment::name::{self, Kind};
use thalweg_wire::batch::{BatchRef, Codec, Scratch};

use super::super::records::{Record, records_of};
use super::super::template::write_headers;
use super::super::time::{self, TimeMs};
use super::decode::{Decoder, control};
use super::segment::{Segment, Verdict};
use super::sink::Sink;
use super::{Seen, Wish, partition_of};

/// Bytes of a key or value that a line of text shows.
const SHOWN_BYTES_MAX: usize = 200;

/// Prints one file.
pub(super) fn dump(path: &Path, wish: &Wish, sink: &mut Sink) -> io::Result<Seen> {
    let file = path.display().to_string();
    let dir = path.parent().unwrap_or(Path::new(""));
    let snapshot = path
        .extension()
        .is_some_and(|extension| extension == "checkpoint");
    let (topic, partition) = match partition_of(dir) {
        _ if snapshot => ("__cluster_metadata".to_owned(), 0),
        Some(place) => place,
        None => (String::new(), -1),
    };
    let decoder = wish.decode.unwrap_or(Decoder::of_topic(&topic));
    let mut page = Page {
        file: &file,
        place: (&topic, partition),
        decoder,
        wish,
        sink,
        shown: 0,
        scratch: Scratch::default(),
    };
    if !wish.brief {
        let heading = format!("{file}:");
        page.sink
            .put(|| heading, || json!({"kind": "file", "file": file}))?;
    }
    let is_last = snapshot || !has_later(dir, path);
    let segment = Segment::open(path)?;
    let verdict = segment.walk(is_last, |position, batch| page.batch(position, batch))?;
    let text = || format!("{file}: {}", in_words(&verdict));
    sink.put(text, || {
        let mut object = Map::from_iter([
            ("kind".to_owned(), Value::from("segment")),
            ("file".to_owned(), Value::from(file.as_str())),
        ]);
        if let Ok(Value::Object(fields)) = serde_json::to_value(&verdict) {
            object.extend(fields);
        }
        Value::Object(object)
    })?;
    Ok(match verdict.state {
        "rot" => Seen::Rot,
        _ => Seen::Sound,
    })
}

/// Whether a segment with a larger base offset lies beside this one.
fn has_later(dir: &Path, path: &Path) -> bool {
    let base = |path: &Path| match name::parse(path.file_name()?.to_str()?)? {
        (base, Kind::Log) => Some(base),
        _ => None,
    };
    let Some(own) = base(path) else { return false };
    std::fs::read_dir(dir).is_ok_and(|entries| {
        let mut bases = entries.filter_map(|entry| base(&entry.ok()?.path()));
        bases.any(|other| other > own)
    })
}

fn in_words(verdict: &Verdict) -> String {
    let mut text = format!(
        "{}, {} batches, {} records, {} bytes",
        verdict.state, verdict.batches, verdict.records, verdict.bytes
    );
    if verdict.zeros > 0 {
        text += &format!(", then {} bytes set aside", verdict.zeros);
    }
    if verdict.torn_bytes > 0 {
        text += &format!(", then {} bytes torn off", verdict.torn_bytes);
    }
    for range in &verdict.rot {
        text += &format!(
            "\n  ROT at {}, {} bytes: {}",
            range.position, range.bytes, range.what
        );
    }
    text
}

/// What is printed while a segment is walked.
struct Page<'a> {
    file: &'a str,
    place: (&'a str, i32),
    decoder: Decoder,
    wish: &'a Wish,
    sink: &'a mut Sink,
    shown: u64,
    scratch: Scratch,
}

impl Page<'_> {
    /// One batch; answers whether to go on.
    fn batch(&mut self, position: u64, batch: &BatchRef<'_>) -> io::Result<bool> {
        if self.wish.brief {
            return Ok(true);
        }
        let before = self
            .wish
            .from
            .is_some_and(|from| batch.header().last_offset().0 < from);
        if before {
            return Ok(true);
        }
        if self.wish.count.is_some_and(|count| self.shown >= count) || self.sink.is_closed() {
            return Ok(false);
        }
        self.shown += 1;
        let file = self.file;
        self.sink.put(
            || batch_text(position, batch),
            || batch_json(file, position, batch),
        )?;
        if self.wish.records {
            self.records(batch)?;
        }
        Ok(true)
    }

    fn records(&mut self, batch: &BatchRef<'_>) -> io::Result<()> {
        let is_control = batch.header().attributes().is_control();
        let records = match records_of(batch, self.place, &mut self.scratch) {
            Ok(records) => records,
            Err(error) => {
                let words = error.to_string();
                let file = self.file;
                return self.sink.put(
                    || format!("    ! {words}"),
                    || json!({"kind": "problem", "file": file, "what": words}),
                );
            }
        };
        for record in &records {
            let decoded = match is_control {
                true => Some(control(record)),
                false => self.decoder.decode(record),
            };
            let file = self.file;
            self.sink.put(
                || record_text(record, decoded.as_ref()),
                || record_json(file, record, decoded.clone()),
            )?;
        }
        Ok(())
    }
}

fn codec(batch: &BatchRef<'_>) -> &'static str {
    match batch.header().attributes().codec() {
        Ok(Codec::None) => "none",
        Ok(Codec::Gzip) => "gzip",
        Ok(Codec::Snappy) => "snappy",
        Ok(Codec::Lz4) => "lz4",
        Ok(Codec::Zstd) => "zstd",
        Err(_) => "unknown",
    }
}

/// One line for a batch.
pub(super) fn batch_text(position: u64, batch: &BatchRef<'_>) -> String {
    let header = batch.header();
    let attributes = header.attributes();
    let mut text = format!(
        "  batch {}..{} at {position}: {} records, {} bytes, {}, {}, epoch {}",
        header.base_offset(),
        header.last_offset(),
        header.record_count(),
        batch.bytes().len(),
        codec(batch),
        time::show(TimeMs(header.max_timestamp().0)),
        header.leader_epoch()
    );
    if header.producer_id().0 >= 0 {
        text += &format!(
            ", producer {}/{} sequence {}",
            header.producer_id(),
            header.producer_epoch(),
            header.base_sequence()
        );
    }
    for (is_set, word) in [
        (attributes.is_transactional(), ", transactional"),
        (attributes.is_control(), ", control"),
        (attributes.is_log_append_time(), ", append time"),
    ] {
        text += if is_set { word } else { "" };
    }
    text
}

fn batch_json(file: &str, position: u64, batch: &BatchRef<'_>) -> Value {
    let header = batch.header();
    let attributes = header.attributes();
    json!({
        "kind": "batch",
        "file": file,
        "position": position,
        "bytes": batch.bytes().len(),
        "first": header.base_offset().0,
        "last": header.last_offset().0,
        "records": header.record_count(),
        "codec": codec(batch),
        "timestamp_type": if attributes.is_log_append_time() { "append" } else { "create" },
        "timestamp": header.base_timestamp().0,
        "max_timestamp": header.max_timestamp().0,
        "leader_epoch": header.leader_epoch().0,
        "producer": header.producer_id().0,
        "producer_epoch": header.producer_epoch().0,
        "sequence": header.base_sequence().0,
        "transactional": attributes.is_transactional(),
        "control": attributes.is_control(),
        "crc": header.crc(),
    })
}

fn record_text(record: &Record, decoded: Option<&Value>) -> String {
    let time = time::show(TimeMs(record.timestamp));
    let head = format!("    {} {time}", record.offset);
    if let Some(decoded) = decoded {
        let kind = decoded.get("type").and_then(Value::as_str).unwrap_or("?");
        let part = |name: &str| decoded.get(name).map(|part| format!(" {part}"));
        let version = decoded.get("version").map(|version| format!(" v{version}"));
        return match decoded.get("undecodable") {
            Some(why) => format!("{head} ! {why}"),
            None => format!(
                "{head} {kind}{}{}{}",
                version.unwrap_or_default(),
                part("key").unwrap_or_default(),
                part("value").unwrap_or_default()
            ),
        };
    }
    let mut headers = Vec::new();
    write_headers(&record.headers, &mut headers);
    let headers = match headers.is_empty() {
        true => String::new(),
        false => format!(" headers {}", shown(Some(&headers))),
    };
    format!(
        "{head} key {} value {}{headers}",
        shown(record.key.as_deref()),
        shown(record.value.as_deref())
    )
}

/// Bytes on a line: what is no plain text is escaped, what is long is cut.
fn shown(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return "null".to_owned();
    };
    let cut = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(bytes);
    let text = format!("\"{}\"", cut.escape_ascii());
    match bytes.len() - cut.len() {
        0 => text,
        more => format!("{text} and {more} bytes more"),
    }
}

fn record_json(file: &str, record: &Record, decoded: Option<Value>) -> Value {
    let mut object = Map::from_iter([
        ("kind".to_owned(), Value::from("record")),
        ("file".to_owned(), Value::from(file)),
    ]);
    if let Value::Object(fields) = super::super::consume::json(record) {
        object.extend(fields);
    }
    if let Some(decoded) = decoded {
        object.insert("decoded".to_owned(), decoded);
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_binary_values_are_cut_and_escaped() {
        assert_eq!(shown(None), "null");
        assert_eq!(shown(Some(b"a\xff\n")), r#""a\xff\n""#);
        let long = vec![b'x'; SHOWN_BYTES_MAX + 3];
        assert!(shown(Some(&long)).ends_with("x\" and 3 bytes more"));
    }
}
