//! Apache Kafka's own administration tools: configs, features, the quorum, API versions.
//!
//! What they set must hold at once, after kill -9, after a clean stop, and for Apache Kafka on a copy;
//! what they are refused must be refused in Kafka's words.

use std::path::Path;

use super::java::tool;
use super::{Scene, expect_equal};
use crate::x::process::Program;
use crate::x::{Failure, Outcome};

const CONFIGS: &str = "kafka.admin.ConfigCommand";
const TOPIC: &str = "configured";
const TOPIC_CONFIGS: [&str; 3] = [
    "cleanup.policy=compact,delete",
    "max.message.bytes=2000",
    "retention.ms=777600000",
];

pub(super) fn play(scene: &mut Scene) -> Outcome<()> {
    scene.promise(
        "kafka-configs sets a topic's configs",
        set_topic,
        Box::new(|tools, address| {
            let described = describe(&tools.jars, address, &["--topic", TOPIC])?;
            expect_all("the topic's configs", &described, &TOPIC_CONFIGS)
        }),
    );
    scene.step("a topic's new bound holds for the next record", bound_holds);
    scene.promise(
        "kafka-configs sets a broker's configs and all brokers'",
        set_brokers,
        Box::new(|tools, address| {
            let own = describe(&tools.jars, address, &["--broker", "1"])?;
            let all = describe(&tools.jars, address, &["--broker-defaults"])?;
            expect_all("the broker's configs", &own, &["log.retention.ms=86400000"])?;
            expect_all("all brokers' configs", &all, &["message.max.bytes=900000"])
        }),
    );
    scene.step("kafka-configs takes a config away again", take_away);
    scene.step("kafka-configs is refused in Kafka's words", refusals);
    scene.step(
        "kafka-features describes, and goes nowhere it can't",
        features,
    );
    scene.step("kafka-metadata-quorum finds one voter, which leads", quorum);
    scene.step(
        "kafka-broker-api-versions knows every version",
        api_versions,
    );
    scene.step(
        "kafka-client-metrics lists no subscriptions",
        client_metrics,
    );
    Ok(())
}

fn configs(jars: &Path, address: &str, arguments: &[&str]) -> Program {
    tool(jars, CONFIGS, address).args(arguments)
}

fn describe(jars: &Path, address: &str, arguments: &[&str]) -> Outcome<String> {
    let described = configs(jars, address, arguments).arg("--describe").run()?;
    Ok(described.stdout)
}

fn alter(scene: &Scene, of: &[&str], change: &[&str]) -> Outcome<()> {
    let address = scene.server.address();
    let altered = configs(&scene.tools.jars, &address, of)
        .arg("--alter")
        .args(change)
        .run()?;
    expect_all(
        "the answer",
        &altered.stdout,
        &["Completed updating", "config"],
    )
}

fn expect_all(what: &str, got: &str, parts: &[&str]) -> Outcome<()> {
    match parts.iter().find(|part| !got.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(Failure::new(format!("{what}: `{part}` is not in\n{got}"))),
    }
}

fn set_topic(scene: &Scene) -> Outcome<()> {
    let address = scene.server.address();
    let class = "org.apache.kafka.tools.TopicCommand";
    tool(&scene.tools.jars, class, &address)
        .args(["--create", "--topic", TOPIC, "--partitions", "1"])
        .args(["--replication-factor", "1"])
        .run()?;
    let wanted = "retention.ms=777600000,max.message.bytes=2000,cleanup.policy=[compact,delete]";
    alter(scene, &["--topic", TOPIC], &["--add-config", wanted])
}

fn bound_holds(scene: &mut Scene) -> Outcome<()> {
    let class = "org.apache.kafka.tools.ConsoleProducer";
    let sent = tool(&scene.tools.jars, class, &scene.server.address())
        .args(["--topic", TOPIC])
        .args(["--reader-property", "parse.key=true"])
        .input(format!("key\t{}\n", "x".repeat(3_000)))
        .run()?;
    let complaints = format!("{}{}", sent.stdout, sent.stderr);
    let told = complaints.contains("RecordTooLargeException");
    expect_equal("the record is refused as too large", &told, &true)
}

fn set_brokers(scene: &Scene) -> Outcome<()> {
    let own = ["--add-config", "log.retention.ms=86400000"];
    alter(scene, &["--broker", "1"], &own)?;
    let all = ["--add-config", "message.max.bytes=900000"];
    alter(scene, &["--broker-defaults"], &all)
}

fn take_away(scene: &mut Scene) -> Outcome<()> {
    let of = ["--broker-defaults"];
    alter(scene, &of, &["--add-config", "log.retention.bytes=123456"])?;
    let address = scene.server.address();
    let set = describe(&scene.tools.jars, &address, &of)?;
    expect_all("set", &set, &["log.retention.bytes=123456"])?;
    alter(scene, &of, &["--delete-config", "log.retention.bytes"])?;
    let gone = describe(&scene.tools.jars, &address, &of)?;
    expect_equal("still set", &gone.contains("log.retention.bytes"), &false)
}

fn refusals(scene: &mut Scene) -> Outcome<()> {
    let refused = |of: &[&str], change: &str, words: &str| {
        let address = scene.server.address();
        let program =
            configs(&scene.tools.jars, &address, of).args(["--alter", "--add-config", change]);
        match program.run() {
            Ok(done) => Err(Failure::new(format!(
                "{change} was taken:\n{}",
                done.stdout
            ))),
            Err(failure) => expect_all(change, &failure.to_string(), &[words]),
        }
    };
    refused(
        &["--topic", TOPIC],
        "retention.ms=long",
        "Invalid value long for configuration retention.ms: Not a number of type LONG",
    )?;
    refused(
        &["--topic", TOPIC],
        "no.such.key=1",
        "Unknown topic config name: no.such.key",
    )?;
    refused(
        &["--broker", "1"],
        "num.partitions=3",
        "Cannot update these configs dynamically",
    )
}

fn features(scene: &mut Scene) -> Outcome<()> {
    let address = scene.server.address();
    let class = "org.apache.kafka.tools.FeatureCommand";
    let described = tool(&scene.tools.jars, class, &address)
        .arg("describe")
        .run()?
        .stdout;
    let line = described
        .lines()
        .find(|line| line.contains("Feature: metadata.version"));
    let level = line.is_some_and(|line| line.contains("FinalizedVersionLevel: 4.3-IV0"));
    expect_equal("metadata.version is 4.3-IV0", &level, &true)?;
    let down = ["downgrade", "--feature", "metadata.version=25"];
    match tool(&scene.tools.jars, class, &address).args(down).run() {
        Ok(done) => Err(Failure::new(format!("it went down:\n{}", done.stdout))),
        Err(failure) => {
            let words = "Refusing to perform the requested downgrade";
            expect_all("the refusal", &failure.to_string(), &[words])
        }
    }
}

fn quorum(scene: &mut Scene) -> Outcome<()> {
    let address = scene.server.address();
    let class = "org.apache.kafka.tools.MetadataQuorumCommand";
    let ask = |what: &str| {
        let program = tool(&scene.tools.jars, class, &address);
        program.args(["describe", what]).run()
    };
    let status = ask("--status")?.stdout;
    let squeezed: String = status.split_whitespace().collect::<Vec<_>>().join(" ");
    expect_all(
        "the status",
        &squeezed,
        &[
            "LeaderId: 1 ",
            "MaxFollowerLag: 0 ",
            "CurrentVoters: [{\"id\": 1, \"directoryId\": ",
            "CurrentObservers: []",
        ],
    )?;
    let replication = ask("--replication")?.stdout;
    let leaders = replication.lines().filter(|line| line.contains("Leader"));
    expect_equal("leaders", &leaders.count(), &1)
}

fn api_versions(scene: &mut Scene) -> Outcome<()> {
    let address = scene.server.address();
    let class = "org.apache.kafka.tools.BrokerApiVersionsCommand";
    let listed = tool(&scene.tools.jars, class, &address).run()?.stdout;
    expect_all(
        "the versions",
        &listed,
        &[
            "DescribeConfigs(32): 1 to 4 [usable: 4]",
            "AlterConfigs(33): 0 to 2 [usable: 2]",
            "IncrementalAlterConfigs(44): 0 to 1 [usable: 1]",
            "DescribeQuorum(55): 0 to 2 [usable: 2]",
            "UpdateFeatures(57): 0 to 2 [usable: 2]",
            "ListConfigResources(74): 0 to 1 [usable: 1]",
        ],
    )
}

fn client_metrics(scene: &mut Scene) -> Outcome<()> {
    let address = scene.server.address();
    let class = "org.apache.kafka.tools.ClientMetricsCommand";
    let listed = tool(&scene.tools.jars, class, &address)
        .arg("--list")
        .run()?
        .stdout;
    expect_equal("subscriptions", &listed.trim(), &"")
}
