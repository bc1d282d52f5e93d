//! The clients themselves: how each is installed and started.
//!
//! A client is a small program in `perf/interop/clients` that speaks one protocol (told in
//! `lines.py` there): it creates, produces, consumes and joins groups as it is told, and decides
//! nothing. What is asked of it, and what is right, is in `scenario.rs`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::CODECS;
use crate::x::Outcome;
use crate::x::packages::{self, LIBRDKAFKA_NEW, LIBRDKAFKA_OLD};
use crate::x::process::Program;

/// One client, installed.
#[derive(Debug, Clone)]
pub(in crate::x::interop) struct Client {
    pub(super) name: String,
    program: PathBuf,
    words: Vec<PathBuf>,
    /// Where `kafkajs` has its packages.
    packages: Option<PathBuf>,
    /// Whether its group members rebalance in steps instead of all at once.
    pub(super) cooperative: bool,
    /// Whether its members speak the consumer protocol of KIP-848, where the server assigns.
    pub(super) consumer_protocol: bool,
    /// Whether it can write a header without a value.
    pub(super) null_headers: bool,
    /// Whether its member commits again what failed while the node was away. kafkajs does so only
    /// at times, on Apache Kafka too: it is not asked to outlive the node.
    pub(super) outlives_node: bool,
}

impl Client {
    fn new(name: &str, program: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            program,
            words: Vec::new(),
            packages: None,
            cooperative: false,
            consumer_protocol: false,
            null_headers: true,
            outlives_node: true,
        }
    }

    /// The same client as a member of the consumer protocol.
    fn with_consumer_protocol(self) -> Self {
        Self {
            name: format!("{}-consumer-protocol", self.name),
            consumer_protocol: true,
            ..self
        }
    }

    fn script(self, script: &str) -> Self {
        let path = folder().join(script);
        Self {
            words: vec![path],
            ..self
        }
    }

    /// All of them can write all codecs; kafkajs by the packages that it is given.
    #[expect(
        clippy::unused_self,
        reason = "a client that lacks one would say so here"
    )]
    pub(super) fn codecs(&self) -> [&'static str; 5] {
        CODECS
    }

    /// Both kinds of producer are seen with several codecs.
    pub(super) fn idempotent(codec: &str) -> bool {
        codec != "gzip" && codec != "lz4"
    }

    pub(super) fn program(
        &self,
        command: &str,
        (address, topic): (&str, &str),
        options: &Value,
    ) -> Program {
        let program = Program::new(&self.program)
            .args(&self.words)
            .args([command, address, topic])
            .arg(options.to_string())
            // A script must leave nothing beside itself in the work tree.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        match &self.packages {
            Some(packages) => program.env("CLIENT_PACKAGES", packages),
            None => program,
        }
    }
}

/// All of them; what does not install is a failure.
pub(in crate::x::interop) fn install() -> Outcome<Vec<Client>> {
    let confluent = |version: &str| -> Outcome<Client> {
        let python = packages::librdkafka(version)?;
        Ok(Client::new(&format!("confluent-kafka-{version}"), python).script("confluent.py"))
    };
    let kafka_python = packages::kafka_python()?;
    let kafkajs = packages::kafkajs(&folder().join("kafkajs"))?;
    Ok(vec![
        confluent(LIBRDKAFKA_OLD)?,
        Client {
            cooperative: true,
            ..confluent(LIBRDKAFKA_NEW)?
        },
        confluent(LIBRDKAFKA_NEW)?.with_consumer_protocol(),
        Client {
            null_headers: false,
            ..Client::new("kafka-python", kafka_python).script("kafka_python.py")
        },
        Client {
            packages: Some(kafkajs),
            null_headers: false,
            outlives_node: false,
            ..Client::new("kafkajs", packages::tool("node", "nodejs")?).script("kafkajs/client.js")
        },
        Client {
            cooperative: true,
            ..Client::new(
                "franz-go",
                packages::go_program("franz-client", &folder().join("franz"))?,
            )
        },
        Client::new("rdkafka", packages::rdkafka(&folder().join("rdkafka"))?),
        Client {
            cooperative: true,
            ..java()?
        },
        java()?.with_consumer_protocol(),
    ])
}

/// Apache Kafka's own.
fn java() -> Outcome<Client> {
    let jars = packages::kafka_jars()?;
    let classes = packages::java_classes(&folder().join("java"), &jars)?;
    let path = format!("{}:{}/*", classes.display(), jars.display());
    let client = Client::new(
        &format!("java-{}", packages::KAFKA_VERSION),
        packages::tool("java", "openjdk-17-jre-headless")?,
    );
    // Several run at once, each for seconds only.
    let words = [
        "-Xmx128m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        &path,
        "Client",
    ];
    Ok(Client {
        words: words.map(PathBuf::from).to_vec(),
        ..client
    })
}

fn folder() -> PathBuf {
    packages::root().join("perf/interop/clients")
}

/// Where a conversation's complaints go.
pub(super) fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}
