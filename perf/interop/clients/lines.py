"""The protocol of `cargo x interop` with its clients, as its Python clients speak it.

    PROGRAM create|produce|consume|member BOOTSTRAP TOPIC OPTIONS

Options are JSON; so is each line in and out. Bytes are hex, null is null.
"""

import json
import sys
import threading


def play(commands):
    """Runs the command that the driver asks for."""
    command, bootstrap, topic, options = sys.argv[1:5]
    commands[command](bootstrap, topic, json.loads(options))


def tell(**line):
    print(json.dumps(line), flush=True)


def unhex(text):
    return None if text is None else bytes.fromhex(text)


def tohex(data):
    return None if data is None else bytes(data).hex()


def batches():
    """Lists of records: an empty line says that the ones before it are to be sent."""
    batch = []
    for line in sys.stdin:
        if line.strip():
            record = json.loads(line)
            record["key"], record["value"] = unhex(record["key"]), unhex(record["value"])
            record["headers"] = [(name, unhex(value)) for name, value in record["headers"]]
            batch.append(record)
        else:
            yield batch
            batch = []


def requests():
    """Each line of input: a list of places to read from."""
    return (json.loads(line) for line in sys.stdin)


def tell_record(partition, offset, timestamp, key, value, headers):
    tell(
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        key=tohex(key),
        value=tohex(value),
        headers=[[name, tohex(data)] for name, data in headers or []],
    )


def end_of_input():
    """An event that comes when the driver closes the input."""
    ended = threading.Event()

    def read():
        sys.stdin.read()
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    return ended
