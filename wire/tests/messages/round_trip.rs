//! Bytes -> view -> copy -> bytes gives the same bytes, for random instances of everything.

use std::collections::BTreeMap;

use thalweg_wire::bytes::DecodeError;

use crate::for_each_version;
use crate::random::Instance;

/// Enough for each optional field to be there and absent.
const INSTANCES: u64 = 24;

#[test]
fn every_message_and_version_comes_back() {
    let mut versions = BTreeMap::new();
    for_each_version(|entry, message, version| {
        *versions.entry(entry.family).or_insert(0) += 1;
        for seed in 0..INSTANCES {
            let bytes = Instance::new(message, version, seed).bytes();
            let back = (entry.round_trip)(&bytes, version);
            assert_eq!(back, Ok(bytes), "{} v{version} seed {seed}", entry.name);
        }
    });
    println!("{INSTANCES} instances of each version, versions: {versions:?}");
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    for_each_version(|entry, message, version| {
        let known = Instance::new(message, version, 1).bytes();
        let mut more = Instance::new(message, version, 1);
        more.unknown_tags = true;
        let back = (entry.round_trip)(&more.bytes(), version);
        assert_eq!(back, Ok(known), "{} v{version}", entry.name);
    });
}

/// Kafka takes them, and librdkafka 2.0 sends one behind ListGroups 4.
#[test]
fn bytes_behind_a_message_are_left_alone() {
    for_each_version(|entry, message, version| {
        let bytes = Instance::new(message, version, 2).bytes();
        let more = [bytes.as_slice(), &[0]].concat();
        let back = (entry.round_trip)(&more, version);
        assert_eq!(back, Ok(bytes), "{} v{version}", entry.name);
    });
}

#[test]
fn versions_outside_the_schema_are_refused() {
    for entry in crate::ENTRIES {
        for version in [
            entry.versions.0 - 1,
            entry.versions.1 + 1,
            i16::MIN,
            i16::MAX,
        ] {
            assert_eq!(
                (entry.decode)(&[], version),
                Err(DecodeError::UnsupportedVersion {
                    message: entry.name,
                    version
                })
            );
        }
    }
}
