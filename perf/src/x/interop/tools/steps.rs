//! The tools and what each is told, in order: later steps see what earlier ones did.
//!
//! Topics with one partition where the order of records shows, since no tool promises more.

use std::fs;

use super::super::Scene;
use super::super::java::LIMIT;
use crate::x::process::Program;
use crate::x::server;
use crate::x::{Context, Outcome};

/// One run of a tool. `FILE` among its words is a file with the step's input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) name: &'static str,
    class: &'static str,
    words: &'static str,
    input: &'static str,
    /// The tool measures: its numbers are no facts.
    pub(super) numbers: bool,
    /// The tool is refused, and what it complains of is part of the output.
    pub(super) fails: bool,
}

const fn step(name: &'static str, class: &'static str, words: &'static str) -> Step {
    Step {
        name,
        class,
        words,
        input: "",
        numbers: false,
        fails: false,
    }
}

impl Step {
    const fn input(self, input: &'static str) -> Self {
        Self { input, ..self }
    }

    const fn measures(self) -> Self {
        Self {
            numbers: true,
            ..self
        }
    }

    const fn fails(self) -> Self {
        Self {
            fails: true,
            ..self
        }
    }
}

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const ELECTION: &str = "org.apache.kafka.tools.LeaderElectionCommand";
const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
/// A reassignment to where the partition is.
const SAME: &str = r#"{"version":1,"partitions":[{"topic":"tools","partition":0,"replicas":[1]}]}"#;
const QUORUM: &str = "org.apache.kafka.tools.MetadataQuorumCommand";

pub(super) const STEPS: &[Step] = &[
    step(
        "topics-create",
        TOPICS,
        "--create --topic tools --partitions 1 --replication-factor 1 --config retention.ms=700000000",
    ),
    step(
        "topics-create-again",
        TOPICS,
        "--create --topic tools --partitions 1",
    )
    .fails(),
    step(
        "topics-create-verifiable",
        TOPICS,
        "--create --topic tools.verifiable --partitions 1",
    ),
    step(
        "topics-alter",
        TOPICS,
        "--alter --topic tools.verifiable --partitions 2",
    ),
    step(
        "topics-alter-down",
        TOPICS,
        "--alter --topic tools.verifiable --partitions 1",
    )
    .fails(),
    step("topics-list", TOPICS, "--list --topic tools.*"),
    step("topics-describe", TOPICS, "--describe --topic tools.*"),
    step(
        "topics-describe-none",
        TOPICS,
        "--describe --topic no-such-topic",
    )
    .fails(),
    step(
        "configs-describe-all",
        CONFIGS,
        "--describe --all --topic tools",
    ),
    step(
        "configs-alter",
        CONFIGS,
        "--alter --topic tools --add-config max.message.bytes=5000",
    ),
    step(
        "console-producer",
        "org.apache.kafka.tools.ConsoleProducer",
        "--topic tools --reader-property parse.key=true --reader-property parse.headers=true",
    )
    .input("h:1\tk1\tv1\nh:2\tk2\tv2\nh:3\tk3\tv3\nh:4\tk4\tv4\n"),
    step(
        "console-consumer",
        CONSUMER,
        "--topic tools --group tools --from-beginning --max-messages 4 --timeout-ms 30000 \
         --formatter-property print.key=true --formatter-property print.headers=true \
         --formatter-property print.offset=true --formatter-property print.timestamp=true \
         --formatter-property print.partition=true",
    ),
    step("get-offsets-latest", OFFSETS, "--topic tools --time latest"),
    step(
        "get-offsets-max-timestamp",
        OFFSETS,
        "--topic tools --time max-timestamp",
    )
    .measures(),
    step("groups-list", GROUPS, "--list --state --type"),
    step("groups-describe", GROUPS, "--describe --group tools"),
    step(
        "groups-describe-members",
        GROUPS,
        "--describe --group tools --members --verbose",
    ),
    step(
        "groups-describe-state",
        GROUPS,
        "--describe --group tools --state",
    ),
    step(
        "groups-describe-none",
        GROUPS,
        "--describe --group no-such-group",
    )
    .fails(),
    step(
        "groups-reset",
        GROUPS,
        "--reset-offsets --group tools --topic tools --shift-by -2 --execute",
    ),
    step(
        "console-consumer-resumes",
        CONSUMER,
        "--topic tools --group tools --max-messages 2 --timeout-ms 30000",
    ),
    step(
        "delete-records",
        "org.apache.kafka.tools.DeleteRecordsCommand",
        "--offset-json-file FILE",
    )
    .input(r#"{"partitions":[{"topic":"tools","partition":0,"offset":3}],"version":1}"#),
    step(
        "get-offsets-earliest",
        OFFSETS,
        "--topic tools --time earliest",
    ),
    step(
        "log-dirs",
        "org.apache.kafka.tools.LogDirsCommand",
        "--describe --topic-list tools",
    )
    .measures(),
    step(
        "verifiable-producer",
        "org.apache.kafka.tools.VerifiableProducer",
        "--topic tools.verifiable --max-messages 3 --acks -1",
    )
    .measures(),
    step(
        "verifiable-consumer",
        "org.apache.kafka.tools.VerifiableConsumer",
        "--topic tools.verifiable --group-id verifiable --max-messages 3 --reset-policy earliest",
    )
    .measures(),
    step(
        "producer-perf",
        "org.apache.kafka.tools.ProducerPerformance",
        "--topic tools.verifiable --num-records 500 --record-size 50 --throughput -1",
    )
    .measures(),
    step(
        "consumer-perf",
        "org.apache.kafka.tools.ConsumerPerformance",
        "--topic tools.verifiable --num-records 400 --timeout 30000",
    )
    .measures(),
    step(
        "end-to-end-latency",
        "org.apache.kafka.tools.EndToEndLatency",
        "--topic tools.latency --num-records 100 --producer-acks all --record-size 50",
    )
    .measures(),
    step(
        "broker-api-versions",
        "org.apache.kafka.tools.BrokerApiVersionsCommand",
        "",
    ),
    step(
        "features",
        "org.apache.kafka.tools.FeatureCommand",
        "describe",
    ),
    step(
        "quotas-alter",
        CONFIGS,
        "--alter --client tools-client --add-config producer_byte_rate=1048576,consumer_byte_rate=2097152",
    ),
    step(
        "quotas-alter-defaults",
        CONFIGS,
        "--alter --client-defaults --add-config request_percentage=300",
    ),
    step(
        "quotas-alter-pair",
        CONFIGS,
        "--alter --user tools-user --client tools-client --add-config controller_mutation_rate=12.5",
    ),
    step(
        "quotas-alter-address",
        CONFIGS,
        "--alter --ip 127.0.0.9 --add-config connection_creation_rate=100",
    ),
    step(
        "quotas-alter-unknown",
        CONFIGS,
        "--alter --client tools-client --add-config no_such_rate=1",
    )
    .fails(),
    step(
        "quotas-describe",
        CONFIGS,
        "--describe --client tools-client",
    ),
    step(
        "quotas-describe-all",
        CONFIGS,
        "--describe --entity-type clients",
    ),
    step(
        "quotas-describe-pair",
        CONFIGS,
        "--describe --user tools-user --client tools-client",
    ),
    step(
        "quotas-describe-address",
        CONFIGS,
        "--describe --ip 127.0.0.9",
    ),
    step(
        "quotas-delete",
        CONFIGS,
        "--alter --client tools-client --delete-config producer_byte_rate",
    ),
    step(
        "quotas-describe-left",
        CONFIGS,
        "--describe --client tools-client",
    ),
    step(
        "quotas-delete-missing",
        CONFIGS,
        "--alter --client tools-client --delete-config request_percentage",
    )
    .fails(),
    step(
        "elect-preferred",
        ELECTION,
        "--election-type preferred --topic tools --partition 0",
    ),
    step(
        "elect-unclean",
        ELECTION,
        "--election-type unclean --topic tools --partition 0",
    ),
    step(
        "elect-none",
        ELECTION,
        "--election-type preferred --topic no-such-topic --partition 0",
    )
    .fails(),
    step("reassign-list", REASSIGN, "--list"),
    step(
        "reassign-generate",
        REASSIGN,
        "--topics-to-move-json-file FILE --broker-list 1 --generate",
    )
    .input(r#"{"topics":[{"topic":"tools"}],"version":1}"#),
    step(
        "reassign-execute",
        REASSIGN,
        "--reassignment-json-file FILE --execute",
    )
    .input(SAME),
    step(
        "reassign-verify",
        REASSIGN,
        "--reassignment-json-file FILE --verify",
    )
    .input(SAME),
    step(
        "reassign-impossible",
        REASSIGN,
        "--reassignment-json-file FILE --execute",
    )
    .input(r#"{"version":1,"partitions":[{"topic":"tools","partition":0,"replicas":[1,2]}]}"#)
    .fails(),
    step(
        "protocol-consumer",
        CONSUMER,
        "--topic tools.verifiable --group tools-protocol --from-beginning --max-messages 400 \
         --timeout-ms 30000 --command-property group.protocol=consumer \
         --formatter-property print.value=false",
    )
    .measures(),
    step(
        "protocol-resumes",
        CONSUMER,
        "--topic tools.verifiable --group tools-protocol --max-messages 100 \
         --timeout-ms 30000 --command-property group.protocol=consumer \
         --formatter-property print.value=false",
    )
    .measures(),
    step(
        "protocol-list",
        GROUPS,
        "--list --type consumer --state empty",
    ),
    step(
        "protocol-all-groups",
        "org.apache.kafka.tools.GroupsCommand",
        "--list --group-type consumer",
    ),
    step(
        "protocol-describe-state",
        GROUPS,
        "--describe --group tools-protocol --state --verbose",
    ),
    step(
        "protocol-describe-members",
        GROUPS,
        "--describe --group tools-protocol --members --verbose",
    ),
    step(
        "protocol-configs",
        CONFIGS,
        "--alter --group tools-protocol --add-config consumer.session.timeout.ms=50000",
    ),
    step(
        "protocol-configs-describe",
        CONFIGS,
        "--describe --group tools-protocol",
    ),
    step("protocol-delete", GROUPS, "--delete --group tools-protocol"),
    step("quorum-status", QUORUM, "describe --status").measures(),
    step("quorum-replication", QUORUM, "describe --replication").measures(),
    step(
        "groups-delete-offsets",
        GROUPS,
        "--delete-offsets --group tools --topic tools",
    ),
    step("groups-delete", GROUPS, "--delete --group tools"),
    step("topics-delete", TOPICS, "--delete --topic tools.verifiable"),
];

pub(super) fn program(scene: &Scene, step: &Step) -> Outcome<Program> {
    let address = scene.server.address();
    let file = scene.server.setup().dir.join("tool-input");
    let mut program = server::java(&scene.tools.jars, step.class)
        .args(["--bootstrap-server", &address])
        .limit(LIMIT);
    for word in step.words.split_whitespace() {
        if word == "FILE" {
            fs::write(&file, step.input).context(|| "writing a tool's input")?;
            program = program.arg(&file);
        } else {
            program = program.arg(word);
        }
    }
    Ok(program.input(step.input))
}
