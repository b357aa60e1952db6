"""Signed statements "at this time the log's entry SEQ had the hash HASH", kept where the database's owner cannot reach.

They make a cut-off end visible, and a chain that was made anew from some point on. The private key is
AUDIT_SIGNING_KEY: whoever has both it and the database can forge both, so give the key to the worker alone and the
files to others.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.utils import timezone

from approvals.audit.chain import record
from approvals.audit.verifying import START, Link, verify
from approvals.models import AuditEntry
from approvals.verify_checkpoint import FORMAT, CheckpointError, check_signature, key_id, parse, read_key, signed_bytes
from billingops.actors import Actor

PATTERN = "audit-*.json"


@dataclass(frozen=True)
class Checkpoint:
    """`entries`: how many there were up to `seq`; `at`: when it was signed, ISO 8601 in UTC; `signature`: base64."""

    seq: int
    hash: str
    entries: int
    at: str
    key_id: str
    signature: str = ""
    format: str = FORMAT

    @property
    def filename(self) -> str:
        day = datetime.fromisoformat(self.at).strftime("%Y%m%dT%H%M%SZ")
        return f"audit-{self.seq:012}-{day}.json"


def new_seed() -> str:
    """A private key as AUDIT_SIGNING_KEY takes it."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def private_key() -> Ed25519PrivateKey:
    """Raises CheckpointError when AUDIT_SIGNING_KEY is not set, or no key."""
    if not settings.AUDIT_SIGNING_KEY:
        raise CheckpointError("AUDIT_SIGNING_KEY is not set; `manage.py audit_key --out FILE` makes one")
    return Ed25519PrivateKey.from_private_bytes(read_key(settings.AUDIT_SIGNING_KEY))


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def trusted_keys(named: str = "") -> list[bytes]:
    """The one that was named; else our own and those of AUDIT_PUBLIC_KEYS (former ones)."""
    if named:
        return [read_key(named)]
    own = [public_bytes(private_key())] if settings.AUDIT_SIGNING_KEY else []
    return [*own, *(read_key(one) for one in settings.AUDIT_PUBLIC_KEYS)]


def sign(link: Link, *, entries: int, key: Ed25519PrivateKey) -> Checkpoint:
    now = timezone.now().astimezone(UTC).isoformat(timespec="seconds")
    content: dict[str, Any] = {
        "format": FORMAT,
        "seq": link.seq,
        "hash": link.hash,
        "entries": entries,
        "at": now,
        "key_id": key_id(public_bytes(key)),
    }
    return Checkpoint(**content, signature=base64.b64encode(key.sign(signed_bytes(content))).decode())


def read(path: Path, *, public_key: str = "") -> Checkpoint:
    """Raises CheckpointError unless a key that is trusted has signed it."""
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise CheckpointError(f"it cannot be read ({problem})")
    keys = trusted_keys(public_key)
    if not keys:
        raise CheckpointError("no key to check its signature with: name one with --public-key")
    check_signature(content, keys)
    return Checkpoint(**content)


def differs(checkpoint: Checkpoint) -> str:
    """Why the log does not hold the checkpoint's link; "" when it does. It says nothing about the entries between."""
    hash_ = AuditEntry.objects.filter(seq=checkpoint.seq).values_list("hash", flat=True).first()
    if hash_ is None:
        return f"entry {checkpoint.seq} is missing, so the log's end was cut off or the entry removed"
    if hash_ != checkpoint.hash:
        return f"entry {checkpoint.seq} has another hash than on {checkpoint.at}"
    return ""


def files(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob(PATTERN))


def make(*, actor: Actor, after: Checkpoint | None = None) -> Checkpoint:
    """Walk the log to its end and sign its last link; behind `after` alone when that one still holds. The log notes it.

    Raises CheckpointError for a log that is broken, empty, or not the one that `after` was made of: nothing is signed.
    """
    key = private_key()
    if after and (why := differs(after)):
        raise CheckpointError(f"nothing was signed: {why}")
    verdict = verify(start=Link(after.seq, after.hash) if after else START)
    if verdict.broken_at is not None:
        raise CheckpointError(f"nothing was signed: the log is broken at entry {verdict.broken_at}: {verdict.why}")
    if not verdict.last.seq:
        raise CheckpointError("nothing was signed: the log is empty")
    made = sign(verdict.last, entries=verdict.entries + (after.entries if after else 0), key=key)
    data = {"seq": made.seq, "hash": made.hash, "key": made.key_id}
    record(action="checkpoint.signed", subject=f"checkpoint:{made.seq}", actor=actor, data=data)
    return made


def write(checkpoint: Checkpoint, path: Path) -> Path:
    """A file that is either whole or not there; one that is there is never overwritten."""
    if path.is_dir():
        path = path / checkpoint.filename
    text = json.dumps(asdict(checkpoint), indent=2) + "\n"
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    draft.write_text(text, encoding="ascii")
    try:
        os.link(draft, path)
    except FileExistsError:
        raise CheckpointError(f"{path} is there already; checkpoints are not overwritten")
    finally:
        draft.unlink()
    return path
