"""Runs librdkafka (through confluent-kafka) against a broker, as the client of Capture.java.

Run: PYTHONPATH=FOLDER_WITH_CONFLUENT_KAFKA python3 capture_librdkafka.py PORT
"""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

BASE = {"bootstrap.servers": "127.0.0.1:" + sys.argv[1], "client.id": "capture", "socket.timeout.ms": 4000}
TOPIC = "rd" + str(int(time.time()))


def attempt(what):
    try:
        return what()
    except Exception as cause:  # what one version lacks, another has
        print("  left out:", cause)


def results(futures):
    for future in futures.values():
        attempt(lambda: future.result(8))


def produce(codec, **more):
    producer = Producer({**BASE, "compression.codec": codec, "linger.ms": 50, **more})
    for number in range(40):
        headers = [("h", b"x"), ("none", None)] if number % 3 == 0 else None
        producer.produce(TOPIC, ("value %d " % number) * 5, key="key%d" % (number % 4), partition=0, headers=headers)
    producer.flush(8)


def transaction(commit):
    producer = Producer({**BASE, "transactional.id": "rd-txn"})
    producer.init_transactions(8)
    producer.begin_transaction()
    producer.produce(TOPIC, b"in transaction", partition=0)
    producer.flush(8)
    group = Consumer({**BASE, "group.id": "rd-txn-group"}).consumer_group_metadata()
    producer.send_offsets_to_transaction([TopicPartition(TOPIC, 0, 3)], group, 8)
    producer.commit_transaction(8) if commit else producer.abort_transaction(8)


def consume(**more):
    consumer = Consumer({**BASE, "group.id": "rd-" + more.get("group.protocol", "classic"), "auto.offset.reset": "earliest", **more})
    consumer.subscribe([TOPIC])
    for _ in range(12):
        consumer.poll(0.4)
    attempt(lambda: consumer.commit(asynchronous=False))
    attempt(lambda: consumer.committed([TopicPartition(TOPIC, 0)], 4))
    attempt(lambda: consumer.offsets_for_times([TopicPartition(TOPIC, 0, 1)], 4))
    attempt(lambda: consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), 4))
    consumer.close()


admin = AdminClient(BASE)
results(admin.create_topics([NewTopic(TOPIC, 2, 1, config={"retention.ms": "3600000"})]))
results(admin.create_partitions([NewPartitions(TOPIC, 3)]))
for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    attempt(lambda: produce(codec, **({"enable.idempotence": True} if codec == "lz4" else {})))
attempt(lambda: transaction(True))
attempt(lambda: transaction(False))
attempt(lambda: consume())
attempt(lambda: consume(**{"group.protocol": "consumer"}))
attempt(lambda: consume(**{"group.instance.id": "static", "isolation.level": "read_committed", "client.rack": "r"}))
attempt(lambda: admin.list_topics(timeout=4))
attempt(lambda: admin.list_groups(timeout=4))
attempt(lambda: results(admin.describe_configs([ConfigResource("topic", TOPIC)])))
attempt(lambda: results(admin.describe_consumer_groups(["rd-classic", "rd-consumer"])))
attempt(lambda: admin.list_consumer_groups().result(4))
attempt(lambda: admin.describe_cluster().result(4))
attempt(lambda: results(admin.delete_records([TopicPartition(TOPIC, 0, 2)])))
attempt(lambda: results(admin.delete_consumer_groups(["rd-classic"])))
attempt(lambda: results(admin.delete_topics([TOPIC])))
