//! DeleteTopics: by name, or by id from version 6 on.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::delete_topics_request::DeleteTopicsRequestView;
use thalweg_wire::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use thalweg_wire::messages::remove_topic_record::RemoveTopicRecord;

use super::{Context, Outcome};
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::Image;
use crate::metadata::record::Proposed;

/// Works a DeleteTopics request of that version.
pub fn delete(
    image: &Image,
    request: &DeleteTopicsRequestView<'_>,
    version: i16,
    context: &mut Context<'_>,
) -> Outcome<DeleteTopicsResponse<'static>> {
    let disabled = disabled(image, version, context);
    let (mut records, mut gone) = (Vec::new(), BTreeSet::new());
    let mut responses = Vec::new();
    for ((name, id), times) in named(request) {
        let found = match (&disabled, times > 1) {
            (Some(refusal), _) => Err(refusal.clone()),
            (None, true) => {
                let what = if name.is_some() { "name" } else { "id" };
                Err(Refusal::new(
                    ErrorCode::InvalidRequest,
                    format!("Duplicate topic {what}."),
                ))
            }
            (None, false) => find(image, name, id),
        };
        let found = found.and_then(|(name, id)| match gone.insert(id) {
            true => Ok((name, id)),
            false => {
                let message = "The provided topic name maps to an ID that was already supplied.";
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
        });
        let found = found.and_then(|(name, id)| charged(image, id, context).map(|()| (name, id)));
        responses.push(match found {
            Ok((name, topic_id)) => {
                records.push(Proposed::new(RemoveTopicRecord { topic_id }, 0));
                DeletableTopicResult {
                    name: Some(name.into()),
                    topic_id,
                    ..Default::default()
                }
            }
            Err(refusal) => DeletableTopicResult {
                name: name.map(|name| name.to_owned().into()),
                topic_id: id,
                error_code: refusal.code as i16,
                error_message: refusal.text(),
            },
        });
    }
    Outcome {
        response: DeleteTopicsResponse {
            throttle_time_ms: 0,
            responses,
        },
        records,
    }
}

/// What is asked for, each once and in the order of the request, with how often it is named.
fn named<'a>(request: &DeleteTopicsRequestView<'a>) -> Vec<((Option<&'a str>, Uuid), usize)> {
    let names = request
        .topic_names
        .iter()
        .map(|name| (Some(name), Uuid::ZERO));
    let topics = request
        .topics
        .iter()
        .map(|topic| (topic.name, topic.topic_id));
    let mut places = BTreeMap::new();
    let mut wanted: Vec<(_, usize)> = Vec::new();
    for topic in names.chain(topics) {
        let at = *places.entry(topic).or_insert(wanted.len());
        match wanted.get_mut(at) {
            Some((_, times)) => *times += 1,
            None => wanted.push((topic, 1)),
        }
    }
    wanted
}

/// What is deleted counts by its partitions.
fn charged(image: &Image, id: Uuid, context: &mut Context<'_>) -> Result<(), Refusal> {
    let topic = image.topics.get(id);
    (context.charge)(topic.map_or(0, |topic| topic.partitions.len()))
}

fn disabled(image: &Image, version: i16, context: &Context<'_>) -> Option<Refusal> {
    let chain = context.broker.broker_chain(image, "delete.topic.enable");
    let value = chain.into_iter().next()?.value?;
    if value.trim() != "false" {
        return None;
    }
    // Older clients do not know the newer code.
    let code = match version {
        ..3 => ErrorCode::InvalidRequest,
        _ => ErrorCode::TopicDeletionDisabled,
    };
    Some(Refusal::new(code, "Topic deletion is disabled."))
}

fn find(image: &Image, name: Option<&str>, id: Uuid) -> Result<(String, Uuid), Refusal> {
    match (name, id.is_zero()) {
        (Some(_), false) => {
            let message = "You may not specify both topic name and topic id.";
            Err(Refusal::new(ErrorCode::InvalidRequest, message))
        }
        (None, true) => {
            let message = "Neither topic name nor id were specified.";
            Err(Refusal::new(ErrorCode::InvalidRequest, message))
        }
        (Some(name), true) => match image.topics.named(name) {
            Some(topic) => Ok((topic.name.to_string(), topic.id)),
            None => {
                let message = "This server does not host this topic-partition.";
                Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, message))
            }
        },
        (None, false) => match image.topics.get(id) {
            Some(topic) => Ok((topic.name.to_string(), topic.id)),
            None => {
                let message = "This server does not host this topic ID.";
                Err(Refusal::new(ErrorCode::UnknownTopicId, message))
            }
        },
    }
}
