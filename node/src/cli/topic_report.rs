//! What the topic commands tell: stable JSON shapes and the tables made of them. Pure.
//!
//! The shapes are promises: a field may be added, none is renamed or taken away.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::output::{Align, Format, Table};

/// The shapes, for the help of the command.
pub const SHAPES: &str = "\
JSON shapes:
  create    {\"topics\": [{\"name\", \"result\": \"created\"|\"exists\"|\"checked\", \"id\", \"partitions\", \"replication_factor\"}]}
  list      {\"topics\": [{\"name\", \"id\", \"internal\", \"partitions\", \"replication_factor\"}]}
  describe  {\"topics\": [{\"name\", \"id\", \"internal\", \"replication_factor\",
                        \"configs\": {KEY: VALUE, ...},
                        \"partitions\": [{\"partition\", \"leader\", \"leader_epoch\", \"replicas\", \"in_sync\", \"offline\"}]}]}
  delete    {\"topics\": [{\"name\", \"result\": \"deleted\"|\"absent\"|\"checked\"|\"failed\", \"error\"}]}
`configs` has the values set for the topic itself; a leader is null while there is none; an id, number
or error that the broker did not tell is null. Errors go to standard error, in three lines each.

Exit codes: 0 done, 1 failed, 2 usage, 5 no broker reached, 6 done for some of the topics.";

/// All answers have one field, so that there is room for others.
#[derive(Debug, Serialize)]
pub struct Topics<T> {
    /// In the order asked for, or by name.
    pub topics: Vec<T>,
}

/// A topic that was to be created.
#[derive(Debug, Serialize)]
pub struct Created {
    /// Its name.
    pub name: String,
    /// created, exists or checked.
    pub result: &'static str,
    /// Its id.
    pub id: Option<String>,
    /// Number of partitions.
    pub partitions: Option<i32>,
    /// Copies of each.
    pub replication_factor: Option<i32>,
}

/// A topic that was to be deleted.
#[derive(Debug, Serialize)]
pub struct Deleted {
    /// Its name.
    pub name: String,
    /// deleted, absent, checked or failed.
    pub result: &'static str,
    /// Kafka's name of the error.
    pub error: Option<&'static str>,
}

/// A topic in a list.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Option<String>,
    /// Whether it is Kafka's own.
    pub internal: bool,
    /// Number of partitions.
    pub partitions: usize,
    /// Copies of each.
    pub replication_factor: usize,
}

/// A topic in full.
#[derive(Debug, Serialize)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Option<String>,
    /// Whether it is Kafka's own.
    pub internal: bool,
    /// Copies of each partition.
    pub replication_factor: usize,
    /// Values set for the topic itself.
    pub configs: BTreeMap<String, Option<String>>,
    /// By index.
    pub partitions: Vec<PartitionState>,
}

/// A partition of a topic.
#[derive(Debug, Serialize)]
pub struct PartitionState {
    /// Its index.
    pub partition: i32,
    /// The node that leads it.
    pub leader: Option<i32>,
    /// How often it changed.
    pub leader_epoch: Option<i32>,
    /// Nodes with a copy, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those that have everything.
    pub in_sync: Vec<i32>,
    /// Those that are away.
    pub offline: Vec<i32>,
}

/// A report as JSON, or as what `text` makes of it.
pub fn show<T: Serialize>(
    topics: Vec<T>,
    format: Format,
    text: impl FnOnce(&[T], bool) -> String,
) -> String {
    match format {
        Format::Text => text(&topics, false),
        Format::Wide => text(&topics, true),
        Format::Json => {
            // Plain structs with text keys: this can't fail.
            let json = serde_json::to_string_pretty(&Topics { topics });
            json.unwrap_or_default() + "\n"
        }
    }
}

/// One line for each topic.
pub fn created(topics: &[Created], wide: bool) -> String {
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
pub fn deleted(topics: &[Deleted], _wide: bool) -> String {
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
pub fn listed(topics: &[Listed], wide: bool) -> String {
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
            row.push(if topic.internal { "yes" } else { "no" }.to_owned());
            row.push(topic.id.clone().unwrap_or_else(none));
        }
        table.row(row);
    }
    table.text()
}

/// A line, its configs and a table for each topic.
pub fn described(topics: &[Described], wide: bool) -> String {
    let mut text = String::new();
    for (at, topic) in topics.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
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
            number(partition.leader),
            nodes(&partition.replicas),
            nodes(&partition.in_sync),
        ];
        if wide {
            row.extend([nodes(&partition.offline), number(partition.leader_epoch)]);
        }
        table.row(row);
    }
    table.text()
}

fn none() -> String {
    "-".to_owned()
}

fn number(value: Option<i32>) -> String {
    value.map_or_else(none, |value| value.to_string())
}

fn nodes(ids: &[i32]) -> String {
    if ids.is_empty() {
        return none();
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
