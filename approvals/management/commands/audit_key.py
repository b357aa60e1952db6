"""`manage.py audit_key --out FILE`: make the key that signs checkpoints; without --out: show the public key in use."""

from __future__ import annotations

import base64
import os
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals.audit import checkpoints
from approvals.verify_checkpoint import key_id, read_key


class Command(BaseCommand):
    help = "Makes the private key for AUDIT_SIGNING_KEY, or shows the public key of the one that is set."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", metavar="FILE", help="a new file for the private key, readable by its owner alone")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["out"]:
            seed = checkpoints.new_seed()
            try:
                handle = os.open(options["out"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except OSError as problem:
                raise CommandError(f"No key was made: {problem}.")
            with os.fdopen(handle, "w") as file:
                file.write(f"{seed}\n")
            key = Ed25519PrivateKey.from_private_bytes(read_key(seed))
            self.stdout.write(f"Private key: {options['out']} (set AUDIT_SIGNING_KEY to this path)")
        else:
            try:
                key = checkpoints.private_key()
            except checkpoints.CheckpointError as problem:
                raise CommandError(f"{problem}.")
        public = checkpoints.public_bytes(key)
        self.stdout.write(f"Public key: {base64.b64encode(public).decode()}")
        self.stdout.write(f"Key id: {key_id(public)}")
