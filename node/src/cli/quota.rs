//! `thalweg quota`: client quotas of a cluster, shown, set and taken away.
//!
//! An entity is named by its parts: `--user NAME`, `--client-id NAME`, `--ip ADDRESS`; the same with `-default` stands
//! for all that have no quota of their own. Values are checked by the broker, which knows its keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::alter_client_quotas_request as alter;
use thalweg_wire::messages::alter_client_quotas_response::AlterClientQuotasResponseView;
use thalweg_wire::messages::describe_client_quotas_request as describe;
use thalweg_wire::messages::describe_client_quotas_response::DescribeClientQuotasResponseView;

use super::Exit;
use super::failure::Failure;
use super::outcome::{Asking, Outcome, finish, show};
use super::output::{Align, Format, Table};
use super::routing::Cluster;

const DESCRIBE: (i16, i16) = (0, 1);
const ALTER: (i16, i16) = (0, 1);
/// DescribeClientQuotas' numbers.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;

const SHAPES: &str = "\
Keys: producer_byte_rate, consumer_byte_rate (bytes a second), request_percentage (of one thread),
controller_mutation_rate (partitions a second); of addresses connection_creation_rate (a second).

JSON shapes:
  list, describe  {\"quotas\": [{\"entity\": {TYPE: NAME or null for the default}, \"values\": {KEY: NUMBER}}]}
  set, unset      {\"entity\", \"set\": {KEY: NUMBER}, \"unset\": [KEY], \"result\": altered, checked or failed, \"error\"}
Errors go to standard error, in three lines each.

Exit codes: 0 done, 1 failed, 2 usage, 5 no broker reached.";

/// Client quotas of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = SHAPES)]
pub(crate) struct QuotaArgs {
    #[command(subcommand)]
    command: QuotaCommand,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
enum QuotaCommand {
    /// List all quotas
    List,
    /// Show the quotas of one entity
    Describe(DescribeArgs),
    /// Set quotas of an entity
    Set(SetArgs),
    /// Take quotas of an entity away
    Unset(UnsetArgs),
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(required = true, multiple = true)]
struct Names {
    /// A user
    #[arg(long, value_name = "NAME", conflicts_with_all = ["user_default", "ip", "ip_default"])]
    user: Option<String>,
    /// All users without a quota of their own
    #[arg(long, conflicts_with_all = ["ip", "ip_default"])]
    user_default: bool,
    /// A client id
    #[arg(long, value_name = "NAME", conflicts_with_all = ["client_id_default", "ip", "ip_default"])]
    client_id: Option<String>,
    /// All client ids without a quota of their own
    #[arg(long, conflicts_with_all = ["ip", "ip_default"])]
    client_id_default: bool,
    /// An address
    #[arg(long, value_name = "ADDRESS", conflicts_with = "ip_default")]
    ip: Option<String>,
    /// All addresses without a quota of their own
    #[arg(long)]
    ip_default: bool,
}

type Entity = BTreeMap<String, Option<String>>;

impl Names {
    fn entity(&self) -> Entity {
        let parts = [
            ("user", &self.user, self.user_default),
            ("client-id", &self.client_id, self.client_id_default),
            ("ip", &self.ip, self.ip_default),
        ];
        let named = parts.into_iter();
        let named = named.filter(|(_, name, default)| name.is_some() || *default);
        named
            .map(|(kind, name, _)| (kind.to_owned(), name.clone()))
            .collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct DescribeArgs {
    #[command(flatten)]
    names: Names,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct SetArgs {
    /// Quotas
    #[arg(required = true, value_name = "KEY=NUMBER", value_parser = value)]
    quotas: Vec<(String, String)>,
    #[command(flatten)]
    names: Names,
    /// Only have it checked
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct UnsetArgs {
    /// Their keys
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    #[command(flatten)]
    names: Names,
    /// Only have it checked
    #[arg(long)]
    dry_run: bool,
}

/// The number stays text, which can be compared; that it is one was checked.
fn value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, number)) if !key.is_empty() && number.parse::<f64>().is_ok() => {
            Ok((key.to_owned(), number.to_owned()))
        }
        _ => Err("KEY=NUMBER, such as producer_byte_rate=1048576".to_owned()),
    }
}

#[derive(Debug, Serialize)]
struct Quota {
    entity: Entity,
    values: BTreeMap<String, f64>,
}

#[derive(Debug, Serialize)]
struct Quotas {
    quotas: Vec<Quota>,
}

#[derive(Debug, Serialize)]
struct Altered {
    entity: Entity,
    set: BTreeMap<String, f64>,
    unset: Vec<String>,
    result: &'static str,
    error: Option<&'static str>,
}

impl QuotaArgs {
    pub(crate) fn run(&self) -> Exit {
        finish(self.outcome())
    }

    fn outcome(&self) -> Result<Outcome, Failure> {
        let cluster = &mut Cluster::connect(&self.asking.broker)?;
        let format = self.asking.format;
        match &self.command {
            QuotaCommand::List => list(cluster, &Entity::new(), format),
            QuotaCommand::Describe(args) => list(cluster, &args.names.entity(), format),
            QuotaCommand::Set(args) => {
                let number = |text: &String| text.parse().unwrap_or(f64::NAN);
                let quotas = args.quotas.iter();
                let set = quotas.map(|(key, text)| (key.clone(), number(text)));
                let change = Altered {
                    entity: args.names.entity(),
                    set: set.collect(),
                    unset: Vec::new(),
                    result: "",
                    error: None,
                };
                apply(cluster, change, args.dry_run, format)
            }
            QuotaCommand::Unset(args) => {
                let change = Altered {
                    entity: args.names.entity(),
                    set: BTreeMap::new(),
                    unset: args.keys.clone(),
                    result: "",
                    error: None,
                };
                apply(cluster, change, args.dry_run, format)
            }
        }
    }
}

/// Quotas of this entity and no other; of all if it has no parts.
fn list(cluster: &mut Cluster, entity: &Entity, format: Format) -> Result<Outcome, Failure> {
    let client = cluster.any();
    let version = client.version(ApiKey::DescribeClientQuotas, DESCRIBE)?;
    let components = entity.iter().map(|(kind, name)| describe::ComponentData {
        entity_type: Cow::Borrowed(kind),
        match_type: if name.is_some() { EXACT } else { DEFAULT },
        match_: name.as_deref().map(Cow::Borrowed),
    });
    let request = describe::DescribeClientQuotasRequest {
        components: components.collect(),
        strict: !entity.is_empty(),
    };
    let reply = client.ask(&request, version)?;
    let answer: DescribeClientQuotasResponseView<'_> = reply.view()?;
    if answer.error_code != 0 {
        let (doing, subject) = ("describing the quotas of", client.address());
        let (code, message) = (answer.error_code, answer.error_message);
        return Err(Failure::refused(doing, subject, code, message));
    }
    let mut quotas = Vec::new();
    for entry in answer.entries.iter().flat_map(|entries| entries.iter()) {
        let entity = entry.entity.iter();
        let values = entry.values.iter();
        quotas.push(Quota {
            entity: entity
                .map(|part| {
                    (
                        part.entity_type.to_owned(),
                        part.entity_name.map(str::to_owned),
                    )
                })
                .collect(),
            values: values
                .map(|value| (value.key.to_owned(), value.value))
                .collect(),
        });
    }
    quotas.sort_by(|a, b| a.entity.cmp(&b.entity));
    Ok(Outcome::done(show(&Quotas { quotas }, format, |all, _| {
        table(all)
    })))
}

fn table(all: &Quotas) -> String {
    let mut table = Table::new(&[
        ("ENTITY", Align::Left),
        ("QUOTA", Align::Left),
        ("VALUE", Align::Right),
    ]);
    for quota in &all.quotas {
        for (key, value) in &quota.values {
            table.row(vec![words(&quota.entity), key.clone(), value.to_string()]);
        }
    }
    table.text()
}

fn words(entity: &Entity) -> String {
    let parts: Vec<String> = entity
        .iter()
        .map(|(kind, name)| format!("{kind}={}", name.as_deref().unwrap_or("<default>")))
        .collect();
    parts.join(",")
}

fn apply(
    cluster: &mut Cluster,
    mut change: Altered,
    dry_run: bool,
    format: Format,
) -> Result<Outcome, Failure> {
    let client = cluster.any();
    let version = client.version(ApiKey::AlterClientQuotas, ALTER)?;
    let reply = client.ask(&request(&change, dry_run), version)?;
    let answer: AlterClientQuotasResponseView<'_> = reply.view()?;
    let Some(entry) = answer.entries.iter().next() else {
        return Err(Failure::protocol(
            client.address(),
            "an answer about no entity",
        ));
    };
    let subject = words(&change.entity);
    let mut failures = Vec::new();
    change.result = if dry_run { "checked" } else { "altered" };
    if entry.error_code != 0 {
        let (code, message) = (entry.error_code, entry.error_message);
        failures.push(Failure::refused(
            "altering quotas of",
            &subject,
            code,
            message,
        ));
        change.result = "failed";
        change.error = ErrorCode::from_code(code).map(ErrorCode::name);
    }
    let done = 1 - failures.len();
    let text = show(&change, format, |change, _| {
        format!("{} {}\n", change.result, words(&change.entity))
    });
    Ok(Outcome::of(text, done, failures))
}

fn request(change: &Altered, validate_only: bool) -> alter::AlterClientQuotasRequest<'_> {
    let parts = change.entity.iter().map(|(kind, name)| alter::EntityData {
        entity_type: Cow::Borrowed(kind),
        entity_name: name.as_deref().map(Cow::Borrowed),
    });
    let set = change.set.iter().map(|(key, value)| alter::OpData {
        key: Cow::Borrowed(key),
        value: *value,
        remove: false,
    });
    let unset = change.unset.iter().map(|key| alter::OpData {
        key: Cow::Borrowed(key),
        value: 0.0,
        remove: true,
    });
    alter::AlterClientQuotasRequest {
        entries: vec![alter::EntryData {
            entity: parts.collect(),
            ops: set.chain(unset).collect(),
        }],
        validate_only,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    enum Line {
        Quota(QuotaArgs),
    }

    fn parse(line: &str) -> Result<Line, clap::Error> {
        let words = ["thalweg", "quota"].into_iter();
        Line::try_parse_from(words.chain(line.split_whitespace()))
    }

    #[test]
    fn usage_mistakes_are_claps() {
        for line in [
            "",
            "describe",
            "set a=1",
            "set --user u",
            "set a=x --user u",
            "set a=1 --user u --user-default",
            "set a=1 --ip 127.0.0.1 --user u",
            "unset --user u",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        for line in [
            "list",
            "describe --user u --client-id-default",
            "set a=1 b=2.5 --ip-default --dry-run",
            "unset a --user-default --client-id c",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }
}
