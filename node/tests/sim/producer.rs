//! Producers that never give up: an idempotent one sends a batch again, after crashes too, until it
//! is acknowledged or its topic is gone.
//!
//! At most five batches of a partition are under way, as in Kafka's own client, so every repeated
//! batch is one that the node must still know. Some batches are sent twice on purpose: once more
//! after their acknowledgement, or on two connections at the same time; the answers must agree.
//! Deliberately absent: what the answers mean for the log (the checker).

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use thalweg_storage::testing::Task;
use thalweg_wire::batch::{BatchBuilder, BatchSpec, Codec, Record};
use thalweg_wire::bytes::Records;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use thalweg_wire::messages::init_producer_id_request::InitProducerIdRequest;
use thalweg_wire::messages::init_producer_id_response::InitProducerIdResponseView;
use thalweg_wire::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use thalweg_wire::messages::produce_response::ProduceResponseView;

use crate::checker::{Key, Life, bytes_of};
use crate::client::{Client, Lost};
use crate::workload::Desk;

/// Batches of one partition that are not acknowledged.
const WAITING_MAX: usize = 5;
/// The first version that names topics by id.
pub(crate) const PRODUCE_BY_ID: i16 = 13;

/// One batch, as often as it is sent.
#[derive(Clone, Debug)]
struct Batch {
    values: Vec<u64>,
    sequence: i32,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Queue {
    next_sequence: i32,
    waiting: VecDeque<Batch>,
}

/// What became of one batch in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Acknowledged(i64),
    Refused(ErrorCode),
    Unknown,
}

/// One producer; it outlives the node's lives.
#[derive(Debug, Default)]
pub(crate) struct Producer {
    id: Option<i64>,
    queues: BTreeMap<Key, Queue>,
}

/// A request under way, and the batches in it.
struct Round {
    parts: Vec<(Key, i32)>,
    version: i16,
    answer: Task<Result<Vec<u8>, Lost>>,
}

fn batch(desk: &Desk, key: Key, producer: i64, sequence: i32) -> Batch {
    let mut prng = desk.node.dice.borrow_mut();
    let count = 1 + prng.below(4);
    let values: Vec<u64> = {
        let mut checker = desk.checker.borrow_mut();
        (0..count)
            .map(|_| checker.new_value(key, producer))
            .collect()
    };
    let codec = [Codec::None, Codec::None, Codec::Lz4][prng.below(3)];
    let idempotent = producer >= 0;
    let mut builder = BatchBuilder::new(BatchSpec {
        codec,
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(if idempotent { 0 } else { -1 }),
        base_sequence: Sequence(if idempotent { sequence } else { -1 }),
        ..BatchSpec::default()
    });
    for value in &values {
        builder.push(&Record {
            timestamp: TimestampMs(desk.node.now().0),
            key: Some(&value.to_le_bytes()),
            value: Some(&bytes_of(*value)),
            headers: &[],
        });
    }
    Batch {
        values,
        sequence,
        bytes: builder.finish().expect("a codec that is there"),
    }
}

fn request(desk: &Desk, acks: i16, parts: &[(Key, &[u8])]) -> (ProduceRequest<'static>, i16) {
    let by_name = parts.iter().all(|((topic, _), _)| desk.is_lasting(*topic));
    let version = if by_name {
        desk.version(3, PRODUCE_BY_ID)
    } else {
        PRODUCE_BY_ID
    };
    let topic = |((topic, index), bytes): &(Key, &[u8])| TopicProduceData {
        name: desk.name_of(*topic).into(),
        topic_id: *topic,
        partition_data: vec![PartitionProduceData {
            index: *index,
            records: Records::Bytes(bytes.to_vec().into()),
        }],
    };
    let request = ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 1_000,
        topic_data: parts.iter().map(topic).collect(),
    };
    (request, version)
}

/// The outcome of each part, in the order of the request.
fn outcomes(answer: Result<Vec<u8>, Lost>, version: i16, parts: usize) -> Vec<Outcome> {
    let Ok(body) = answer else {
        return vec![Outcome::Unknown; parts];
    };
    let view = ProduceResponseView::decode(&body, version).expect("a sound answer");
    let rows = view.responses.iter().flat_map(|topic| {
        let rows = topic.partition_responses.iter();
        rows.map(|row| match ErrorCode::from_code(row.error_code) {
            Some(ErrorCode::None) => Outcome::Acknowledged(row.base_offset),
            Some(code) => Outcome::Refused(code),
            None => panic!("unknown error code {}", row.error_code),
        })
    });
    let rows: Vec<Outcome> = rows.collect();
    assert_eq!(rows.len(), parts, "one answer for each partition");
    rows
}

impl Producer {
    /// True if nothing waits for an acknowledgement.
    pub(crate) fn is_done(&self) -> bool {
        self.queues.values().all(|queue| queue.waiting.is_empty())
    }

    /// Gets its id, once.
    async fn identify(&mut self, desk: &Desk, client: &Client) -> Option<i64> {
        if self.id.is_some() {
            return self.id;
        }
        let version = desk.version(0, 5);
        let request = InitProducerIdRequest {
            transaction_timeout_ms: 1_000,
            producer_id: -1,
            producer_epoch: -1,
            ..InitProducerIdRequest::default()
        };
        let body = client.call(&request, version).await.ok()?;
        let view = InitProducerIdResponseView::decode(&body, version).expect("a sound answer");
        if view.error_code == 0 {
            desk.checker.borrow_mut().producer(view.producer_id);
            self.id = Some(view.producer_id);
        }
        self.id
    }

    /// One round: perhaps new batches, then everything that waits, pipelined.
    pub(crate) async fn turn(&mut self, desk: &Desk, client: &Client, new: bool) {
        let Some(id) = self.identify(desk, client).await else {
            return;
        };
        if new {
            self.enqueue(desk, id);
        }
        let checker = Rc::clone(&desk.checker);
        self.queues
            .retain(|key, _| checker.borrow().life(key.0) != Life::Gone);
        let deepest = 1 + desk.roll(3);
        let alone = deepest == 1 && desk.chance(0.15);
        let mut rounds = Vec::new();
        for depth in 0..deepest {
            rounds.extend(self.send(desk, client, depth));
            if alone {
                let twin = Client::connect(&desk.node);
                rounds.extend(self.send(desk, &twin, depth));
            }
            desk.dawdle(3).await;
        }
        for round in rounds {
            let answers = outcomes(round.answer.await, round.version, round.parts.len());
            for (place, outcome) in round.parts.into_iter().zip(answers) {
                self.settle(desk, place, &outcome, alone);
            }
        }
        if desk.chance(0.2) {
            desk.dawdle(10).await;
        }
    }

    fn enqueue(&mut self, desk: &Desk, id: i64) {
        for _ in 0..1 + desk.roll(3) {
            let Some(key) = desk.any_partition() else {
                return;
            };
            let queue = self.queues.entry(key).or_default();
            if queue.waiting.len() < WAITING_MAX {
                let batch = batch(desk, key, id, queue.next_sequence);
                queue.next_sequence += i32::try_from(batch.values.len()).unwrap();
                queue.waiting.push_back(batch);
            }
        }
    }

    /// One request with the batch at `depth` of each queue.
    fn send(&self, desk: &Desk, client: &Client, depth: usize) -> Option<Round> {
        let batches: Vec<(Key, &Batch)> = self
            .queues
            .iter()
            .filter_map(|(key, queue)| Some((*key, queue.waiting.get(depth)?)))
            .collect();
        if batches.is_empty() {
            return None;
        }
        let parts: Vec<(Key, &[u8])> = batches
            .iter()
            .map(|(key, batch)| (*key, batch.bytes.as_slice()))
            .collect();
        let acks = if desk.chance(0.5) { -1 } else { 1 };
        let (request, version) = request(desk, acks, &parts);
        Some(Round {
            parts: batches
                .iter()
                .map(|(key, batch)| (*key, batch.sequence))
                .collect(),
            version,
            answer: client.begin(&request, version),
        })
    }

    fn settle(&mut self, desk: &Desk, (key, sequence): (Key, i32), outcome: &Outcome, twins: bool) {
        let Some(queue) = self.queues.get_mut(&key) else {
            return;
        };
        let mut checker = desk.checker.borrow_mut();
        let at = queue
            .waiting
            .iter()
            .position(|batch| batch.sequence == sequence);
        match outcome {
            Outcome::Acknowledged(base) => {
                // A twin's answer comes when the batch is settled: it must say the same.
                if let Some(at) = at {
                    let values = queue.waiting[at].values.clone();
                    checker.acknowledged(key, *base, &values);
                    if !twins || desk.chance(0.5) {
                        queue.waiting.remove(at);
                    }
                }
            }
            Outcome::Unknown | Outcome::Refused(ErrorCode::KafkaStorageError) => {
                let refused = matches!(outcome, Outcome::Refused(_));
                if refused && !desk.faults.get() {
                    checker.fail(format!("{key:?}: {outcome:?} without a fault"));
                }
            }
            Outcome::Refused(ErrorCode::OutOfOrderSequenceNumber) => {
                // Behind a batch that was refused; the oldest one has nothing to be behind.
                if at == Some(0) {
                    checker.fail(format!("{key:?}: sequence {sequence} came too early"));
                }
            }
            Outcome::Refused(ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition) => {
                if checker.life(key.0) == Life::There {
                    checker.fail(format!("{key:?} is unknown"));
                }
            }
            Outcome::Refused(code) => checker.fail(format!("{key:?}: unexpected {code:?}")),
        }
    }
}

/// Sends one batch that is never sent again, with any acks.
pub(crate) async fn send_once(desk: &Desk, client: &Client) -> Result<(), Lost> {
    let Some(key) = desk.any_partition() else {
        return Ok(());
    };
    let batch = batch(desk, key, -1, -1);
    let acks = i16::try_from(desk.roll(3)).unwrap() - 1;
    let (request, version) = request(desk, acks, &[(key, &batch.bytes)]);
    let answer = match client.call(&request, version).await {
        Err(Lost::Silent) => return Ok(()),
        // Without acks a refusal closes the connection.
        Err(Lost::Closed(_)) if desk.checker.borrow().life(key.0) != Life::There => return Ok(()),
        Err(lost) => return Err(lost),
        answer => answer,
    };
    for outcome in outcomes(answer, version, 1) {
        let mut checker = desk.checker.borrow_mut();
        match outcome {
            Outcome::Acknowledged(base) => checker.acknowledged(key, base, &batch.values),
            Outcome::Refused(ErrorCode::KafkaStorageError) if desk.faults.get() => {}
            Outcome::Refused(ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition)
                if checker.life(key.0) != Life::There => {}
            other => checker.fail(format!("{key:?}: {other:?}")),
        }
    }
    Ok(())
}

/// One batch of an idempotent producer of its own, sent as often as a test likes.
pub(crate) struct Single {
    desk: Rc<Desk>,
    key: Key,
    batch: Batch,
}

impl Single {
    pub(crate) fn new(desk: &Rc<Desk>, key: Key, producer: i64, sequence: i32) -> Self {
        Self {
            desk: Rc::clone(desk),
            key,
            batch: batch(desk, key, producer, sequence),
        }
    }

    /// Sends it; the base offset, if it is acknowledged.
    pub(crate) fn begin(&self, client: &Client) -> Task<Option<i64>> {
        let desk = Rc::clone(&self.desk);
        let (key, values) = (self.key, self.batch.values.clone());
        let (request, version) = request(&desk, -1, &[(key, &self.batch.bytes)]);
        let answer = client.begin(&request, version);
        let handle = desk.node.handle.clone();
        handle.spawn(async move {
            match outcomes(answer.await, version, 1).first() {
                Some(Outcome::Acknowledged(base)) => {
                    desk.checker.borrow_mut().acknowledged(key, *base, &values);
                    Some(*base)
                }
                _ => None,
            }
        })
    }

    pub(crate) async fn send(&self, client: &Client) -> Option<i64> {
        self.begin(client).await
    }
}
