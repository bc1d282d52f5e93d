//! Metadata: brokers, and topics by name, by id or all.
//!
//! A missing topic is answered UNKNOWN_TOPIC_OR_PARTITION even when it will be made: the caller gets the names
//! to create and does so behind the answer, and the client asks again. What is asked twice is answered once.
//! As in Kafka (`handleTopicMetadataRequest`), one id in a request makes it a request by id: rows without one
//! are passed over, and names beside ids mean nothing. Before version 12 one id or one missing name is an error
//! of the whole request, which then tells nothing of the cluster.

use std::collections::BTreeSet;

use thalweg_wire::messages::metadata_request::{MetadataRequestTopicView, MetadataRequestView};
use thalweg_wire::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use super::{CLUSTER_OPERATIONS, Leader, TOPIC_OPERATIONS, Viewpoint, offline};
use crate::controller::names::check_name;
use crate::error::ErrorCode;
use crate::metadata::image::{Image, Partition, Topic, is_internal, raw};

/// What a Metadata request leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The answer.
    pub response: MetadataResponse<'static>,
    /// Legal names that do not exist and that the client lets us create.
    pub missing: Vec<String>,
}

/// Answers a Metadata request of that version.
#[must_use]
pub fn metadata(
    image: &Image,
    viewpoint: &Viewpoint<'_>,
    request: &MetadataRequestView<'_>,
    version: i16,
) -> Answer {
    let asks = Asks {
        image,
        viewpoint,
        version,
        // Before version 4 a client could not say no.
        may_create: version < 4 || request.allow_auto_topic_creation,
        operations: request.include_topic_authorized_operations,
    };
    let list = || request.topics.iter().flat_map(|list| list.iter());
    if version < 12 && list().any(|topic| !topic.topic_id.is_zero() || topic.name.is_none()) {
        return too_early(list());
    }
    let by_id = list().any(|topic| !topic.topic_id.is_zero());
    let mut missing = Vec::new();
    let topics = match &request.topics {
        None => image.topics.iter().map(|topic| asks.topic(topic)).collect(),
        // An empty list meant everything before there was null.
        Some(list) if list.is_empty() && version == 0 => {
            image.topics.iter().map(|topic| asks.topic(topic)).collect()
        }
        Some(list) => {
            let mut seen = BTreeSet::new();
            let once = list.iter().filter(|topic| match by_id {
                true => !topic.topic_id.is_zero() && seen.insert((topic.topic_id, None)),
                false => seen.insert((topic.topic_id, topic.name)),
            });
            once.map(|topic| asks.asked(&topic, &mut missing)).collect()
        }
    };
    let brokers = viewpoint.alive(image).map(|one| MetadataResponseBroker {
        node_id: one.broker.id.0,
        host: one.host.to_owned().into(),
        port: one.port,
        rack: one.broker.rack.clone().map(Into::into),
    });
    let mut response = MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some(viewpoint.cluster_id.to_owned().into()),
        controller_id: viewpoint.controller(image),
        topics,
        ..MetadataResponse::default()
    };
    if request.include_cluster_authorized_operations && (8..=10).contains(&version) {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    Answer { response, missing }
}

struct Asks<'a> {
    image: &'a Image,
    viewpoint: &'a Viewpoint<'a>,
    version: i16,
    may_create: bool,
    operations: bool,
}

impl Asks<'_> {
    fn asked(
        &self,
        asked: &MetadataRequestTopicView<'_>,
        missing: &mut Vec<String>,
    ) -> MetadataResponseTopic<'static> {
        if !asked.topic_id.is_zero() {
            return match self.image.topics.get(asked.topic_id) {
                Some(topic) => self.topic(topic),
                None => MetadataResponseTopic {
                    error_code: ErrorCode::UnknownTopicId as i16,
                    name: None,
                    topic_id: asked.topic_id,
                    ..MetadataResponseTopic::default()
                },
            };
        }
        let Some(name) = asked.name else {
            return refused(asked, ErrorCode::InvalidRequest);
        };
        if let Some(topic) = self.image.topics.named(name) {
            return self.topic(topic);
        }
        let code = match check_name(name) {
            Err(refusal) => refusal.code,
            Ok(()) => {
                if self.may_create {
                    missing.push(name.to_owned());
                }
                ErrorCode::UnknownTopicOrPartition
            }
        };
        let mut answer = refused(asked, code);
        // What one may do is said of every name, whether the topic exists or not.
        if self.operations {
            answer.topic_authorized_operations = TOPIC_OPERATIONS;
        }
        answer
    }

    fn topic(&self, topic: &Topic) -> MetadataResponseTopic<'static> {
        let partitions = topic.partitions.iter();
        let partitions = partitions.map(|(index, partition)| self.partition(index.0, partition));
        let mut answer = MetadataResponseTopic {
            name: Some(topic.name.to_string().into()),
            topic_id: topic.id,
            is_internal: topic.is_internal(),
            partitions: partitions.collect(),
            ..MetadataResponseTopic::default()
        };
        if self.operations {
            answer.topic_authorized_operations = TOPIC_OPERATIONS;
        }
        answer
    }

    fn partition(&self, index: i32, partition: &Partition) -> MetadataResponsePartition {
        let (leader, error) = match self.viewpoint.leader(self.image, partition) {
            Leader::At(leader) => (leader.0, ErrorCode::None),
            Leader::OtherListener if self.version >= 6 => (-1, ErrorCode::ListenerNotFound),
            Leader::OtherListener | Leader::None => (-1, ErrorCode::LeaderNotAvailable),
        };
        MetadataResponsePartition {
            error_code: error as i16,
            partition_index: index,
            leader_id: leader,
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: raw(&partition.replicas),
            isr_nodes: raw(&partition.isr),
            offline_replicas: offline(self.image, partition),
        }
    }
}

/// The answer to ids, or to a name that is missing, in versions that have the field and may not use it.
fn too_early<'a>(topics: impl Iterator<Item = MetadataRequestTopicView<'a>>) -> Answer {
    let topics = topics.map(|topic| MetadataResponseTopic {
        is_internal: false,
        ..refused(&topic, ErrorCode::InvalidRequest)
    });
    Answer {
        response: MetadataResponse {
            topics: topics.collect(),
            ..MetadataResponse::default()
        },
        missing: Vec::new(),
    }
}

fn refused(
    asked: &MetadataRequestTopicView<'_>,
    error: ErrorCode,
) -> MetadataResponseTopic<'static> {
    MetadataResponseTopic {
        error_code: error as i16,
        name: Some(asked.name.unwrap_or("").to_owned().into()),
        topic_id: asked.topic_id,
        is_internal: asked.name.is_some_and(is_internal),
        ..MetadataResponseTopic::default()
    }
}
