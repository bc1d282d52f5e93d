"""Holds the server to what transactions promise, after `cargo x kill9 --transactions`.

What a reader of committed records is shown now:
- a transaction whole or not at all, each record once, a producer's in order within a partition;
- all of those that were told to be committed (none is a lost write);
- none of those that were told to be aborted (aborted read).
And what a reader was shown while the server died and came back, over and over: nothing that is not
shown now (a record that was not committed yet, and never was), and nothing left out.
"""

import json
import sys
from collections import defaultdict

from confluent_kafka import Consumer, KafkaError, TopicPartition


def read_all(bootstrap, topic, partitions, isolation):
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "group.id": "txn-audit",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "check.crcs": True,
        }
    )
    reader.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    open_ends = set(range(partitions))
    while open_ends:
        for message in reader.consume(10000, 1.0):
            if message.error() is None:
                yield message.partition(), message.offset(), message.value().decode()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                open_ends.discard(message.partition())
            else:
                raise RuntimeError(message.error())
    reader.close()


def main():
    bootstrap, topic, partitions, shown = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    problems, where, found, last = [], {}, defaultdict(list), {}
    for partition, offset, text in read_all(bootstrap, topic, partitions, "read_committed"):
        writer, number, index, count = (int(word) for word in text.split(":"))
        where[partition, offset] = text
        found[writer, number].append((index, count))
        if (number, index) <= last.get((partition, writer), (0, -1)):
            problems.append(f"out of order: {text} at {partition}@{offset}")
        last[partition, writer] = (number, index)
    for (writer, number), records in found.items():
        count = records[0][1]
        if sorted(index for index, _ in records) != list(range(count)):
            problems.append(f"not whole: transaction {writer}:{number} shows {sorted(records)}")
    outcomes = {"C": 0, "A": 0, "?": 0}
    for writer, path in enumerate(sys.argv[5:]):
        for line in open(path):
            number, outcome = line.split()
            outcomes[outcome] += 1
            is_there = (writer, int(number)) in found
            if outcome == "C" and not is_there:
                problems.append(f"lost: transaction {writer}:{number} was committed")
            if outcome == "A" and is_there:
                problems.append(f"aborted read: transaction {writer}:{number} was aborted")
    ends, seen = {}, set()
    for line in open(shown):
        partition, offset, text = line.split()
        place = (int(partition), int(offset))
        seen.add(place)
        if where.get(place) != text:
            problems.append(f"shown and not there: {text} at {partition}@{offset}, there is {where.get(place)}")
        if place[1] <= ends.get(place[0], -1):
            problems.append(f"shown twice or late: {text} at {partition}@{offset}")
        ends[place[0]] = place[1]
    for place in where:
        if place[1] < ends.get(place[0], -1) and place not in seen:
            problems.append(f"left out: {where[place]} at {place} was not shown")
    in_all = sum(1 for _ in read_all(bootstrap, topic, partitions, "read_uncommitted"))
    print(json.dumps({
        "transactions": outcomes, "records": in_all, "committed": len(where), "shown": len(seen),
        "problems": len(problems),
    }))
    for problem in problems[:20]:
        print(problem)
    return 1 if problems or outcomes["C"] == 0 or outcomes["A"] == 0 or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
