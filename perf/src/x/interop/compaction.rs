//! Log compaction: a topic written over and over by kcat, with every codec and with tombstones.
//!
//! What must be left does not depend on the server: of each key the last record, at its own offset,
//! and of a deleted key nothing once `delete.retention.ms` is over. How long the cleaner takes is
//! not judged, and neither is what stands in the segments that it has not reached.

use std::path::Path;
use std::time::{Duration, Instant};

use super::kcat::kcat;
use super::{CODECS, Scene, expect_lines, java};
use crate::x::{Failure, Outcome};

pub(super) const TOPIC: &str = "compacted";
const KEYS: usize = 500;
/// Every so many keys the last record is a tombstone.
const DELETED_EVERY: usize = 5;
const CONFIGS: [&str; 4] = [
    "cleanup.policy=compact",
    "segment.ms=500",
    "min.cleanable.dirty.ratio=0.01",
    "delete.retention.ms=1000",
];
/// Longer than `segment.ms`, so that each round begins a segment.
const ROUND_GAP: Duration = Duration::from_millis(700);
/// Two cleanings, each up to `log.cleaner.backoff.ms` (15 s) away, on a busy machine.
const CLEANED_WITHIN: Duration = Duration::from_secs(150);

pub(super) fn play(scene: &mut Scene) -> Outcome<()> {
    scene.promise(
        "the log cleaner leaves of each key the last record",
        |scene| {
            java::create(scene, TOPIC, 1, &CONFIGS)?;
            for (round, codec) in CODECS.iter().enumerate() {
                write(scene, codec, &lines(round))?;
                std::thread::sleep(ROUND_GAP);
            }
            wait_until_cleaned(scene)
        },
        Box::new(|tools, address| expect_cleaned(&tools.kcat, address)),
    );
    Ok(())
}

/// Records of keys that are left in the end.
pub(super) fn left() -> usize {
    KEYS - KEYS.div_ceil(DELETED_EVERY)
}

fn is_deleted(key: usize) -> bool {
    key.is_multiple_of(DELETED_EVERY)
}

fn value(round: usize, key: usize) -> String {
    format!("round-{round}-{key}-{}", "over-stones-".repeat(6))
}

fn lines(round: usize) -> String {
    let is_last = round + 1 == CODECS.len();
    (0..KEYS)
        .map(|key| match is_last && is_deleted(key) {
            true => format!("key-{key}:\n"),
            false => format!("key-{key}:{}\n", value(round, key)),
        })
        .collect()
}

/// Writes lines of `key:value`; an empty value is a tombstone.
fn write(scene: &Scene, codec: &str, lines: &str) -> Outcome<()> {
    kcat(&scene.tools.kcat, &scene.server.address())
        .args(["-P", "-t", TOPIC, "-p", "0", "-z", codec, "-K:", "-Z"])
        .args(["-X", "linger.ms=20"])
        .input(lines.to_owned())
        .run()?;
    Ok(())
}

/// Writes on until the cleaner has been there twice: for the values, and for the tombstones after
/// their time. Only a later record begins a new segment, and only a closed one is cleaned.
fn wait_until_cleaned(scene: &Scene) -> Outcome<()> {
    let begun = Instant::now();
    loop {
        write(scene, "none", "beat:of the clock\n")?;
        let cleaned = expect_cleaned(&scene.tools.kcat, &scene.server.address());
        match cleaned {
            Err(failure) if begun.elapsed() > CLEANED_WITHIN => {
                return Err(Failure::new(format!("not cleaned in time: {failure}")));
            }
            Err(_) => std::thread::sleep(Duration::from_secs(2)),
            Ok(()) => return Ok(()),
        }
    }
}

fn expect_cleaned(program: &Path, address: &str) -> Outcome<()> {
    let last = CODECS.len() - 1;
    let wanted: Vec<String> = (0..KEYS)
        .filter(|key| !is_deleted(*key))
        .map(|key| format!("{} key-{key} {}", last * KEYS + key, value(last, key)))
        .collect();
    // From the beginning, from an offset that is gone (the next record that is left answers), and
    // from the first one left.
    let starts = [
        "beginning".to_owned(),
        (last * KEYS - 7).to_string(),
        (last * KEYS + 1).to_string(),
    ];
    for start in starts {
        let read = read(program, address, &start)?;
        expect_lines(&format!("{TOPIC} from {start}"), &read, &wanted)?;
    }
    Ok(())
}

/// The records with keys of the rounds, as `offset key value`.
fn read(program: &Path, address: &str, start: &str) -> Outcome<String> {
    let output = kcat(program, address)
        .args(["-C", "-t", TOPIC, "-p", "0", "-e", "-q", "-o", start])
        .args(["-f", "%o %k %s\n"])
        .run()?;
    let of_rounds = output.stdout.lines().filter(|line| line.contains(" key-"));
    Ok(of_rounds.map(|line| format!("{line}\n")).collect())
}
