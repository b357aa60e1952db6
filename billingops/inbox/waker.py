"""Wakes the worker once per burst of events, not once per event, and never in the request's own thread.

The first event of a burst starts a short wait in a daemon thread; then one drain is handed to the queue, unless one is
waiting there already, whichever process asked for it (models.WakeUp). A wake-up that is lost with its process is made
good by the sweep (tasks.sweep). `INBOX_WAKER = "off"` leaves all of it to the sweep or to `manage.py drain_inbox`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from billingops import jobs
from billingops.inbox.models import WakeUp

logger = logging.getLogger(__name__)

DEBOUNCE_SECONDS = 0.1
IDLE_SECONDS = 5.0  # so long the thread keeps its connection to the database
NAME = "drain"
# A drain that has not started after this time was lost on its way (a queue that was emptied); ask for another.
LOST_AFTER = timedelta(minutes=5)

_lock = threading.Lock()
_poked = threading.Event()
_thread: threading.Thread | None = None


def _forget() -> None:
    """A forked process inherits the variables, not the thread."""
    global _lock, _poked, _thread
    _lock, _poked, _thread = threading.Lock(), threading.Event(), None


os.register_at_fork(after_in_child=_forget)


def poke() -> None:
    """Something waits. Cheap: no SQL, no I/O."""
    if settings.INBOX_WAKER == "off":
        return
    _poked.set()
    if _thread is None or not _thread.is_alive():
        _start()


def request_drain() -> bool:
    """Put one drain into the queue unless one is waiting there. True when this call did."""
    now = timezone.now()
    with transaction.atomic():
        free = Q(requested_at=None) | Q(requested_at__lt=now - LOST_AFTER)
        asked = WakeUp.objects.filter(free, name=NAME).update(requested_at=now) == 1
        if not asked and not WakeUp.objects.filter(name=NAME).exists():
            try:
                with transaction.atomic():
                    WakeUp.objects.create(name=NAME, requested_at=now)
                asked = True
            except IntegrityError:  # another process was first, and enqueues
                asked = False
        if asked:
            jobs.enqueue("billingops.inbox.tasks.drain")
    return asked


def drain_has_started() -> None:
    """From now on an event may come too late for that drain: the next burst asks for another."""
    WakeUp.objects.filter(name=NAME).update(requested_at=None)


def _start() -> None:
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="inbox-waker", daemon=True)
            _thread.start()


def _run() -> None:
    while True:
        if not _poked.wait(IDLE_SECONDS):
            connection.close()
            _poked.wait()
        time.sleep(DEBOUNCE_SECONDS)
        _poked.clear()
        try:
            request_drain()
        except Exception:
            logger.exception("The worker could not be woken; the sweep will do it.")
            connection.close()
