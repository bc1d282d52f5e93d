//! Kafka's own JSON converters as judge: `Instances.java` makes random instances of every message
//! and version, as JSON and as bytes. We read the bytes, must see the JSON's values in them under
//! the JSON's names, and must write the same bytes again, which Kafka therefore reads as the same
//! message. Unknown tagged fields are skipped.
//!
//! Needs Kafka 4.3.0's jars: `THALWEG_KAFKA_JARS=/path/to/kafka/libs cargo test -p thalweg-wire
//! --test oracle`. Without the variable it does nothing; with it, jars that cannot be used are a
//! failure. `THALWEG_SEED` and `THALWEG_COUNT` choose the instances.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::tree::{differs, parse, unhex};
use crate::{ENTRIES, Seen, named};

/// Messages that Kafka has and we do not: tiered storage, and a file that storage writes itself.
const ABSENT: [&str; 5] = [
    "ProducerSnapshot",
    "RemoteLogSegmentMetadataRecord",
    "RemoteLogSegmentMetadataSnapshotRecord",
    "RemoteLogSegmentMetadataUpdateRecord",
    "RemotePartitionDeleteMetadataRecord",
];

pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn every_message_is_what_kafka_says() {
    let Ok(jars) = std::env::var("THALWEG_KAFKA_JARS") else {
        println!("left out: THALWEG_KAFKA_JARS does not name Kafka's libs");
        return;
    };
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/Instances.java");
    let mut java = Command::new("java")
        .args(["-cp", &format!("{jars}/*")])
        .arg(program)
        .arg(&jars)
        .arg(number("THALWEG_SEED", 1).to_string())
        .arg(number("THALWEG_COUNT", 12).to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(java.stdout.take().unwrap()).lines();
    let mut seen: BTreeMap<&str, BTreeSet<i16>> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut count = 0;
    for line in lines {
        let line = line.unwrap();
        let columns: Vec<&str> = line.split('\t').collect();
        let [class, version, ..] = columns[..] else {
            panic!("a line of {} columns", columns.len());
        };
        if ABSENT.contains(&class) {
            continue;
        }
        let name = class
            .strip_suffix("Data")
            .filter(|name| named(name).is_some());
        let entry = named(name.unwrap_or(class)).unwrap_or_else(|| panic!("{class} is missing"));
        let version = version.parse().unwrap();
        seen.entry(entry.name).or_default().insert(version);
        count += 1;
        if let Err(problem) = judge(&columns[2..], |bytes| (entry.see)(bytes, version)) {
            problems.push(format!("{} v{version}: {problem}", entry.name));
        }
    }
    assert!(java.wait().unwrap().success(), "java failed");
    assert!(
        problems.is_empty(),
        "{} of {count}:\n{}",
        problems.len(),
        problems[..problems.len().min(20)].join("\n")
    );
    for entry in ENTRIES {
        let versions: BTreeSet<i16> = (entry.versions.0..=entry.versions.1).collect();
        assert_eq!(seen.get(entry.name), Some(&versions), "{}", entry.name);
    }
    println!("{count} instances of {} messages", seen.len());
}

fn judge(columns: &[&str], see: impl Fn(&[u8]) -> Result<Seen, String>) -> Result<(), String> {
    let [bytes, tagged, json] = columns[..] else {
        return Err(format!("{} columns", columns.len() + 2));
    };
    let bytes = unhex(bytes);
    let json: serde_json::Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let seen = see(&bytes)?;
    if let Some(difference) = differs(&parse(&seen.owned), &json) {
        return Err(format!("{difference}\n  {json}"));
    }
    // A structure without fields prints its name, which differs.
    if seen.view != format!("{}View", seen.owned) && parse(&seen.view) != parse(&seen.owned) {
        return Err(format!("view {}, copy {}", seen.view, seen.owned));
    }
    if seen.written != bytes {
        return Err(format!(
            "{bytes:02x?} read, {:02x?} written\n  {json}",
            seen.written
        ));
    }
    if tagged != "-" && see(&unhex(tagged))?.written != bytes {
        return Err("an unknown tagged field was not skipped".to_owned());
    }
    Ok(())
}
