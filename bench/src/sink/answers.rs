//! What a sink says to each call of a load.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use thalweg_wire::bytes::{Message, Records, Writer};
use thalweg_wire::header::ResponseHead;
use thalweg_wire::messages::{
    api_versions_response, create_topics_request as create, create_topics_response as created,
    fetch_request as fetch, fetch_response as fetched, init_producer_id_response,
    list_offsets_request as list, list_offsets_response as listed, metadata_request as metadata,
    metadata_response as described, produce_request as produce, produce_response as produced,
};

use super::kept::{Kept, Unanswered};
use crate::BenchError;
use crate::error::decode;

/// Never the same twice in a process.
static NEXT_PRODUCER_ID: AtomicI64 = AtomicI64::new(1);
/// The one session that a connection has.
const SESSION_ID: i32 = 7;

/// The calls of one connection.
#[derive(Debug)]
pub(super) struct Answers {
    address: SocketAddr,
    kept: Option<Arc<Kept>>,
    /// Of the topic that was created last, on whatever connection.
    partitions: Arc<AtomicI32>,
    /// Where the session's fetches go on, and how much they may bring.
    positions: BTreeMap<i32, (i64, i32)>,
}

impl Answers {
    pub(super) fn new(
        address: SocketAddr,
        kept: Option<Arc<Kept>>,
        partitions: &Arc<AtomicI32>,
    ) -> Self {
        Self {
            address,
            kept,
            partitions: Arc::clone(partitions),
            positions: BTreeMap::new(),
        }
    }

    /// A whole frame; none if the call wants no answer.
    pub(super) fn answer(
        &mut self,
        head: ResponseHead,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>, BenchError> {
        match head.api_key {
            0 => return self.produce(head, body),
            1 => self.fetch(head, body),
            2 => Self::list_offsets(self.kept.as_deref(), head, body),
            3 => self.metadata(head, body),
            18 => frame(head, &api_versions_response::ApiVersionsResponse::default()),
            19 => self.create_topics(head, body),
            22 => frame(
                head,
                &init_producer_id_response::InitProducerIdResponse {
                    producer_id: NEXT_PRODUCER_ID.fetch_add(1, Ordering::Relaxed),
                    producer_epoch: 0,
                    ..Default::default()
                },
            ),
            key => Err(BenchError::Protocol(format!("a sink has no API {key}"))),
        }
        .map(Some)
    }

    fn produce(&self, head: ResponseHead, body: &[u8]) -> Result<Option<Vec<u8>>, BenchError> {
        let request = produce::ProduceRequestView::decode(body, head.version)
            .map_err(decode("ProduceRequest"))?;
        let mut responses = Vec::new();
        for topic in request.topic_data.iter() {
            let mut partitions = Vec::new();
            for data in topic.partition_data.iter() {
                let kept = self.kept.as_ref();
                let records = data.records.unwrap_or_default();
                let place = kept.map_or(Ok(0), |kept| kept.append(data.index, records));
                let (error_code, base_offset) = match place {
                    Ok(offset) => (0, offset),
                    Err(Unanswered::Code(code)) => (code, -1),
                    Err(Unanswered::HangUp) => {
                        return Err(BenchError::Protocol("told to hang up".to_owned()));
                    }
                };
                partitions.push(produced::PartitionProduceResponse {
                    index: data.index,
                    error_code,
                    base_offset,
                    ..Default::default()
                });
            }
            responses.push(produced::TopicProduceResponse {
                name: Cow::Borrowed(topic.name),
                partition_responses: partitions,
                ..Default::default()
            });
        }
        let response = produced::ProduceResponse {
            responses,
            ..Default::default()
        };
        match request.acks {
            0 => Ok(None),
            _ => frame(head, &response).map(Some),
        }
    }

    fn fetch(&mut self, head: ResponseHead, body: &[u8]) -> Result<Vec<u8>, BenchError> {
        let request =
            fetch::FetchRequestView::decode(body, head.version).map_err(decode("FetchRequest"))?;
        if request.session_epoch <= 0 {
            self.positions.clear();
        }
        let mut name = "";
        for topic in request.topics.iter() {
            name = topic.topic;
            for asked in topic.partitions.iter() {
                let position = (asked.fetch_offset, asked.partition_max_bytes);
                self.positions.insert(asked.partition, position);
            }
        }
        let until = Instant::now() + Duration::from_millis(request.max_wait_ms.max(0) as u64);
        let mut partitions = self.read();
        while let Some(kept) = &self.kept
            && partitions.is_empty()
            && Instant::now() < until
        {
            kept.wait(until - Instant::now().min(until));
            partitions = self.read();
        }
        let response = fetched::FetchResponse {
            session_id: match request.session_epoch {
                -1 => 0,
                _ => SESSION_ID,
            },
            responses: vec![fetched::FetchableTopicResponse {
                topic: Cow::Borrowed(name),
                partitions,
                ..Default::default()
            }],
            ..Default::default()
        };
        frame(head, &response)
    }

    /// What there is at the positions; they stay where they are until the next request.
    fn read(&self) -> Vec<fetched::PartitionData<'static>> {
        let mut found = Vec::new();
        for (partition, (offset, bytes_max)) in &self.positions {
            let Some(kept) = &self.kept else {
                continue;
            };
            let bytes = kept.read(*partition, *offset, (*bytes_max).max(0) as usize);
            if !bytes.is_empty() {
                found.push(fetched::PartitionData {
                    partition_index: *partition,
                    high_watermark: kept.end(*partition),
                    records: Records::Bytes(Cow::Owned(bytes)),
                    ..Default::default()
                });
            }
        }
        found
    }

    fn list_offsets(
        kept: Option<&Kept>,
        head: ResponseHead,
        body: &[u8],
    ) -> Result<Vec<u8>, BenchError> {
        let request = list::ListOffsetsRequestView::decode(body, head.version)
            .map_err(decode("ListOffsetsRequest"))?;
        let answer = |asked: list::ListOffsetsPartitionView| listed::ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            offset: match asked.timestamp {
                -1 => kept.map_or(0, |kept| kept.end(asked.partition_index)),
                _ => 0,
            },
            ..Default::default()
        };
        let topic = |topic: list::ListOffsetsTopicView<'_>| listed::ListOffsetsTopicResponse {
            name: Cow::Owned(topic.name.to_owned()),
            partitions: topic.partitions.iter().map(answer).collect(),
        };
        let response = listed::ListOffsetsResponse {
            topics: request.topics.iter().map(topic).collect(),
            ..Default::default()
        };
        frame(head, &response)
    }

    fn metadata(&self, head: ResponseHead, body: &[u8]) -> Result<Vec<u8>, BenchError> {
        let request = metadata::MetadataRequestView::decode(body, head.version)
            .map_err(decode("MetadataRequest"))?;
        let names = request.topics.iter().flat_map(|topics| topics.iter());
        let partition = |partition_index| described::MetadataResponsePartition {
            partition_index,
            leader_id: 1,
            replica_nodes: vec![1],
            isr_nodes: vec![1],
            ..Default::default()
        };
        let topics = names.map(|topic| described::MetadataResponseTopic {
            name: topic.name.map(|name| Cow::Owned(name.to_owned())),
            partitions: (0..self.partitions.load(Ordering::Relaxed))
                .map(partition)
                .collect(),
            ..Default::default()
        });
        let response = described::MetadataResponse {
            brokers: vec![described::MetadataResponseBroker {
                node_id: 1,
                host: Cow::Owned(self.address.ip().to_string()),
                port: i32::from(self.address.port()),
                ..Default::default()
            }],
            topics: topics.collect(),
            ..Default::default()
        };
        frame(head, &response)
    }

    fn create_topics(&self, head: ResponseHead, body: &[u8]) -> Result<Vec<u8>, BenchError> {
        let request = create::CreateTopicsRequestView::decode(body, head.version)
            .map_err(decode("CreateTopicsRequest"))?;
        let mut topics = Vec::new();
        for topic in request.topics.iter() {
            let partitions = topic.num_partitions.max(1);
            self.partitions.store(partitions, Ordering::Relaxed);
            topics.push(created::CreatableTopicResult {
                name: Cow::Owned(topic.name.to_owned()),
                ..Default::default()
            });
        }
        let response = created::CreateTopicsResponse {
            topics,
            ..Default::default()
        };
        frame(head, &response)
    }
}

fn frame<M: Message>(head: ResponseHead, message: &M) -> Result<Vec<u8>, BenchError> {
    let length = head.size() + message.size(head.version)?;
    let mut out = Writer::with_capacity(4 + length);
    out.u32(u32::try_from(length).unwrap_or(u32::MAX));
    head.write(&mut out);
    message.encode(head.version, &mut out)?;
    Ok(out.into_parts().0)
}
