//! Records to batches, batches to the leaders of their partitions, again until they are
//! acknowledged.
//!
//! At most one batch of a partition is on its way, so order holds across retries, and with
//! idempotence a batch that is sent again is kept once. A batch that is refused has not used up its
//! sequence numbers: the next one takes them. One that is too large for the topic is halved.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use thalweg_wire::api::ApiKey;
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

use super::super::Exit;
use super::super::failure::Failure;
use super::super::routing::{Cluster, TopicPartition, is_retriable};
use super::input::Draft;

/// To the last version that names topics.
const PRODUCE: (i16, i16) = (3, 12);
const INIT_PRODUCER_ID: (i16, i16) = (0, 4);
/// A batch below Kafka's default for max.message.bytes, headroom for its header included.
pub(crate) const BATCH_BYTES_MAX: usize = 1_000_000;

/// How records are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) codec: Codec,
    pub(crate) acks: i16,
    pub(crate) idempotent: bool,
}

/// What came of the records of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) first: Option<i64>,
    pub(crate) last: Option<i64>,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Sender {
    topic: String,
    manner: Manner,
    producer: Option<(ProducerId, ProducerEpoch)>,
    /// Next sequence number of each partition.
    sequences: BTreeMap<i32, Sequence>,
    /// Gathered for each partition.
    pending: BTreeMap<i32, Vec<Draft>>,
    pending_bytes: usize,
    pub(crate) tallies: BTreeMap<i32, Tally>,
    pub(crate) bytes: u64,
    /// Records refused for good.
    pub(crate) refused: u64,
    pub(crate) failures: Vec<Failure>,
}

impl Sender {
    /// A sender to a topic; asks for a producer id if it needs one.
    pub(crate) fn new(cluster: &mut Cluster, topic: &str, manner: Manner) -> Result<Self, Failure> {
        let producer = match manner.idempotent {
            true => Some(producer_id(cluster)?),
            false => None,
        };
        Ok(Self {
            topic: topic.to_owned(),
            manner,
            producer,
            sequences: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_bytes: 0,
            tallies: BTreeMap::new(),
            bytes: 0,
            refused: 0,
            failures: Vec::new(),
        })
    }

    /// Acknowledged records.
    pub(crate) fn records(&self) -> u64 {
        self.tallies.values().map(|tally| tally.records).sum()
    }

    /// Whether nothing waits to be sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Gathers a record; true when it is time to flush first.
    pub(crate) fn is_full_with(&self, draft: &Draft) -> bool {
        !self.is_idle() && self.pending_bytes + draft.bytes() > BATCH_BYTES_MAX
    }

    /// Gathers a record.
    pub(crate) fn push(&mut self, partition: i32, draft: Draft) {
        self.pending_bytes += draft.bytes();
        self.pending.entry(partition).or_default().push(draft);
    }

    /// Sends all that was gathered and waits until it is acknowledged or refused.
    pub(crate) fn flush(&mut self, cluster: &mut Cluster) -> Result<(), Failure> {
        self.bytes += self.pending_bytes as u64;
        self.pending_bytes = 0;
        let mut queues: BTreeMap<i32, VecDeque<Vec<Draft>>> = std::mem::take(&mut self.pending)
            .into_iter()
            .map(|(partition, drafts)| (partition, VecDeque::from([drafts])))
            .collect();
        let patience = cluster.patience();
        let mut last = ErrorCode::RequestTimedOut.code();
        while !queues.is_empty() {
            let before = queues.len();
            let progressed = match self.round(cluster, &mut queues) {
                Ok(None) => true,
                Ok(Some(code)) => {
                    last = code;
                    queues.len() < before
                }
                Err(failure) if failure.exit == Exit::Unreachable => {
                    if !patience.again() {
                        return Err(failure);
                    }
                    true
                }
                Err(failure) => return Err(failure),
            };
            if !progressed && !patience.again() {
                return Err(Failure::refused("producing to", &self.topic, last, None));
            }
        }
        Ok(())
    }

    /// One request to each leader; answers a retriable code, if there was one.
    fn round(
        &mut self,
        cluster: &mut Cluster,
        queues: &mut BTreeMap<i32, VecDeque<Vec<Draft>>>,
    ) -> Result<Option<i16>, Failure> {
        let wanted: Vec<TopicPartition> = queues
            .keys()
            .map(|index| TopicPartition::new(&self.topic, *index))
            .collect();
        cluster.learn_leaders(wanted.iter())?;
        let mut again = None;
        for (leader, partitions) in cluster.by_leader(wanted.iter()) {
            let Some(leader) = leader else {
                let code = partitions.first().map(|part| cluster.leaderless(part));
                again = again.or(code);
                continue;
            };
            let indexes: Vec<i32> = partitions.iter().map(|part| part.partition).collect();
            let request = self.request(&indexes, queues, cluster.timeout_ms())?;
            let results = self.ask(cluster, leader, &request, &indexes);
            if results.is_err() {
                cluster.hang_up(leader);
                for part in &partitions {
                    cluster.forget_leader(part);
                }
            }
            for (index, result) in results? {
                again = self.settle(cluster, queues, (index, result)).or(again);
            }
        }
        Ok(again)
    }

    fn request(
        &self,
        partitions: &[i32],
        queues: &BTreeMap<i32, VecDeque<Vec<Draft>>>,
        timeout_ms: i32,
    ) -> Result<ProduceRequest<'static>, Failure> {
        let mut data = Vec::new();
        for index in partitions {
            let front = queues.get(index).and_then(VecDeque::front);
            let batch = self.batch(*index, front.map_or(&[][..], Vec::as_slice))?;
            data.push(PartitionProduceData {
                index: *index,
                records: Records::Bytes(Cow::Owned(batch)),
            });
        }
        Ok(ProduceRequest {
            acks: self.manner.acks,
            timeout_ms,
            topic_data: vec![TopicProduceData {
                name: Cow::Owned(self.topic.clone()),
                partition_data: data,
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        })
    }

    fn batch(&self, partition: i32, drafts: &[Draft]) -> Result<Vec<u8>, Failure> {
        let mut spec = BatchSpec {
            codec: self.manner.codec,
            ..BatchSpec::default()
        };
        if let Some((id, epoch)) = self.producer {
            spec.producer_id = id;
            spec.producer_epoch = epoch;
            spec.base_sequence = self
                .sequences
                .get(&partition)
                .copied()
                .unwrap_or(Sequence(0));
        }
        let mut builder = BatchBuilder::new(spec);
        for draft in drafts {
            let headers: Vec<(&str, Option<&[u8]>)> = draft
                .headers
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_deref()))
                .collect();
            builder.push(&Record {
                timestamp: TimestampMs(draft.timestamp.unwrap_or(-1)),
                key: draft.key.as_deref(),
                value: draft.value.as_deref(),
                headers: &headers,
            });
        }
        builder.finish().map_err(|error| {
            Failure::input(
                format!("cannot compress a batch: {error}"),
                "the codec failed",
                "choose another `--codec`",
            )
        })
    }

    /// Sends; answers what came of each partition: its base offset, or Kafka's code and words.
    fn ask(
        &self,
        cluster: &mut Cluster,
        leader: i32,
        request: &ProduceRequest<'_>,
        partitions: &[i32],
    ) -> Result<Vec<(i32, Answer)>, Failure> {
        let client = cluster.node(leader)?;
        let version = client.version(ApiKey::Produce, PRODUCE)?;
        if self.manner.acks == 0 {
            client.tell(request, version)?;
            let sent = partitions.iter();
            return Ok(sent.map(|index| (*index, Ok(None))).collect());
        }
        let reply = client.ask(request, version)?;
        let answer: ProduceResponseView<'_> = reply.view()?;
        let parts = answer
            .responses
            .iter()
            .flat_map(|topic| topic.partition_responses.iter());
        Ok(parts
            .map(|part| {
                let known = Some(part.base_offset).filter(|offset| *offset >= 0);
                let record = part.record_errors.iter().next();
                let message = record.and_then(|record| record.batch_index_error_message);
                let message = message.or(part.error_message).map(str::to_owned);
                let result = match part.error_code {
                    0 => Ok(known),
                    // An earlier try had arrived.
                    code if code == ErrorCode::DuplicateSequenceNumber.code() => Ok(None),
                    code => Err((code, message)),
                };
                (part.index, result)
            })
            .collect())
    }

    /// Takes note of what came of a partition's batch; answers the code if it is to be sent again.
    fn settle(
        &mut self,
        cluster: &mut Cluster,
        queues: &mut BTreeMap<i32, VecDeque<Vec<Draft>>>,
        (index, result): (i32, Answer),
    ) -> Option<i16> {
        let queue = queues.get_mut(&index)?;
        let records = queue.front().map_or(0, Vec::len);
        match result {
            Ok(base) => {
                queue.pop_front();
                self.acknowledged(index, records, base);
            }
            Err((code, _)) if is_retriable(code) => {
                cluster.forget_leader(&TopicPartition::new(&self.topic, index));
                return Some(code);
            }
            Err((code, _)) if is_too_large(code) && records > 1 => {
                if let Some(mut first) = queue.pop_front() {
                    let second = first.split_off(first.len() / 2);
                    queue.push_front(second);
                    queue.push_front(first);
                }
            }
            Err((code, message)) => {
                queue.pop_front();
                self.refused += records as u64;
                let subject = format!("{}-{index}", self.topic);
                let words = format!("producing {records} records to");
                let message = message.as_deref();
                self.failures
                    .push(Failure::refused(&words, &subject, code, message));
            }
        }
        if queue.is_empty() {
            queues.remove(&index);
        }
        None
    }

    fn acknowledged(&mut self, index: i32, records: usize, base: Option<i64>) {
        let count = i32::try_from(records).unwrap_or(i32::MAX);
        let sequence = self.sequences.entry(index).or_insert(Sequence(0));
        *sequence = sequence.plus(count);
        let tally = self.tallies.entry(index).or_default();
        tally.records += records as u64;
        if let Some(base) = base {
            tally.first.get_or_insert(base);
            tally.last = Some(base + i64::from(count) - 1);
        }
    }
}

/// The base offset where it is told, or code and words.
type Answer = Result<Option<i64>, (i16, Option<String>)>;

fn is_too_large(code: i16) -> bool {
    code == ErrorCode::MessageTooLarge.code() || code == ErrorCode::RecordListTooLarge.code()
}

fn producer_id(cluster: &mut Cluster) -> Result<(ProducerId, ProducerEpoch), Failure> {
    let patience = cluster.patience();
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        ..InitProducerIdRequest::default()
    };
    loop {
        let client = cluster.any();
        let version = client.version(ApiKey::InitProducerId, INIT_PRODUCER_ID)?;
        let reply = client.ask(&request, version)?;
        let answer: InitProducerIdResponseView = reply.view()?;
        match answer.error_code {
            0 => {
                let epoch = ProducerEpoch(answer.producer_epoch);
                return Ok((ProducerId(answer.producer_id), epoch));
            }
            code if is_retriable(code) && patience.again() => {}
            code => {
                let subject = client.address().to_owned();
                return Err(Failure::refused(
                    "asking for a producer id",
                    &subject,
                    code,
                    None,
                ));
            }
        }
    }
}
