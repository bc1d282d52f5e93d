//! `thalweg quota` and `thalweg txn` against a live node, in text and in JSON.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use std::process::Command;

use live::{Node, Topic, batch, produce_request};
use serde_json::{Value, json};
use thalweg_wire::batch::BatchSpec;
use thalweg_wire::ids::{ProducerEpoch, ProducerId, Sequence};
use thalweg_wire::messages::init_producer_id_request::InitProducerIdRequest;
use thalweg_wire::messages::init_producer_id_response::InitProducerIdResponseView;

/// Exit code, standard output, standard error.
fn run(node: &Node, line: &str) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(line.split_whitespace())
        .env("THALWEG_BROKERS", node.address.to_string())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

#[track_caller]
fn done(node: &Node, line: &str) -> String {
    let (code, out, err) = run(node, line);
    assert_eq!(code, 0, "{line}: {out}{err}");
    out
}

#[track_caller]
fn shown(node: &Node, line: &str) -> Value {
    let out = done(node, &format!("{line} --format json"));
    serde_json::from_str(&out).unwrap()
}

/// It failed and told so in three lines.
#[track_caller]
fn failed(node: &Node, line: &str, words: &str) {
    let (code, _, err) = run(node, line);
    assert_eq!(code, 1, "{line}: {err}");
    assert!(err.contains(words) && err.contains("\n  fix:   "), "{err}");
}

#[test]
fn quotas_are_set_shown_and_taken_away() {
    let node = Node::start(&[]);
    let rate = "quota set producer_byte_rate=1048576 request_percentage=12.5";
    let checked = done(
        &node,
        &format!("{rate} --user alice --client-id-default --dry-run"),
    );
    assert_eq!(checked, "checked client-id=<default>,user=alice\n");
    assert_eq!(shown(&node, "quota list"), json!({"quotas": []}));
    let altered = shown(&node, &format!("{rate} --user alice --client-id-default"));
    assert_eq!(altered["result"], "altered");
    done(
        &node,
        "quota set connection_creation_rate=1000 --ip-default",
    );
    let own = json!({
        "entity": {"user": "alice", "client-id": null},
        "values": {"producer_byte_rate": 1_048_576.0, "request_percentage": 12.5},
    });
    let all = shown(&node, "quota list");
    assert_eq!(all["quotas"].as_array().unwrap().len(), 2);
    assert_eq!(all["quotas"][0], own);
    let described = shown(&node, "quota describe --user alice --client-id-default");
    assert_eq!(described, json!({"quotas": [own]}));
    assert_eq!(
        shown(&node, "quota describe --user alice"),
        json!({"quotas": []})
    );
    let text = done(&node, "quota list");
    assert!(
        text.contains("ip=<default>") && text.contains("12.5"),
        "{text}"
    );
    failed(&node, "quota set no_such=1 --user alice", "INVALID_REQUEST");
    failed(
        &node,
        "quota set producer_byte_rate=0 --user alice",
        "INVALID_REQUEST",
    );
    done(
        &node,
        "quota unset producer_byte_rate request_percentage --user alice --client-id-default",
    );
    done(&node, "quota unset connection_creation_rate --ip-default");
    assert_eq!(shown(&node, "quota list"), json!({"quotas": []}));
    node.still_serves();
}

/// A transactional batch that no coordinator was told of.
fn strayed(node: &Node, topic: &Topic) -> (i64, i16) {
    let mut peer = node.connect();
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    let reply = peer.ask(&request, 4);
    let view: InitProducerIdResponseView = reply.view();
    let (id, epoch) = (view.producer_id, view.producer_epoch);
    let spec = BatchSpec {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(0),
        ..BatchSpec::default()
    };
    let batch = live::batch_of(spec, 1, b"value");
    peer.ask(&produce_request(9, topic, 0, &batch, -1), 9);
    (id, epoch)
}

#[test]
fn transactions_are_listed_described_and_found() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    peer.produce(&topic, 0, &batch(1));
    assert_eq!(shown(&node, "txn list"), json!({"transactions": []}));
    let (id, epoch) = strayed(&node, &topic);
    let producers = shown(&node, "txn producers --topic topic --partition 0");
    let first = &producers["producers"][0];
    assert_eq!(
        (&first["producer_id"], &first["producer_epoch"]),
        (&json!(id), &json!(epoch))
    );
    assert_eq!(first["start_offset"], Value::Null);
    let hanging = shown(&node, "txn find-hanging --topic topic");
    assert_eq!(hanging, json!({"hanging": []}));
    let hanging = shown(
        &node,
        "txn find-hanging --broker 1 --max-transaction-timeout 1ms",
    );
    assert_eq!(hanging, json!({"hanging": []}));
    let line = "txn abort --topic topic --partition 0 --start-offset 0";
    failed(
        &node,
        line,
        "no open transaction of topic-0 begins at offset 0",
    );
    failed(&node, "txn describe nobody", "TRANSACTIONAL_ID_NOT_FOUND");
    failed(
        &node,
        "txn list --state Nonsense",
        "no transaction state `Nonsense`",
    );
    failed(
        &node,
        "txn producers --topic nowhere --partition 0 --timeout 2s",
        "UNKNOWN_TOPIC",
    );
    node.still_serves();
}

#[test]
fn an_open_transaction_is_shown_and_can_be_aborted() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    let who = peer.begin("pay");
    assert_eq!(peer.produce_as(12, &who, (&topic, 0), 0), (0, 0));
    let listed = shown(&node, "txn list --state Ongoing");
    assert_eq!(listed["transactions"][0]["id"], "pay");
    let described = shown(&node, "txn describe pay");
    let one = &described["transactions"][0];
    assert_eq!(
        (&one["state"], &one["partitions"]),
        (&json!("Ongoing"), &json!(["topic-0"]))
    );
    let text = done(&node, "txn describe pay");
    assert!(text.contains("pay") && text.contains("topic-0"), "{text}");
    // Its coordinator knows it, so it does not hang, however old it is.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let found = shown(
        &node,
        "txn find-hanging --topic topic --max-transaction-timeout 1ms",
    );
    assert_eq!(found, json!({"hanging": []}));
    let line = "txn abort --topic topic --partition 0 --start-offset 0";
    assert_eq!(
        shown(&node, &format!("{line} --dry-run"))["result"],
        "checked"
    );
    assert_eq!(shown(&node, line)["result"], "aborted");
    failed(&node, line, "no open transaction");
    node.still_serves();
}
