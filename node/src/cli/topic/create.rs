//! `thalweg topic create`.

use std::borrow::Cow;

use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use thalweg_wire::messages::create_topics_response::CreateTopicsResponseView;

use super::super::failure::Failure;
use super::super::outcome::Outcome;
use super::super::output::Format;
use super::super::routing::Cluster;
use super::describe::id_text;
use super::key_value;
use super::report::{self, Created};

/// From the first version with defaults for counts and an id in the answer, where known.
const CREATE: (i16, i16) = (5, 7);

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct CreateArgs {
    /// 1 to 249 characters of a-z A-Z 0-9 . _ -
    name: String,
    /// Number of partitions; the cluster's default if left out
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) partitions: Option<i32>,
    /// Copies of each partition; the cluster's default if left out
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    pub(super) replication_factor: Option<i16>,
    /// A topic config, as in Kafka (retention.ms=7d); may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) config: Vec<(String, String)>,
    /// Leave a topic that is there as it is
    #[arg(long)]
    if_not_exists: bool,
    /// Let the cluster check everything, but create nothing
    #[arg(long)]
    dry_run: bool,
}

impl CreateArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let request = self.request(cluster.timeout_ms());
        let client = cluster.any();
        let version = client.version(ApiKey::CreateTopics, CREATE)?;
        let reply = client.ask(&request, version)?;
        let answer: CreateTopicsResponseView<'_> = reply.view()?;
        let Some(topic) = answer.topics.iter().next() else {
            return Err(Failure::protocol(
                client.address(),
                "no topic in the answer",
            ));
        };
        let exists = topic.error_code == ErrorCode::TopicAlreadyExists.code();
        if topic.error_code != 0 && !(exists && self.if_not_exists) {
            return Err(Failure::refused(
                "creating topic",
                &self.name,
                topic.error_code,
                topic.error_message,
            ));
        }
        let created = Created {
            name: self.name.clone(),
            result: match (exists, self.dry_run) {
                (true, _) => "exists",
                (false, true) => "checked",
                (false, false) => "created",
            },
            id: id_text(topic.topic_id),
            partitions: Some(topic.num_partitions).filter(|count| *count > 0),
            replication_factor: Some(i32::from(topic.replication_factor)).filter(|n| *n > 0),
        };
        Ok(Outcome::done(report::show(
            vec![created],
            format,
            report::created,
        )))
    }

    fn request(&self, timeout_ms: i32) -> CreateTopicsRequest<'_> {
        let configs = self
            .config
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: Cow::Borrowed(name),
                value: Some(Cow::Borrowed(value)),
            });
        CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: Cow::Borrowed(&self.name),
                num_partitions: self.partitions.unwrap_or(-1),
                replication_factor: self.replication_factor.unwrap_or(-1),
                configs: configs.collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms,
            validate_only: self.dry_run,
        }
    }
}
