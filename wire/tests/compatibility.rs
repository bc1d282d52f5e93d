//! `docs/compatibility.md` says what is served: it is held against the one table of APIs, and against the versions of
//! Kafka 4.3 as its own schema files state them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use thalweg_wire::api::{ApiKey, Listener, on};

/// Name, Kafka's versions, ours, what is said.
type Row = (String, String, String, String);

fn rows() -> BTreeMap<i16, Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, key, name, kafka, here, words, _] = cells.as_slice() else {
            return None;
        };
        let row = (*name, *kafka, *here, *words);
        let row = (
            row.0.to_owned(),
            row.1.to_owned(),
            row.2.to_owned(),
            row.3.to_owned(),
        );
        Some((key.parse().ok()?, row))
    });
    lines.collect()
}

/// `request KEY NAMERequest VERSIONS flexible .. listeners ..` of each schema file.
fn kafkas() -> BTreeMap<i16, (String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/client");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let Some(line) = text.lines().find(|line| line.starts_with("request ")) else {
            continue;
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, key, name, versions, ..] = words.as_slice() else {
            panic!("{line}");
        };
        let listeners = line.split_once("listeners ").map_or("", |(_, rest)| rest);
        if *versions != "none" && listeners.split(',').any(|one| one.trim() == "broker") {
            let name = name.trim_end_matches("Request").to_owned();
            let versions = match versions.contains('-') {
                true => (*versions).to_owned(),
                false => format!("{versions}-{versions}"),
            };
            found.insert(key.parse().unwrap(), (name, versions));
        }
    }
    found
}

#[test]
fn the_page_says_what_is_served() {
    let rows = rows();
    let mut served: BTreeMap<i16, String> = BTreeMap::new();
    for api in on(Listener::Broker) {
        let versions = format!("{}-{}", api.advertised.min, api.advertised.max);
        served.insert(api.key.code(), versions);
    }
    for (key, (name, _, here, words)) in &rows {
        assert_eq!(
            ApiKey::from_code(*key).map(ApiKey::name),
            Some(name.as_str())
        );
        let expected = served.remove(key).unwrap_or_else(|| "absent".to_owned());
        assert_eq!(*here, expected, "{name}");
        assert!(
            here != "absent" || !words.is_empty(),
            "{name}: why is it absent?"
        );
    }
    assert!(served.is_empty(), "not on the page: {served:?}");
}

#[test]
fn the_page_has_every_api_of_kafkas_brokers() {
    let rows = rows();
    for (key, (name, versions)) in kafkas() {
        // Only a broker with a receiver of client metrics announces them.
        if ["GetTelemetrySubscriptions", "PushTelemetry"].contains(&name.as_str()) {
            continue;
        }
        let (row, kafka, ..) = rows
            .get(&key)
            .unwrap_or_else(|| panic!("{key} {name} is missing"));
        // Kafka announces the oldest versions of Produce, which it does not have any more.
        let versions = if key == 0 {
            "0-13".to_owned()
        } else {
            versions
        };
        assert_eq!((row, kafka), (&name, &versions));
    }
}
