//! The defaults as they are, in one list: a changed default is a changed line here.

use thalweg_config::{Key, Sources, load, settings};

#[test]
fn own_defaults() {
    let shown: Vec<String> = settings::own_keys()
        .map(|key| format!("{} = {}", key.name, key.default))
        .collect();
    let wanted = "\
node.id = 1
node.data = data
node.dev = false
listen.kafka = 127.0.0.1:9092
listen.advertise = auto
listen.internal = 127.0.0.1:9094
listen.controller = 127.0.0.1:9093
listen.admin = 127.0.0.1:9644
listen.insecure = false
shards.count = auto
shards.cpus = auto
shards.coordinator = auto
shards.memory = auto
shards.ring_entries = 128
shards.preempt = 1ms
storage.durability = flush
storage.journal = auto
storage.journal_file = 16MiB
storage.preallocate = true
storage.preallocate_step = 16MiB
storage.scrub_rate = 4MiB
storage.scrub_rest = 24h
validation.compressed = full
cluster.id = auto
cluster.voters = 
log.format = text
log.level = info
metrics.detail = topic";
    assert_eq!(shown.join("\n"), wanted);
}

#[test]
fn every_own_key_says_what_it_does() {
    for key in settings::own_keys() {
        assert!(key.doc.trim().len() > 20, "{}", key.name);
    }
}

#[test]
fn nothing_given_loads_without_a_word() {
    let loaded = load(&Sources::default()).unwrap();
    assert_eq!(loaded.warnings.problems, []);
    let kafka = &loaded.settings.kafka;
    assert!(kafka.auto_create_topics_enable);
    assert_eq!(kafka.num_partitions, 1);
    assert_eq!(kafka.socket_request_max_bytes, 104_857_600);
    assert_eq!(kafka.fetch_max_bytes, 57_671_680);
    // Kafka's 3 would keep the topic from being made on a node that is alone.
    assert_eq!(kafka.offsets_topic_replication_factor, 1);
    assert_eq!(kafka.group_initial_rebalance_delay_ms, 0);
    let origin = |name| {
        loaded
            .values
            .get(&Key::Kafka(name))
            .unwrap()
            .origin
            .to_string()
    };
    assert_eq!(
        origin("offsets.topic.replication.factor"),
        "default of a single node"
    );
    assert_eq!(loaded.broker_configs().len(), 343);
}
