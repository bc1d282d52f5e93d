//! `thalweg topic delete`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use thalweg_wire::messages::delete_topics_response::DeleteTopicsResponseView;
use thalweg_wire::messages::metadata_response::MetadataResponseView;

use super::super::failure::Failure;
use super::super::outcome::Outcome;
use super::super::output::Format;
use super::super::routing::{Cluster, ask_metadata};
use super::report::{self, Deleted};

const DELETE: (i16, i16) = (1, 6);
/// The first version of DeleteTopics that names topics in a structure.
const DELETE_STATE: i16 = 6;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct DeleteArgs {
    /// Topics
    #[arg(required = true)]
    names: Vec<String>,
    /// Accept that a topic is not there
    #[arg(long)]
    if_exists: bool,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

/// Error code and message by topic.
type Results = BTreeMap<String, (i16, Option<String>)>;

impl DeleteArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        // A name given twice is one topic to delete.
        let names: BTreeSet<&str> = self.names.iter().map(String::as_str).collect();
        let results = if self.dry_run {
            presence(cluster, &self.names)?
        } else {
            ask_delete(cluster, &names)?
        };
        let (mut topics, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            let (code, message) = results.get(name).cloned().unwrap_or_default();
            let absent = code == ErrorCode::UnknownTopicOrPartition.code() && self.if_exists;
            let result = match code {
                0 if self.dry_run => "checked",
                0 => "deleted",
                _ if absent => "absent",
                _ => "failed",
            };
            if result == "failed" {
                let message = message.as_deref();
                failures.push(Failure::refused("deleting topic", name, code, message));
            }
            let error = ErrorCode::from_code(code).filter(|_| result == "failed");
            topics.push(Deleted {
                name: name.to_owned(),
                result,
                error: error.map(ErrorCode::name),
            });
        }
        let done = topics.len() - failures.len();
        let text = report::show(topics, format, report::deleted);
        Ok(Outcome::of(text, done, failures))
    }
}

fn ask_delete(cluster: &mut Cluster, names: &BTreeSet<&str>) -> Result<Results, Failure> {
    let timeout_ms = cluster.timeout_ms();
    let client = cluster.any();
    let version = client.version(ApiKey::DeleteTopics, DELETE)?;
    let names = names.iter().map(|name| Cow::Borrowed(*name));
    let mut request = DeleteTopicsRequest {
        timeout_ms,
        ..DeleteTopicsRequest::default()
    };
    if version >= DELETE_STATE {
        let state = |name| DeleteTopicState {
            name: Some(name),
            topic_id: Uuid::ZERO,
        };
        request.topics = names.map(state).collect();
    } else {
        request.topic_names = names.collect();
    }
    let reply = client.ask(&request, version)?;
    let answer: DeleteTopicsResponseView<'_> = reply.view()?;
    let results = answer.responses.iter().map(|topic| {
        let message = topic.error_message.map(str::to_owned);
        let name = topic.name.unwrap_or_default().to_owned();
        (name, (topic.error_code, message))
    });
    Ok(results.collect())
}

fn presence(cluster: &mut Cluster, names: &[String]) -> Result<Results, Failure> {
    let reply = ask_metadata(cluster.any(), Some(names), false)?;
    let answer: MetadataResponseView<'_> = reply.view()?;
    let codes = answer.topics.iter().map(|topic| {
        let name = topic.name.unwrap_or_default().to_owned();
        (name, (topic.error_code, None))
    });
    Ok(codes.collect())
}
