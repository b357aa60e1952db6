"""Throttles guessing of passwords: failed sign-ins are counted per name and address, per name, and per address.

Counted in the database, not in Django's cache: without a shared cache every web worker would keep a count of its own.
The keys are hashed with the server's secret. A name that does not exist is counted like one that does.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import get_user_model
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from billingops.actors import Actor
from billingops.journal import Note, note
from billingops.models import SignInThrottle

WINDOW = timedelta(minutes=15)
# Somebody who mistypes stays below the first; the second stops guessing from many addresses, and is high because it
# also locks the owner out; the third stops trying one password on many names.
MAX_FAILURES = {"name and address": 5, "name": 30, "address": 50}


def address(request: HttpRequest | None) -> str:
    """The client's address; behind a proxy the last one it names, the only one that the client cannot write."""
    if request is None:
        return ""
    if settings.SECURE_PROXY_SSL_HEADER and (hops := request.headers.get("x-forwarded-for", "")):
        return hops.rpartition(",")[2].strip()
    return request.META.get("REMOTE_ADDR", "")


def _keys(request: HttpRequest | None, name: str) -> dict[str, str]:
    who, where = name.strip().casefold(), address(request)
    raw = {"name and address": f"{who}\n{where}", "name": who, "address": where}
    return {
        kind: salted_hmac(f"billingops.signin.{kind}", value, algorithm="sha256").hexdigest()
        for kind, value in raw.items()
    }


def is_throttled(request: HttpRequest | None, name: str) -> bool:
    keys = _keys(request, name)
    fresh = SignInThrottle.objects.filter(pk__in=keys.values(), since__gt=timezone.now() - WINDOW)
    failures = dict(fresh.values_list("pk", "failures"))
    return any(failures.get(key, 0) >= MAX_FAILURES[kind] for kind, key in keys.items())


def failed(request: HttpRequest | None, name: str) -> None:
    """Count it. The audit log is told once when a limit is reached, not of every attempt that is then turned away: who
    knocks on and on must not be able to fill it."""
    kinds = {key: kind for kind, key in _keys(request, name).items()}
    with transaction.atomic():
        reached = [kinds[key] for key, count in _count(kinds).items() if count == MAX_FAILURES[kinds[key]]]
        if reached:
            users = get_user_model()._default_manager.filter(username=name).values_list("pk", flat=True)
            data = {"counted_by": sorted(reached), "minutes": WINDOW.seconds // 60}
            note(Note("login.throttled", f"user:{users.first() or 'unknown'}", Actor.system("sign-in"), data))


def token_refused(request: HttpRequest) -> int:
    """Count an API token that was refused; returns how many came from this address within the window."""
    where = salted_hmac("billingops.signin.token", address(request), algorithm="sha256").hexdigest()
    return _count([where])[where]


def _count(keys: Iterable[str]) -> dict[str, int]:
    """One failure more for each key; returns how many it is now."""
    now, counts = timezone.now(), {}
    with transaction.atomic():
        for key in sorted(keys):  # one order for all, so that two requests cannot deadlock
            SignInThrottle.objects.get_or_create(pk=key)
            row = SignInThrottle.objects.select_for_update().get(pk=key)
            if row.since <= now - WINDOW:
                row.failures, row.since = 0, now
            row.failures += 1
            row.save()
            counts[key] = row.failures
        SignInThrottle.objects.filter(since__lt=now - 4 * WINDOW).delete()
    return counts


def succeeded(request: HttpRequest | None, name: str) -> None:
    """The name's own counts start over; the address's does not, or one good account would pay for guessing others."""
    keys = _keys(request, name)
    SignInThrottle.objects.filter(pk__in=[keys["name and address"], keys["name"]]).delete()


class ThrottledSignInForm(AdminAuthenticationForm):
    """The admin's log-in, the only place that takes a password without a session."""

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username") or "")
        if is_throttled(self.request, name):
            raise forms.ValidationError(
                "Too many failed attempts. Wait a quarter of an hour, or ask a superuser.", code="throttled"
            )
        try:
            cleaned = super().clean()
        except forms.ValidationError:
            if name:
                failed(self.request, name)
            raise
        if self.get_user() is not None:  # without a password there is no attempt, and nothing to start over for
            succeeded(self.request, name)
        return cleaned
