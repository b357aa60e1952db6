"""Checks a signed checkpoint of the audit log from outside: no database, no settings, no Django.

    python verify_checkpoint.py CHECKPOINT.json… --public-key KEY [--entries ENTRIES.csv]

KEY: the public key that `manage.py audit_key` printed, as base64 or a file that holds it; get it from the people who
run the log, not from the machine that made the file. Needs Python 3.9+, the `cryptography` package, and this one file.

--entries: the audit log as the back office exports it (/admin/approvals/auditentry/, "Export"). Each entry's hash is
made again, the links between neighbours are followed, and the entry that the checkpoint names must have the hash it
names.

Exit code 0: everything holds; 1: something does not; 2: it could not be read.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import csv
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "billingops audit checkpoint 1"
FIELDS = {"format": str, "seq": int, "hash": str, "entries": int, "at": str, "key_id": str, "signature": str}
_ESCAPED = re.compile(r"'\s*[=+\-@]")  # the export puts an apostrophe before what a spreadsheet would calculate
SEALED = ("format", "seq", "at", "actor", "action", "subject", "account", "event_id", "data", "previous_hash")


class CheckpointError(Exception):
    """The file cannot be believed; str() says why."""


def signed_bytes(content: dict[str, Any]) -> bytes:
    """What the signature is over: everything but itself, as JSON with sorted keys and no blanks."""
    rest = {key: value for key, value in content.items() if key != "signature"}
    return json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def key_id(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:16]


def read_key(text: str) -> bytes:
    """32 bytes, from base64 or from a file that holds it (the last line that is no comment)."""
    try:
        path = Path(text)
        if path.is_file():
            lines = path.read_text(encoding="ascii").split("\n")
            text = next(line for line in reversed(lines) if line.strip() and not line.startswith("#"))
        key = base64.b64decode(text.strip(), validate=True)
    except (OSError, ValueError, binascii.Error, StopIteration):
        key = b""
    if len(key) != 32:
        raise CheckpointError("this is no key: it has 32 bytes, as base64 or in a file")
    return key


def parse(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        raise CheckpointError("this is no JSON")
    if not isinstance(content, dict) or content.get("format") != FORMAT or set(content) != set(FIELDS):
        raise CheckpointError(f'this is no checkpoint of the form "{FORMAT}"')
    if any(type(content[name]) is not kind for name, kind in FIELDS.items()):
        raise CheckpointError("a field of the checkpoint is of the wrong type")
    return content


def check_signature(content: dict[str, Any], public_keys: list[bytes]) -> None:
    """Raises CheckpointError unless one of `public_keys` has signed exactly this content."""
    key = next((one for one in public_keys if key_id(one) == content["key_id"]), None)
    if key is None:
        known = ", ".join(key_id(one) for one in public_keys) or "none"
        raise CheckpointError(f"it was signed with key {content['key_id']}; the keys given are: {known}")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(content["signature"]), signed_bytes(content))
    except (InvalidSignature, ValueError):
        raise CheckpointError("the signature does not fit: the file was changed, or signed with another key")


def entry_hash(entry: dict[str, str]) -> str:
    """Of an entry as it was exported. Format 2: its columns, one a line."""
    return hashlib.sha256("\n".join(entry[name] for name in SEALED).encode()).hexdigest()


def check_entries(path: Path, checkpoints: list[dict[str, Any]]) -> int:
    """How many entries were read. Raises CheckpointError for the first that does not hold."""
    wanted = {content["seq"]: content for content in checkpoints}
    hashes: dict[int, tuple[str, str]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            entry = {name: value[1:] if _ESCAPED.match(value) else value for name, value in row.items()}
            entry["at"] = entry["at"].replace("T", " ").replace("+00:00", "")
            entry["at"] += "" if "." in entry["at"] else ".000000"
            seq = int(entry["seq"])
            if entry["format"] != "2":
                raise CheckpointError(f"entry {seq} is of format {entry['format']}; this program knows format 2")
            if entry_hash(entry) != entry["hash"]:
                raise CheckpointError(f"entry {seq} was changed after it was written")
            hashes[seq] = (entry["previous_hash"], entry["hash"])
    for seq, (previous, _) in hashes.items():
        if seq - 1 in hashes and hashes[seq - 1][1] != previous:
            raise CheckpointError(f"entry {seq} does not continue the entry before it")
    for seq, content in wanted.items():
        if seq in hashes and hashes[seq][1] != content["hash"]:
            raise CheckpointError(f"entry {seq} is another one than the checkpoint names")
        if seq not in hashes:
            raise CheckpointError(f"entry {seq}, which the checkpoint names, is not among the entries")
    return len(hashes)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="+", type=Path)
    parser.add_argument("--public-key", required=True, metavar="KEY")
    parser.add_argument("--entries", type=Path, metavar="ENTRIES.csv")
    given = parser.parse_args(arguments)
    contents = []
    try:
        public_key = read_key(given.public_key)
        for path in given.checkpoint:
            where = str(path)
            content = parse(path.read_text(encoding="utf-8"))
            check_signature(content, [public_key])
            print(f"{path}: signed by key {content['key_id']} at {content['at']}")  # noqa: T201
            print(f"  entry {content['seq']} has the hash {content['hash']}")  # noqa: T201
            contents.append(content)
        if given.entries:
            where = str(given.entries)
            count = check_entries(given.entries, contents)
            print(f"{given.entries}: {count} entries, each with its own hash and linked to the one before")  # noqa: T201
    except CheckpointError as problem:
        print(f"{where}: NOT VALID: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    except (OSError, UnicodeDecodeError, KeyError, ValueError) as problem:
        print(f"could not be read: {problem}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
