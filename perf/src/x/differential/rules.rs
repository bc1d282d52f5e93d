//! The two files of data that say what may differ: `perf/differential/normalised.toml` and
//! `exceptions.toml`.
//!
//! A normalised field cannot be equal by its nature (an id, a time, the text of a message): it is
//! left out, or only looked at for being there. An exception is a difference in behaviour: it names
//! the API, the field and, where it can, both values; there are 25 at most. Every entry has a reason.
//! Deliberately absent: rules in code.

use std::collections::BTreeSet;
use std::fs;

use serde::Deserialize;
use serde_json::Value;

use super::compare::{Difference, Path, Segment};
use crate::x::packages::root;
use crate::x::{Context, Failure, Outcome};

pub(super) const EXCEPTIONS_MAX: usize = 25;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalisedFile {
    #[serde(default)]
    field: Vec<Normalised>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Normalised {
    /// `*` for all.
    api: String,
    path: String,
    compare: Compare,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compare {
    /// Not at all.
    Nothing,
    /// Both null or empty, or both something.
    Presence,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExceptionFile {
    #[serde(default)]
    exception: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    api: String,
    field: String,
    /// Kafka's value as JSON; any if it is not given.
    kafka: Option<String>,
    thalweg: Option<String>,
    reason: String,
}

/// Both files.
#[derive(Debug)]
pub(super) struct Rules {
    normalised: Vec<(Normalised, Vec<Segment>)>,
    exceptions: Vec<(Exception, Vec<Segment>)>,
}

impl Rules {
    pub(super) fn read() -> Outcome<Self> {
        let folder = root().join("perf/differential");
        let text = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).context(|| format!("reading {}", path.display()))
        };
        Self::parse(&text("normalised.toml")?, &text("exceptions.toml")?)
    }

    pub(super) fn parse(normalised: &str, exceptions: &str) -> Outcome<Self> {
        let normalised: NormalisedFile =
            toml::from_str(normalised).context(|| "normalised.toml")?;
        let exceptions: ExceptionFile = toml::from_str(exceptions).context(|| "exceptions.toml")?;
        let count = exceptions.exception.len();
        if count > EXCEPTIONS_MAX {
            return Err(Failure::new(format!(
                "{count} exceptions, {EXCEPTIONS_MAX} are allowed"
            )));
        }
        let reasons = normalised.field.iter().map(|rule| &rule.reason);
        let reasons = reasons.chain(exceptions.exception.iter().map(|rule| &rule.reason));
        if reasons.into_iter().any(|reason| reason.trim().is_empty()) {
            return Err(Failure::new("a rule has no reason"));
        }
        let normalised = normalised.field.into_iter().map(|rule| {
            let pattern = pattern(&rule.path);
            (rule, pattern)
        });
        let exceptions = exceptions.exception.into_iter().map(|rule| {
            let pattern = pattern(&rule.field);
            (rule, pattern)
        });
        Ok(Self {
            normalised: normalised.collect(),
            exceptions: exceptions.collect(),
        })
    }

    /// Whether a normalised field makes two values equal.
    pub(super) fn equal(&self, api: &str, path: &Path, kafka: &Value, thalweg: &Value) -> bool {
        self.normalised.iter().any(|(rule, pattern)| {
            is_api(&rule.api, api)
                && matches(pattern, path)
                && match rule.compare {
                    Compare::Nothing => true,
                    Compare::Presence => is_there(kafka) == is_there(thalweg),
                }
        })
    }

    /// The number of the exception that excuses a difference.
    pub(super) fn exception(&self, api: &str, difference: &Difference) -> Option<usize> {
        let is_value = |wanted: &Option<String>, value: &Value| {
            let value = value.to_string();
            wanted.as_ref().is_none_or(|wanted| *wanted == value)
        };
        self.exceptions.iter().position(|(rule, pattern)| {
            is_api(&rule.api, api)
                && matches(pattern, &difference.path)
                && is_value(&rule.kafka, &difference.kafka)
                && is_value(&rule.thalweg, &difference.thalweg)
        })
    }

    /// Exceptions that nothing needed, for the report.
    pub(super) fn unused(&self, used: &BTreeSet<usize>) -> Vec<String> {
        let all = self.exceptions.iter().enumerate();
        all.filter(|(index, _)| !used.contains(index))
            .map(|(_, (rule, _))| format!("{} {}", rule.api, rule.field))
            .collect()
    }

    pub(super) fn exceptions(&self) -> usize {
        self.exceptions.len()
    }
}

/// An API's name, `*` for all, or several with bars between.
fn is_api(rule: &str, api: &str) -> bool {
    rule == "*" || rule.split('|').any(|name| name == api)
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

/// `Results[].Configs[log.*].Value`: dots part names, but not within brackets.
fn pattern(text: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let mut row = None;
        rest = after;
        if let Some(inside) = after.strip_prefix('[') {
            let (text, after) = inside.split_once(']').unwrap_or((inside, ""));
            row = Some(text.to_owned());
            rest = after;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        segments.push(Segment {
            name: name.to_owned(),
            row,
        });
    }
    segments
}

/// A pattern names the end of a path.
fn matches(pattern: &[Segment], path: &Path) -> bool {
    let Some(skipped) = path.0.len().checked_sub(pattern.len()) else {
        return false;
    };
    path.0
        .iter()
        .skip(skipped)
        .zip(pattern)
        .all(|(segment, wanted)| {
            let is_row = match (&wanted.row, &segment.row) {
                (None, None) => true,
                (Some(wanted), Some(row)) => match wanted.strip_suffix('*') {
                    Some(start) => row.starts_with(start),
                    None => wanted.is_empty() || wanted == row,
                },
                _ => false,
            };
            is_row && wanted.name == segment.name
        })
}

#[cfg(test)]
mod tests {
    use super::super::compare::differences;
    use super::*;
    use serde_json::json;

    const NORMALISED: &str = "[[field]]\napi = '*'\npath = 'ErrorMessage'\n\
        compare = 'presence'\nreason = 'words'\n";
    const EXCEPTIONS: &str = "[[exception]]\napi = 'Fetch|Metadata'\n\
        field = 'Topics[].Configs[log.*].Value'\nkafka = '1'\nreason = 'r'\n";

    #[test]
    fn texts_are_compared_by_presence() {
        let rules = Rules::parse(NORMALISED, "").unwrap();
        let found = |kafka, thalweg| {
            let wrap = |text| json!({"ErrorMessage": text});
            differences("Any", &wrap(kafka), &wrap(thalweg), &rules).len()
        };
        assert_eq!(found(json!("one"), json!("other")), 0);
        assert_eq!(found(json!("one"), Value::Null), 1);
    }

    #[test]
    fn an_exception_is_for_its_api_field_and_value() {
        let rules = Rules::parse("", EXCEPTIONS).unwrap();
        let answer = |row: &str, value: i32| json!({"Topics": [{"Name": "t", "Configs": [{"Name": row, "Value": value}]}]});
        let excused = |api: &str, row: &str, kafka: i32| {
            let found = differences(api, &answer(row, kafka), &answer(row, 9), &rules);
            rules.exception(api, &found[0]).is_some()
        };
        assert!(excused("Fetch", "log.x", 1));
        assert!(!excused("Fetch", "log.x", 2));
        assert!(!excused("Fetch", "x.log", 1));
        assert!(!excused("Produce", "log.x", 1));
    }

    #[test]
    fn a_rule_without_reason_or_beyond_the_limit_is_refused() {
        assert!(Rules::parse(&NORMALISED.replace("words", " "), "").is_err());
        assert!(Rules::parse("", &EXCEPTIONS.repeat(EXCEPTIONS_MAX + 1)).is_err());
    }

    #[test]
    fn the_files_in_the_tree_are_read() {
        assert!(Rules::read().is_ok());
    }
}
