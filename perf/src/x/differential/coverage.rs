//! Which (API, version, error code) triples each server showed.
//!
//! Kafka's triples are the measure: a server that answered everything with one error would be equal
//! to nothing, and sequences that reach no error would show little.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use thalweg_wire::api::ApiKey;

use super::pair::Answers;
use super::step::Step;

type Triple = (ApiKey, i16, i64);

/// The connection was closed.
const CLOSED: i64 = i64::MAX;

#[derive(Debug, Default)]
pub(super) struct Coverage {
    kafka: BTreeSet<Triple>,
    thalweg: BTreeSet<Triple>,
}

impl Coverage {
    pub(super) fn add(&mut self, step: &Step, answers: &Answers) {
        for (codes, answer) in [
            (&mut self.kafka, &answers.kafka),
            (&mut self.thalweg, &answers.thalweg),
        ] {
            if answer.get("closed").is_some() {
                codes.insert((step.api, step.version, CLOSED));
            }
            gather(step, answer, codes);
        }
    }

    pub(super) fn percent(&self) -> usize {
        let reached = self.kafka.intersection(&self.thalweg).count();
        (reached * 100).checked_div(self.kafka.len()).unwrap_or(0)
    }

    pub(super) fn words(&self) -> String {
        let mut apis: BTreeMap<ApiKey, (BTreeSet<i16>, BTreeSet<i64>)> = BTreeMap::new();
        for (api, version, code) in &self.kafka {
            let row = apis.entry(*api).or_default();
            row.0.insert(*version);
            row.1.insert(*code);
        }
        let rows: Vec<String> = apis
            .iter()
            .map(|(api, (versions, codes))| {
                let codes: Vec<String> = codes
                    .iter()
                    .map(|code| match *code {
                        CLOSED => "closed".to_owned(),
                        code => code.to_string(),
                    })
                    .collect();
                format!(
                    "  {api}: {} versions, codes {}",
                    versions.len(),
                    codes.join(" ")
                )
            })
            .collect();
        let missing: Vec<String> = self
            .kafka
            .difference(&self.thalweg)
            .map(|(api, version, code)| format!("  not reached: {api} {version} code {code}"))
            .collect();
        format!(
            "triples of API, version and error code: Apache Kafka showed {}, Thalweg {} of them, {}%\n{}\n{}",
            self.kafka.len(),
            self.kafka.intersection(&self.thalweg).count(),
            self.percent(),
            rows.join("\n"),
            missing.join("\n"),
        )
    }
}

fn gather(step: &Step, tree: &Value, codes: &mut BTreeSet<Triple>) {
    match tree {
        Value::Array(items) => items.iter().for_each(|item| gather(step, item, codes)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_i64() {
                    Some(code) if name == "ErrorCode" => {
                        codes.insert((step.api, step.version, code));
                    }
                    _ => gather(step, value, codes),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kafkas_triples_are_the_measure() {
        let mut coverage = Coverage::default();
        let step = Step::new(ApiKey::Fetch, 4, json!({}));
        let rows = |codes: &[i64]| -> Value {
            let rows: Vec<Value> = codes
                .iter()
                .map(|code| json!({"ErrorCode": code}))
                .collect();
            json!({ "Partitions": rows })
        };
        coverage.add(
            &step,
            &Answers {
                kafka: rows(&[0, 1, 3, 6]),
                thalweg: rows(&[0, 1, 3, 99]),
            },
        );
        assert_eq!(coverage.percent(), 75);
        assert!(coverage.words().contains("Fetch 4 code 6"));
    }
}
