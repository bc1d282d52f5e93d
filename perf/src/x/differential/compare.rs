//! Where two answers differ: field paths and both values.
//!
//! Lists of structures are sets by identity (name, partition, id): Kafka gathers most answers in
//! hash maps, so their order says nothing. Rows that share an identity are put in order by all they
//! hold. Lists of plain values and the batches of a log keep their order.
//!
//! How rows of one topic are grouped is not compared either: a topic named twice in a request is one
//! row or two, equal rows are one, and a topic without partitions may be left out.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::rules::Rules;

/// Fields that tell rows of a list apart, in order of weight.
const IDENTITY: &[&str] = &[
    "ResourceType",
    "ResourceName",
    "TopicName",
    "Topic",
    "Name",
    "TopicId",
    "GroupId",
    "Key",
    "PartitionIndex",
    "Partition",
    "Index",
    "MemberId",
    "GroupInstanceId",
    "ApiKey",
    "NodeId",
    "BrokerId",
    "Feature",
    "EntityType",
];
/// Lists whose order is part of the answer.
const ORDERED: &[&str] = &["Records", "RecordErrors", "Synonyms"];

/// A field's place: names, with the row's identity where a list was passed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Path(pub(super) Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) row: Option<String>,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(f, "{dot}{}", segment.name)?;
            if let Some(row) = &segment.row {
                write!(f, "[{row}]")?;
            }
        }
        Ok(())
    }
}

impl Path {
    fn below(&self, name: &str) -> Self {
        let mut path = self.clone();
        path.0.push(Segment {
            name: name.to_owned(),
            row: None,
        });
        path
    }

    fn row(&self, row: &str) -> Self {
        let mut path = self.clone();
        if let Some(last) = path.0.last_mut() {
            last.row = Some(row.to_owned());
        }
        path
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub(super) path: Path,
    pub(super) kafka: Value,
    pub(super) thalweg: Value,
}

/// All differences between two answers that no rule normalises.
pub(super) fn differences(
    api: &str,
    kafka: &Value,
    thalweg: &Value,
    rules: &Rules,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut comparison = Comparison {
        api,
        rules,
        found: &mut found,
    };
    comparison.values(&Path::default(), kafka, thalweg);
    found
}

struct Comparison<'a> {
    api: &'a str,
    rules: &'a Rules,
    found: &'a mut Vec<Difference>,
}

impl Comparison<'_> {
    fn values(&mut self, path: &Path, kafka: &Value, thalweg: &Value) {
        if self.rules.equal(self.api, path, kafka, thalweg) {
            return;
        }
        match (kafka, thalweg) {
            (Value::Object(ours), Value::Object(theirs)) => self.fields(path, ours, theirs),
            (Value::Array(left), Value::Array(right))
                if left.iter().chain(right).any(Value::is_object) =>
            {
                self.rows(path, left, right);
            }
            _ if kafka == thalweg => {}
            _ => self.found.push(Difference {
                path: path.clone(),
                kafka: kafka.clone(),
                thalweg: thalweg.clone(),
            }),
        }
    }

    fn fields(&mut self, path: &Path, kafka: &Map<String, Value>, thalweg: &Map<String, Value>) {
        for (name, value) in kafka {
            let other = thalweg.get(name).unwrap_or(&Value::Null);
            self.values(&path.below(name), value, other);
        }
        for (name, value) in thalweg {
            if !kafka.contains_key(name) {
                self.values(&path.below(name), &Value::Null, value);
            }
        }
    }

    fn rows(&mut self, path: &Path, kafka: &[Value], thalweg: &[Value]) {
        let is_ordered = path
            .0
            .last()
            .is_some_and(|last| ORDERED.contains(&last.name.as_str()));
        let (kafka, thalweg) = (
            by_identity(kafka, is_ordered),
            by_identity(thalweg, is_ordered),
        );
        for (row, value) in &kafka {
            let other = thalweg.get(row).unwrap_or(&Value::Null);
            self.values(&path.row(row), value, other);
        }
        for (row, value) in &thalweg {
            if !kafka.contains_key(row) {
                self.values(&path.row(row), &Value::Null, value);
            }
        }
    }
}

/// Lists of partitions below a topic.
const GROUPED: &[&str] = &["Partitions", "PartitionResponses"];

/// One row for a topic that comes twice, none for a topic without partitions that says nothing else.
fn grouped(rows: &[Value]) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for row in rows {
        let Some(field) = GROUPED.iter().find(|field| row[**field].is_array()) else {
            kept.push(row.clone());
            continue;
        };
        let partitions = row[*field].as_array().cloned().unwrap_or_default();
        if row.get("ErrorCode").is_some() {
            kept.push(row.clone());
        } else if !partitions.is_empty() {
            let name = identity(row);
            let same = kept.iter_mut().find(|other| identity(other) == name);
            match same.and_then(|other| other[*field].as_array_mut()) {
                Some(list) => list.extend(partitions),
                None => kept.push(row.clone()),
            }
        }
    }
    kept
}

fn by_identity(rows: &[Value], is_ordered: bool) -> BTreeMap<String, Value> {
    let mut sorted = if is_ordered {
        rows.to_vec()
    } else {
        grouped(rows)
    };
    if !is_ordered {
        sorted.sort_by_cached_key(ToString::to_string);
        sorted.dedup();
    }
    let mut found = BTreeMap::new();
    for row in sorted {
        let name = if is_ordered {
            String::new()
        } else {
            identity(&row)
        };
        let mut unique = name.clone();
        let mut count = 1;
        while found.contains_key(&unique) {
            count += 1;
            unique = format!("{name}#{count:04}");
        }
        found.insert(unique, row);
    }
    found
}

fn identity(row: &Value) -> String {
    let words: Vec<String> = IDENTITY
        .iter()
        .filter_map(|field| row.get(*field))
        .map(|value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
        .chain(row["Entity"].as_array().map(|parts| entity(parts)))
        .collect();
    words.join(" ")
}

/// Whom a quota is for: its parts in any order.
fn entity(parts: &[Value]) -> String {
    let mut parts: Vec<String> = parts
        .iter()
        .map(|part| format!("{}={}", part["EntityType"], part["EntityName"]))
        .collect();
    parts.sort_unstable();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer() -> Value {
        json!({
            "ThrottleTimeMs": 0,
            "Topics": [
                {"Name": "a", "Partitions": [{"PartitionIndex": 0, "ErrorCode": 0}]},
                {"Name": "b", "Partitions": [{"PartitionIndex": 0, "ErrorCode": 3},
                                             {"PartitionIndex": 1, "ErrorCode": 0}]},
            ],
        })
    }

    #[test]
    fn a_planted_difference_is_found_by_its_path() {
        let rules = Rules::parse("", "").unwrap();
        let mut planted = answer();
        planted["Topics"][1]["Partitions"][1]["ErrorCode"] = json!(1);
        let found = differences("Metadata", &answer(), &planted, &rules);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found[0].path.to_string(),
            "Topics[b].Partitions[1].ErrorCode"
        );
        assert_eq!((&found[0].kafka, &found[0].thalweg), (&json!(0), &json!(1)));
    }

    #[test]
    fn order_is_none_and_a_missing_row_is_one() {
        let rules = Rules::parse("", "").unwrap();
        let mut turned = answer();
        turned["Topics"].as_array_mut().unwrap().reverse();
        assert!(differences("Metadata", &answer(), &turned, &rules).is_empty());
        turned["Topics"].as_array_mut().unwrap().remove(0);
        let found = differences("Metadata", &answer(), &turned, &rules);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path.to_string(), "Topics[b]");
        assert_eq!(found[0].thalweg, Value::Null);
    }

    #[test]
    fn batches_keep_their_order() {
        let rules = Rules::parse("", "").unwrap();
        let (one, two) = (json!({"BaseOffset": 0}), json!({"BaseOffset": 1}));
        let kafka = json!({"Records": [one, two]});
        let thalweg = json!({"Records": [two, one]});
        assert_eq!(differences("Fetch", &kafka, &thalweg, &rules).len(), 2);
    }
}
