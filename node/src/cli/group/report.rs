//! What the group commands tell: stable JSON shapes and the tables made of them. Pure.

use std::fmt::Write as _;

use serde::Serialize;
use thalweg_wire::error_code::ErrorCode;

use super::super::output::{Align, Table, cell, dash};
use super::super::routing::TopicPartition;

/// The shapes, for the help of the command.
pub(crate) const SHAPES: &str = "\
JSON shapes:
  list            {\"groups\": [{\"group\", \"type\", \"state\", \"protocol_type\", \"coordinator\"}]}
  describe        {\"groups\": [{\"group\", \"state\", \"type\", \"protocol_type\", \"assignor\", \"coordinator\", \"lag\",
                              \"members\": [{\"member\", \"instance\", \"client\", \"host\",
                                           \"assignment\": [{\"topic\", \"partitions\"}]}],
                              \"offsets\": [{\"topic\", \"partition\", \"committed\", \"end\", \"lag\", \"metadata\",
                                           \"member\", \"client\", \"host\"}]}]}
  reset           {\"group\", \"executed\", \"partitions\": [{\"topic\", \"partition\", \"from\", \"to\", \"error\"}]}
  delete          {\"groups\": [{\"group\", \"result\": \"deleted\"|\"absent\"|\"checked\"|\"failed\", \"error\"}]}
  delete-offsets  {\"group\", \"partitions\": [{\"topic\", \"partition\", \"result\": \"deleted\"|\"checked\"|\"failed\", \"was\", \"error\"}]}
What is not known, or not there, is null. Errors go to standard error, in three lines each.

Exit codes: 0 done, 1 failed, 2 usage, 5 no broker reached, 6 done for some of the groups or partitions.";

/// A group in a list.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    pub(crate) group: String,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) protocol_type: String,
    pub(crate) coordinator: i32,
}

#[derive(Debug, Serialize)]
pub(crate) struct Lists {
    pub(crate) groups: Vec<Listed>,
}

/// A member of a group.
#[derive(Debug, Serialize)]
pub(crate) struct Member {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) client: String,
    pub(crate) host: String,
    pub(crate) assignment: Vec<Assigned>,
}

/// Partitions that a member is to consume.
#[derive(Debug, Serialize)]
pub(crate) struct Assigned {
    pub(crate) topic: String,
    pub(crate) partitions: Vec<i32>,
}

/// How far a group is in a partition.
#[derive(Debug, Serialize)]
pub(crate) struct Place {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) committed: Option<i64>,
    pub(crate) end: Option<i64>,
    pub(crate) lag: Option<i64>,
    pub(crate) metadata: Option<String>,
    pub(crate) member: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) host: Option<String>,
}

/// A group in full.
#[derive(Debug, Serialize)]
pub(crate) struct Described {
    pub(crate) group: String,
    pub(crate) state: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) protocol_type: String,
    pub(crate) assignor: Option<String>,
    pub(crate) coordinator: i32,
    /// Of all partitions together.
    pub(crate) lag: i64,
    pub(crate) members: Vec<Member>,
    pub(crate) offsets: Vec<Place>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Descriptions {
    pub(crate) groups: Vec<Described>,
}

/// A partition in a reset.
#[derive(Debug, Serialize)]
pub(crate) struct Move {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) from: Option<i64>,
    pub(crate) to: i64,
    pub(crate) error: Option<&'static str>,
}

impl Move {
    pub(crate) fn new(of: &TopicPartition, from: Option<i64>, to: i64) -> Self {
        Self {
            topic: of.topic.clone(),
            partition: of.partition,
            from,
            to,
            error: None,
        }
    }

    pub(crate) fn fail(&mut self, code: i16) {
        let error = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
        self.error = Some(error.name());
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Reset {
    pub(crate) group: String,
    pub(crate) executed: bool,
    pub(crate) partitions: Vec<Move>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    pub(crate) group: String,
    pub(crate) result: &'static str,
    pub(crate) error: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Deletions {
    pub(crate) groups: Vec<Deleted>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DeletedOffset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) result: &'static str,
    pub(crate) was: Option<i64>,
    pub(crate) error: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DeletedOffsets {
    pub(crate) group: String,
    pub(crate) partitions: Vec<DeletedOffset>,
}

/// A table.
pub(crate) fn listed(groups: &[Listed], _wide: bool) -> String {
    let mut table = Table::new(&[
        ("GROUP", Align::Left),
        ("STATE", Align::Left),
        ("TYPE", Align::Left),
        ("PROTOCOL", Align::Left),
        ("COORDINATOR", Align::Right),
    ]);
    for group in groups {
        let protocol = Some(group.protocol_type.clone()).filter(|kind| !kind.is_empty());
        table.row(vec![
            group.group.clone(),
            cell(group.state.clone()),
            cell(group.kind.clone()),
            cell(protocol),
            group.coordinator.to_string(),
        ]);
    }
    table.text()
}

/// A line, its offsets and (wide) its members for each group.
pub(crate) fn described(groups: &[Described], wide: bool) -> String {
    let mut text = String::new();
    for (at, group) in groups.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "{}: {}, {} members, lag {}, assignor {}, coordinator {}",
            group.group,
            group.state,
            group.members.len(),
            group.lag,
            group.assignor.as_deref().unwrap_or("-"),
            group.coordinator
        );
        text.push_str(&place_table(&group.offsets, wide));
        if wide && !group.members.is_empty() {
            text.push_str(&member_table(&group.members));
        }
    }
    text
}

fn place_table(places: &[Place], wide: bool) -> String {
    let mut head = vec![
        ("TOPIC", Align::Left),
        ("PARTITION", Align::Right),
        ("COMMITTED", Align::Right),
        ("END", Align::Right),
        ("LAG", Align::Right),
        ("CLIENT", Align::Left),
        ("HOST", Align::Left),
    ];
    if wide {
        head.extend([("MEMBER", Align::Left), ("METADATA", Align::Left)]);
    }
    let mut table = Table::new(&head).indented(2);
    for place in places {
        let mut row = vec![
            place.topic.clone(),
            place.partition.to_string(),
            cell(place.committed),
            cell(place.end),
            cell(place.lag),
            cell(place.client.clone()),
            cell(place.host.clone()),
        ];
        if wide {
            let metadata = place.metadata.clone().filter(|text| !text.is_empty());
            row.extend([cell(place.member.clone()), cell(metadata)]);
        }
        table.row(row);
    }
    table.text()
}

fn member_table(members: &[Member]) -> String {
    let mut table = Table::new(&[
        ("MEMBER", Align::Left),
        ("INSTANCE", Align::Left),
        ("CLIENT", Align::Left),
        ("HOST", Align::Left),
        ("PARTITIONS", Align::Left),
    ])
    .indented(2);
    for member in members {
        let assigned = member.assignment.iter().map(|assigned| {
            let numbers: Vec<String> = assigned
                .partitions
                .iter()
                .map(ToString::to_string)
                .collect();
            format!("{}:{}", assigned.topic, numbers.join(","))
        });
        let assigned: Vec<String> = assigned.collect();
        table.row(vec![
            member.member.clone(),
            cell(member.instance.clone()),
            member.client.clone(),
            member.host.clone(),
            match assigned.is_empty() {
                true => dash(),
                false => assigned.join(" "),
            },
        ]);
    }
    table.text()
}

/// A table.
pub(crate) fn reset(reset: &Reset, _wide: bool) -> String {
    let mut table = Table::new(&[
        ("TOPIC", Align::Left),
        ("PARTITION", Align::Right),
        ("FROM", Align::Right),
        ("TO", Align::Right),
        ("ERROR", Align::Left),
    ]);
    for part in &reset.partitions {
        table.row(vec![
            part.topic.clone(),
            part.partition.to_string(),
            cell(part.from),
            part.to.to_string(),
            part.error.unwrap_or("").to_owned(),
        ]);
    }
    table.text()
}

/// Lines as Kafka's tool reads them.
pub(crate) fn exported(reset: &Reset) -> String {
    let lines = reset.partitions.iter();
    lines
        .map(|part| format!("\"{}\",{},{}\n", part.topic, part.partition, part.to))
        .collect()
}

/// One line for each group that is gone or would be.
pub(crate) fn deleted(groups: &[Deleted]) -> String {
    let mut text = String::new();
    for group in groups {
        let _ = match group.result {
            "failed" => Ok(()),
            "absent" => writeln!(text, "{} was not there", group.group),
            "checked" => writeln!(text, "would delete {}", group.group),
            result => writeln!(text, "{result} {}", group.group),
        };
    }
    text
}

/// One line for each partition.
pub(crate) fn deleted_offsets(deleted: &DeletedOffsets) -> String {
    let mut text = String::new();
    for part in &deleted.partitions {
        let (topic, index, was) = (&part.topic, part.partition, cell(part.was));
        let _ = match part.result {
            "failed" => Ok(()),
            "checked" => writeln!(text, "would delete {topic}-{index} (was {was})"),
            result => writeln!(text, "{result} {topic}-{index} (was {was})"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32, committed: Option<i64>) -> Place {
        Place {
            topic: "orders".to_owned(),
            partition,
            committed,
            end: Some(10),
            lag: committed.map(|offset| 10 - offset),
            metadata: None,
            member: None,
            client: None,
            host: None,
        }
    }

    #[test]
    fn a_description_in_text_and_its_fields_in_the_help() {
        let group = Described {
            group: "g".to_owned(),
            state: "Empty".to_owned(),
            kind: "classic",
            protocol_type: "consumer".to_owned(),
            assignor: None,
            coordinator: 1,
            lag: 7,
            members: Vec::new(),
            offsets: vec![place(0, Some(3)), place(1, None)],
        };
        let json = serde_json::to_value(&group).unwrap();
        for value in [&json, &json["offsets"][0]] {
            for field in value.as_object().unwrap().keys() {
                assert!(SHAPES.contains(&format!("\"{field}\"")), "{field}");
            }
        }
        let expected = "\
g: Empty, 0 members, lag 7, assignor -, coordinator 1
  TOPIC   PARTITION  COMMITTED  END  LAG  CLIENT  HOST
  orders          0          3   10    7  -       -
  orders          1          -   10    -  -       -
";
        assert_eq!(described(&[group], false), expected);
    }

    #[test]
    fn an_export_is_what_kafkas_tool_reads() {
        let reset = Reset {
            group: "g".to_owned(),
            executed: false,
            partitions: vec![Move::new(&TopicPartition::new("a", 1), Some(3), 5)],
        };
        assert_eq!(exported(&reset), "\"a\",1,5\n");
    }
}
