//! A lone node's metadata log in memory: what the node does with proposals, without disk and clock.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;

use thalweg_coordinator::configs::effective::{BrokerConfigs, BrokerValue};
use thalweg_coordinator::configs::keys::ConfigType;
use thalweg_coordinator::controller::brokers::{self, Start};
use thalweg_coordinator::controller::{Context, Outcome, delete, free, partitions, topics};
use thalweg_coordinator::metadata::image::{Endpoint, Image};
use thalweg_coordinator::metadata::log::LogReader;
use thalweg_coordinator::metadata::record::{Place, Proposed, encode_batch};
use thalweg_wire::bytes::Message;
use thalweg_wire::ids::{NodeId, TimestampMs, Uuid};
use thalweg_wire::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsRequestView,
};
use thalweg_wire::messages::create_partitions_response::CreatePartitionsResponse;
use thalweg_wire::messages::create_topics_request::{
    CreatableTopic, CreateTopicsRequest, CreateTopicsRequestView,
};
use thalweg_wire::messages::create_topics_response::CreateTopicsResponse;
use thalweg_wire::messages::delete_topics_request::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsRequestView,
};
use thalweg_wire::messages::delete_topics_response::DeleteTopicsResponse;

pub(crate) struct Cluster {
    pub(crate) reader: LogReader,
    pub(crate) log: Vec<u8>,
    pub(crate) broker: BrokerConfigs,
    ids: u64,
}

pub(crate) fn endpoint(name: &str, port: u16) -> Endpoint {
    Endpoint {
        name: name.to_owned(),
        host: "localhost".to_owned(),
        port,
        security_protocol: 0,
    }
}

pub(crate) fn start_of(node: i32, directory: Uuid) -> Start {
    Start {
        node: NodeId(node),
        directory,
        broker_incarnation: Uuid([1; 16]),
        controller_incarnation: Uuid([2; 16]),
        broker_endpoints: vec![endpoint("PLAINTEXT", 29092)],
        controller_endpoints: vec![endpoint("CONTROLLER", 29093)],
        rack: None,
        now: TimestampMs(1_795_434_936_728),
    }
}

impl Cluster {
    /// A fresh node after its first start.
    pub(crate) fn new() -> Self {
        let broker = BrokerConfigs {
            node: NodeId(1),
            ..BrokerConfigs::default()
        };
        let mut cluster = Self {
            reader: LogReader::new(),
            log: Vec::new(),
            broker,
            ids: 100,
        };
        cluster.start();
        cluster
    }

    pub(crate) fn start(&mut self) {
        let batches = brokers::start(&self.reader, &start_of(1, Uuid([7; 16]))).expect("encodes");
        for batch in batches {
            self.append(&batch);
        }
    }

    fn append(&mut self, batch: &[u8]) {
        self.log.extend_from_slice(batch);
        self.reader.apply(batch).expect("what we write, we read");
    }

    pub(crate) fn image(&self) -> Arc<Image> {
        self.reader.image()
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let value = BrokerValue {
            kind: ConfigType::Long,
            set: Some(value.to_owned()),
            dynamic: true,
            ..BrokerValue::default()
        };
        self.broker.values.insert(name.to_owned(), value);
    }

    /// Appends and applies one batch.
    pub(crate) fn commit(&mut self, records: &[Proposed]) {
        if records.is_empty() {
            return;
        }
        let place = Place {
            base_offset: self.reader.next_offset(),
            epoch: self.reader.quorum().epoch,
            timestamp: TimestampMs(0),
        };
        self.append(&encode_batch(records, place).expect("encodes"));
    }

    pub(crate) fn propose_create(
        &mut self,
        request: &CreateTopicsRequest<'_>,
    ) -> Outcome<CreateTopicsResponse<'static>> {
        let bytes = request.to_bytes(7).expect("encodes");
        let view = CreateTopicsRequestView::decode(&bytes, 7).expect("decodes");
        let image = self.image();
        let ids = &mut self.ids;
        let mut new_id = || {
            *ids += 1;
            // Spread over all bytes, as random ids are.
            Uuid(
                u128::from(*ids)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                    .to_be_bytes(),
            )
        };
        let mut context = Context {
            broker: &self.broker,
            new_id: &mut new_id,
            charge: &mut free,
        };
        topics::create(&image, &view, &mut context)
    }

    pub(crate) fn create(
        &mut self,
        topics: Vec<CreatableTopic<'_>>,
    ) -> CreateTopicsResponse<'static> {
        let request = CreateTopicsRequest {
            topics,
            ..CreateTopicsRequest::default()
        };
        let outcome = self.propose_create(&request);
        self.commit(&outcome.records);
        outcome.response
    }

    pub(crate) fn delete(&mut self, names: &[&str], ids: &[Uuid]) -> DeleteTopicsResponse<'static> {
        let by_name = names.iter().map(|name| DeleteTopicState {
            name: Some((*name).into()),
            topic_id: Uuid::ZERO,
        });
        let by_id = ids.iter().map(|id| DeleteTopicState {
            name: None,
            topic_id: *id,
        });
        let topics = by_name.chain(by_id).collect();
        let request = DeleteTopicsRequest {
            topics,
            ..DeleteTopicsRequest::default()
        };
        let bytes = request.to_bytes(6).expect("encodes");
        let view = DeleteTopicsRequestView::decode(&bytes, 6).expect("decodes");
        let mut new_id = || Uuid::ZERO;
        let mut context = Context {
            broker: &self.broker,
            new_id: &mut new_id,
            charge: &mut free,
        };
        let outcome = delete::delete(&self.image(), &view, 6, &mut context);
        self.commit(&outcome.records);
        outcome.response
    }

    pub(crate) fn grow(
        &mut self,
        request: &CreatePartitionsRequest<'_>,
    ) -> CreatePartitionsResponse<'static> {
        let bytes = request.to_bytes(3).expect("encodes");
        let view = CreatePartitionsRequestView::decode(&bytes, 3).expect("decodes");
        let mut new_id = || Uuid::ZERO;
        let mut context = Context {
            broker: &self.broker,
            new_id: &mut new_id,
            charge: &mut free,
        };
        let outcome = partitions::create(&self.image(), &view, &mut context);
        self.commit(&outcome.records);
        outcome.response
    }
}

/// A topic as a request names it.
pub(crate) fn topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic<'_> {
    CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: factor,
        ..CreatableTopic::default()
    }
}
