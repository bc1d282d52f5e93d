"""Packs what Capture.java recorded into one text file an API, for wire/tests/golden.

Run: python3 pack_captures.py CAPTURES SCHEMA/client OUT_DIR

A line is: client, version, `request` or `response`, the frame in hex (without its length). Kept are
the first exchange of each client and version, of Produce the first of each codec. Folders named
CLIENT-lowerN are the same client held back to older versions, and only add what is missing.
"""

import pathlib
import re
import sys

LARGEST = 6000  # a frame; DescribeConfigs with its documentation is far above

captures, schema, out = map(pathlib.Path, sys.argv[1:])
names = {int(f.name[1:3]): f.stem for f in schema.glob("k[0-9]*.txt")}


def rank(folder):
    lower = re.search(r"-lower(\d+)$", folder.name)
    return (int(lower[1]) if lower else 0, folder.name)


def codec(frame):
    """Attributes of the first record batch, to tell Produce requests apart."""
    for at in range(20, len(frame) - 61):
        length = int.from_bytes(frame[at + 8 : at + 12], "big")
        if frame[at : at + 8] == bytes(8) and frame[at + 16] == 2 and 49 < length <= len(frame) - at - 12:
            return frame[at + 21 : at + 23].hex()
    return ""


kept = {}
seen = set()
for folder in sorted(captures.iterdir(), key=rank):
    client = re.sub(r"-lower\d+$", "", folder.name)
    for request in sorted(folder.glob("*.request")):
        key, version = map(int, re.match(r"k(\d+)_v(\d+)_", request.name).groups())
        frame = request.read_bytes()
        kind = (client, key, version, codec(frame) if key == 0 else "")
        if kind in seen or key not in names:
            continue
        seen.add(kind)
        lines = kept.setdefault(key, [])
        lines.append((client, version, "request", frame))
        response = request.with_suffix(".response")
        if response.exists() and response.stat().st_size <= LARGEST:
            lines.append((client, version, "response", response.read_bytes()))

for key, lines in kept.items():
    lines.sort(key=lambda line: (line[1], line[0]))
    text = "".join("%s v%d %s %s\n" % (c, v, what, frame.hex()) for c, v, what, frame in lines if len(frame) <= LARGEST)
    (out / (names[key] + ".txt")).write_text(text)
print(len(kept), "files,", sum(map(len, kept.values())), "frames")
