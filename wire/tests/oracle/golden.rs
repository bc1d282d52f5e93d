//! What real clients and a real broker sent: `tests/golden/kNN_api.txt`, one frame a line, by
//! client and version. Every frame is decoded and written again to the same bytes.
//!
//! The frames are from Apache Kafka 4.3.0, its Java clients and librdkafka, recorded by
//! `Capture.java` and packed by `pack_captures.py`. A test of the batches in the Produce requests
//! stands here as well: they are the only ones made by librdkafka.

use std::collections::BTreeSet;
use std::path::PathBuf;

use thalweg_wire::batch::{CheckLimits, Codec, CompressedCheck, Origin, Scratch, check_produce};
use thalweg_wire::header::{RequestHeaderView, ResponseHead};
use thalweg_wire::messages::produce_request::ProduceRequestView;

use crate::tree::unhex;
use crate::{ENTRIES, Entry};

/// One recorded frame, without its length.
struct Frame {
    client: String,
    version: i16,
    is_request: bool,
    bytes: Vec<u8>,
}

/// The files by API: stem and frames.
fn golden() -> Vec<(String, Vec<Frame>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if stem.starts_with('k') && path.extension().is_some_and(|end| end == "txt") {
            let text = std::fs::read_to_string(&path).unwrap();
            files.push((stem, text.lines().map(frame).collect()));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(files.len() > 50, "{} files", files.len());
    files
}

fn frame(line: &str) -> Frame {
    let words: Vec<&str> = line.split(' ').collect();
    let [client, version, what, bytes] = words[..] else {
        panic!("a line of {} words", words.len());
    };
    Frame {
        client: client.to_owned(),
        version: version[1..].parse().unwrap(),
        is_request: what == "request",
        bytes: unhex(bytes),
    }
}

fn entry(stem: &str, is_request: bool) -> &'static Entry {
    let end = if is_request { "request" } else { "response" };
    let name = stem[4..].replace('_', "") + end;
    let found = ENTRIES.iter().find(|e| e.name.to_lowercase() == name);
    found.unwrap_or_else(|| panic!("{name} is missing"))
}

/// The body of a frame, after its head was checked.
fn body(key: i16, frame: &Frame) -> &[u8] {
    if frame.is_request {
        let (head, body) = RequestHeaderView::decode(&frame.bytes).unwrap();
        assert_eq!((head.api_key, head.version), (key, frame.version));
        return body;
    }
    let head = ResponseHead {
        api_key: key,
        version: frame.version,
        correlation_id: 0,
    };
    head.decode(&frame.bytes).unwrap().1
}

#[test]
fn recorded_frames_come_back_as_they_were() {
    let mut frames = 0;
    let mut kinds = BTreeSet::new();
    for (stem, recorded) in golden() {
        let key = stem[1..3].parse().unwrap();
        for frame in &recorded {
            let body = body(key, frame);
            let entry = entry(&stem, frame.is_request);
            let name = format!("{} v{} of {}", entry.name, frame.version, frame.client);
            let seen = (entry.see)(body, frame.version).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(body.starts_with(&seen.written), "{name}: {}", seen.owned);
            // librdkafka 2.0 sends an empty tagged section twice here.
            let known = name == "ListGroupsRequest v4 of librdkafka-2.0.2";
            let more = body.len() - seen.written.len();
            assert_eq!(more, usize::from(known), "{name}: {}", seen.owned);
            frames += 1;
            kinds.insert((entry.name, frame.version));
        }
    }
    println!("{frames} frames, {} messages and versions", kinds.len());
    assert!(kinds.len() >= 300, "{} messages and versions", kinds.len());
}

#[test]
fn recorded_batches_are_sound_and_compressed() {
    let limits = CheckLimits {
        origin: Origin::Client,
        batch_bytes_max: 1 << 20,
        inflated_bytes_max: 1 << 20,
        keys_required: false,
        zstd_allowed: true,
        compressed: CompressedCheck::Full,
        timestamps: None,
    };
    let mut scratch = Scratch::default();
    let mut seen = BTreeSet::new();
    for (stem, recorded) in golden() {
        for frame in recorded
            .iter()
            .filter(|f| stem == "k00_produce" && f.is_request)
        {
            let request = ProduceRequestView::decode(body(0, frame), frame.version).unwrap();
            let topics = request.topic_data.iter();
            for partition in topics.flat_map(|topic| topic.partition_data.iter()) {
                let batch = partition.records.unwrap();
                let summary = check_produce(batch, &limits, &mut scratch);
                let summary = summary.unwrap_or_else(|cause| panic!("{}: {cause}", frame.client));
                assert!(summary.record_count > 0);
                seen.insert((frame.client.clone(), summary.codec as u8));
            }
        }
    }
    let clients: BTreeSet<_> = seen.iter().map(|(client, _)| client.clone()).collect();
    assert_eq!(clients.len(), 5, "{clients:?}");
    for client in clients {
        for codec in [
            Codec::None,
            Codec::Gzip,
            Codec::Snappy,
            Codec::Lz4,
            Codec::Zstd,
        ] {
            assert!(
                seen.contains(&(client.clone(), codec as u8)),
                "{client} without {codec:?}"
            );
        }
    }
}
