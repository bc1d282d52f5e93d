//! What `thalweg txn` tells: stable JSON shapes and the tables made of them. Pure.

use serde::Serialize;
use thalweg_wire::messages::describe_producers_response::ProducerStateView;
use thalweg_wire::messages::describe_transactions_response::TransactionStateView;

use super::super::output::{Align, Table, cell, dash};
use super::super::time::{self, TimeMs};

pub(super) const SHAPES: &str = "\
JSON shapes:
  list          {\"transactions\": [{\"id\", \"coordinator\", \"producer_id\", \"state\"}]}
  describe      {\"transactions\": [{\"id\", \"coordinator\", \"producer_id\", \"producer_epoch\", \"state\", \"timeout_ms\",
                 \"started_ms\", \"partitions\": [TOPIC-PARTITION]}]}
  producers     {\"producers\": [{\"producer_id\", \"producer_epoch\", \"coordinator_epoch\", \"last_sequence\",
                 \"last_timestamp_ms\", \"start_offset\"}]}
  find-hanging  {\"hanging\": [{\"topic\", \"partition\", \"producer\": as above}]}
  abort         {\"topic\", \"partition\", \"producer\": as above, \"result\": aborted or checked}
What is not there is null: a producer without an open transaction has no start_offset. Errors go to standard
error, in three lines each.

Exit codes: 0 done, 1 failed, 2 usage, 5 no broker reached, 6 partly done.";

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) coordinator: i32,
    pub(super) producer_id: i64,
    pub(super) state: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Lists {
    pub(super) transactions: Vec<Listed>,
}

#[derive(Debug, Serialize)]
pub(super) struct Described {
    id: String,
    coordinator: i32,
    producer_id: i64,
    producer_epoch: i16,
    state: String,
    timeout_ms: i32,
    started_ms: Option<i64>,
    partitions: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Descriptions {
    pub(super) transactions: Vec<Described>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Producer {
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i32,
    pub(super) coordinator_epoch: i32,
    pub(super) last_sequence: Option<i32>,
    pub(super) last_timestamp_ms: Option<i64>,
    pub(super) start_offset: Option<i64>,
}

impl Producer {
    pub(super) fn of(state: ProducerStateView) -> Self {
        Self {
            producer_id: state.producer_id,
            producer_epoch: state.producer_epoch,
            coordinator_epoch: state.coordinator_epoch,
            last_sequence: Some(state.last_sequence).filter(|sequence| *sequence >= 0),
            last_timestamp_ms: Some(state.last_timestamp).filter(|time| *time >= 0),
            start_offset: Some(state.current_txn_start_offset).filter(|offset| *offset >= 0),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Producers {
    pub(super) producers: Vec<Producer>,
}

/// An open transaction in a partition.
#[derive(Debug, Serialize)]
pub(super) struct Open {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) producer: Producer,
}

#[derive(Debug, Serialize)]
pub(super) struct Hanging {
    pub(super) hanging: Vec<Open>,
}

#[derive(Debug, Serialize)]
pub(super) struct Aborted {
    #[serde(flatten)]
    pub(super) open: Open,
    pub(super) result: &'static str,
}

pub(super) fn described(coordinator: i32, state: &TransactionStateView<'_>) -> Described {
    let partitions = state.topics.iter().flat_map(|topic| {
        let numbers = topic.partitions.iter();
        let named = numbers.map(|number| format!("{}-{number}", topic.topic));
        named.collect::<Vec<_>>()
    });
    Described {
        id: state.transactional_id.to_owned(),
        coordinator,
        producer_id: state.producer_id,
        producer_epoch: state.producer_epoch,
        state: state.transaction_state.to_owned(),
        timeout_ms: state.transaction_timeout_ms,
        started_ms: Some(state.transaction_start_time_ms).filter(|time| *time >= 0),
        partitions: partitions.collect(),
    }
}

fn moment(millis: i64) -> String {
    time::show(TimeMs(millis))
}

pub(super) fn listed(all: &Lists) -> String {
    let mut table = Table::new(&[
        ("TRANSACTIONAL ID", Align::Left),
        ("COORDINATOR", Align::Right),
        ("PRODUCER ID", Align::Right),
        ("STATE", Align::Left),
    ]);
    for one in &all.transactions {
        table.row(vec![
            one.id.clone(),
            one.coordinator.to_string(),
            one.producer_id.to_string(),
            one.state.clone(),
        ]);
    }
    table.text()
}

pub(super) fn descriptions(all: &Descriptions) -> String {
    let mut table = Table::new(&[
        ("TRANSACTIONAL ID", Align::Left),
        ("COORDINATOR", Align::Right),
        ("PRODUCER ID", Align::Right),
        ("EPOCH", Align::Right),
        ("STATE", Align::Left),
        ("TIMEOUT MS", Align::Right),
        ("STARTED", Align::Left),
        ("PARTITIONS", Align::Left),
    ]);
    for one in &all.transactions {
        table.row(vec![
            one.id.clone(),
            one.coordinator.to_string(),
            one.producer_id.to_string(),
            one.producer_epoch.to_string(),
            one.state.clone(),
            one.timeout_ms.to_string(),
            one.started_ms.map_or_else(dash, moment),
            match one.partitions.is_empty() {
                true => dash(),
                false => one.partitions.join(","),
            },
        ]);
    }
    table.text()
}

const PRODUCER: [(&str, Align); 6] = [
    ("PRODUCER ID", Align::Right),
    ("EPOCH", Align::Right),
    ("COORDINATOR EPOCH", Align::Right),
    ("LAST SEQUENCE", Align::Right),
    ("LAST TIMESTAMP", Align::Left),
    ("START OFFSET", Align::Right),
];

fn row(producer: &Producer) -> Vec<String> {
    vec![
        producer.producer_id.to_string(),
        producer.producer_epoch.to_string(),
        producer.coordinator_epoch.to_string(),
        cell(producer.last_sequence),
        producer.last_timestamp_ms.map_or_else(dash, moment),
        cell(producer.start_offset),
    ]
}

pub(super) fn producers(all: &Producers) -> String {
    let mut table = Table::new(&PRODUCER);
    for producer in &all.producers {
        table.row(row(producer));
    }
    table.text()
}

pub(super) fn hanging(all: &Hanging) -> String {
    let mut head = vec![("TOPIC", Align::Left), ("PARTITION", Align::Right)];
    head.extend(PRODUCER);
    let mut table = Table::new(&head);
    for open in &all.hanging {
        let mut cells = vec![open.topic.clone(), open.partition.to_string()];
        cells.extend(row(&open.producer));
        table.row(cells);
    }
    table.text()
}

pub(super) fn aborted(one: &Aborted) -> String {
    let Open {
        topic,
        partition,
        producer,
    } = &one.open;
    format!(
        "{} the transaction of producer {} in {topic}-{partition}\n",
        one.result, producer.producer_id
    )
}
