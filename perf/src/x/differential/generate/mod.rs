//! Seeded sequences of requests, valid and invalid in every field.
//!
//! A request is a walk over its schema: how long lists are and what is null is drawn here, what a
//! field may hold comes from `pools.rs`. `scenes.rs` has what random requests never reach: a
//! producer's sequence, a fetch session, the life of a group. The next step never depends on
//! answers, so a seed is a sequence for good.
//!
//! Deliberately absent: what would make a server's own timers part of the answers (short sessions,
//! retention that takes records), and transactions, which Thalweg does not serve.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};
use thalweg_wire::api::{ApiKey, Listener, on};

use super::schema::{Field, Kind, Message, Schemas, Structure, inner};
use super::step::Step;
use crate::x::Outcome;

mod lists;
mod pools;
mod random;
mod scenes;

use random::Random;

/// How often an API comes up; any other once.
const WEIGHTS: &[(ApiKey, usize)] = &[
    (ApiKey::Produce, 8),
    (ApiKey::Fetch, 6),
    (ApiKey::ListOffsets, 3),
    (ApiKey::Metadata, 3),
    (ApiKey::OffsetCommit, 4),
    (ApiKey::OffsetFetch, 4),
    (ApiKey::JoinGroup, 5),
    (ApiKey::SyncGroup, 4),
    (ApiKey::Heartbeat, 3),
    (ApiKey::LeaveGroup, 3),
    (ApiKey::CreateTopics, 4),
    (ApiKey::DeleteTopics, 2),
    (ApiKey::CreatePartitions, 2),
    (ApiKey::DeleteRecords, 2),
    (ApiKey::AlterConfigs, 2),
    (ApiKey::IncrementalAlterConfigs, 3),
    (ApiKey::DescribeConfigs, 2),
    (ApiKey::InitProducerId, 2),
    // Not compared yet: a transaction's answers depend on markers that are under way.
    (ApiKey::AddPartitionsToTxn, 0),
    (ApiKey::AddOffsetsToTxn, 0),
    (ApiKey::EndTxn, 0),
    (ApiKey::WriteTxnMarkers, 0),
    (ApiKey::TxnOffsetCommit, 0),
    (ApiKey::DescribeProducers, 0),
    (ApiKey::DescribeTransactions, 0),
    (ApiKey::ListTransactions, 0),
    // Not compared: epochs count what a coordinator did meanwhile, and members are asked to wait.
    (ApiKey::ConsumerGroupHeartbeat, 0),
    (ApiKey::ConsumerGroupDescribe, 0),
];

/// A sequence without end.
pub(super) struct Generator<'s> {
    schemas: &'s Schemas,
    random: Random,
    /// Steps of a scene that are still to come.
    queue: VecDeque<Step>,
    /// Milliseconds since 1970 at the start of the run.
    now_ms: i64,
    /// Makes the values of records differ.
    label: i64,
    /// What the next records of the producer are numbered by.
    sequence: i64,
}

/// The field being filled.
#[derive(Clone, Copy)]
struct Place<'a> {
    api: ApiKey,
    version: i16,
    message: &'a Message,
    /// The field that the structure belongs to; empty at the top.
    parent: &'a str,
}

impl<'s> Generator<'s> {
    pub(super) fn new(schemas: &'s Schemas, seed: u64, now_ms: i64) -> Self {
        Self {
            schemas,
            random: Random(seed),
            queue: VecDeque::new(),
            now_ms,
            label: 0,
            sequence: 0,
        }
    }

    pub(super) fn next(&mut self) -> Outcome<Step> {
        if self.queue.is_empty() && self.random.one_in(6) {
            self.scene()?;
        }
        if let Some(step) = self.queue.pop_front() {
            return Ok(step);
        }
        let rows: Vec<(usize, ApiKey)> = on(Listener::Broker)
            .map(|row| (weight(row.key), row.key))
            .collect();
        let api = self.random.weighted(&rows).unwrap_or(ApiKey::ApiVersions);
        let version = self.version(api);
        let mut step = Step::new(api, version, self.request(api, version)?);
        if self.random.one_in(60) {
            step.cut = 1 + self.random.below(6);
        }
        Ok(step)
    }

    /// Any served version.
    fn version(&mut self, api: ApiKey) -> i16 {
        let row = on(Listener::Broker).find(|row| row.key == api);
        row.map_or(0, |row| {
            let count = row.served.max - row.served.min + 1;
            row.served.min + self.random.below(count as usize) as i16
        })
    }

    /// A request of its own.
    fn request(&mut self, api: ApiKey, version: i16) -> Outcome<Value> {
        let schemas = self.schemas;
        let message = &schemas.api(api)?.request;
        let place = Place {
            api,
            version,
            message,
            parent: "",
        };
        let mut body = match message.structs.first() {
            Some(top) => self.structure(place, top)?,
            None => json!({}),
        };
        self.correct(api, version, &mut body);
        Ok(body)
    }

    fn structure(&mut self, place: Place<'_>, structure: &Structure) -> Outcome<Value> {
        let mut tree = Map::new();
        for field in &structure.fields {
            if !field.versions.contains(place.version) {
                continue;
            }
            // Tags are for what is not usual.
            if field.tagged.contains(place.version) && !self.random.one_in(4) {
                continue;
            }
            tree.insert(field.name.clone(), self.field(place, field)?);
        }
        Ok(Value::Object(tree))
    }

    fn field(&mut self, place: Place<'_>, field: &Field) -> Outcome<Value> {
        let is_nullable = field.nullable.contains(place.version);
        if is_nullable && self.random.one_in(null_one_in(place.api, &field.name)) {
            return Ok(match (place.api, field.name.as_str()) {
                // Kafka 4.3 never answers a produce request with null instead of records.
                (ApiKey::Produce, "Records") => json!(""),
                _ => Value::Null,
            });
        }
        let place = Place {
            parent: if matches!(field.kind, Kind::Array(_)) {
                &field.name
            } else {
                place.parent
            },
            ..place
        };
        match &field.kind {
            Kind::Array(element) => {
                let lengths = [(1, 0), (12, 1), (5, 2), (1, 3)];
                let length = self.random.weighted(&lengths).unwrap_or(1);
                let mut items = Vec::new();
                for _ in 0..length {
                    items.push(match element.structure() {
                        Some(name) => self.structure(place, inner(place.message, name)?)?,
                        None => self.leaf(place, &field.name, element),
                    });
                }
                Ok(Value::Array(items))
            }
            Kind::Struct(name) => self.structure(place, inner(place.message, name)?),
            kind => Ok(self.leaf(place, &field.name, kind)),
        }
    }
}

fn weight(api: ApiKey) -> usize {
    let found = WEIGHTS.iter().find(|(key, _)| *key == api);
    found.map_or(1, |(_, weight)| *weight)
}

/// Null is the rule for some fields and means "all" for others.
fn null_one_in(api: ApiKey, field: &str) -> usize {
    match (api, field) {
        (_, "GroupInstanceId") => 2,
        (ApiKey::Produce | ApiKey::InitProducerId, "TransactionalId") => 1,
        (ApiKey::CreatePartitions, "Assignments") => 2,
        (ApiKey::DescribeTopicPartitions, "Cursor") => 2,
        (ApiKey::OffsetFetch, "MemberId") => 2,
        _ => 8,
    }
}
