//! `thalweg config`: look at settings without starting, and at the configs of a running cluster.

mod show;
mod explain;
mod import;
mod diff;

use std::fmt::Write as _;

use clap::Subcommand;
use serde::Serialize;

use super::Exit;
use super::configs::{self, Change, Entry, Kind, Resource};
use super::failure::Failure;
use super::outcome::{Asking, Outcome, finish, json, show};
use super::output::{Align, Format, Table, yes};
use super::routing::Cluster;
use super::settings::From;
use super::topic::key_value;

/// The shapes, for the help of the command.
const SHAPES: &str = "\
JSON shapes:
  check       {\"valid\"}
  show        {\"settings\": [{\"key\", \"value\", \"default\", \"source\", \"sensitive\"}]}
  explain     {\"keys\": [{\"key\", \"of\": \"node\"|\"broker\"|\"topic\", \"accepts\", \"default\", \"meaning\",
                        \"reload\": \"restart\"|\"live\"|\"none\"}]}
  import      {\"toml\", \"taken\": [{\"line\", \"key\", \"to\"}], \"left\": [{\"line\", \"key\", \"why\", \"harmless\"}],
               \"problems\": [{\"source\", \"key\", \"message\", \"fix\"}]}
  diff        {\"left\", \"right\", \"differences\": [{\"key\", \"left\", \"right\", \"left_source\", \"right_source\"}]}
  describe    {\"kind\", \"name\", \"configs\": [{\"name\", \"value\", \"source\", \"read_only\", \"sensitive\", \"type\",
                                          \"synonyms\": [{\"name\", \"value\", \"source\"}], \"documentation\"}]}
  set, unset  {\"kind\", \"name\", \"result\": \"altered\"|\"checked\", \"set\": {KEY: VALUE, ...}, \"unset\": [KEY, ...]}
`source` of describe is topic, broker, broker-default, group, client-metrics, logger (set for it), file or
default, that of show is FILE:LINE, a variable, a flag or default; a sensitive value is null. Errors go to standard error, in three lines each.

Exit codes: 0 done, 1 failed, 2 usage, 3 settings invalid (import: a node would not start with the file),
5 no broker reached, 6 import left out what is not harmless.";

/// Look at settings, and at configs of a running cluster
#[derive(Subcommand, Clone, Debug)]
#[command(after_long_help = SHAPES)]
pub(super) enum Config {
    /// Read all sources of this node's settings and report every problem
    #[command(after_long_help = SHAPES)]
    Check(Check),
    /// Show this node's settings as they hold, and who set each
    #[command(after_long_help = SHAPES)]
    Show(show::Show),
    /// Say what a key takes, its default, what it does, and how it is changed
    #[command(after_long_help = SHAPES)]
    Explain(explain::Explain),
    /// Make this program's file of a Kafka server.properties, and say what was left out and why
    #[command(after_long_help = SHAPES)]
    Import(import::Import),
    /// Show where settings differ from the defaults, from another file, or from a running node
    #[command(after_long_help = SHAPES)]
    Diff(diff::Diff),
    /// Show configs of a topic, broker or group
    #[command(after_long_help = SHAPES)]
    Describe(Describe),
    /// Set configs of a topic, broker or group
    #[command(after_long_help = SHAPES)]
    Set(Set),
    /// Take back what was set
    #[command(after_long_help = SHAPES)]
    Unset(Unset),
}

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    from: From,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(clap::Args, Clone, Debug)]
struct Target {
    /// What it is
    kind: Kind,
    /// Its name; a broker's id, or `default` for all brokers
    name: String,
    #[command(flatten)]
    asking: Asking,
}

impl Target {
    fn resource(&self) -> Resource {
        Resource {
            kind: self.kind,
            name: self.name.clone(),
        }
    }
}

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Describe {
    #[command(flatten)]
    target: Target,
    /// Only these keys
    keys: Vec<String>,
    /// Also what is not set for it
    #[arg(short, long)]
    all: bool,
    /// Also what each key means
    #[arg(long)]
    documentation: bool,
}

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Set {
    #[command(flatten)]
    target: Target,
    /// Keys and values, as in Kafka (retention.ms=7d)
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = key_value)]
    values: Vec<(String, String)>,
    /// Add the items to the lists that are there
    #[arg(long, conflicts_with = "subtract")]
    append: bool,
    /// Take the items from the lists that are there
    #[arg(long)]
    subtract: bool,
    /// Let the cluster check everything, but change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Unset {
    #[command(flatten)]
    target: Target,
    /// Keys
    #[arg(required = true)]
    keys: Vec<String>,
    /// Let the cluster check everything, but change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Described {
    kind: &'static str,
    name: String,
    configs: Vec<Entry>,
}

#[derive(Serialize)]
struct Changed {
    kind: &'static str,
    name: String,
    result: &'static str,
    set: std::collections::BTreeMap<String, String>,
    unset: Vec<String>,
}

impl Config {
    pub(super) fn run(self) -> Exit {
        match self {
            Self::Check(check) => check.run(),
            Self::Show(show) => show.run(),
            Self::Explain(explain) => explain.run(),
            Self::Import(import) => import.run(),
            Self::Diff(diff) => diff.run(),
            Self::Describe(describe) => finish(describe.outcome()),
            Self::Set(set) => finish(set.outcome()),
            Self::Unset(unset) => finish(unset.outcome()),
        }
    }
}

impl Check {
    fn run(self) -> Exit {
        // Problems are printed where they are found, all at once.
        if let Err(exit) = self.from.load(&[]) {
            return exit;
        }
        let text = match self.format {
            Format::Json => json(&std::collections::BTreeMap::from([("valid", true)])),
            _ => "the settings are valid\n".to_owned(),
        };
        finish(Ok(Outcome::done(text)))
    }
}

impl Describe {
    fn outcome(self) -> Result<Outcome, Failure> {
        let asking = &self.target.asking;
        let cluster = &mut Cluster::connect(&asking.broker)?;
        let resource = self.target.resource();
        let mut entries = configs::describe(cluster, &resource, &self.keys, self.documentation)?;
        if !self.all && self.keys.is_empty() {
            entries.retain(|entry| entry.is_own(resource.kind));
        }
        let described = Described {
            kind: resource.kind.word(),
            name: resource.name,
            configs: entries,
        };
        let documented = self.documentation;
        let text = show(&described, asking.format, |described, wide| {
            table_of(&described.configs, wide, documented)
        });
        Ok(Outcome::done(text))
    }
}

fn table_of(entries: &[Entry], wide: bool, documented: bool) -> String {
    let mut head = vec![
        ("KEY", Align::Left),
        ("VALUE", Align::Left),
        ("SOURCE", Align::Left),
    ];
    if wide {
        head.extend([("TYPE", Align::Left), ("READ ONLY", Align::Left)]);
    }
    if documented {
        head.push(("MEANING", Align::Left));
    }
    let mut table = Table::new(&head);
    for entry in entries {
        let hidden = if entry.sensitive { "(hidden)" } else { "-" };
        let mut row = vec![
            entry.name.clone(),
            entry.value.clone().unwrap_or_else(|| hidden.to_owned()),
            entry.source.to_owned(),
        ];
        if wide {
            row.extend([entry.kind.to_owned(), yes(entry.read_only)]);
        }
        if documented {
            let meaning = entry.documentation.as_deref().unwrap_or("");
            row.push(meaning.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        table.row(row);
    }
    table.text()
}

impl Set {
    fn outcome(self) -> Result<Outcome, Failure> {
        let change = match (self.append, self.subtract) {
            (true, _) => Change::append,
            (_, true) => Change::subtract,
            _ => Change::set,
        };
        let changes: Vec<Change> = self
            .values
            .iter()
            .map(|(key, value)| change(key, value))
            .collect();
        let mut changed = apply(&self.target, &changes, self.dry_run)?;
        changed.set = self.values.into_iter().collect();
        Ok(told(&changed, self.target.asking.format))
    }
}

impl Unset {
    fn outcome(self) -> Result<Outcome, Failure> {
        let changes: Vec<Change> = self.keys.iter().map(|key| Change::unset(key)).collect();
        let mut changed = apply(&self.target, &changes, self.dry_run)?;
        changed.unset = self.keys;
        Ok(told(&changed, self.target.asking.format))
    }
}

fn apply(target: &Target, changes: &[Change], dry_run: bool) -> Result<Changed, Failure> {
    let cluster = &mut Cluster::connect(&target.asking.broker)?;
    let resource = target.resource();
    configs::alter(cluster, &resource, changes, dry_run)?;
    Ok(Changed {
        kind: resource.kind.word(),
        name: resource.name,
        result: if dry_run { "checked" } else { "altered" },
        set: Default::default(),
        unset: Vec::new(),
    })
}

fn told(changed: &Changed, format: Format) -> Outcome {
    Outcome::done(show(changed, format, |changed, _| {
        let mut text = format!("{} {} {}:", changed.result, changed.kind, changed.name);
        for (key, value) in &changed.set {
            let _ = write!(text, " {key}={value}");
        }
        for key in &changed.unset {
            let _ = write!(text, " {key} unset");
        }
        text + "\n"
    }))
}
