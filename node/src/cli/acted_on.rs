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
use thalweg_coordinator::groups::consumer::Assignor;

const PER_IP: &str = "max.connections.per.ip";
const ASSIGNORS: &str = "group.consumer.assignors";
const OVERRIDES: &str = "max.connections.per.ip.overrides";

/// Every setting that the node would not act on, as errors.
pub(super) fn check(loaded: &Loaded) -> Result<(), Report> {
    let mut report = Report::default();
    connections(loaded, &mut report);
    consumer_groups(loaded, &mut report);
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

/// As Kafka's broker refuses to start over them.
fn consumer_groups(loaded: &Loaded, report: &mut Report) {
    let kafka = &loaded.settings.kafka;
    let mut error = |name: &'static str, message: String, fix: &str| {
        report.error(&origin(loaded, name), name, message, fix.to_owned());
    };
    let named = &kafka.group_consumer_assignors.0;
    if let Some(unknown) = named.iter().find(|name| Assignor::named(name).is_none()) {
        let message = format!("{unknown} is no assignor of this node");
        error(ASSIGNORS, message, "write uniform, range or both");
    } else if named.is_empty() {
        error(
            ASSIGNORS,
            "no assignor given".to_owned(),
            "write uniform,range",
        );
    }
    let bounds = [
        (
            "group.consumer.session.timeout.ms",
            kafka.group_consumer_session_timeout_ms,
            kafka.group_consumer_min_session_timeout_ms,
            kafka.group_consumer_max_session_timeout_ms,
        ),
        (
            "group.consumer.heartbeat.interval.ms",
            kafka.group_consumer_heartbeat_interval_ms,
            kafka.group_consumer_min_heartbeat_interval_ms,
            kafka.group_consumer_max_heartbeat_interval_ms,
        ),
        (
            "group.consumer.assignment.interval.ms",
            kafka.group_consumer_assignment_interval_ms,
            kafka.group_consumer_min_assignment_interval_ms,
            kafka.group_consumer_max_assignment_interval_ms,
        ),
    ];
    for (name, value, least, most) in bounds {
        if !(least..=most).contains(&value) {
            let message = format!("{value} is not between its bounds, {least} and {most}");
            error(name, message, "write a number between them, or change them");
        }
    }
    let (session, interval) = (
        kafka.group_consumer_session_timeout_ms,
        kafka.group_consumer_heartbeat_interval_ms,
    );
    if session <= interval {
        let message = format!("{session} is not more than the heartbeats' interval, {interval}");
        error(
            "group.consumer.session.timeout.ms",
            message,
            "write several intervals",
        );
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
        let found = problems("[topic.\"a\"]\n\"remote.log.copy.disable\" = \"true\"\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("line: 2") && found[0].contains("remote.log.copy.disable"));
        let codec = "[topic.\"a\"]\n\"compression.type\" = \"zstd\"\n";
        assert_eq!(problems(codec), [""; 0]);
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

    #[test]
    fn what_consumer_groups_are_told_must_fit_together() {
        for (line, count) in [
            ("\"group.consumer.assignors\" = \"range,uniform\"", 0),
            ("\"group.consumer.assignors\" = \"range,mine\"", 1),
            ("\"group.consumer.session.timeout.ms\" = 60000", 0),
            ("\"group.consumer.session.timeout.ms\" = 60001", 1),
            ("\"group.consumer.heartbeat.interval.ms\" = 4999", 1),
            ("\"group.consumer.assignment.interval.ms\" = 15001", 1),
            (
                "\"group.consumer.max.heartbeat.interval.ms\" = 50000\n\
                 \"group.consumer.heartbeat.interval.ms\" = 45000",
                1,
            ),
        ] {
            let found = problems(&format!("[kafka]\n{line}\n"));
            assert_eq!(found.len(), count, "{line}: {found:?}");
        }
    }
}
