//! A transactional producer, request by request.

use thalweg_wire::batch::{BatchBuilder, BatchSpec, Record};
use thalweg_wire::ids::{ProducerEpoch, ProducerId, Sequence};
use thalweg_wire::messages::add_partitions_to_txn_request as add;
use thalweg_wire::messages::end_txn_request::EndTxnRequest;
use thalweg_wire::messages::end_txn_response::EndTxnResponseView;
use thalweg_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use thalweg_wire::messages::fetch_response::FetchResponseView;
use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use thalweg_wire::messages::find_coordinator_response::FindCoordinatorResponseView;
use thalweg_wire::messages::init_producer_id_request::InitProducerIdRequest;
use thalweg_wire::messages::init_producer_id_response::InitProducerIdResponseView;
use thalweg_wire::messages::list_offsets_request as offsets;
use thalweg_wire::messages::list_offsets_response::ListOffsetsResponseView;
use thalweg_wire::messages::produce_response::ProduceResponseView;

use super::{Peer, Topic, now, produce_request};

/// Who a producer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: String,
    pub(crate) producer: i64,
    pub(crate) epoch: i16,
}

/// What a reader of committed records gets of a partition from its begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) last_stable: i64,
    pub(crate) high_watermark: i64,
    /// Producer and first offset.
    pub(crate) aborted: Vec<(i64, i64)>,
}

pub(crate) fn init_request(id: &str) -> InitProducerIdRequest<'_> {
    InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    }
}

pub(crate) fn end_request(who: &Producer, commit: bool) -> EndTxnRequest<'_> {
    EndTxnRequest {
        transactional_id: who.id.as_str().into(),
        producer_id: who.producer,
        producer_epoch: who.epoch,
        committed: commit,
    }
}

pub(crate) fn add_request<'a>(
    version: i16,
    who: &'a Producer,
    topic: &'a Topic,
) -> add::AddPartitionsToTxnRequest<'a> {
    let topics = vec![add::AddPartitionsToTxnTopic {
        name: topic.name.as_str().into(),
        partitions: vec![0],
    }];
    if version < 4 {
        return add::AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: who.id.as_str().into(),
            v3_and_below_producer_id: who.producer,
            v3_and_below_producer_epoch: who.epoch,
            v3_and_below_topics: topics,
            ..Default::default()
        };
    }
    add::AddPartitionsToTxnRequest {
        transactions: vec![add::AddPartitionsToTxnTransaction {
            transactional_id: who.id.as_str().into(),
            producer_id: who.producer,
            producer_epoch: who.epoch,
            verify_only: false,
            topics,
        }],
        ..Default::default()
    }
}

impl Peer {
    /// Begins as this id; tries again while it is loaded or its last transaction is ended.
    pub(crate) fn begin(&mut self, id: &str) -> Producer {
        let find = FindCoordinatorRequest {
            key_type: 1,
            coordinator_keys: vec![id.into()],
            ..FindCoordinatorRequest::default()
        };
        self.patiently("a transaction's coordinator", |peer| {
            let reply = peer.ask(&find, 6);
            let found: FindCoordinatorResponseView<'_> = reply.view();
            found.coordinators.iter().next().unwrap().error_code
        });
        let mut given = (-1, -1);
        self.patiently(id, |peer| {
            let reply = peer.ask(&init_request(id), 5);
            let answer: InitProducerIdResponseView = reply.view();
            given = (answer.producer_id, answer.producer_epoch);
            answer.error_code
        });
        Producer {
            id: id.to_owned(),
            producer: given.0,
            epoch: given.1,
        }
    }

    /// Error code and base offset of one record within the producer's transaction.
    pub(crate) fn produce_as(
        &mut self,
        version: i16,
        who: &Producer,
        to: (&Topic, i32),
        sequence: i32,
    ) -> (i16, i64) {
        let mut builder = BatchBuilder::new(BatchSpec {
            producer_id: ProducerId(who.producer),
            producer_epoch: ProducerEpoch(who.epoch),
            base_sequence: Sequence(sequence),
            transactional: true,
            ..BatchSpec::default()
        });
        builder.push(&Record {
            timestamp: now(),
            value: Some(b"value"),
            ..Record::default()
        });
        let batch = builder.finish_plain();
        let mut request = produce_request(version, to.0, to.1, &batch, -1);
        request.transactional_id = Some(who.id.as_str().into());
        let reply = self.ask(&request, version);
        let answer: ProduceResponseView<'_> = reply.view();
        let topic = answer.responses.iter().next().unwrap();
        let part = topic.partition_responses.iter().next().unwrap();
        (part.error_code, part.base_offset)
    }

    /// Ends the transaction (version 2): who the producer is then.
    pub(crate) fn end(&mut self, who: &Producer, commit: bool) -> Result<Producer, i16> {
        let reply = self.ask(&end_request(who, commit), 5);
        let answer: EndTxnResponseView = reply.view();
        match answer.error_code {
            0 => Ok(Producer {
                id: who.id.clone(),
                producer: answer.producer_id,
                epoch: answer.producer_epoch,
            }),
            code => Err(code),
        }
    }

    /// Waits until the last stable offset is there.
    pub(crate) fn stable(&mut self, topic: &Topic, partition: i32, offset: i64) {
        self.patiently("the last stable offset", |peer| {
            let request = offsets::ListOffsetsRequest {
                replica_id: -1,
                isolation_level: 1,
                topics: vec![offsets::ListOffsetsTopic {
                    name: topic.name.as_str().into(),
                    partitions: vec![offsets::ListOffsetsPartition {
                        partition_index: partition,
                        current_leader_epoch: -1,
                        timestamp: -1,
                    }],
                }],
                ..offsets::ListOffsetsRequest::default()
            };
            let reply = peer.ask(&request, 7);
            let answer: ListOffsetsResponseView<'_> = reply.view();
            let topic = answer.topics.iter().next().unwrap();
            let part = topic.partitions.iter().next().unwrap();
            i16::from(part.offset < offset)
        });
    }

    /// Reads committed records of a partition from its begin.
    pub(crate) fn read_committed(&mut self, topic: &Topic, partition: i32) -> Committed {
        let request = FetchRequest {
            min_bytes: 0,
            isolation_level: 1,
            topics: vec![FetchTopic {
                topic: topic.name.as_str().into(),
                partitions: vec![FetchPartition {
                    partition,
                    partition_max_bytes: 1 << 20,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let reply = self.ask(&request, 11);
        let answer: FetchResponseView<'_> = reply.view();
        let topic = answer.responses.iter().next().unwrap();
        let part = topic.partitions.iter().next().unwrap();
        assert_eq!(part.error_code, 0);
        let listed = part.aborted_transactions.expect("a list, even if empty");
        Committed {
            last_stable: part.last_stable_offset,
            high_watermark: part.high_watermark,
            aborted: listed
                .iter()
                .map(|one| (one.producer_id, one.first_offset))
                .collect(),
        }
    }
}
