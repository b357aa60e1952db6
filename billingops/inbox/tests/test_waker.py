"""The wake-up: once per burst, never two drains waiting, none lost for good."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from billingops.inbox import tasks, waker
from billingops.inbox.models import WakeUp


def test_only_one_drain_waits_in_the_queue(db):
    assert [waker.request_drain() for _ in range(3)] == [True, False, False]
    assert OrmQ.objects.count() == 1
    tasks.drain()
    assert waker.request_drain() is True
    assert OrmQ.objects.count() == 2


def test_a_drain_that_got_lost_on_its_way_is_asked_for_again(db):
    waker.request_drain()
    WakeUp.objects.update(requested_at=timezone.now() - timedelta(minutes=6))
    assert waker.request_drain() is True


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, settings) -> list[str]:
    settings.INBOX_WAKER = "thread"
    names: list[str] = []
    monkeypatch.setattr(waker, "request_drain", lambda: names.append(threading.current_thread().name))
    monkeypatch.setattr(waker, "DEBOUNCE_SECONDS", 0.05)
    monkeypatch.setattr(waker.connection, "close", lambda: None)
    waker._forget()
    return names


def _until(condition, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def test_a_burst_asks_once_and_not_in_the_requests_thread(asked):
    for _ in range(50):
        waker.poke()
    _until(lambda: asked)
    time.sleep(0.15)
    assert asked == ["inbox-waker"]
    waker.poke()
    _until(lambda: len(asked) == 2)
    assert len(asked) == 2


def test_a_failure_does_not_end_the_thread(asked, monkeypatch):
    calls = []

    def fail() -> None:
        calls.append(1)
        raise RuntimeError("no database")

    monkeypatch.setattr(waker, "request_drain", fail)
    waker.poke()
    _until(lambda: len(calls) == 1)
    waker.poke()
    _until(lambda: len(calls) == 2)
    assert len(calls) == 2


def test_switched_off_it_starts_no_thread(settings):
    settings.INBOX_WAKER = "off"
    waker._forget()
    waker.poke()
    assert waker._thread is None
