"""Which settings are in effect, noted when they are others than the last time: secrets and passwords are never among
them, only whether they are set."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.db import transaction

from approvals.audit.chain import append
from approvals.models import AuditEntry
from billingops.actors import Actor
from billingops.ids import seal

PREFIXES = ("INBOX_", "EXECUTION_", "STRIPE_TIMEOUT", "STRIPE_READS", "SUGGESTION_", "PAYOUT_", "FINDING_", "LLM_")
NAMES = (
    *("DEBUG", "ALLOWED_HOSTS", "TIME_ZONE", "SESSION_COOKIE_AGE", "SESSION_COOKIE_SECURE", "SECURE_SSL_REDIRECT"),
    *("STRIPE_API_VERSION", "STRIPE_LIVE_MODE", "STRIPE_IS_SANDBOX", "DUNNING", "EMAIL_BACKEND"),
    *("OPENAI_MODEL", "OPENAI_TIMEOUT_SECONDS", "OPENAI_MAX_TOKENS", "AUTH_PASSWORD_VALIDATORS"),
)
HOSTS = ("STRIPE_API_BASE", "OPENAI_BASE_URL")  # an address may carry a password: its host alone
SET_OR_NOT = (
    *("STRIPE_SECRET_KEY", "STRIPE_WRITE_KEY", "STRIPE_WEBHOOK_SECRETS", "OPENAI_API_KEY", "REDIS_URL", "EMAIL_URL"),
    *("AUDIT_SIGNING_KEY", "AUDIT_CHECKPOINT_DIR"),
)
PACKAGES = ("django", "dj-stripe", "stripe", "django-q2", "django-simple-history", "openai")
# A dial is called what it is called; but what looks like a secret by its name is left out whatever the lists say.
_SECRET = ("KEY", "SECRET", "PASSWORD", "TOKEN", "URL")


def effective() -> dict[str, Any]:
    """Name → value, JSON."""
    names = {*NAMES, *(name for name in dir(settings) if name.isupper() and name.startswith(PREFIXES))}
    found: dict[str, Any] = {}
    for name in sorted(names):
        if name in NAMES or not any(name.endswith(f"_{word}") for word in _SECRET):
            found[name] = _plain(getattr(settings, name, None))
    for name in HOSTS:
        found[f"{name}, host"] = urlsplit(getattr(settings, name, "") or "").hostname or ""
    for name in SET_OR_NOT:
        found[f"{name}, set"] = bool(getattr(settings, name, ""))
    found["database"] = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    found["versions"] = {name: _version(name) for name in PACKAGES}
    return found


def note_when_changed(part: str) -> bool:
    """Append what changed since `part` (migrate, worker) last looked, and the fingerprint of the whole. Three
    statements when something did, else one."""
    now = effective()
    subject = f"settings:{part}"
    if _last(subject).get("fingerprint") == seal(now):
        return False
    with transaction.atomic(savepoint=False):
        before = _last(subject).get("settings", {})
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        append(
            action="setting.effective",
            subject=subject,
            actor=Actor.system(part),
            data={"fingerprint": seal(now), "changed": changed, "settings": now},
        )
    return True


def note_after_migrate(sender: AppConfig, **kwargs: Any) -> None:
    """post_migrate receiver."""
    from approvals.receivers import table_is_there

    if sender.label == "approvals" and table_is_there():
        note_when_changed("migrate")


def _last(subject: str) -> dict[str, Any]:
    entry = AuditEntry.objects.filter(subject=subject).order_by("-seq").only("data").first()
    data: Any = entry.data if entry else {}
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in sorted(value.items(), key=lambda pair: str(pair[0]))}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else str(value)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
