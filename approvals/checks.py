"""System checks of the gate: a log that is meant to be signed can be signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from approvals.audit import checkpoints


@register(Tags.security)
def checkpoints_can_be_signed_and_kept(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    try:
        checkpoints.trusted_keys()
    except checkpoints.CheckpointError as problem:
        found.append(
            Error(
                f"AUDIT_SIGNING_KEY or AUDIT_PUBLIC_KEYS: {problem}.",
                hint="A path or base64; `manage.py audit_key --out FILE` makes a key.",
                id="approvals.E001",
            )
        )
    if settings.AUDIT_CHECKPOINT_DIR and not settings.AUDIT_SIGNING_KEY:
        found.append(
            Error(
                "AUDIT_CHECKPOINT_DIR is set, but there is no key to sign checkpoints with.",
                hint="Set AUDIT_SIGNING_KEY; `manage.py audit_key --out FILE` makes a key.",
                id="approvals.E002",
            )
        )
    if settings.AUDIT_CHECKPOINT_DIR and not Path(settings.AUDIT_CHECKPOINT_DIR).is_dir():
        found.append(
            Error(
                "AUDIT_CHECKPOINT_DIR is no folder.",
                hint="Make it, writable for the worker; best on a machine whose owner is not the database's.",
                id="approvals.E003",
            )
        )
    return found
