"""Reads committed records for `cargo x kill9 --transactions` while the server dies and comes back.

One line for each record, partition offset value, goes to a file: what was once shown has to stay true.
Ends after SIGTERM.
"""

import signal
import sys

from confluent_kafka import Consumer, TopicPartition


def main():
    bootstrap, topic, partitions, path = sys.argv[1:5]
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "group.id": "txn-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "check.crcs": True,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 100,
        }
    )
    reader.assign([TopicPartition(topic, number, 0) for number in range(int(partitions))])
    with open(path, "w") as seen:
        while not stopped:
            for message in reader.consume(1000, 0.1):
                # Errors come and go with the server; what counts is what is shown.
                if message.error() is None:
                    text = message.value().decode()
                    seen.write(f"{message.partition()} {message.offset()} {text}\n")
    reader.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
