"""confluent-kafka, so librdkafka, for `cargo x interop`; `lines.py` has the protocol."""

import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import lines

PATIENCE_S = 60.0


def client(bootstrap, **more):
    return {
        "bootstrap.servers": bootstrap,
        "broker.address.family": "v4",
        "reconnect.backoff.max.ms": 500,
        **more,
    }


def create(bootstrap, topic, options):
    admin = AdminClient(client(bootstrap))
    wanted = NewTopic(topic, num_partitions=options["partitions"], replication_factor=1)
    for future in admin.create_topics([wanted], request_timeout=PATIENCE_S).values():
        future.result()


def produce(bootstrap, topic, options):
    codec = options["codec"]
    more = {"compression.type": codec, "linger.ms": 20}
    if options["idempotent"]:
        more["enable.idempotence"] = True
    producer = Producer(client(bootstrap, **more))
    for batch in lines.batches():
        offsets = [None] * len(batch)

        def delivered(error, message, index):
            if error is not None:
                raise RuntimeError(f"delivery failed: {error}")
            offsets[index] = message.offset()

        for index, one in enumerate(batch):
            producer.produce(
                topic,
                one["value"],
                one["key"],
                partition=one["partition"],
                headers=one["headers"],
                timestamp=one["timestamp"],
                on_delivery=lambda error, message, index=index: delivered(error, message, index),
            )
        if producer.flush(PATIENCE_S):
            raise RuntimeError("records are left in the queue")
        lines.tell(offsets=offsets)


def tell(message):
    lines.tell_record(
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers(),
    )


def consume(bootstrap, topic, _options):
    reader = Consumer(
        client(
            bootstrap,
            **{
                "group.id": "by-assignment",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "check.crcs": True,
            },
        )
    )
    for places in lines.requests():
        starts = []
        for place in places:
            where = TopicPartition(topic, place["partition"], place.get("offset", 0))
            if "time" in place:
                where.offset = place["time"]
                where = reader.offsets_for_times([where], PATIENCE_S)[0]
            starts.append(where)
        left = {place["partition"]: place["end"] for place in places}
        reader.assign(starts)
        while left:
            message = reader.poll(PATIENCE_S)
            if message is None:
                raise RuntimeError(f"neither record nor end in {PATIENCE_S} s")
            if message.error():
                # The end of a partition comes after its last record.
                if message.error().code() != KafkaError._PARTITION_EOF:
                    raise RuntimeError(message.error())
                if message.offset() >= left[message.partition()]:
                    del left[message.partition()]
            else:
                tell(message)
        lines.tell(end=True)
    reader.close()


def member(bootstrap, topic, options):
    ended = lines.end_of_input()
    more = {
        "group.id": options["group"],
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    if options.get("consumer_protocol"):
        more["group.protocol"] = "consumer"
    else:
        more["session.timeout.ms"] = options["session"]
        more["heartbeat.interval.ms"] = 500
    if options.get("cooperative"):
        more["partition.assignment.strategy"] = "cooperative-sticky"
    reader = Consumer(client(bootstrap, **more))
    reader.subscribe([topic])
    owned, uncommitted = None, False
    while not ended.is_set():
        taken = []
        for message in reader.consume(500, 0.1):
            if message.error():
                # A node that restarts is no reason to give up.
                print(message.error(), file=sys.stderr)
            else:
                taken.append(message)
        now = sorted(where.partition for where in reader.assignment())
        if now != owned:
            owned = now
            lines.tell(assigned=owned)
        for message in taken:
            tell(message)
        uncommitted = (uncommitted or bool(taken)) and not commit(reader)
    reader.close()


def commit(reader):
    """Whether what it has taken is committed; a rebalance or the node's end may be in the way.

    A cooperative member keeps its partitions and position through those: it has to commit again.
    """
    try:
        reader.commit(asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() == KafkaError._NO_OFFSET:
            return True
        print(error, file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    lines.play({"create": create, "produce": produce, "consume": consume, "member": member})
