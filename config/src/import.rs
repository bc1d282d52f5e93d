//! A server.properties as our own file: what it becomes, and what is left out and why. Pure.
//!
//! Every line of it is answered for: a key is taken over, or stands among those left with the reason. The
//! file that comes out is read once more by `load`, so that what would refuse the start is told now.
//! Deliberately absent: guessing. What asks for protection we lack is left out and told, never replaced.

use std::fmt::Write as _;

use crate::facts::{self, KafkaType};
use crate::kafka::{self, Treatment};
use crate::merge::{Key, Value, Values, canonical_kafka};
use crate::parse::{self, Text};
use crate::report::{Origin, Report, Severity};
use crate::settings::own_keys;
use crate::{Sources, listeners, load};

/// What a server.properties became.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imported {
    /// Our file.
    pub toml: String,
    /// What was taken over, in the order of the lines.
    pub taken: Vec<Taken>,
    /// What was not, in the order of the lines.
    pub left: Vec<Left>,
    /// Why a node would not start with the file, if so; nothing else.
    pub problems: Report,
}

/// A line that was taken over.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Taken {
    /// Of the server.properties, from 1.
    pub line: usize,
    /// Kafka's key.
    pub key: String,
    /// The section or key of ours that it went to.
    pub to: String,
}

/// A line that was left out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Left {
    /// Of the server.properties, from 1.
    pub line: usize,
    /// The key as it was written.
    pub key: String,
    /// Why.
    pub why: String,
    /// Whether the node does without it what was meant, or what Kafka does by default.
    pub harmless: bool,
}

/// Makes our file of a server.properties; `path` is what problems of it are reported by.
#[must_use]
pub fn import(source: Text<'_>, path: &str) -> Imported {
    let mut report = Report::default();
    let mut values = Values::default();
    for entry in parse::properties(source, &mut report) {
        values.put(entry, &mut report);
    }
    canonical_kafka(&mut values, &mut report);
    kafka::translate(&mut values, &mut report);
    listeners::translate(&mut values, &mut report);
    let mut account = Account {
        report: &report,
        taken: Vec::new(),
        left: Vec::new(),
    };
    account.unknown_keys(&values);
    let mut kept = Vec::new();
    for (key, value) in values.iter() {
        match key {
            Key::Kafka(name) => {
                if account.judge(name, value) {
                    kept.push((*name, value.text.as_str()));
                }
            }
            Key::Own(_) | Key::Topic { .. } => {}
        }
    }
    let Account {
        mut taken,
        mut left,
        ..
    } = account;
    taken.sort();
    left.sort();
    let toml = written(source.path, &values, &kept, &left);
    let file = Some(Text { path, text: &toml });
    let checked = load(&Sources {
        file,
        ..Sources::default()
    });
    let mut problems = checked.err().unwrap_or_default();
    problems
        .problems
        .retain(|problem| problem.severity == Severity::Error);
    Imported {
        problems,
        toml,
        taken,
        left,
    }
}

struct Account<'a> {
    report: &'a Report,
    taken: Vec<Taken>,
    left: Vec<Left>,
}

impl Account<'_> {
    /// Keys that are none of Kafka's are in the report alone.
    fn unknown_keys(&mut self, values: &Values) {
        let known = |key: &str| {
            let key = facts::broker_key(key).map(|key| Key::Kafka(key.name));
            key.is_some_and(|key| values.get(&key).is_some())
        };
        for problem in &self.report.problems {
            if problem.severity == Severity::Error
                && own_keys().all(|own| own.name != problem.key)
                && !known(&problem.key)
            {
                self.left.push(Left {
                    line: line_of(&problem.origin),
                    key: problem.key.clone(),
                    why: format!("{}; {}", problem.message, problem.fix),
                    harmless: false,
                });
            }
        }
    }

    /// Notes what becomes of a broker key; true if it stands in `[kafka]` under its own name.
    fn judge(&mut self, name: &'static str, value: &Value) -> bool {
        let line = line_of(&value.origin);
        let is_default = facts::broker_key(name).and_then(|key| key.default) == Some(&value.text);
        let mut errors = self.report.problems.iter();
        let error = errors
            .find(|problem| problem.severity == Severity::Error && problem.key == name)
            .map(|problem| problem.message.as_str());
        let (why, harmless) = match (kafka::treatment(name), error) {
            (Treatment::Refused(words), _) => (words.to_owned(), is_default),
            (_, Some(message)) => (message.to_owned(), false),
            (Treatment::Instead(words), None) => (words.to_owned(), true),
            (treatment, None) => {
                let to = match treatment {
                    Treatment::Ours(ours) => ours,
                    Treatment::Listeners => "[listen]",
                    _ => "[kafka]",
                };
                self.taken.push(Taken {
                    line,
                    key: name.to_owned(),
                    to: to.to_owned(),
                });
                return to == "[kafka]";
            }
        };
        self.left.push(Left {
            line,
            key: name.to_owned(),
            why,
            harmless,
        });
        false
    }
}

fn line_of(origin: &Origin) -> usize {
    match origin {
        Origin::Properties { line, .. } | Origin::File { line, .. } => *line,
        _ => 0,
    }
}

fn written(from: &str, values: &Values, kept: &[(&'static str, &str)], left: &[Left]) -> String {
    let mut toml = format!("# From {}.\n", one_line(from));
    let mut section = "";
    for own in own_keys() {
        let Some(value) = values.get(&Key::Own(own.name)) else {
            continue;
        };
        let Some((of, name)) = own.name.split_once('.') else {
            continue;
        };
        if of != section {
            section = of;
            let _ = write!(toml, "\n[{section}]\n");
        }
        let _ = writeln!(toml, "{name} = {}", literal(&value.text));
    }
    if !kept.is_empty() {
        toml.push_str("\n[kafka]\n");
    }
    for (name, text) in kept {
        let is_secret = facts::broker_key(name).is_some_and(|key| key.kind == KafkaType::Password);
        debug_assert!(!is_secret, "no key with an effect is a secret");
        let _ = writeln!(toml, "\"{name}\" = {}", literal(text));
    }
    if !left.is_empty() {
        toml.push_str("\n# Not taken over:\n");
    }
    for Left { key, why, .. } in left {
        let _ = writeln!(toml, "# {}: {}", one_line(key), one_line(why));
    }
    toml
}

/// A number or truth value bare, everything else as a string.
fn literal(text: &str) -> String {
    let plain = text.parse::<i64>().is_ok_and(|n| n.to_string() == text);
    if plain || matches!(text, "true" | "false") {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out + "\""
}

/// Fit for a comment.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(text: &str) -> Imported {
        let source = Text {
            path: "server.properties",
            text,
        };
        import(source, "thalweg.toml")
    }

    #[test]
    fn every_line_is_answered_for() {
        let done = imported(
            "node.id=7\nlisteners=PLAINTEXT://127.0.0.1:9192\nlog.dirs=/var/kafka \"x\"\n\
             num.partitions=3\nlog.retention.hours=168\nnum.network.threads=3\n\
             sasl.mechanism.inter.broker.protocol=PLAIN\nno.such.key=1\nnum.partition=4\n\
             message.max.bytes=many\n",
        );
        let toml = "# From server.properties.\n\n[node]\nid = 7\ndata = \"/var/kafka \\\"x\\\"\"\n\n\
                    [listen]\nkafka = \"127.0.0.1:9192\"\ninternal = \"none\"\ncontroller = \"none\"\n\n\
                    [kafka]\n\"log.retention.hours\" = 168\n\"num.partitions\" = 3\n\n# Not taken over:\n\
                    # num.network.threads: one thread a core does everything; see shards.count\n\
                    # sasl.mechanism.inter.broker.protocol: there is no authentication yet, everybody would be let in\n\
                    # no.such.key: no broker key of Kafka 4.3; remove it\n";
        assert!(done.toml.starts_with(toml), "{}", done.toml);
        let left: Vec<(usize, &str, bool)> = done
            .left
            .iter()
            .map(|left| (left.line, left.key.as_str(), left.harmless))
            .collect();
        assert_eq!(
            left,
            [
                (6, "num.network.threads", true),
                (7, "sasl.mechanism.inter.broker.protocol", false),
                (8, "no.such.key", false),
                (9, "num.partition", false),
                (10, "message.max.bytes", false),
            ]
        );
        assert_eq!(done.taken.len(), 5);
        assert_eq!(done.problems, Report::default());
    }

    #[test]
    fn what_refuses_the_start_is_told() {
        let done = imported("listeners=PLAINTEXT://:9092\nlog.dirs=a,b\n");
        let problems = done.problems.to_string();
        assert!(problems.contains("thalweg.toml:4: node.data"), "{problems}");
        assert!(problems.contains("listen.kafka"), "{problems}");
    }

    #[test]
    fn the_file_says_what_the_properties_said() {
        let text = "node.id=7\nnum.partitions=3\nlog.segment.bytes=64MiB\nlog.cleanup.policy=compact, delete\n\
                    listeners=PLAINTEXT://127.0.0.1:9192,CONTROLLER://127.0.0.1:9193\n\
                    listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
                    controller.listener.names=CONTROLLER\ncontroller.quorum.voters=7@127.0.0.1:9193\n";
        let before = load(&Sources {
            properties: Some(Text { path: "p", text }),
            ..Sources::default()
        })
        .unwrap();
        let toml = imported(text).toml;
        let after = load(&Sources {
            file: Some(Text {
                path: "t",
                text: &toml,
            }),
            ..Sources::default()
        })
        .unwrap();
        assert_eq!(before.settings, after.settings, "{toml}");
    }
}
