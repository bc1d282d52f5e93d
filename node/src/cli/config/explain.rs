//! `thalweg config explain`: what a key takes, what it does here, and what it takes to change it.
//!
//! A name may be a broker key and a topic key (`compression.type`): then both are explained.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;
use thalweg_config::explain::{self, Explanation, Reload};
use thalweg_config::facts;
use thalweg_config::units::show_number;
use thalweg_coordinator::configs::keys;

use super::super::Exit;
use super::super::failure::Failure;
use super::super::outcome::{Outcome, finish, show};
use super::super::output::Format;
use super::show::unknown;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Explain {
    /// Keys: this program's (shards.count), Kafka's broker keys, Kafka's topic keys
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Explained {
    keys: Vec<Meaning>,
}

#[derive(Serialize)]
struct Meaning {
    key: String,
    /// Whose key it is: node, broker or topic.
    of: &'static str,
    accepts: String,
    default: Option<String>,
    meaning: String,
    /// restart, live or none (no effect).
    reload: &'static str,
    #[serde(skip)]
    change: String,
}

impl Explain {
    pub(super) fn run(&self) -> Exit {
        finish(self.outcome())
    }

    fn outcome(&self) -> Result<Outcome, Failure> {
        let mut explained = Explained { keys: Vec::new() };
        let mut failures = Vec::new();
        for key in &self.keys {
            let meanings = meanings(key);
            if meanings.is_empty() {
                failures.push(unknown(key));
            }
            explained.keys.extend(meanings);
        }
        if explained.keys.is_empty() {
            return Ok(Outcome::of(String::new(), 0, failures));
        }
        let text = show(&explained, self.format, |explained, _| {
            let told = explained.keys.iter().map(text_of);
            told.collect::<Vec<_>>().join("\n")
        });
        Ok(Outcome::of(text, explained.keys.len(), failures))
    }
}

fn meanings(key: &str) -> Vec<Meaning> {
    // In a file Kafka's keys stand in a section of their own, which people may name as well.
    let bare = key.strip_prefix("kafka.").unwrap_or(key).trim_matches('"');
    let own = explain::own(key).map(|told| meaning("node", told));
    let broker = explain::broker(bare).map(|told| meaning("broker", told));
    [own, broker, topic(bare)].into_iter().flatten().collect()
}

fn meaning(of: &'static str, told: Explanation) -> Meaning {
    let key = told.key;
    let (reload, change) = match (told.reload, of) {
        (Reload::Live, _) => (
            "live",
            format!("while the node runs: thalweg config set broker default {key}=VALUE"),
        ),
        (Reload::Restart, "node") => (
            "restart",
            format!("at the start: in the file, --set {key}=VALUE, or the environment"),
        ),
        (Reload::Restart, _) => (
            "restart",
            format!("at the start: [kafka] in the file, --set {key}=VALUE, or server.properties"),
        ),
        (Reload::NoEffect, _) => ("none", "it has no effect".to_owned()),
    };
    Meaning {
        key: key.to_owned(),
        of,
        accepts: told.accepts,
        default: told.default.map(str::to_owned),
        meaning: told.doc,
        reload,
        change,
    }
}

fn topic(key: &str) -> Option<Meaning> {
    let known = keys::topic_key(key)?;
    let fact = facts::topic_key(key)?;
    let brokers: Vec<&str> = known.synonyms.iter().map(|(name, _)| *name).collect();
    let mut text = known.doc.to_owned();
    if !brokers.is_empty() {
        let _ = write!(text, " Its default comes from {}.", brokers.join(", "));
    }
    Some(Meaning {
        key: key.to_owned(),
        of: "topic",
        accepts: explain::accepted(fact),
        default: Some(known.default.to_owned()),
        meaning: text,
        reload: "live",
        change: format!("while the node runs: thalweg config set topic NAME {key}=VALUE"),
    })
}

fn text_of(told: &Meaning) -> String {
    let of = match told.of {
        "node" => "a setting of this program",
        "broker" => "a broker key of Kafka's",
        _ => "a topic key of Kafka's",
    };
    let default = match told.default.as_deref() {
        None => "null".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => match show_number(&told.key, text) {
            Some(with_unit) => format!("{text} ({with_unit})"),
            None => text.to_owned(),
        },
    };
    format!(
        "{}: {of}\n  takes:   {}\n  default: {default}\n  does:    {}\n  change:  {}\n",
        told.key,
        told.accepts,
        told.meaning.replace('\n', "\n           "),
        told.change
    )
}
