//! Every setting of a Thalweg node, once: text in, settings or all errors out.
//!
//! ```text
//! file (TOML) --------------- parse --+
//! environment --------------- merge --+--> merged text, each with --> kafka, listeners --> settings
//! server.properties --------- parse --+    its origin                 (Kafka's names      + warnings,
//! --set, flags -------------- merge --+                               to ours)            or every error
//! ```
//!
//! Pure: it reads no file and no environment, the caller hands both in. A Kafka user finds Kafka's names:
//! `[kafka]` takes all 343 broker keys, and each has an effect, an own setting it stands for, or a warning
//! that says what happens instead. Deliberately absent: values that depend on the machine (`auto` stays
//! `Auto`), and the meaning of topic configs, which the coordinator checks.

#![forbid(unsafe_code)]

pub mod units;
pub mod report;
mod nearest;
pub mod facts;
pub mod settings;
mod parse;
mod merge;
pub mod kafka;
mod listeners;
pub mod limits;
mod validate;
pub mod effective;
pub mod explain;
pub mod import;

pub use merge::{Key, Value, Values};
pub use parse::Text;
pub use report::{Origin, Problem, Report, Severity};
pub use settings::Settings;

use merge::{Entry, Reader};

/// Everything that may carry settings, weakest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// The TOML file.
    pub file: Option<Text<'a>>,
    /// The environment: names that begin with `THALWEG__` or `KAFKA_` are read.
    pub env: &'a [(String, String)],
    /// A server.properties.
    pub properties: Option<Text<'a>>,
    /// `--set KEY=VALUE`, later ones win.
    pub set: &'a [String],
    /// Flags of their own: the flag as the user sees it, our key, the value.
    pub flags: &'a [(&'a str, &'a str, String)],
}

/// Settings that can be started with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// What the node reads.
    pub settings: Settings,
    /// What somebody set, and where.
    pub values: Values,
    /// To be printed once; holds no errors.
    pub warnings: Report,
}

impl Loaded {
    /// All broker keys of Kafka with effective values, for DescribeConfigs.
    #[must_use]
    pub fn broker_configs(&self) -> Vec<kafka::BrokerConfig> {
        kafka::broker_configs(&self.values)
    }

    /// Every setting as it holds.
    #[must_use]
    pub fn rows(&self) -> Vec<effective::Row> {
        effective::rows(&self.values)
    }

    /// Where the topic config of that topic was written, for problems that are found later.
    #[must_use]
    pub fn topic_origin(&self, topic: &str, key: &str) -> Origin {
        let known = facts::topic_key(key).map(|key| key.name);
        let key = known.map(|key| Key::Topic {
            topic: topic.to_owned(),
            key,
        });
        let value = key.and_then(|key| self.values.get(&key));
        value.map_or(Origin::Default, |value| value.origin.clone())
    }
}

/// Reads all sources.
///
/// # Errors
/// Every problem found, warnings included, if at least one of them is an error.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Report> {
    let mut report = Report::default();
    let mut values = Values::default();
    for text in [sources.file, sources.properties].into_iter().flatten() {
        if text.text.len() as u64 > limits::CONFIG_BYTES_MAX {
            let origin = Origin::File {
                path: text.path.to_owned(),
                line: 1,
            };
            let message = format!(
                "{} bytes are more than a configuration has",
                text.text.len()
            );
            report.error(&origin, "", message, "give the right file".to_owned());
            return Err(report);
        }
    }
    for entry in entries(sources, &mut report) {
        values.put(entry, &mut report);
    }
    merge::canonical_kafka(&mut values, &mut report);
    kafka::translate(&mut values, &mut report);
    listeners::translate(&mut values, &mut report);
    kafka::lone_node(&mut values, &mut report);
    let settings = settings::read(&mut Reader {
        values: &values,
        report: &mut report,
    });
    if let Some(settings) = &settings {
        validate::validate(settings, &values, &mut report);
    }
    match settings {
        Some(settings) if !report.has_errors() => Ok(Loaded {
            settings,
            values,
            warnings: report,
        }),
        _ => Err(report),
    }
}

fn entries(sources: &Sources<'_>, report: &mut Report) -> Vec<Entry> {
    let mut entries = Vec::new();
    if let Some(file) = sources.file {
        entries.extend(parse::toml(file, report));
    }
    entries.extend(merge::environment(sources.env, report));
    if let Some(properties) = sources.properties {
        entries.extend(parse::properties(properties, report));
    }
    entries.extend(merge::assignments(sources.set, report));
    for (flag, name, text) in sources.flags {
        let origin = Origin::Flag {
            name: (*flag).to_owned(),
        };
        if let Some(key) = merge::own(name, &origin, report) {
            entries.push(Entry {
                key,
                text: text.clone(),
                origin,
            });
        }
    }
    entries
}
