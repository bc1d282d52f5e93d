//! `thalweg config diff`: two configurations side by side, only where they differ.
//!
//! Either side is a file by itself, this node's settings from all sources, the defaults, or a running node.
//! A running node tells Kafka's keys only: addresses, directories and this program's own settings are not
//! compared with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use thalweg_config::kafka::{Treatment, treatment};
use thalweg_config::{Key, Loaded, Sources, load};

use super::super::Exit;
use super::super::client::Broker;
use super::super::configs::{self, Kind, Resource};
use super::super::failure::Failure;
use super::super::outcome::{Outcome, finish, show};
use super::super::output::{Align, Format, Table, cell};
use super::super::routing::Cluster;
use super::super::settings::{From, Source};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Diff {
    /// A file to compare with (TOML, or server.properties by its ending); the second is then the other
    /// side. Without files the defaults are compared with this node's settings
    #[arg(value_name = "FILE", num_args = 0..=2)]
    files: Vec<PathBuf>,
    /// Compare with what a running node has; its id is the one in the settings
    #[arg(long)]
    live: bool,
    /// The running node's id
    #[arg(long, value_name = "ID", requires = "live")]
    node: Option<i32>,
    /// End with 1 if there is a difference
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    broker: Broker,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Difference {
    key: String,
    left: Option<String>,
    right: Option<String>,
    left_source: String,
    right_source: String,
}

#[derive(Serialize)]
struct Report {
    left: String,
    right: String,
    differences: Vec<Difference>,
}

/// A value, and who set it.
type Place = (Option<String>, String);

/// One side: a name for it, and its values by key.
struct Side {
    name: String,
    values: BTreeMap<String, Place>,
}

impl Diff {
    pub(super) fn run(&self) -> Exit {
        if self.live && self.files.len() > 1 {
            return finish(Err(Failure::input(
                "a running node is compared with one configuration",
                "two files and `--live` are three sides",
                "name one file at most",
            )));
        }
        match self.sides() {
            Ok(Ok((left, right))) => finish(Ok(self.outcome(left, &right))),
            Ok(Err(failure)) => finish(Err(failure)),
            Err(exit) => exit,
        }
    }

    /// What cannot be loaded has told so already; a failure of the cluster has not.
    fn sides(&self) -> Result<Result<(Side, Side), Failure>, Exit> {
        let mut files = self.files.iter();
        let first = files.next().map(|path| of_file(path)).transpose()?;
        let second = files.next().map(|path| of_file(path)).transpose()?;
        let ours = || -> Result<(String, Loaded), Exit> {
            Ok(("settings".to_owned(), self.from.load(&[])?))
        };
        if self.live {
            let (name, loaded) = match first {
                Some(first) => first,
                None => ours()?,
            };
            let node = self.node.unwrap_or(loaded.settings.node.id);
            let mut mine = side(name, &loaded);
            return Ok(self.live(node, &mut mine).map(|live| (mine, live)));
        }
        let defaults = ("defaults".to_owned(), None);
        let (left, right) = match (first, second) {
            (Some((name, loaded)), Some(second)) => ((name, Some(loaded)), second),
            (Some(first), None) => (defaults, first),
            (None, _) => (defaults, ours()?),
        };
        let (name, loaded) = left;
        let left = match &loaded {
            Some(loaded) => side(name, loaded),
            None => defaults_of(name, &right.1),
        };
        Ok(Ok((left, side(right.0, &right.1))))
    }

    /// What the running node has; keys it cannot be asked for are taken out of ours as well.
    fn live(&self, node: i32, mine: &mut Side) -> Result<Side, Failure> {
        let cluster = &mut Cluster::connect(&self.broker)?;
        let resource = Resource {
            kind: Kind::Broker,
            name: node.to_string(),
        };
        let entries = configs::describe(cluster, &resource, &[], false)?;
        let entries = entries
            .into_iter()
            .filter(|entry| !entry.sensitive && is_comparable(&entry.name));
        let values: BTreeMap<String, Place> = entries
            .map(|entry| (entry.name, (entry.value, entry.source.to_owned())))
            .collect();
        mine.values.retain(|key, _| values.contains_key(key));
        Ok(Side {
            name: format!("node {node}"),
            values,
        })
    }

    fn outcome(&self, left: Side, right: &Side) -> Outcome {
        let mut differences = Vec::new();
        let mut keys: Vec<&String> = left.values.keys().chain(right.values.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let nothing = (None, "default".to_owned());
        for key in keys {
            let ours = left.values.get(key).unwrap_or(&nothing);
            let theirs = right.values.get(key).unwrap_or(&nothing);
            if plain(ours) != plain(theirs) {
                differences.push(Difference {
                    key: key.clone(),
                    left: ours.0.clone(),
                    right: theirs.0.clone(),
                    left_source: ours.1.clone(),
                    right_source: theirs.1.clone(),
                });
            }
        }
        let exit = match self.exit_code && !differences.is_empty() {
            true => Exit::Failed,
            false => Exit::Done,
        };
        let report = Report {
            left: left.name,
            right: right.name.clone(),
            differences,
        };
        let text = show(&report, self.format, table_of);
        Outcome {
            text,
            exit,
            failures: Vec::new(),
        }
    }
}

/// Lists differ by their items only, not by the blanks between them, and fractions not by the letter of
/// their exponent; an empty text is Kafka's null where a node shows it as such.
fn plain(place: &Place) -> String {
    let text = place.0.as_deref().unwrap_or_default();
    if text.contains(['e', 'E'])
        && let Ok(number) = text.parse::<f64>()
    {
        return number.to_string();
    }
    text.split(',').map(str::trim).collect::<Vec<_>>().join(",")
}

/// Whether what a running node tells of the key is what it was told.
fn is_comparable(key: &str) -> bool {
    // The roles are what every node of ours has, whatever it was told.
    key != "process.roles" && !matches!(treatment(key), Treatment::Ours(_) | Treatment::Listeners)
}

fn of_file(path: &Path) -> Result<(String, Loaded), Exit> {
    let source = Source::read(path)?;
    let text = Some(source.text());
    let is_properties = path
        .extension()
        .is_some_and(|extension| extension == "properties");
    let sources = match is_properties {
        true => Sources {
            properties: text,
            ..Sources::default()
        },
        false => Sources {
            file: text,
            ..Sources::default()
        },
    };
    match load(&sources) {
        Ok(loaded) => Ok((path.display().to_string(), loaded)),
        Err(report) => {
            eprint!("{report}");
            Err(Exit::Config)
        }
    }
}

/// Secrets are compared by whether they are set, and never shown.
fn side(name: String, loaded: &Loaded) -> Side {
    let rows = loaded.rows().into_iter().map(|row| {
        let value = match row.secret {
            true => row.value.map(|_| "(hidden)".to_owned()),
            false => row.value,
        };
        (row.key.to_string(), (value, row.origin.to_string()))
    });
    Side {
        name,
        values: rows.collect(),
    }
}

/// The defaults of what the other side has; a topic's config has none of its own.
fn defaults_of(name: String, other: &Loaded) -> Side {
    let rows = other.rows().into_iter().filter_map(|row| {
        let is_topic = matches!(row.key, Key::Topic { .. });
        (!is_topic).then(|| (row.key.to_string(), (row.default, "default".to_owned())))
    });
    Side {
        name,
        values: rows.collect(),
    }
}

fn table_of(report: &Report, wide: bool) -> String {
    if report.differences.is_empty() {
        return format!("no differences: {}, {}\n", report.left, report.right);
    }
    let mut head = vec![("KEY", Align::Left), ("LEFT", Align::Left)];
    if wide {
        head.push(("FROM", Align::Left));
    }
    head.extend([("RIGHT", Align::Left), ("FROM", Align::Left)]);
    let mut table = Table::new(&head);
    for row in &report.differences {
        let mut cells = vec![row.key.clone(), cell(row.left.as_ref())];
        if wide {
            cells.push(row.left_source.clone());
        }
        cells.extend([cell(row.right.as_ref()), row.right_source.clone()]);
        table.row(cells);
    }
    format!(
        "left: {}, right: {}\n{}",
        report.left,
        report.right,
        table.text()
    )
}
