//! What the cluster commands tell: stable JSON shapes and the tables made of them. Pure.

use std::fmt::Write as _;

use serde::Serialize;
use thalweg_config::units::show_bytes;

use super::super::output::{Align, Table, cell, dash, yes};
use super::super::time::{self, TimeMs};

/// Partitions in trouble that a text shows.
const TROUBLE_SHOWN_MAX: usize = 20;

/// The shapes, for the help of the command.
pub(crate) const SHAPES: &str = "\
JSON shapes:
  status, health  {\"cluster_id\", \"healthy\", \"controller\", \"brokers\", \"fenced\", \"topics\", \"partitions\",
                   \"leaderless\", \"under_replicated\", \"trouble\": [{\"topic\", \"partition\", \"problem\"}]}
  brokers         {\"brokers\": [{\"id\", \"host\", \"port\", \"rack\", \"controller\", \"fenced\", \"leads\", \"copies\"}]}
  features        {\"epoch\", \"features\": [{\"name\", \"supported_min\", \"supported_max\", \"finalized\"}]}
  api-versions    {\"apis\": [{\"key\", \"name\", \"min\", \"max\"}]}
  quorum          {\"leader\", \"leader_epoch\", \"high_watermark\",
                   \"members\": [{\"id\", \"directory\", \"voter\", \"leader\", \"log_end\", \"caught_up_ms\"}]}
  log-dirs        {\"log_dirs\": [{\"broker\", \"directory\", \"partitions\", \"bytes\", \"total_bytes\", \"usable_bytes\"}]}
What a broker did not tell is null; a feature that is switched off is finalized at 0. Errors go to standard
error, in three lines each.

Exit codes: 0 done, 1 failed (health: not healthy), 2 usage, 5 no broker reached, 6 partly done.";

#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) cluster_id: String,
    pub(crate) healthy: bool,
    pub(crate) controller: Option<i32>,
    pub(crate) brokers: usize,
    pub(crate) fenced: usize,
    pub(crate) topics: usize,
    pub(crate) partitions: usize,
    pub(crate) leaderless: usize,
    pub(crate) under_replicated: usize,
    pub(crate) trouble: Vec<Trouble>,
}

/// A partition that is not as it should be.
#[derive(Debug, Serialize)]
pub(crate) struct Trouble {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) problem: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Broker {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) rack: Option<String>,
    pub(crate) controller: bool,
    pub(crate) fenced: bool,
    /// Partitions it leads.
    pub(crate) leads: usize,
    /// Partitions it has a copy of.
    pub(crate) copies: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Brokers {
    pub(crate) brokers: Vec<Broker>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) supported_min: Option<i16>,
    pub(crate) supported_max: Option<i16>,
    pub(crate) finalized: i16,
}

#[derive(Debug, Serialize)]
pub(crate) struct Features {
    pub(crate) epoch: Option<i64>,
    pub(crate) features: Vec<Feature>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Api {
    pub(crate) key: i16,
    pub(crate) name: Option<&'static str>,
    pub(crate) min: i16,
    pub(crate) max: i16,
}

#[derive(Debug, Serialize)]
pub(crate) struct Apis {
    pub(crate) apis: Vec<Api>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Member {
    pub(crate) id: i32,
    pub(crate) directory: Option<String>,
    pub(crate) voter: bool,
    pub(crate) leader: bool,
    pub(crate) log_end: i64,
    pub(crate) caught_up_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Quorum {
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) high_watermark: i64,
    pub(crate) members: Vec<Member>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LogDir {
    pub(crate) broker: i32,
    pub(crate) directory: String,
    pub(crate) partitions: usize,
    pub(crate) bytes: i64,
    pub(crate) total_bytes: Option<i64>,
    pub(crate) usable_bytes: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LogDirs {
    pub(crate) log_dirs: Vec<LogDir>,
}

/// A few sentences.
pub(crate) fn status(status: &Status, _wide: bool) -> String {
    let mut text = format!("cluster {}: ", status.cluster_id);
    text += match status.healthy {
        true => "healthy, every partition has its leader and all copies in sync\n",
        false => "NOT healthy\n",
    };
    let _ = writeln!(
        text,
        "  {} brokers ({} fenced), controller {}",
        status.brokers,
        status.fenced,
        cell(status.controller)
    );
    let _ = writeln!(
        text,
        "  {} topics, {} partitions: {} without leader, {} with copies not in sync",
        status.topics, status.partitions, status.leaderless, status.under_replicated
    );
    for part in status.trouble.iter().take(TROUBLE_SHOWN_MAX) {
        let _ = writeln!(
            text,
            "    {}-{}: {}",
            part.topic, part.partition, part.problem
        );
    }
    if let Some(more) = status.trouble.len().checked_sub(TROUBLE_SHOWN_MAX + 1) {
        let _ = writeln!(text, "    and {} more", more + 1);
    }
    text
}

/// A table.
pub(crate) fn brokers(brokers: &[Broker], wide: bool) -> String {
    let mut head = vec![
        ("ID", Align::Right),
        ("ADDRESS", Align::Left),
        ("RACK", Align::Left),
        ("CONTROLLER", Align::Left),
        ("STATE", Align::Left),
    ];
    if wide {
        head.extend([("LEADS", Align::Right), ("COPIES", Align::Right)]);
    }
    let mut table = Table::new(&head);
    for broker in brokers {
        let mut row = vec![
            broker.id.to_string(),
            format!("{}:{}", broker.host, broker.port),
            broker.rack.clone().unwrap_or_else(dash),
            yes(broker.controller),
            if broker.fenced { "fenced" } else { "up" }.to_owned(),
        ];
        if wide {
            row.extend([broker.leads.to_string(), broker.copies.to_string()]);
        }
        table.row(row);
    }
    table.text()
}

/// A table.
pub(crate) fn features(features: &Features, _wide: bool) -> String {
    let mut table = Table::new(&[
        ("FEATURE", Align::Left),
        ("SUPPORTED", Align::Left),
        ("FINALIZED", Align::Right),
    ]);
    for feature in &features.features {
        let supported = match (feature.supported_min, feature.supported_max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            _ => dash(),
        };
        table.row(vec![
            feature.name.clone(),
            supported,
            feature.finalized.to_string(),
        ]);
    }
    table.text()
}

/// A table.
pub(crate) fn apis(apis: &Apis, _wide: bool) -> String {
    let mut table = Table::new(&[
        ("KEY", Align::Right),
        ("API", Align::Left),
        ("VERSIONS", Align::Left),
    ]);
    for api in &apis.apis {
        table.row(vec![
            api.key.to_string(),
            api.name.unwrap_or("?").to_owned(),
            format!("{} to {}", api.min, api.max),
        ]);
    }
    table.text()
}

/// A line and a table.
pub(crate) fn quorum(quorum: &Quorum, wide: bool) -> String {
    let mut head = vec![
        ("ID", Align::Right),
        ("ROLE", Align::Left),
        ("LOG END", Align::Right),
        ("LAG", Align::Right),
        ("CAUGHT UP", Align::Left),
    ];
    if wide {
        head.push(("DIRECTORY", Align::Left));
    }
    let end = quorum.members.iter().find(|member| member.leader);
    let end = end.map_or(quorum.high_watermark, |leader| leader.log_end);
    let mut table = Table::new(&head);
    for member in &quorum.members {
        let role = match (member.leader, member.voter) {
            (true, _) => "leader",
            (_, true) => "voter",
            _ => "observer",
        };
        let known = member.log_end >= 0;
        let mut row = vec![
            member.id.to_string(),
            role.to_owned(),
            cell(known.then_some(member.log_end)),
            cell(known.then_some(end - member.log_end)),
            cell(member.caught_up_ms.map(|ms| time::show(TimeMs(ms)))),
        ];
        if wide {
            row.push(member.directory.clone().unwrap_or_else(dash));
        }
        table.row(row);
    }
    format!(
        "leader {} in epoch {}, high watermark {}\n{}",
        quorum.leader,
        quorum.leader_epoch,
        quorum.high_watermark,
        table.text()
    )
}

/// A table.
pub(crate) fn log_dirs(dirs: &LogDirs, wide: bool) -> String {
    let bytes = |bytes: i64| match wide {
        true => bytes.to_string(),
        false => u64::try_from(bytes).map_or_else(|_negative| dash(), round_bytes),
    };
    let mut table = Table::new(&[
        ("BROKER", Align::Right),
        ("PARTITIONS", Align::Right),
        ("BYTES", Align::Right),
        ("FREE", Align::Right),
        ("OF", Align::Right),
        ("DIRECTORY", Align::Left),
    ]);
    for dir in &dirs.log_dirs {
        table.row(vec![
            dir.broker.to_string(),
            dir.partitions.to_string(),
            bytes(dir.bytes),
            cell(dir.usable_bytes.map(bytes)),
            cell(dir.total_bytes.map(bytes)),
            dir.directory.clone(),
        ]);
    }
    table.text()
}

/// Bytes to three digits or so: rounded down to a unit that leaves at most four.
pub(crate) fn round_bytes(bytes: u64) -> String {
    let mut unit = 0;
    while bytes >> unit >= 10_000 {
        unit += 10;
    }
    show_bytes((bytes >> unit) << unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_to_what_can_be_read() {
        assert_eq!(round_bytes(9_999), "9999");
        assert_eq!(round_bytes(123_456_789), "117MiB");
        assert_eq!(round_bytes(0), "0");
    }

    #[test]
    fn a_long_list_of_trouble_is_cut() {
        let trouble = |partition| Trouble {
            topic: "t".to_owned(),
            partition,
            problem: "no leader",
        };
        let report = Status {
            cluster_id: "c".to_owned(),
            healthy: false,
            controller: None,
            brokers: 1,
            fenced: 0,
            topics: 1,
            partitions: 30,
            leaderless: 30,
            under_replicated: 0,
            trouble: (0..30).map(trouble).collect(),
        };
        let text = status(&report, false);
        assert!(text.contains("NOT healthy"));
        assert!(text.ends_with("    and 10 more\n"), "{text}");
    }
}
