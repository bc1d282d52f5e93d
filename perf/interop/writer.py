"""An idempotent acks=all producer for `cargo x kill9`: writes until SIGTERM, notes every ack.

One line per acknowledgement, partition offset sequence, goes to a file before anything else
happens: a line there is a promise that the audit holds the server to.
"""

import signal
import sys
import time
import zlib

from confluent_kafka import Producer

# A batch a few milliseconds apart keeps many small requests in flight when the server dies.
LINGER_MS = 5
DRAIN_S = 120.0


def value(producer, sequence):
    seed = b"%d:%d" % (producer, sequence)
    return seed + b":" + b"%08x" % zlib.crc32(seed) * (4 + sequence % 20)


def main():
    bootstrap, topic, number, partitions, per_second, path = sys.argv[1:7]
    number, partitions, per_second = int(number), int(partitions), float(per_second)
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": LINGER_MS,
            "message.timeout.ms": 300000,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 100,
            "retry.backoff.ms": 20,
        }
    )
    refused = []
    with open(path, "w", buffering=1 << 16) as acks:

        def delivered(error, message):
            if error is not None:
                refused.append(str(error))
            else:
                sequence = int(message.value().split(b":")[1])
                acks.write(f"{message.partition()} {message.offset()} {sequence}\n")

        sequence, started = 0, time.monotonic()
        while not stopped:
            due = int((time.monotonic() - started) * per_second)
            while sequence < due:
                try:
                    producer.produce(
                        topic, value(number, sequence), partition=sequence % partitions,
                        on_delivery=delivered,
                    )
                except BufferError:
                    break
                sequence += 1
            producer.poll(0.002)
        left = producer.flush(DRAIN_S)
    if left or refused:
        print(f"producer {number}: {left} unsent, {len(refused)} refused: {refused[:3]}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
