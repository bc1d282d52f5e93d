#!/usr/bin/env python3
"""Reads the message schemas inside Apache Kafka's jars and writes their facts in our notation.

    wire/schema/extract.py            fetch the jars with Maven, rewrite the facts
    wire/schema/extract.py --check    extract again and compare with the committed facts
    wire/schema/extract.py --jars DIR use the jars of this folder, fetch nothing

Facts only: names, types, versions, tags, defaults. Descriptions and comments stay where they are.
The notation is described in README.md beside this file. Standard library only.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

KAFKA = "4.3.0"
SCHEMAS = 275
# Jar, and the folder its schemas go to.
JARS = {
    "kafka-clients": "client",
    "kafka-metadata": "metadata",
    "kafka-group-coordinator": "group",
    "kafka-transaction-coordinator": "transaction",
    "kafka-share-coordinator": "share",
    "kafka-raft": "raft",
}
# The first word of a message's line, by the schema's own type.
KINDS = {
    "request": "request",
    "response": "response",
    "header": "header",
    "data": "data",
    "metadata": "record",
    "coordinator-key": "key",
    "coordinator-value": "value",
}
# Parts of one file come in this order.
KIND_ORDER = list(KINDS.values())
SUFFIXES = ("Request", "Response", "Record", "Key", "Value")


def fetch(folder):
    for jar in JARS:
        subprocess.run(
            ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact=org.apache.kafka:{jar}:{KAFKA}",
             f"-DoutputDirectory={folder}", "-Dmdep.useBaseVersion=true"],
            check=True, stdout=sys.stderr)


def snake(name):
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()


def field_line(field):
    # A tagged field may leave its versions out: it exists where it is tagged.
    versions = field.get("versions") or field["taggedVersions"]
    words = [field["name"], field["type"].replace(" ", ""), versions]
    if field.get("nullableVersions"):
        words += ["null", field["nullableVersions"]]
    if "tag" in field:
        words += ["tag", str(field["tag"]), field["taggedVersions"]]
    default = field.get("default")
    if isinstance(default, bool):
        default = str(default).lower()
    # An absent, null or empty default is the type's own zero.
    if default not in (None, ""):
        words += ["default", str(default)]
    if field.get("ignorable"):
        words.append("ignorable")
    if field.get("flexibleVersions"):
        words += ["flexible", field["flexibleVersions"]]
    return " ".join(words)


def field_lines(fields, depth):
    for field in fields:
        yield "  " * depth + field_line(field)
        yield from field_lines(field.get("fields", []), depth + 1)


def message_lines(schema):
    words = [KINDS[schema["type"]]]
    if "apiKey" in schema:
        words.append(str(schema["apiKey"]))
    words += [schema["name"], schema["validVersions"]]
    if schema["validVersions"] != "none":
        words += ["flexible", schema["flexibleVersions"]]
    if schema.get("listeners"):
        words += ["listeners", ",".join(sorted(schema["listeners"]))]
    if schema.get("latestVersionUnstable"):
        words.append("unstable")
    yield " ".join(words)
    for struct in schema.get("commonStructs", []):
        yield f"  struct {struct['name']} {struct['versions']}"
        yield from field_lines(struct["fields"], 2)
    yield from field_lines(schema.get("fields", []), 1)


def file_name(schema):
    name = schema["name"]
    if "apiKey" not in schema:
        return snake(name) + ".txt"
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return f"k{schema['apiKey']:02}_{snake(name)}.txt"


def extract(jars):
    """All facts: path below this folder -> text."""
    parts, count = {}, 0
    for jar, folder in JARS.items():
        with zipfile.ZipFile(jars / f"{jar}-{KAFKA}.jar") as archive:
            for entry in archive.namelist():
                if not re.fullmatch(r"common/(message|metadata)/\w+\.json", entry):
                    continue
                text = archive.read(entry).decode()
                schema = json.loads(re.sub(r"(?m)^\s*//.*$", "", text))
                lines = list(message_lines(schema))
                order = KIND_ORDER.index(KINDS[schema["type"]])
                parts.setdefault(f"{folder}/{file_name(schema)}", []).append((order, lines))
                count += 1
    if count != SCHEMAS:
        sys.exit(f"{count} schemas in the jars, {SCHEMAS} expected")
    return {
        path: "\n".join("\n".join(lines) for _, lines in sorted(messages)) + "\n"
        for path, messages in parts.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--jars", type=Path)
    args = parser.parse_args()
    here = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as temporary:
        jars = args.jars
        if jars is None:
            jars = Path(temporary)
            fetch(jars)
        facts = extract(jars)
    committed = {str(p.relative_to(here)): p for p in here.glob("*/*.txt")}
    if args.check:
        wrong = sorted(set(facts) ^ set(committed))
        wrong += [p for p in facts if p in committed and committed[p].read_text() != facts[p]]
        for path in wrong:
            print(f"differs: {path}", file=sys.stderr)
        print(f"{SCHEMAS} schemas of Kafka {KAFKA}, {len(facts)} files, {len(wrong)} differ")
        sys.exit(1 if wrong else 0)
    for path in set(committed) - set(facts):
        committed[path].unlink()
    for path, text in facts.items():
        (here / path).parent.mkdir(exist_ok=True)
        (here / path).write_text(text)
    print(f"{SCHEMAS} schemas of Kafka {KAFKA}, {len(facts)} files")


if __name__ == "__main__":
    main()
