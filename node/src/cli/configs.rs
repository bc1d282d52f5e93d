//! Configs of topics, brokers and groups over the wire: describing them, and changing single keys.
//!
//! What concerns one broker is asked of that broker; all else of any.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use thalweg_wire::api::ApiKey;
use thalweg_wire::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use thalweg_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResultView, DescribeConfigsResponseView,
};
use thalweg_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use thalweg_wire::messages::incremental_alter_configs_response::IncrementalAlterConfigsResponseView;

use super::client::Client;
use super::failure::Failure;
use super::routing::Cluster;

const DESCRIBE_CONFIGS: (i16, i16) = (1, 4);
const ALTER_CONFIGS: (i16, i16) = (0, 1);
/// The name of what holds for all brokers.
const ALL_BROKERS: &str = "";

/// What has configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A topic
    Topic,
    /// A broker by its id, or `default` for all brokers
    Broker,
    /// A consumer group
    Group,
    /// The log levels of a broker
    BrokerLogger,
    /// A subscription to clients' metrics
    ClientMetrics,
}

impl Kind {
    fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::Group => "group",
            Self::BrokerLogger => "broker-logger",
            Self::ClientMetrics => "client-metrics",
        }
    }
}

/// One thing with configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) kind: Kind,
    /// As people write it: `default` is all brokers.
    pub(crate) name: String,
}

impl Resource {
    fn wire_name(&self) -> &str {
        match (self.kind, self.name.as_str()) {
            (Kind::Broker, "default") => ALL_BROKERS,
            (_, name) => name,
        }
    }

    /// The broker that has to be asked, for what concerns one broker.
    fn node(&self) -> Result<Option<i32>, Failure> {
        match (self.kind, self.wire_name()) {
            (Kind::Broker, ALL_BROKERS) => Ok(None),
            (Kind::Broker | Kind::BrokerLogger, id) => {
                id.parse().map(Some).or(Err(Failure::input(
                    format!("`{id}` names no broker"),
                    "brokers have numbers",
                    "`thalweg cluster brokers` shows them; `default` is all brokers",
                )))
            }
            _ => Ok(None),
        }
    }

    fn client<'a>(&self, cluster: &'a mut Cluster) -> Result<&'a mut Client, Failure> {
        match self.node()? {
            Some(id) => cluster.node(id),
            None => Ok(cluster.any()),
        }
    }
}

/// One key of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Null if it is secret.
    pub(crate) value: Option<String>,
    /// Where the value comes from.
    pub(crate) source: &'static str,
    /// Whether it cannot be changed while the broker runs.
    pub(crate) read_only: bool,
    pub(crate) sensitive: bool,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// All values that are set or default, the one that counts first.
    pub(crate) synonyms: Vec<Synonym>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) documentation: Option<String>,
}

/// A value that would count if those before it were not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Synonym {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) source: &'static str,
}

impl Entry {
    /// Set for a resource of this kind itself rather than inherited.
    pub(crate) fn is_own(&self, kind: Kind) -> bool {
        match kind {
            Kind::Topic => self.source == "topic",
            Kind::Broker => matches!(self.source, "broker" | "broker-default"),
            Kind::Group => self.source == "group",
            Kind::BrokerLogger => self.source == "logger",
            Kind::ClientMetrics => self.source == "client-metrics",
        }
    }
}

/// Where a value comes from, by Kafka's number.
fn source(code: i8) -> &'static str {
    match code {
        1 => "topic",
        2 => "broker",
        3 => "broker-default",
        4 => "file",
        5 => "default",
        6 => "logger",
        7 => "client-metrics",
        8 => "group",
        _ => "unknown",
    }
}

fn kind(code: i8) -> &'static str {
    match code {
        1 => "boolean",
        2 => "string",
        3 => "int",
        4 => "short",
        5 => "long",
        6 => "double",
        7 => "list",
        8 => "class",
        9 => "password",
        _ => "unknown",
    }
}

/// All configs of a resource, or these keys.
pub(crate) fn describe(
    cluster: &mut Cluster,
    resource: &Resource,
    keys: &[String],
    documentation: bool,
) -> Result<Vec<Entry>, Failure> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: resource.kind.code(),
            resource_name: Cow::Borrowed(resource.wire_name()),
            configuration_keys: (!keys.is_empty())
                .then(|| keys.iter().map(|key| Cow::Borrowed(key.as_str())).collect()),
        }],
        include_synonyms: true,
        include_documentation: documentation,
    };
    let client = resource.client(cluster)?;
    let version = client.version(ApiKey::DescribeConfigs, DESCRIBE_CONFIGS)?;
    let reply = client.ask(&request, version)?;
    let answer: DescribeConfigsResponseView<'_> = reply.view()?;
    let Some(result) = answer.results.iter().next() else {
        return Err(Failure::protocol(
            client.address(),
            "no resource in the answer",
        ));
    };
    if result.error_code != 0 {
        return Err(Failure::refused(
            &format!("describing configs of {}", resource.kind.word()),
            &resource.name,
            result.error_code,
            result.error_message,
        ));
    }
    let mut entries: Vec<Entry> = result.configs.iter().map(entry_of).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The configs of several resources that any broker can be asked for, by name. Those that cannot be
/// described have none.
pub(crate) fn describe_many(
    cluster: &mut Cluster,
    resources: &[Resource],
) -> Result<BTreeMap<String, Vec<Entry>>, Failure> {
    if resources.is_empty() {
        return Ok(BTreeMap::new());
    }
    let request = DescribeConfigsRequest {
        resources: resources
            .iter()
            .map(|resource| DescribeConfigsResource {
                resource_type: resource.kind.code(),
                resource_name: Cow::Borrowed(resource.wire_name()),
                configuration_keys: None,
            })
            .collect(),
        ..DescribeConfigsRequest::default()
    };
    let client = cluster.any();
    let version = client.version(ApiKey::DescribeConfigs, DESCRIBE_CONFIGS)?;
    let reply = client.ask(&request, version)?;
    let answer: DescribeConfigsResponseView<'_> = reply.view()?;
    let results = answer.results.iter().map(|result| {
        let entries = result.configs.iter().map(entry_of).collect();
        (result.resource_name.to_owned(), entries)
    });
    Ok(results.collect())
}

fn entry_of(config: DescribeConfigsResourceResultView<'_>) -> Entry {
    let synonyms = config.synonyms.iter().map(|synonym| Synonym {
        name: synonym.name.to_owned(),
        value: synonym.value.map(str::to_owned),
        source: source(synonym.source),
    });
    Entry {
        name: config.name.to_owned(),
        value: config.value.map(str::to_owned),
        source: source(config.config_source),
        read_only: config.read_only,
        sensitive: config.is_sensitive,
        kind: kind(config.config_type),
        synonyms: synonyms.collect(),
        documentation: config.documentation.map(str::to_owned),
    }
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    key: String,
    operation: i8,
    value: Option<String>,
}

impl Change {
    /// The key gets this value.
    pub(crate) fn set(key: &str, value: &str) -> Self {
        Self::with_value(key, 0, value)
    }

    /// The key gets the value it inherits.
    pub(crate) fn unset(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            operation: 1,
            value: None,
        }
    }

    /// The key's list gets these items besides.
    pub(crate) fn append(key: &str, value: &str) -> Self {
        Self::with_value(key, 2, value)
    }

    /// The key's list loses these items.
    pub(crate) fn subtract(key: &str, value: &str) -> Self {
        Self::with_value(key, 3, value)
    }

    fn with_value(key: &str, operation: i8, value: &str) -> Self {
        Self {
            key: key.to_owned(),
            operation,
            value: Some(value.to_owned()),
        }
    }
}

/// Makes these changes, all or none of them; a dry run only lets the cluster check them.
pub(crate) fn alter(
    cluster: &mut Cluster,
    resource: &Resource,
    changes: &[Change],
    dry_run: bool,
) -> Result<(), Failure> {
    let configs = changes.iter().map(|change| AlterableConfig {
        name: Cow::Borrowed(change.key.as_str()),
        config_operation: change.operation,
        value: change.value.as_deref().map(Cow::Borrowed),
    });
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: resource.kind.code(),
            resource_name: Cow::Borrowed(resource.wire_name()),
            configs: configs.collect(),
        }],
        validate_only: dry_run,
    };
    let client = resource.client(cluster)?;
    let version = client.version(ApiKey::IncrementalAlterConfigs, ALTER_CONFIGS)?;
    let reply = client.ask(&request, version)?;
    let answer: IncrementalAlterConfigsResponseView<'_> = reply.view()?;
    match answer.responses.iter().next() {
        Some(result) if result.error_code == 0 => Ok(()),
        Some(result) => Err(Failure::refused(
            &format!("changing configs of {}", resource.kind.word()),
            &resource.name,
            result.error_code,
            result.error_message,
        )),
        None => Err(Failure::protocol(
            client.address(),
            "no resource in the answer",
        )),
    }
}
