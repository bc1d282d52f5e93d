//! The topic keys as we state them against what Kafka's jars say of them.

use thalweg_coordinator::configs::keys::{Bounds, TOPIC_KEYS};

const FACTS: &str = include_str!("../../config/facts/kafka-4.3.0.tsv");

/// Bounds in Kafka's notation.
fn bounds(bounds: Bounds) -> String {
    match bounds {
        Bounds::Any => String::new(),
        Bounds::Least(least) => format!("[{least},...]"),
        Bounds::Range(least, most, None) => format!("[{least},...,{most}]"),
        Bounds::Range(least, most, Some(also)) => format!("[{least},...,{most}] or {also}"),
        Bounds::Words(words) => format!("[{words}]"),
        Bounds::Throttled => "[partitionId]:[brokerId],[partitionId]:[brokerId],...".to_owned(),
    }
}

#[test]
fn every_bound_is_read_as_it_is_written() {
    let read = |line: &'static str| {
        let notation = line.split('\t').nth(4)?;
        let known = notation.starts_with('[');
        known.then(|| (bounds(Bounds::parse(notation)), notation))
    };
    let all: Vec<_> = FACTS.lines().filter_map(read).collect();
    assert!(all.len() > 150);
    for (again, notation) in all {
        assert_eq!(again, notation);
    }
}

#[test]
fn every_topic_key_is_as_kafka_has_it() {
    let facts: Vec<&str> = FACTS
        .lines()
        .filter(|line| line.starts_with("topic\t"))
        .collect();
    let ours: Vec<String> = TOPIC_KEYS
        .iter()
        .map(|key| {
            let kind = key.kind.word().to_lowercase();
            let synonyms: Vec<&str> = key.synonyms.iter().map(|(name, _)| *name).collect();
            let (name, default, bounds) = (key.name, key.default, bounds(key.bounds));
            format!(
                "topic\t{name}\t{kind}\t{default}\t{bounds}\tdynamic\t{}",
                synonyms.join(",")
            )
        })
        .collect();
    assert_eq!(ours.join("\n"), facts.join("\n"));
}
