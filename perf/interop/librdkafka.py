"""A librdkafka client for `cargo x interop`, run once with an old and once with the newest library.

Every record is a function of its index, so that a reader in another process, after a restart or
against another server, can compare each byte. A mismatch is an exception, so exit code 1.
"""

import argparse
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

# How long one client may take for anything: a hang is a failure with a message.
PATIENCE_S = 60.0


def record(index, base_ms):
    """Key, value, headers and timestamp of one record: null, empty and binary ones among them."""
    key = None if index % 7 == 0 else b"key-%d" % index
    # Compressible also when it travels alone: the library keeps a batch plain that does not shrink.
    filler = b"-as the river runs-" * 40 + (bytes(range(256)) if index % 5 == 0 else b"")
    value = None if index % 50 == 49 else b"value-%d-" % index + filler
    headers = [("index", b"%d" % index), ("null", None), ("bytes", b"\x00\xff\r\n"), ("index", b"")]
    return key, value, headers[: index % 5], base_ms + index * 10


def text_record(index, base_ms):
    """The same, all printable, for readers that show a line of text."""
    return b"key-%d" % index, b"value-%d" % index, [("index", b"%d" % index)], base_ms + index * 10


def client(options, **more):
    return {"bootstrap.servers": options.bootstrap, "broker.address.family": "v4", **more}


def create(options):
    admin = AdminClient(client(options))
    config = dict(pair.split("=", 1) for pair in options.config)
    topics = [
        NewTopic(name, num_partitions=options.partitions, replication_factor=1, config=config)
        for name in options.topic.split(",")
    ]
    for future in admin.create_topics(topics, request_timeout=PATIENCE_S).values():
        future.result()


def produce(options):
    more = {"compression.type": options.codec, "linger.ms": 20, "partitioner": "consistent_random"}
    if options.idempotent:
        more["enable.idempotence"] = True
    producer = Producer(client(options, **more))
    offsets = []

    def delivered(error, message):
        if error is not None:
            raise RuntimeError(f"delivery failed: {error}")
        offsets.append(message.offset())

    make = text_record if options.text else record
    for index in range(options.count):
        key, value, headers, stamp = make(index, options.base)
        producer.produce(
            options.topic, value, key, partition=0, headers=headers, timestamp=stamp,
            on_delivery=delivered,
        )
        producer.poll(0)
    left = producer.flush(PATIENCE_S)
    expect("records left in the queue", left, 0)
    expect("acknowledged offsets", offsets, list(range(options.count)))


def consumer(options):
    return Consumer(
        client(
            options,
            **{
                "group.id": "by-assignment",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "check.crcs": True,
                "fetch.wait.max.ms": 100,
            },
        )
    )


def verify(options):
    reader = consumer(options)
    where = TopicPartition(options.topic, 0)
    expect("watermarks", reader.get_watermark_offsets(where, PATIENCE_S), (0, options.count))
    for start in (0, options.count // 2):
        expect_records(reader, options, start)
    for index in (0, options.count // 3, options.count - 1):
        # One millisecond after the record before: the first record at or after it is this one.
        stamp = record(index, options.base)[3] - 9
        found = reader.offsets_for_times([TopicPartition(options.topic, 0, stamp)], PATIENCE_S)
        expect(f"offset by time {stamp}", found[0].offset, index)
    reader.close()


def expect_records(reader, options, start):
    reader.assign([TopicPartition(options.topic, 0, start)])
    index = start
    while True:
        message = reader.poll(PATIENCE_S)
        if message is None:
            raise RuntimeError(f"no record and no end within {PATIENCE_S} s after {index}")
        if message.error():
            expect("event", message.error().code(), KafkaError._PARTITION_EOF)
            break
        key, value, headers, stamp = record(index, options.base)
        expect("offset", message.offset(), index)
        expect(f"key of {index}", message.key(), key)
        expect(f"value of {index}", message.value(), value)
        expect(f"headers of {index}", message.headers() or [], headers)
        expect(f"timestamp of {index}", message.timestamp()[1], stamp)
        index += 1
    expect("records", index, options.count)


def share(options):
    """Two members share a topic, one leaves, and a third goes on where they stopped."""
    producer = Producer(client(options))
    for index in range(options.count):
        producer.produce(options.topic, b"%d" % index, partition=index % 2)
    expect("records left in the queue", producer.flush(PATIENCE_S), 0)
    first, second = member(options), member(options)
    seen = []
    until("both have a partition", [first, second],
          lambda: owned(first) == 1 and owned(second) == 1, seen)
    half = options.count // 2
    until("half of it", [first, second], lambda: len(seen) >= half, seen)
    for one in (first, second):
        commit(one)
    second.close()
    until("the one that stays has both", [first], lambda: owned(first) == 2, seen)
    until("all of it", [first], lambda: len(set(seen)) == options.count, seen)
    commit(first)
    first.close()
    third = member(options)
    late = []
    until("it has both", [third], lambda: owned(third) == 2, late)
    poll([third], late, 2.0)
    expect("records seen again after the last commit", late, [])
    third.close()


def member(options):
    more = {
        "group.id": f"{options.topic}-group",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 500,
        "fetch.wait.max.ms": 100,
    }
    reader = Consumer(client(options, **more))
    reader.subscribe([options.topic])
    return reader


def commit(reader):
    """What it has taken; nothing to commit is no error."""
    try:
        reader.commit(asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._NO_OFFSET:
            raise


def owned(reader):
    return len(reader.assignment())


def poll(readers, seen, seconds):
    """Lets each reader take what there is for it."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for reader in readers:
            message = reader.poll(0.05)
            if message is None:
                continue
            if message.error():
                raise RuntimeError(f"consumer: {message.error()}")
            seen.append(int(message.value()))


def until(what, readers, holds, seen):
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > ends:
            raise RuntimeError(f"{what}: not within {PATIENCE_S} s, {len(seen)} records seen")
        poll(readers, seen, 0.1)


def expect(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r:.300}, wanted {wanted!r:.300}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["create", "produce", "verify", "share"])
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("--codec", default="none")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--base", type=int, default=0)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument("--text", action="store_true")
    parser.add_argument("--idempotent", action="store_true")
    options = parser.parse_args()
    {"create": create, "produce": produce, "verify": verify, "share": share}[options.command](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
