//! All problems at once, each with place and fix; and what a server.properties becomes.

use thalweg_config::units::{Auto, Listen};
use thalweg_config::{Loaded, Origin, Report, Sources, Text, limits, load};

fn toml(text: &str) -> Result<Loaded, Report> {
    load(&Sources {
        file: Some(Text {
            path: "thalweg.toml",
            text,
        }),
        ..Sources::default()
    })
}

fn properties(text: &str) -> Result<Loaded, Report> {
    let properties = Some(Text {
        path: "server.properties",
        text,
    });
    load(&Sources {
        properties,
        ..Sources::default()
    })
}

fn check_error(text: &str, parts: &[&str]) {
    let report = toml(text).expect_err("refused").to_string();
    for part in parts {
        assert!(report.contains(part), "{part:?} in:\n{report}");
    }
}

#[test]
fn all_problems_come_in_one_report() {
    let text = "[node]\nid = -1\ndata = [\"a\", \"b\"]\n[shards]\ncount = 0\nmemroy = \"1GiB\"\n\
                [storage]\ndurability = \"fsync\"\n[listen]\nkafka = \"0.0.0.0:9092\"\n\
                [kafka]\n\"num.partitions\" = 0\n";
    // A value that cannot be read hides the checks across settings, so those come apart.
    check_error(
        text,
        &[
            "thalweg.toml:6: shards.memroy: unknown setting\n  fix: did you mean shards.memory?",
            "thalweg.toml:8: storage.durability: cannot read \"fsync\"\n  fix: write one of flush, write",
            "thalweg.toml:12: num.partitions: cannot read \"0\"",
        ],
    );
    let text = "[node]\nid = -1\ndata = [\"a\", \"b\"]\n[shards]\ncount = 0\n\
                [listen]\nkafka = \"0.0.0.0:9092\"\n";
    check_error(
        text,
        &[
            "thalweg.toml:2: node.id: -1 is negative",
            "thalweg.toml:3: node.data: 2 data directories, a node has one journal on one device",
            "thalweg.toml:5: shards.count: 0 is out of bounds",
            "thalweg.toml:7: listen.kafka: 0.0.0.0:9092 can be reached by others",
        ],
    );
}

#[test]
fn insecure_opens_the_network() {
    let text = "[listen]\nkafka = \"0.0.0.0:9092\"\ninsecure = true\n";
    assert!(toml(text).is_ok());
}

#[test]
fn limits_are_reached_and_refused() {
    check_error("[shards]\ncount = 257\n", &["write auto, or 1 to 256"]);
    assert!(toml("[shards]\ncount = 256\n").is_ok());
    check_error("[shards]\nring_entries = 8\n", &["power of two from 16"]);
    check_error(
        "[shards]\nmemory = \"1MiB\"\n",
        &["shards.memory: 1MiB is out of bounds"],
    );
    check_error("[shards]\npreempt = \"2s\"\n", &["write 1ms to 1s"]);
    check_error("[storage]\njournal_file = \"1MiB\"\n", &["4MiB to 1GiB"]);
    check_error("[storage]\njournal = \"16MiB\"\n", &["32MiB to 64GiB"]);
    check_error(
        "[storage]\npreallocate_step = \"2GiB\"\n",
        &["1MiB to 1GiB"],
    );
    check_error(
        "[listen]\nadmin = \"127.0.0.1:9092\"\n",
        &["listen.admin", "listen.kafka's too"],
    );
    check_error("[cluster]\nid = \"short\"\n", &["is no cluster id"]);
    check_error(
        "[cluster]\nvoters = \"1@a:1,2@b:1\"\n",
        &["cluster.voters: 2 voters"],
    );
}

#[test]
fn a_file_that_is_no_configuration_is_not_read() {
    let most = usize::try_from(limits::CONFIG_BYTES_MAX).unwrap();
    assert!(toml(&"#".repeat(most)).is_ok());
    check_error(&"#".repeat(most + 1), &["more than a configuration has"]);
}

#[test]
fn a_broken_file_says_where() {
    check_error("[node]\nid = = 1\n", &["thalweg.toml:2"]);
}

#[test]
fn properties_of_kafkas_own_sample() {
    let text = "process.roles=broker,controller\nnode.id=7\n\
        controller.quorum.bootstrap.servers=localhost:9093\n\
        listeners=PLAINTEXT://localhost:19092,CONTROLLER://localhost:19093\n\
        inter.broker.listener.name=PLAINTEXT\n\
        advertised.listeners=PLAINTEXT://localhost:19092,CONTROLLER://localhost:19093\n\
        controller.listener.names=CONTROLLER\n\
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
        num.network.threads=3\nnum.io.threads=16\nsocket.send.buffer.bytes=102400\n\
        log.dirs=/tmp/kraft\nnum.partitions=5\nlog.retention.hours=24\n";
    let loaded = properties(text).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.node.id, 7);
    assert_eq!(settings.node.data.0, ["/tmp/kraft"]);
    assert_eq!(settings.listen.kafka.to_string(), "localhost:19092");
    assert!(matches!(&settings.listen.advertise, Auto::Set(at) if at.port == 19_092));
    assert_eq!(settings.listen.internal, Listen::None);
    assert!(matches!(&settings.listen.controller, Listen::At(at) if at.port == 19_093));
    assert_eq!(settings.kafka.num_partitions, 5);
    let warned = loaded.warnings.to_string();
    assert!(
        warned.contains("num.io.threads: has no effect: one thread a core"),
        "{warned}"
    );
    assert!(
        !warned.contains("num.network.threads"),
        "a default needs no warning: {warned}"
    );
    let hours = loaded
        .broker_configs()
        .into_iter()
        .find(|c| c.key.name == "log.retention.hours");
    let hours = hours.unwrap();
    assert_eq!(hours.value.as_deref(), Some("24"));
    assert!(matches!(hours.origin, Origin::Properties { line: 14, .. }));
}

#[test]
fn protection_that_we_lack_refuses_the_start() {
    let tls = properties("listeners=SSL://localhost:9092\n")
        .unwrap_err()
        .to_string();
    assert!(
        tls.contains("asks for SSL, there is only PLAINTEXT yet"),
        "{tls}"
    );
    let acl = properties("authorizer.class.name=x.Y\n")
        .unwrap_err()
        .to_string();
    assert!(acl.contains("there is no authorization yet"), "{acl}");
    properties("compression.type=gzip\n").unwrap();
    let typo = properties("num.partition=1\n").unwrap_err().to_string();
    assert!(typo.contains("server.properties:1: num.partition: no broker key of Kafka 4.3\n  fix: did you mean num.partitions?"), "{typo}");
}

#[test]
fn the_order_is_file_env_properties_set_flag() {
    let env = [("THALWEG__NODE__ID".to_owned(), "3".to_owned())];
    let set = ["node.id=5".to_owned()];
    let flags = [("--node-id", "node.id", "6".to_owned())];
    let all = Sources {
        file: Some(Text {
            path: "t",
            text: "[node]\nid = 2\n",
        }),
        env: &env,
        properties: Some(Text {
            path: "p",
            text: "node.id=4\n",
        }),
        set: &set,
        flags: &flags,
    };
    let id = |sources: &Sources<'_>| load(sources).expect("loads").settings.node.id;
    assert_eq!(id(&all), 6);
    assert_eq!(id(&Sources { flags: &[], ..all }), 5);
    assert_eq!(
        id(&Sources {
            flags: &[],
            set: &[],
            ..all
        }),
        4
    );
    assert_eq!(
        id(&Sources {
            flags: &[],
            set: &[],
            properties: None,
            ..all
        }),
        3
    );
    assert_eq!(
        id(&Sources {
            file: all.file,
            ..Sources::default()
        }),
        2
    );
}

#[test]
fn topic_configs_keep_their_place() {
    let loaded = toml("[topic.\"orders\"]\n\"retention.ms\" = \"1d\"\n").unwrap();
    assert_eq!(loaded.settings.topics["orders"]["retention.ms"], "86400000");
    let origin = loaded.topic_origin("orders", "retention.ms");
    assert_eq!(origin.to_string(), "thalweg.toml:2");
}
