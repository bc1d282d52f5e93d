//! Fixed steps: what both servers begin with, what shows that a change has arrived, and what is read
//! of both at the end.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use thalweg_wire::api::ApiKey;

use super::pair::Pair;
use super::schema::Schemas;
use super::step::Step;
use crate::x::Outcome;

/// Coordinator not available, not loaded yet, not here; leader not known yet.
const LATER: [i64; 5] = [5, 6, 14, 15, 16];
const GROUPS: &[&str] = &["north", "south", "east", "unknown", ""];
const FETCH_BYTES: i64 = 64 << 20;

/// Asked until answered.
pub(super) fn warm_up() -> Vec<Step> {
    vec![
        Step::new(ApiKey::FindCoordinator, 0, json!({"Key": "north"})),
        Step::new(
            ApiKey::OffsetFetch,
            5,
            json!({"GroupId": "north", "Topics": null}),
        ),
        Step::new(
            ApiKey::InitProducerId,
            0,
            json!({"TransactionalId": null, "TransactionTimeoutMs": 1000}),
        ),
    ]
}

/// Topics that every seed has.
pub(super) fn beginning() -> Vec<Step> {
    let topic = |name: &str, partitions: i32, configs: Value| {
        json!({
            "Name": name, "NumPartitions": partitions, "ReplicationFactor": 1,
            "Assignments": [], "Configs": configs,
        })
    };
    let compact = json!([{"Name": "cleanup.policy", "Value": "compact"}]);
    let topics = json!([
        topic("alpha", 3, json!([])),
        topic("beta", 1, compact),
        topic("gamma", 2, json!([])),
        topic("delta.x", 1, json!([])),
    ]);
    vec![Step::new(
        ApiKey::CreateTopics,
        7,
        json!({"Topics": topics, "timeoutMs": 30_000, "validateOnly": false}),
    )]
}

/// Whether an answer asks to come back later.
pub(super) fn is_later(answer: &Value) -> bool {
    match answer {
        Value::Array(items) => items.iter().any(is_later),
        Value::Object(fields) => fields.iter().any(|(name, value)| match value.as_i64() {
            Some(code) => name == "ErrorCode" && LATER.contains(&code),
            None => is_later(value),
        }),
        _ => false,
    }
}

pub(super) fn all_topics() -> Step {
    let body = json!({
        "Topics": null, "AllowAutoTopicCreation": false, "IncludeTopicAuthorizedOperations": false,
    });
    Step::new(ApiKey::Metadata, 13, body)
}

/// Names of topics that the step may make behind its answer.
pub(super) fn wanted(step: &Step) -> Vec<String> {
    if step.api != ApiKey::Metadata {
        return Vec::new();
    }
    let rows = step.body["Topics"].as_array();
    let names = rows.into_iter().flatten().filter_map(|row| {
        let name = row["Name"].as_str()?;
        (!name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric()))
            .then(|| name.to_owned())
    });
    names.collect()
}

/// Topics and their partitions, by an answer to [`all_topics`].
pub(super) fn partitions(metadata: &Value) -> BTreeMap<String, Vec<i64>> {
    let rows = metadata["Topics"].as_array();
    let rows = rows.into_iter().flatten().filter_map(|row| {
        let partitions = row["Partitions"].as_array()?;
        let numbers = partitions
            .iter()
            .filter_map(|partition| partition["PartitionIndex"].as_i64());
        Some((row["Name"].as_str()?.to_owned(), numbers.collect()))
    });
    rows.collect()
}

/// What must be equal before the next step: the logs are open, configs have arrived.
pub(super) fn settled(topics: &BTreeMap<String, Vec<i64>>) -> Vec<Step> {
    vec![list_offsets(topics, -1), configs(topics, false)]
}

fn list_offsets(topics: &BTreeMap<String, Vec<i64>>, timestamp: i64) -> Step {
    let rows: Vec<Value> = topics
        .iter()
        .map(|(name, partitions)| {
            let partitions: Vec<Value> = partitions
                .iter()
                .map(|index| {
                    json!({"PartitionIndex": index, "CurrentLeaderEpoch": -1, "Timestamp": timestamp})
                })
                .collect();
            json!({"Name": name, "Partitions": partitions})
        })
        .collect();
    let body = json!({
        "ReplicaId": -1, "IsolationLevel": 0, "Topics": rows, "TimeoutMs": 30_000,
    });
    Step::new(ApiKey::ListOffsets, 11, body)
}

fn configs(topics: &BTreeMap<String, Vec<i64>>, with_synonyms: bool) -> Step {
    let rows: Vec<Value> = topics
        .keys()
        .map(|name| json!({"ResourceType": 2, "ResourceName": name, "ConfigurationKeys": null}))
        .collect();
    let body = json!({
        "Resources": rows, "IncludeSynonyms": with_synonyms, "IncludeDocumentation": false,
    });
    Step::new(ApiKey::DescribeConfigs, 4, body)
}

/// The state of both, read after the last step: listings, configs, offsets, every record.
pub(super) fn end(pair: &mut Pair, schemas: &Schemas) -> Outcome<Vec<Step>> {
    let listed = pair.play(schemas, &all_topics())?;
    let mut topics = partitions(&listed.kafka);
    let mut steps = vec![all_topics(), configs(&topics, true)];
    // Its records hold times and ids; what they say is asked of the groups.
    topics.remove("__consumer_offsets");
    for timestamp in [-1, -2, -3] {
        steps.push(list_offsets(&topics, timestamp));
    }
    for (topic, partitions) in &topics {
        for partition in partitions {
            steps.push(records(topic, *partition));
        }
    }
    let all = json!({"StatesFilter": [], "TypesFilter": []});
    steps.push(Step::new(ApiKey::ListGroups, 5, all));
    let groups = json!({"Groups": GROUPS, "IncludeAuthorizedOperations": false});
    steps.push(Step::new(ApiKey::DescribeGroups, 6, groups));
    for group in GROUPS {
        let asked = json!({
            "GroupId": group, "MemberId": null, "MemberEpoch": -1, "Topics": null,
        });
        let body = json!({"Groups": [asked], "RequireStable": false});
        steps.push(Step::new(ApiKey::OffsetFetch, 9, body));
    }
    Ok(steps)
}

fn records(topic: &str, partition: i64) -> Step {
    let asked = json!({
        "Partition": partition, "CurrentLeaderEpoch": -1, "FetchOffset": 0,
        "LastFetchedEpoch": -1, "LogStartOffset": -1, "PartitionMaxBytes": FETCH_BYTES,
    });
    let body = json!({
        "ReplicaId": -1, "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": FETCH_BYTES,
        "IsolationLevel": 0, "SessionId": 0, "SessionEpoch": -1,
        "Topics": [{"Topic": topic, "Partitions": [asked]}],
        "ForgottenTopicsData": [], "RackId": "",
    });
    Step::new(ApiKey::Fetch, 12, body)
}
