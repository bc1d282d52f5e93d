//! What the topic commands tell: stable JSON shapes and the tables made of them. Pure.
//!
//! The shapes are promises: a field may be added, none is renamed or taken away.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use thalweg_wire::error_code::ErrorCode;

use super::super::outcome;
use super::super::output::{Align, Format, Table, cell, dash, yes};
use super::super::routing::TopicPartition;

/// The shapes, for the help of the command.
pub(crate) const SHAPES: &str = "\
JSON shapes:
  create    {\"topics\": [{\"name\", \"result\": \"created\"|\"exists\"|\"checked\", \"id\", \"partitions\", \"replication_factor\"}]}
  list      {\"topics\": [{\"name\", \"id\", \"internal\", \"partitions\", \"replication_factor\"}]}
  describe  {\"topics\": [{\"name\", \"id\", \"internal\", \"replication_factor\",
                        \"partition_count\", \"configs\": {KEY: VALUE, ...},
                        \"partitions\": [{\"partition\", \"leader\", \"leader_epoch\", \"replicas\", \"in_sync\", \"offline\"}]}]}
  alter, add-partitions
            {\"topics\": [{\"name\", \"result\": \"altered\"|\"checked\", \"partitions\", \"set\": {KEY: VALUE, ...}, \"unset\": [KEY, ...]}]}
  offsets   {\"partitions\": [{\"topic\", \"partition\", \"first\", \"end\", \"at\"}]}   (\"at\" only with --at)
  trim      {\"partitions\": [{\"topic\", \"partition\", \"result\": \"trimmed\"|\"checked\"|\"failed\", \"first\", \"error\"}]}
  delete    {\"topics\": [{\"name\", \"result\": \"deleted\"|\"absent\"|\"checked\"|\"failed\", \"error\"}]}
`configs` has the values set for the topic itself; a leader is null while there is none; an id, number
or error that the broker did not tell is null. Errors go to standard error, in three lines each.

Exit codes: 0 done, 1 failed, 2 usage, 5 no broker reached, 6 done for some of the topics.";

/// All answers have one field, so that there is room for others.
#[derive(Debug, Serialize)]
pub(crate) struct Topics<T> {
    /// In the order asked for, or by name.
    pub(crate) topics: Vec<T>,
}

/// A topic that was to be created.
#[derive(Debug, Serialize)]
pub(crate) struct Created {
    /// Its name.
    pub(crate) name: String,
    /// created, exists or checked.
    pub(crate) result: &'static str,
    /// Its id.
    pub(crate) id: Option<String>,
    /// Number of partitions.
    pub(crate) partitions: Option<i32>,
    /// Copies of each.
    pub(crate) replication_factor: Option<i32>,
}

/// A topic that was to be deleted.
#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    /// Its name.
    pub(crate) name: String,
    /// deleted, absent, checked or failed.
    pub(crate) result: &'static str,
    /// Kafka's name of the error.
    pub(crate) error: Option<&'static str>,
}

/// A topic in a list.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Listed {
    /// Its name.
    pub(crate) name: String,
    /// Its id.
    pub(crate) id: Option<String>,
    /// Whether it is Kafka's own.
    pub(crate) internal: bool,
    /// Number of partitions.
    pub(crate) partitions: usize,
    /// Copies of each.
    pub(crate) replication_factor: usize,
}

/// A topic in full.
#[derive(Debug, Serialize)]
pub(crate) struct Described {
    /// Its name.
    pub(crate) name: String,
    /// Its id.
    pub(crate) id: Option<String>,
    /// Whether it is Kafka's own.
    pub(crate) internal: bool,
    /// Number of its partitions, shown or not.
    pub(crate) partition_count: usize,
    /// Copies of each partition.
    pub(crate) replication_factor: usize,
    /// Values set for the topic itself.
    pub(crate) configs: BTreeMap<String, Option<String>>,
    /// By index.
    pub(crate) partitions: Vec<PartitionState>,
}

/// A partition of a topic.
#[derive(Debug, Serialize)]
pub(crate) struct PartitionState {
    /// Its index.
    pub(crate) partition: i32,
    /// The node that leads it.
    pub(crate) leader: Option<i32>,
    /// How often it changed.
    pub(crate) leader_epoch: Option<i32>,
    /// Nodes with a copy, the preferred leader first.
    pub(crate) replicas: Vec<i32>,
    /// Those that have everything.
    pub(crate) in_sync: Vec<i32>,
    /// Those that are away.
    pub(crate) offline: Vec<i32>,
}

/// A topic that was changed.
#[derive(Debug, Serialize)]
pub(crate) struct Altered {
    pub(crate) name: String,
    /// altered or checked.
    pub(crate) result: &'static str,
    /// How many it has now, if that was asked for.
    pub(crate) partitions: Option<i32>,
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) unset: Vec<String>,
}

/// Where a partition begins and ends.
#[derive(Debug, Serialize)]
pub(crate) struct Placed {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) first: Option<i64>,
    pub(crate) end: Option<i64>,
    /// The offset of the time asked for; null if no record is as young.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Option<i64>>,
}

/// A partition whose oldest records are gone.
#[derive(Debug, Serialize)]
pub(crate) struct Trimmed {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// trimmed, checked or failed.
    pub(crate) result: &'static str,
    /// Where it begins now.
    pub(crate) first: Option<i64>,
    /// Kafka's name of the error.
    pub(crate) error: Option<&'static str>,
    #[serde(skip)]
    pub(crate) code: Option<i16>,
}

impl Trimmed {
    pub(crate) fn new(
        of: &TopicPartition,
        result: &'static str,
        first: Option<i64>,
        code: Option<i16>,
    ) -> Self {
        Self {
            topic: of.topic.clone(),
            partition: of.partition,
            result: if code.is_some() { "failed" } else { result },
            first,
            error: code.and_then(ErrorCode::from_code).map(ErrorCode::name),
            code,
        }
    }
}

/// A report as JSON, or as what `text` makes of it.
pub(crate) fn show<T: Serialize>(
    topics: Vec<T>,
    format: Format,
    text: impl FnOnce(&[T], bool) -> String,
) -> String {
    outcome::show(&Topics { topics }, format, |topics, wide| {
        text(&topics.topics, wide)
    })
}

/// The same for rows under another name.
pub(crate) fn show_as<T: Serialize>(
    name: &str,
    rows: &[T],
    format: Format,
    text: impl FnOnce(&[T], bool) -> String,
) -> String {
    match format {
        Format::Text => text(rows, false),
        Format::Wide => text(rows, true),
        Format::Json => outcome::json(&BTreeMap::from([(name, rows)])),
    }
}

/// One line for each topic.
pub(crate) fn altered(topics: &[Altered], _wide: bool) -> String {
    let mut text = String::new();
    for topic in topics {
        let _ = write!(text, "{} {}", topic.result, topic.name);
        if let Some(count) = topic.partitions {
            let _ = write!(text, ": {}", partitions_in_words(count));
        }
        for (key, value) in &topic.set {
            let _ = write!(text, ", {key}={value}");
        }
        for key in &topic.unset {
            let _ = write!(text, ", {key} unset");
        }
        text.push('\n');
    }
    text
}

/// A table.
pub(crate) fn placed(partitions: &[Placed], _wide: bool) -> String {
    let mut head = vec![
        ("TOPIC", Align::Left),
        ("PARTITION", Align::Right),
        ("FIRST", Align::Right),
        ("END", Align::Right),
    ];
    let at = partitions.iter().any(|part| part.at.is_some());
    if at {
        head.push(("AT TIME", Align::Right));
    }
    let mut table = Table::new(&head);
    for part in partitions {
        let mut row = vec![
            part.topic.clone(),
            part.partition.to_string(),
            cell(part.first),
            cell(part.end),
        ];
        if at {
            row.push(cell(part.at.flatten()));
        }
        table.row(row);
    }
    table.text()
}

/// One line for each partition.
pub(crate) fn trimmed(partitions: &[Trimmed], _wide: bool) -> String {
    let mut text = String::new();
    for part in partitions.iter().filter(|part| part.code.is_none()) {
        let (topic, partition, first) = (&part.topic, part.partition, cell(part.first));
        let _ = match part.result {
            "checked" => writeln!(text, "{topic}-{partition} would begin at {first}"),
            _ => writeln!(text, "{topic}-{partition} begins at {first}"),
        };
    }
    text
}

/// One line for each topic.
pub(crate) fn created(topics: &[Created], wide: bool) -> String {
    let mut text = String::new();
    for topic in topics {
        let _ = match (topic.result, topic.partitions, topic.replication_factor) {
            ("exists", ..) => write!(text, "{} exists already, left as it is", topic.name),
            (result, Some(partitions), Some(copies)) => write!(
                text,
                "{result} {}: {}, replication factor {copies}",
                topic.name,
                partitions_in_words(partitions)
            ),
            (result, ..) => write!(text, "{result} {}", topic.name),
        };
        if let (true, Some(id)) = (wide, &topic.id) {
            let _ = write!(text, ", id {id}");
        }
        text.push('\n');
    }
    text
}

fn partitions_in_words(count: i32) -> String {
    match count {
        1 => "1 partition".to_owned(),
        count => format!("{count} partitions"),
    }
}

/// One line for each topic that is gone or would be.
pub(crate) fn deleted(topics: &[Deleted], _wide: bool) -> String {
    let mut text = String::new();
    for topic in topics {
        let _ = match topic.result {
            "failed" => Ok(()),
            "absent" => writeln!(text, "{} was not there", topic.name),
            "checked" => writeln!(text, "would delete {}", topic.name),
            result => writeln!(text, "{result} {}", topic.name),
        };
    }
    text
}

/// A table.
pub(crate) fn listed(topics: &[Listed], wide: bool) -> String {
    let mut head = vec![
        ("NAME", Align::Left),
        ("PARTITIONS", Align::Right),
        ("REPLICAS", Align::Right),
    ];
    if wide {
        head.extend([("INTERNAL", Align::Left), ("ID", Align::Left)]);
    }
    let mut table = Table::new(&head);
    for topic in topics {
        let mut row = vec![
            topic.name.clone(),
            topic.partitions.to_string(),
            topic.replication_factor.to_string(),
        ];
        if wide {
            row.push(yes(topic.internal));
            row.push(cell(topic.id.clone()));
        }
        table.row(row);
    }
    table.text()
}

/// A line, its configs and a table for each topic.
pub(crate) fn described(topics: &[Described], wide: bool) -> String {
    let mut text = String::new();
    for (at, topic) in topics.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        let count = i32::try_from(topic.partition_count).unwrap_or(i32::MAX);
        let _ = write!(
            text,
            "{}: {}, replication factor {}",
            topic.name,
            partitions_in_words(count),
            topic.replication_factor
        );
        if let Some(id) = &topic.id {
            let _ = write!(text, ", id {id}");
        }
        text.push('\n');
        for (key, value) in &topic.configs {
            let value = value.as_deref().unwrap_or("(hidden)");
            let _ = writeln!(text, "  {key}={value}");
        }
        text.push_str(&partition_table(&topic.partitions, wide));
    }
    text
}

fn partition_table(partitions: &[PartitionState], wide: bool) -> String {
    let mut head = vec![
        ("PARTITION", Align::Right),
        ("LEADER", Align::Right),
        ("REPLICAS", Align::Left),
        ("IN SYNC", Align::Left),
    ];
    if wide {
        head.extend([("OFFLINE", Align::Left), ("LEADER EPOCH", Align::Right)]);
    }
    let mut table = Table::new(&head).indented(2);
    for partition in partitions {
        let mut row = vec![
            partition.partition.to_string(),
            cell(partition.leader),
            nodes(&partition.replicas),
            nodes(&partition.in_sync),
        ];
        if wide {
            row.extend([nodes(&partition.offline), cell(partition.leader_epoch)]);
        }
        table.row(row);
    }
    table.text()
}

fn nodes(ids: &[i32]) -> String {
    if ids.is_empty() {
        return dash();
    }
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Described {
        let partition = |partition, leader| PartitionState {
            partition,
            leader,
            leader_epoch: Some(3),
            replicas: vec![1, 2],
            in_sync: vec![1],
            offline: vec![],
        };
        Described {
            name: "orders".to_owned(),
            id: Some("AAAA".to_owned()),
            internal: false,
            partition_count: 2,
            replication_factor: 2,
            configs: [("retention.ms".to_owned(), Some("1000".to_owned()))].into(),
            partitions: vec![partition(0, Some(1)), partition(1, None)],
        }
    }

    #[test]
    fn a_description_in_text() {
        let expected = "\
orders: 2 partitions, replication factor 2, id AAAA
  retention.ms=1000
  PARTITION  LEADER  REPLICAS  IN SYNC
          0       1  1,2       1
          1       -  1,2       1
";
        assert_eq!(show(vec![orders()], Format::Text, described), expected);
    }

    #[test]
    fn a_description_in_json_has_the_fields_of_the_help() {
        let text = show(vec![orders()], Format::Json, described);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let topic = &json["topics"][0];
        assert_eq!(topic["configs"]["retention.ms"], "1000");
        assert!(topic["partitions"][1]["leader"].is_null());
        for value in [topic, &topic["partitions"][0]] {
            for field in value.as_object().unwrap().keys() {
                assert!(SHAPES.contains(&format!("\"{field}\"")), "{field}");
            }
        }
    }

    #[test]
    fn a_list_in_text_and_wide() {
        let topic = || Listed {
            name: "a".to_owned(),
            id: None,
            internal: true,
            partitions: 50,
            replication_factor: 1,
        };
        assert_eq!(
            show(vec![topic()], Format::Text, listed),
            "NAME  PARTITIONS  REPLICAS\na             50         1\n"
        );
        assert_eq!(
            show(vec![topic()], Format::Wide, listed),
            "NAME  PARTITIONS  REPLICAS  INTERNAL  ID\na             50         1  yes       -\n"
        );
    }
}
