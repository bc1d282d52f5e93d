//! Apache Kafka and Thalweg side by side: both fresh, told the same.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Client;
use super::compare::{self, Difference};
use super::rules::Rules;
use super::schema::Schemas;
use super::state;
use super::step::Step;
use crate::x::Outcome;
use crate::x::server::{Kind, Server, Setup};

const PORT: u16 = 24010;
/// What both are told: no waiting for members, one partition for offsets so that it loads at once,
/// and no record is ever too old.
const PROPERTIES: &[&str] = &[
    "group.initial.rebalance.delay.ms=0",
    "offsets.topic.num.partitions=1",
    "num.partitions=2",
    "log.retention.ms=-1",
];
/// How long a change of metadata may take to be seen everywhere.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// Whether a topic comes by itself is not known beforehand.
const WANTED_LIMIT: Duration = Duration::from_secs(1);
const SETTLE_PAUSE: Duration = Duration::from_millis(10);
const SHOWN_CHARS_MAX: usize = 3000;

/// Both servers and what a client of each knows.
pub(super) struct Pair {
    kafka: Client,
    thalweg: Client,
    /// They live as long as this does.
    _servers: [Server; 2],
}

/// What both said.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    pub(super) kafka: Value,
    pub(super) thalweg: Value,
}

/// A step whose answers differ.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) number: usize,
    pub(super) step: Step,
    pub(super) answers: Answers,
    pub(super) differences: Vec<Difference>,
}

impl Pair {
    pub(super) fn start(jars: &Path, program: &Path) -> Outcome<Self> {
        let start = |kind, name: &str, port, program: &Path| -> Outcome<Server> {
            let mut setup = Setup::fresh(kind, name, port, program)?;
            setup.extra = match kind {
                Kind::Kafka => PROPERTIES.iter().map(|&line| line.to_owned()).collect(),
                Kind::Thalweg => PROPERTIES
                    .iter()
                    .flat_map(|&line| ["--set".to_owned(), line.to_owned()])
                    .collect(),
            };
            let mut server = Server::new(setup);
            server.start()?;
            Ok(server)
        };
        let kafka = start(Kind::Kafka, "differential-kafka", PORT, jars)?;
        let thalweg = start(Kind::Thalweg, "differential-thalweg", PORT + 5, program)?;
        let mut pair = Self {
            kafka: Client::new(PORT),
            thalweg: Client::new(PORT + 5),
            _servers: [kafka, thalweg],
        };
        pair.warm_up()?;
        Ok(pair)
    }

    /// Until coordinators are loaded and ids are at hand, both may answer "later" when they like.
    fn warm_up(&mut self) -> Outcome<()> {
        let schemas = Schemas::read()?;
        for step in state::warm_up() {
            let started = Instant::now();
            for client in [&mut self.kafka, &mut self.thalweg] {
                while state::is_later(&client.ask(&schemas, &step)?)
                    && started.elapsed() < 6 * SETTLE_LIMIT
                {
                    std::thread::sleep(10 * SETTLE_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// One step on both; what they call their own is renamed.
    pub(super) fn play(&mut self, schemas: &Schemas, step: &Step) -> Outcome<Answers> {
        // Both are asked before either is listened to: while one waits, the other's clock runs too.
        let sent = [
            self.kafka.send(schemas, step)?,
            self.thalweg.send(schemas, step)?,
        ];
        let clients = [&mut self.kafka, &mut self.thalweg];
        let mut index = 0;
        let mut told = clients.map(|client| {
            let is_sent = sent.get(index).copied().unwrap_or(false);
            index += 1;
            let mut answer = if is_sent {
                client.receive(schemas, step)?
            } else {
                json!({"closed": true})
            };
            client.names.learn(step.api, &step.body, &answer);
            client.names.rename(&mut answer);
            Ok(answer)
        });
        let [kafka, thalweg] = &mut told;
        Ok(Answers {
            kafka: std::mem::replace(kafka, Ok(Value::Null))?,
            thalweg: std::mem::replace(thalweg, Ok(Value::Null))?,
        })
    }

    /// Waits until both show the same topics, logs and configs; else what differed at the end. What
    /// an exception excuses is not waited for.
    pub(super) fn settle(
        &mut self,
        schemas: &Schemas,
        rules: &Rules,
        wanted: &[String],
    ) -> Outcome<Vec<Difference>> {
        let limit = if wanted.is_empty() {
            SETTLE_LIMIT
        } else {
            WANTED_LIMIT
        };
        let started = Instant::now();
        loop {
            let answers = self.play(schemas, &state::all_topics())?;
            let mut topics = state::partitions(&answers.kafka);
            topics.remove("__consumer_offsets");
            let mut open = unexcused("Metadata", &answers, rules);
            let mut is_later = !wanted.iter().all(|name| topics.contains_key(name));
            for step in state::settled(&topics) {
                let answers = self.play(schemas, &step)?;
                is_later |= state::is_later(&answers.kafka);
                open.extend(unexcused(step.api.name(), &answers, rules));
            }
            if (open.is_empty() && !is_later) || started.elapsed() > limit {
                return Ok(open);
            }
            std::thread::sleep(SETTLE_PAUSE);
        }
    }
}

fn unexcused(api: &str, answers: &Answers, rules: &Rules) -> Vec<Difference> {
    let mut found = compare::differences(api, &answers.kafka, &answers.thalweg, rules);
    found.retain(|difference| rules.exception(api, difference).is_none());
    found
}

impl Finding {
    pub(super) fn words(&self, seed: u64) -> String {
        let Step {
            api, version, lane, ..
        } = &self.step;
        let differences: Vec<String> = self
            .differences
            .iter()
            .map(|difference| {
                format!(
                    "  {}: Apache Kafka {}, Thalweg {}",
                    difference.path,
                    shorten(&difference.kafka),
                    shorten(&difference.thalweg)
                )
            })
            .collect();
        format!(
            "seed {seed}, step {}: {api} {version}, connection {lane}, cut {}\n  request {}\n  Apache Kafka {}\n  Thalweg {}\n{}",
            self.number,
            self.step.cut,
            shorten(&self.step.body),
            shorten(&self.answers.kafka),
            shorten(&self.answers.thalweg),
            differences.join("\n")
        )
    }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    text.chars()
        .take(SHOWN_CHARS_MAX)
        .chain("...".chars())
        .collect()
}
