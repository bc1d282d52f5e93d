//! Whether this node acts on the settings it was given: what the configuration alone can't tell.
//!
//! The configuration knows every key and its type. What a value would ask of the engine, the
//! coordinator judges when a topic or a broker config is changed over the wire; the same judgement
//! is passed here on what a start was given, so that it fails at the start and not at the first topic.
//! Pure. Deliberately absent: what the machine has (`thalweg doctor`).

use std::collections::BTreeMap;

use thalweg_config::{Key, Loaded, Origin, Report};
use thalweg_coordinator::configs::broker::parse_overrides;
use thalweg_coordinator::configs::check::check_topic;

const PER_IP: &str = "max.connections.per.ip";
const OVERRIDES: &str = "max.connections.per.ip.overrides";

/// Every setting that the node would not act on, as errors.
pub(super) fn check(loaded: &Loaded) -> Result<(), Report> {
    let mut report = Report::default();
    connections(loaded, &mut report);
    for (topic, configs) in &loaded.settings.topics {
        new_topic(loaded, (topic, configs), &mut report);
    }
    match report.problems.is_empty() {
        true => Ok(()),
        false => Err(report),
    }
}

fn connections(loaded: &Loaded, report: &mut Report) {
    let kafka = &loaded.settings.kafka;
    let overrides = &kafka.max_connections_per_ip_overrides;
    if let Err(refusal) = parse_overrides(overrides) {
        let fix = "write ADDRESS:COUNT, separated by commas".to_owned();
        report.error(
            &origin(loaded, OVERRIDES),
            OVERRIDES,
            refusal.to_string(),
            fix,
        );
    } else if kafka.max_connections_per_ip == 0 && overrides.trim().is_empty() {
        let message = format!("0 lets nobody in, since {OVERRIDES} names no address");
        let fix = format!("write 1 or more, or name addresses in {OVERRIDES}");
        report.error(&origin(loaded, PER_IP), PER_IP, message, fix);
    }
}

fn new_topic(
    loaded: &Loaded,
    (topic, configs): (&str, &BTreeMap<String, String>),
    report: &mut Report,
) {
    let fix = || "write another value, or leave it out".to_owned();
    let before = report.problems.len();
    for (key, value) in configs {
        let alone = BTreeMap::from([(key.clone(), value.clone())]);
        if let Err(refusal) = check_topic(&alone) {
            report.error(
                &loaded.topic_origin(topic, key),
                key,
                refusal.to_string(),
                fix(),
            );
        }
    }
    let (Some(key), Err(refusal)) = (configs.keys().next(), check_topic(configs)) else {
        return;
    };
    // Each is right alone: two of them contradict each other.
    if report.problems.len() == before {
        report.error(
            &loaded.topic_origin(topic, key),
            key,
            refusal.to_string(),
            fix(),
        );
    }
}

fn origin(loaded: &Loaded, name: &'static str) -> Origin {
    let value = loaded.values.get(&Key::Kafka(name));
    value.map_or(Origin::Default, |value| value.origin.clone())
}

#[cfg(test)]
mod tests {
    use thalweg_config::{Sources, Text, load};

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let sources = Sources {
            file: Some(Text {
                path: "thalweg.toml",
                text,
            }),
            ..Sources::default()
        };
        let checked = check(&load(&sources).unwrap());
        let report = checked.err().unwrap_or_default();
        let lines = report.problems.iter();
        lines
            .map(|problem| format!("{:?} {}: {}", problem.origin, problem.key, problem.message))
            .collect()
    }

    #[test]
    fn what_the_engine_lacks_fails_the_start() {
        let found = problems("[topic.\"a\"]\n\"compression.type\" = \"zstd\"\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("line: 2") && found[0].contains("compression.type"));
        assert_eq!(problems("[topic.\"a\"]\n\"retention.ms\" = 5\n"), [""; 0]);
    }

    #[test]
    fn two_that_contradict_each_other_are_told_once() {
        let lags = "\"min.compaction.lag.ms\" = 9\n\"max.compaction.lag.ms\" = 8\n";
        let found = problems(&format!("[topic.\"a\"]\n{lags}"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("conflict"), "{found:?}");
    }

    #[test]
    fn overrides_of_connections_are_read_at_the_start() {
        for (line, count) in [
            ("\"max.connections.per.ip.overrides\" = \"127.0.0.1:5\"", 0),
            ("\"max.connections.per.ip.overrides\" = \"127.0.0.1\"", 1),
            ("\"max.connections.per.ip.overrides\" = \"::1:x\"", 1),
            ("\"max.connections.per.ip\" = 0", 1),
        ] {
            let found = problems(&format!("[kafka]\n{line}\n"));
            assert_eq!(found.len(), count, "{line}: {found:?}");
        }
    }
}
