//! Lists of a request, put right where both servers' answers would say nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::names::{UNKNOWN_ID, ZERO_ID};
use super::pools::BROKEN;

/// No partition number twice in a request.
pub(super) fn each_once(topics: &mut Value, list: &str, index: &str) {
    let mut seen = BTreeSet::new();
    for topic in rows(topics) {
        if let Some(partitions) = topic[list].as_array_mut() {
            partitions.retain(|partition| seen.insert(partition[index].to_string()));
        }
    }
}

/// No protocol twice: Kafka 4.3 counts the member's vote twice, then finds no protocol that all members
/// have, and never ends the rebalance.
pub(super) fn named_once(protocols: &mut Value) {
    let mut seen = BTreeSet::new();
    if let Some(list) = protocols.as_array_mut() {
        list.retain(|protocol| seen.insert(protocol["Name"].to_string()));
    }
}

/// A batch whose length is wrong makes Kafka refuse the whole request, so there is nothing else in
/// it: the two servers would hold other records from then on.
pub(super) fn alone_if_broken(topics: &mut Value) {
    let is_broken = |batch: &Value| BROKEN.iter().any(|flaw| batch["flaw"] == *flaw);
    let mut alone = None;
    for topic in rows(topics) {
        for partition in rows(&mut topic["PartitionData"]) {
            let batches = partition["Records"].as_array();
            if batches.into_iter().flatten().any(is_broken) {
                alone = Some(partition.clone());
            }
        }
    }
    if let (Some(partition), Some(list)) = (alone, topics.as_array_mut()) {
        list.truncate(1);
        for topic in list {
            topic["PartitionData"] = json!([partition]);
        }
    }
}

/// An id of zeros without a name beside it names nothing that Kafka has an answer for.
pub(super) fn never_zero(topics: &mut Value) {
    for topic in rows(topics) {
        let is_named = topic["Name"].is_string() || topic["Topic"].is_string();
        if topic["TopicId"] == ZERO_ID && !is_named {
            topic["TopicId"] = json!(UNKNOWN_ID);
        }
    }
}

/// The rows of a list, or none.
pub(super) fn rows(list: &mut Value) -> impl Iterator<Item = &mut Value> {
    list.as_array_mut().into_iter().flatten()
}
