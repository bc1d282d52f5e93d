"""A transactional producer for `cargo x kill9 --transactions`: writes until SIGTERM, notes every end.

Each transaction puts a few records on several partitions; some are aborted on purpose. A line, number
and outcome, goes to a file as soon as the outcome is known: C was told to be committed, A to be aborted,
? neither (the client gave up in the middle of a commit). A transaction without a line is as good as ?.
"""

import random
import signal
import sys
import time

from confluent_kafka import KafkaException, Producer

RECORDS = 5
ABORTED_SHARE = 0.25
# Longer than a kill and a start take, shorter than the coordinator's own limit.
CALL_S = 30.0
PAUSE_S = 0.05


def value(producer, number, index):
    return b"%d:%d:%d:%d" % (producer, number, index, RECORDS)


def connected(bootstrap, name):
    while True:
        producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "broker.address.family": "v4",
                "transactional.id": name,
                "linger.ms": 1,
                "message.timeout.ms": 60000,
                "transaction.timeout.ms": 60000,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 100,
                "retry.backoff.ms": 20,
            }
        )
        try:
            insist(lambda: producer.init_transactions(CALL_S))
            return producer
        except KafkaException:
            time.sleep(PAUSE_S)


def insist(call):
    """As long as the client says that trying again may help."""
    while True:
        try:
            return call()
        except KafkaException as failed:
            if not failed.args[0].retriable():
                raise


def transact(producer, topic, writer, number, partitions, chance):
    """What is known of its end."""
    producer.begin_transaction()
    for index in range(RECORDS):
        producer.produce(topic, value(writer, number, index), partition=chance.randrange(partitions))
    is_committing = False
    try:
        if chance.random() < ABORTED_SHARE:
            # With its records on their way or in the log, as it happens.
            producer.flush(chance.random() * 0.01)
            insist(lambda: producer.abort_transaction(CALL_S))
            return "A"
        is_committing = True
        insist(lambda: producer.commit_transaction(CALL_S))
        return "C"
    except KafkaException as failed:
        if failed.args[0].txn_requires_abort():
            insist(lambda: producer.abort_transaction(CALL_S))
            return "A"
        if not is_committing:
            raise
        return "?"


def main():
    bootstrap, topic, writer, partitions, path = sys.argv[1:6]
    writer, partitions = int(writer), int(partitions)
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    chance = random.Random(writer)
    name, number = f"kill9-{writer}", 0
    producer = connected(bootstrap, name)
    with open(path, "w", buffering=1) as ends:
        while not stopped:
            number += 1
            try:
                outcome = transact(producer, topic, writer, number, partitions, chance)
            except KafkaException as failed:
                print(f"writer {writer}: {number}: {failed}", flush=True)
                outcome = "?"
            ends.write(f"{number} {outcome}\n")
            if outcome == "?":
                producer = connected(bootstrap, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
