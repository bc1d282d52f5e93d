"""kafka-python for `cargo x interop`; `lines.py` has the protocol."""

import logging
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

import lines

PATIENCE_S = 60
# A member that leads and rejoins because it now knows the topic's partitions loses its assignment for
# ever if a poll runs out of time between the answers to its JoinGroup and to its SyncGroup: the client
# (3.0.12) then takes the rebalance for done, and sends no heartbeats either. It is so on Apache Kafka
# too, with group.initial.rebalance.delay.ms=0 as here; a delay hides it. So polls are long.
MEMBER_POLL_MS = 5000


def create(bootstrap, topic, options):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics({topic: {"num_partitions": options["partitions"], "replication_factor": 1}})
    admin.close()


def produce(bootstrap, topic, options):
    codec = options["codec"]
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        linger_ms=20,
        reconnect_backoff_max_ms=500,
    )
    for batch in lines.batches():
        sent = [
            producer.send(
                topic,
                value=one["value"],
                key=one["key"],
                headers=one["headers"],
                partition=one["partition"],
                timestamp_ms=one["timestamp"],
            )
            for one in batch
        ]
        producer.flush(PATIENCE_S)
        lines.tell(offsets=[future.get(PATIENCE_S).offset for future in sent])
    producer.close()


def tell_all(polled):
    for records in polled.values():
        for one in records:
            lines.tell_record(
                one.partition, one.offset, one.timestamp, one.key, one.value, one.headers
            )


def consume(bootstrap, topic, _options):
    reader = KafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="none"
    )
    for places in lines.requests():
        ends = {TopicPartition(topic, place["partition"]): place["end"] for place in places}
        reader.assign(list(ends))
        for where, place in zip(ends, places):
            offset = place.get("offset")
            if offset is None:
                offset = reader.offsets_for_times({where: place["time"]})[where].offset
            reader.seek(where, offset)
        while any(reader.position(where) < end for where, end in ends.items()):
            tell_all(reader.poll(timeout_ms=500))
        lines.tell(end=True)
    reader.close()


def poll(reader):
    """What has come; nothing when a request of the client's own was cut off with its node.

    A metadata request that was in flight then is thrown at whoever polls, marked as retriable.
    """
    try:
        return reader.poll(timeout_ms=MEMBER_POLL_MS)
    except KafkaError as error:
        if not error.retriable:
            raise
        print(error, file=sys.stderr)
        return {}


def member(bootstrap, topic, options):
    ended = lines.end_of_input()
    reader = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=options["group"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=options["session"],
        heartbeat_interval_ms=500,
        reconnect_backoff_max_ms=500,
        metadata_max_age_ms=5000,
    )
    owned = None
    while not ended.is_set():
        polled = poll(reader)
        now = sorted(where.partition for where in reader.assignment())
        if now != owned:
            owned = now
            lines.tell(assigned=owned)
        if polled:
            tell_all(polled)
            try:
                reader.commit()
            except KafkaError as error:
                # A rebalance may have taken the partitions away meanwhile.
                print(error, file=sys.stderr)
    reader.close(autocommit=False)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    lines.play({"create": create, "produce": produce, "consume": consume, "member": member})
