//! `thalweg topic`: create, list, describe and delete topics of any Kafka-compatible cluster.
//!
//! Each command is a few calls of the client and a report. What can fail for one topic of several
//! is told for each on standard error, and the exit code says whether anything was done.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use thalweg_wire::messages::create_topics_response::CreateTopicsResponseView;
use thalweg_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use thalweg_wire::messages::delete_topics_response::DeleteTopicsResponseView;
use thalweg_wire::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use thalweg_wire::messages::describe_configs_response::DescribeConfigsResponseView;
use thalweg_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use thalweg_wire::messages::metadata_response::{
    MetadataResponsePartitionView, MetadataResponseTopicView, MetadataResponseView,
};

use super::Exit;
use super::client::{Broker, Client, Reply};
use super::failure::Failure;
use super::output::{self, Format};
use super::topic_report::{
    self as report, Created, Deleted, Described, Listed, PartitionState, SHAPES,
};

/// From the first version with defaults for counts and an id in the answer, where known.
const CREATE: (i16, i16) = (5, 7);
const DELETE: (i16, i16) = (1, 6);
/// The first version of DeleteTopics that names topics in a structure.
const DELETE_STATE: i16 = 6;
const METADATA: (i16, i16) = (9, 12);
const DESCRIBE_CONFIGS: (i16, i16) = (1, 4);
const TOPIC_RESOURCE: i8 = 2;
/// A value set for the topic itself.
const TOPIC_SOURCE: i8 = 1;

/// Topics of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = SHAPES)]
pub struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
    #[command(flatten)]
    broker: Broker,
    /// How results are printed
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
enum TopicCommand {
    /// Create a topic
    Create(CreateArgs),
    /// List all topics
    List,
    /// Show partitions, leaders and configs of topics
    Describe {
        /// Topics; all if none is named
        names: Vec<String>,
    },
    /// Delete topics and all of their records
    Delete(DeleteArgs),
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct CreateArgs {
    /// 1 to 249 characters of a-z A-Z 0-9 . _ -
    name: String,
    /// Number of partitions; the cluster's default if left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Copies of each partition; the cluster's default if left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A topic config, as in Kafka (retention.ms=3600000); may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,
    /// Leave a topic that is there as it is
    #[arg(long)]
    if_not_exists: bool,
    /// Let the cluster check everything, but create nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct DeleteArgs {
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

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("KEY=VALUE, such as retention.ms=3600000".to_owned()),
    }
}

/// What a command has to tell.
struct Outcome {
    text: String,
    exit: Exit,
    failures: Vec<Failure>,
}

impl TopicArgs {
    /// Runs the command, prints what it has to tell, answers its exit code.
    #[must_use]
    pub fn run(&self) -> Exit {
        let outcome = match self.outcome() {
            Ok(outcome) => outcome,
            Err(failure) => Outcome {
                text: String::new(),
                exit: failure.exit,
                failures: vec![failure],
            },
        };
        for failure in &outcome.failures {
            eprintln!("{failure}");
        }
        match output::print(&outcome.text) {
            Ok(()) => outcome.exit,
            Err(error) => {
                eprintln!("error[T0504]: cannot print the result: {error}");
                Exit::Failed
            }
        }
    }

    fn outcome(&self) -> Result<Outcome, Failure> {
        let client = &mut Client::connect(&self.broker)?;
        match &self.command {
            TopicCommand::Create(create) => self.create(client, create),
            TopicCommand::List => self.list(client),
            TopicCommand::Describe { names } => self.describe(client, names),
            TopicCommand::Delete(delete) => self.delete(client, delete),
        }
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.broker.timeout.as_millis()).unwrap_or(i32::MAX)
    }

    fn create(&self, client: &mut Client, asked: &CreateArgs) -> Result<Outcome, Failure> {
        let version = client.version(ApiKey::CreateTopics, CREATE)?;
        let configs = asked
            .config
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: Cow::Borrowed(name),
                value: Some(Cow::Borrowed(value)),
            });
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: Cow::Borrowed(&asked.name),
                num_partitions: asked.partitions.unwrap_or(-1),
                replication_factor: asked.replication_factor.unwrap_or(-1),
                configs: configs.collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: self.timeout_ms(),
            validate_only: asked.dry_run,
        };
        let reply = client.ask(&request, version)?;
        let answer: CreateTopicsResponseView<'_> = reply.view()?;
        let Some(topic) = answer.topics.iter().next() else {
            return Err(Failure::protocol(
                &self.broker.brokers,
                "no topic in the answer",
            ));
        };
        let exists = topic.error_code == ErrorCode::TopicAlreadyExists.code();
        if topic.error_code != 0 && !(exists && asked.if_not_exists) {
            return Err(Failure::refused(
                "creating topic",
                &asked.name,
                topic.error_code,
                topic.error_message,
            ));
        }
        let created = Created {
            name: asked.name.clone(),
            result: match (exists, asked.dry_run) {
                (true, _) => "exists",
                (false, true) => "checked",
                (false, false) => "created",
            },
            id: id_text(topic.topic_id),
            partitions: Some(topic.num_partitions).filter(|count| *count > 0),
            replication_factor: Some(i32::from(topic.replication_factor)).filter(|n| *n > 0),
        };
        Ok(Outcome {
            text: report::show(vec![created], self.format, report::created),
            exit: Exit::Done,
            failures: Vec::new(),
        })
    }

    fn list(&self, client: &mut Client) -> Result<Outcome, Failure> {
        let reply = ask_metadata(client, None)?;
        let answer: MetadataResponseView<'_> = reply.view()?;
        let mut topics: Vec<Listed> = answer.topics.iter().map(listed).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Outcome {
            text: report::show(topics, self.format, report::listed),
            exit: Exit::Done,
            failures: Vec::new(),
        })
    }

    fn describe(&self, client: &mut Client, names: &[String]) -> Result<Outcome, Failure> {
        let asked = (!names.is_empty()).then_some(names);
        let reply = ask_metadata(client, asked)?;
        let answer: MetadataResponseView<'_> = reply.view()?;
        let (mut topics, mut failures) = (Vec::new(), Vec::new());
        for topic in answer.topics.iter() {
            let name = topic.name.unwrap_or_default();
            match topic.error_code {
                0 => topics.push(described(topic)),
                code => failures.push(Failure::refused("describing topic", name, code, None)),
            }
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        add_configs(client, &mut topics)?;
        Ok(Outcome {
            exit: Exit::of(topics.len(), topics.len() + failures.len()),
            text: report::show(topics, self.format, report::described),
            failures,
        })
    }

    fn delete(&self, client: &mut Client, asked: &DeleteArgs) -> Result<Outcome, Failure> {
        // A name given twice is one topic to delete.
        let names: BTreeSet<&str> = asked.names.iter().map(String::as_str).collect();
        let results = if asked.dry_run {
            presence(client, &asked.names)?
        } else {
            self.ask_delete(client, &names)?
        };
        let (mut topics, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            let (code, message) = results.get(name).cloned().unwrap_or_default();
            let absent = code == ErrorCode::UnknownTopicOrPartition.code() && asked.if_exists;
            let result = match code {
                0 if asked.dry_run => "checked",
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
        Ok(Outcome {
            exit: Exit::of(topics.len() - failures.len(), topics.len()),
            text: report::show(topics, self.format, report::deleted),
            failures,
        })
    }

    fn ask_delete(&self, client: &mut Client, names: &BTreeSet<&str>) -> Result<Results, Failure> {
        let version = client.version(ApiKey::DeleteTopics, DELETE)?;
        let names = names.iter().map(|name| Cow::Borrowed(*name));
        let mut request = DeleteTopicsRequest {
            timeout_ms: self.timeout_ms(),
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
}

/// Error code and message by topic.
type Results = BTreeMap<String, (i16, Option<String>)>;

fn presence(client: &mut Client, names: &[String]) -> Result<Results, Failure> {
    let reply = ask_metadata(client, Some(names))?;
    let answer: MetadataResponseView<'_> = reply.view()?;
    let codes = answer.topics.iter().map(|topic| {
        (
            topic.name.unwrap_or_default().to_owned(),
            (topic.error_code, None),
        )
    });
    Ok(codes.collect())
}

fn ask_metadata(client: &mut Client, names: Option<&[String]>) -> Result<Reply, Failure> {
    let version = client.version(ApiKey::Metadata, METADATA)?;
    let topic = |name| MetadataRequestTopic {
        name: Some(Cow::Borrowed(name)),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: names.map(|names| names.iter().map(|name| topic(name.as_str())).collect()),
        // Asking must not create.
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    client.ask(&request, version)
}

fn add_configs(client: &mut Client, topics: &mut [Described]) -> Result<(), Failure> {
    if topics.is_empty() {
        return Ok(());
    }
    let version = client.version(ApiKey::DescribeConfigs, DESCRIBE_CONFIGS)?;
    let resource = |topic: &Described| DescribeConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: Cow::Owned(topic.name.clone()),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: topics.iter().map(resource).collect(),
        ..DescribeConfigsRequest::default()
    };
    let reply = client.ask(&request, version)?;
    let answer: DescribeConfigsResponseView<'_> = reply.view()?;
    for result in answer.results.iter() {
        let topic = topics
            .iter_mut()
            .find(|topic| topic.name == result.resource_name);
        let own = result
            .configs
            .iter()
            .filter(|config| config.config_source == TOPIC_SOURCE)
            .map(|config| (config.name.to_owned(), config.value.map(str::to_owned)));
        if let Some(topic) = topic {
            topic.configs = own.collect();
        }
    }
    Ok(())
}

fn id_text(id: Uuid) -> Option<String> {
    (!id.is_zero()).then(|| id.to_string())
}

fn copies(topic: &MetadataResponseTopicView<'_>) -> usize {
    let partitions = topic.partitions.iter();
    partitions
        .map(|partition| partition.replica_nodes.len())
        .max()
        .unwrap_or(0)
}

fn listed(topic: MetadataResponseTopicView<'_>) -> Listed {
    Listed {
        name: topic.name.unwrap_or_default().to_owned(),
        id: id_text(topic.topic_id),
        internal: topic.is_internal,
        partitions: topic.partitions.len(),
        replication_factor: copies(&topic),
    }
}

fn described(topic: MetadataResponseTopicView<'_>) -> Described {
    let mut partitions: Vec<PartitionState> =
        topic.partitions.iter().map(partition_state).collect();
    partitions.sort_by_key(|partition| partition.partition);
    Described {
        name: topic.name.unwrap_or_default().to_owned(),
        id: id_text(topic.topic_id),
        internal: topic.is_internal,
        replication_factor: copies(&topic),
        configs: BTreeMap::new(),
        partitions,
    }
}

fn partition_state(partition: MetadataResponsePartitionView<'_>) -> PartitionState {
    let known = |value: i32| Some(value).filter(|value| *value >= 0);
    PartitionState {
        partition: partition.partition_index,
        leader: known(partition.leader_id),
        leader_epoch: known(partition.leader_epoch),
        replicas: partition.replica_nodes.iter().collect(),
        in_sync: partition.isr_nodes.iter().collect(),
        offline: partition.offline_replicas.iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    enum Line {
        Topic(TopicArgs),
    }

    fn parse(line: &str) -> Result<TopicArgs, clap::Error> {
        let words = ["thalweg", "topic"]
            .into_iter()
            .chain(line.split_whitespace());
        Line::try_parse_from(words).map(|Line::Topic(args)| args)
    }

    #[test]
    fn a_line_becomes_a_command() {
        let line = "create orders --partitions 3 --config a=1 --config b=x=y -b h:1 --format json";
        let args = parse(line).unwrap();
        assert_eq!(
            (args.broker.brokers.as_str(), args.format),
            ("h:1", Format::Json)
        );
        let TopicCommand::Create(create) = args.command else {
            panic!("{args:?}");
        };
        assert_eq!(
            (create.partitions, create.replication_factor),
            (Some(3), None)
        );
        let pairs = [("a", "1"), ("b", "x=y")];
        assert_eq!(
            create.config,
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn usage_mistakes_are_claps() {
        for line in [
            "",
            "create",
            "create t --partitions 0",
            "create t --replication-factor 40000",
            "create t --config novalue",
            "delete",
            "list --timeout soon",
            "list --format xml",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
