"""Reads everything after `cargo x kill9` and holds the server to each acknowledgement.

Nothing acknowledged may be lost, moved to another offset, changed or there twice, and each
producer's records have to be in order within a partition.
"""

import json
import sys

from confluent_kafka import Consumer, KafkaError, TopicPartition

from writer import value

PATIENCE_S = 60.0


def read_all(bootstrap, topic, partitions):
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "group.id": "audit",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "check.crcs": True,
        }
    )
    reader.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    open_ends = set(range(partitions))
    while open_ends:
        for message in reader.consume(10000, 1.0):
            if message.error() is None:
                yield message.partition(), message.offset(), message.value()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                open_ends.discard(message.partition())
            else:
                raise RuntimeError(message.error())
    reader.close()


def main():
    bootstrap, topic, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
    where, last, next_offset, problems = {}, {}, {}, []
    for partition, offset, got in read_all(bootstrap, topic, partitions):
        number, sequence = (int(word) for word in got.split(b":")[:2])
        if got != value(number, sequence):
            problems.append(f"changed: {partition}@{offset} holds {got[:60]!r}")
        if (number, sequence) in where:
            problems.append(f"duplicated: {number}:{sequence} at {where[number, sequence]} and {partition}@{offset}")
        where[number, sequence] = (partition, offset)
        if sequence <= last.get((partition, number), -1):
            problems.append(f"out of order: {number}:{sequence} at {partition}@{offset}")
        last[partition, number] = sequence
        if offset != next_offset.get(partition, 0):
            problems.append(f"offsets jump: {partition}@{offset}")
        next_offset[partition] = offset + 1
    acknowledged = 0
    for number, path in enumerate(sys.argv[4:]):
        for line in open(path):
            partition, offset, sequence = (int(word) for word in line.split())
            acknowledged += 1
            found = where.get((number, sequence))
            if found is None:
                problems.append(f"lost: {number}:{sequence}, acknowledged at {partition}@{offset}")
            elif found != (partition, offset):
                problems.append(f"moved: {number}:{sequence} from {partition}@{offset} to {found}")
    print(json.dumps({"records": len(where), "acknowledged": acknowledged, "problems": len(problems)}))
    for problem in problems[:20]:
        print(problem)
    return 1 if problems or acknowledged == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
