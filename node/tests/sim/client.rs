//! A client without a socket: frames to a shard's dispatch, response bytes back.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use thalweg_node::dispatch::Dispatch;
use thalweg_node::net::connection::{Link, Service};
use thalweg_node::outgoing::{Answer, Outgoing, Source};
use thalweg_node::request::{Frame, Listener, Origin};
use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::read::Bound;
use thalweg_wire::batch::{BatchBuilder, BatchRef, BatchSpec, Codec, Record, Records};
use thalweg_wire::bytes::Message;
use thalweg_wire::header::{ResponseHead, encode_request};
use thalweg_wire::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use thalweg_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use thalweg_wire::messages::create_topics_response::CreateTopicsResponseView;
use thalweg_wire::messages::delete_topics_request::DeleteTopicsRequest;
use thalweg_wire::messages::delete_topics_response::DeleteTopicsResponseView;
use thalweg_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use thalweg_wire::messages::fetch_response::FetchResponseView;
use thalweg_wire::messages::init_producer_id_request::InitProducerIdRequest;
use thalweg_wire::messages::init_producer_id_response::InitProducerIdResponseView;
use thalweg_wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use thalweg_wire::messages::list_offsets_response::ListOffsetsResponseView;
use thalweg_wire::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use thalweg_wire::messages::produce_response::ProduceResponseView;

use crate::world::Core;

/// A connection to one shard.
pub(crate) struct Client {
    dispatch: Dispatch<MemoryDisk>,
    link: Rc<Link>,
    next: Cell<i32>,
}

/// What was found at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) offset: i64,
    pub(crate) value: Vec<u8>,
}

/// Idempotence of one batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
}

impl Client {
    pub(crate) fn new(core: &Core, connection: u64) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 9092));
        let origin = Origin {
            connection,
            listener: Listener::Kafka,
            peer: address,
            local: address,
        };
        Self {
            dispatch: Dispatch::new(Rc::clone(core)),
            link: Link::new(origin, 0),
            next: Cell::new(1),
        }
    }

    /// Sends a request; the body of its response, or `None` if the connection was closed.
    pub(crate) async fn call<M: Message>(&self, request: &M, version: i16) -> Option<Vec<u8>> {
        let id = self.next.replace(self.next.get() + 1);
        let frame = encode_request(request, version, id, Some("sim")).unwrap();
        let answer = self
            .dispatch
            .call(Frame::new(frame[4..].to_vec()), &self.link)
            .await;
        let bytes = match answer {
            Answer::Respond(outgoing) | Answer::Hold(outgoing, _) => render(&outgoing).await,
            Answer::Silent => return Some(Vec::new()),
            Answer::Close(_) => return None,
        };
        let head = ResponseHead {
            api_key: M::API_KEY.unwrap(),
            version,
            correlation_id: id,
        };
        let size = u32::from_be_bytes(bytes[..4].try_into().unwrap());
        assert_eq!(size as usize, bytes.len() - 4);
        let (echoed, body) = head.decode(&bytes[4..]).unwrap();
        assert_eq!(echoed, id);
        Some(body.to_vec())
    }

    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) -> i16 {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned().into(),
                num_partitions: partitions,
                replication_factor: 1,
                ..CreatableTopic::default()
            }],
            ..CreateTopicsRequest::default()
        };
        let Some(body) = self.call(&request, 7).await else {
            return -1;
        };
        let view = CreateTopicsResponseView::decode(&body, 7).unwrap();
        view.topics.iter().next().unwrap().error_code
    }

    pub(crate) async fn delete_topic(&self, name: &str) -> i16 {
        let request = DeleteTopicsRequest {
            topic_names: vec![name.to_owned().into()],
            ..DeleteTopicsRequest::default()
        };
        let Some(body) = self.call(&request, 5).await else {
            return -1;
        };
        let view = DeleteTopicsResponseView::decode(&body, 5).unwrap();
        view.responses.iter().next().unwrap().error_code
    }

    pub(crate) async fn producer_id(&self) -> Option<(i64, i16)> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            ..InitProducerIdRequest::default()
        };
        let body = self.call(&request, 4).await?;
        let view = InitProducerIdResponseView::decode(&body, 4).unwrap();
        (view.error_code == 0).then_some((view.producer_id, view.producer_epoch))
    }

    /// Produces one batch; error code and base offset.
    pub(crate) async fn produce(
        &self,
        (topic, partition): (&str, i32),
        values: &[Vec<u8>],
        identity: Option<Identity>,
    ) -> Option<(i16, i64)> {
        let request = ProduceRequest {
            transactional_id: None,
            acks: -1,
            timeout_ms: 1000,
            topic_data: vec![TopicProduceData {
                name: topic.to_owned().into(),
                partition_data: vec![PartitionProduceData {
                    index: partition,
                    records: thalweg_wire::bytes::Records::Bytes(batch(values, identity).into()),
                }],
                ..TopicProduceData::default()
            }],
        };
        let body = self.call(&request, 9).await?;
        let view = ProduceResponseView::decode(&body, 9).unwrap();
        let part = view
            .responses
            .iter()
            .next()?
            .partition_responses
            .iter()
            .next()?;
        Some((part.error_code, part.base_offset))
    }

    /// Everything that a consumer sees from `offset` on in one fetch.
    pub(crate) async fn fetch(
        &self,
        (topic, partition): (&str, i32),
        offset: i64,
        max_wait_ms: i32,
    ) -> (i16, Vec<Stored>) {
        let request = FetchRequest {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: topic.to_owned().into(),
                partitions: vec![FetchPartition {
                    partition,
                    fetch_offset: offset,
                    partition_max_bytes: 1 << 20,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let Some(body) = self.call(&request, 12).await else {
            return (-1, Vec::new());
        };
        let view = FetchResponseView::decode(&body, 12).unwrap();
        let part = view
            .responses
            .iter()
            .next()
            .unwrap()
            .partitions
            .iter()
            .next()
            .unwrap();
        (part.error_code, records(part.records.unwrap_or_default()))
    }

    /// The whole partition, fetch by fetch.
    pub(crate) async fn read_all(&self, place: (&str, i32)) -> Vec<Stored> {
        let mut all: Vec<Stored> = Vec::new();
        loop {
            let next = all.last().map_or(0, |last| last.offset + 1);
            let (code, more) = self.fetch(place, next, 0).await;
            assert_eq!(code, 0, "fetch of {place:?} from {next}");
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    /// The end that ListOffsets tells.
    pub(crate) async fn end_offset(&self, (topic, index): (&str, i32)) -> i64 {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.to_owned().into(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: index,
                    timestamp: -1,
                    ..ListOffsetsPartition::default()
                }],
            }],
            ..ListOffsetsRequest::default()
        };
        let body = self.call(&request, 7).await.unwrap();
        let view = ListOffsetsResponseView::decode(&body, 7).unwrap();
        view.topics
            .iter()
            .next()
            .unwrap()
            .partitions
            .iter()
            .next()
            .unwrap()
            .offset
    }
}

fn batch(values: &[Vec<u8>], identity: Option<Identity>) -> Vec<u8> {
    let mut spec = BatchSpec {
        codec: Codec::None,
        ..BatchSpec::default()
    };
    if let Some(identity) = identity {
        spec.producer_id = ProducerId(identity.id);
        spec.producer_epoch = ProducerEpoch(identity.epoch);
        spec.base_sequence = Sequence(identity.sequence);
    }
    let mut builder = BatchBuilder::new(spec);
    for value in values {
        builder.push(&Record {
            timestamp: TimestampMs(1_790_000_000_000),
            key: None,
            value: Some(value),
            headers: &[],
        });
    }
    builder.finish_plain()
}

fn records(mut bytes: &[u8]) -> Vec<Stored> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let batch = BatchRef::first(bytes).unwrap();
        assert!(batch.crc_matches(), "a fetch shows a bad batch");
        let base: Offset = batch.header().base_offset();
        for record in Records::new(batch.payload(), batch.header().record_count()) {
            let record = record.unwrap();
            all.push(Stored {
                offset: base.0 + i64::from(record.offset_delta),
                value: record.value.unwrap_or_default().to_vec(),
            });
        }
        bytes = &bytes[batch.bytes().len()..];
    }
    all
}

/// What the socket would have sent.
async fn render(outgoing: &Outgoing) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in outgoing.pieces() {
        match piece {
            thalweg_wire::outgoing::Piece::Bytes(range) => {
                bytes.extend(&outgoing.bytes()[range.clone()]);
            }
            thalweg_wire::outgoing::Piece::Stored(stored) => match &stored.source {
                Source::Memory(slice) => bytes.extend(&**slice),
                Source::Late(late) => match late.binder.bind(late).await.unwrap().0 {
                    Bound::Memory(slices) => {
                        slices.iter().for_each(|slice| bytes.extend(&**slice));
                    }
                    Bound::File { .. } => panic!("the seeded disk has no descriptors"),
                },
            },
        }
    }
    bytes
}
