"""`manage.py drain_inbox` killed with SIGKILL in the middle of its work, again and again: no event is lost or parked,
each object is in the mirror, and what an event leads to is there once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from approvals import audit
from approvals.models import AuditEntry, Suggestion
from billingops.inbox import intake
from billingops.inbox.models import InboundEvent
from billingops.stripe import sync
from billingops.stripe.store import known
from sandbox import Fault
from settlements.models import PayoutRecord
from support.models import TimelineEntry
from tests.test_main_job import CONFIG

ROOT = Path(__file__).resolve().parent.parent.parent
CUSTOMERS = 24  # each makes about a dozen events
KILLS = 5  # an event may be taken six times before it is parked

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.django_db(transaction=True),
]


def start_drain(sandbox: Any) -> subprocess.Popen[str]:
    details = connection.get_connection_params()
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgresql://{details['user']}@/{connection.settings_dict['NAME']}?host={details['host']}",
        "STRIPE_API_BASE": sandbox.url,
        "INBOX_LEASE_SECONDS": "1",  # one drain at a time here: what is in work belongs to a dead one
        "INBOX_BATCH_SIZE": "10",
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", "drain_inbox"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )


def kill_at_work(worker: subprocess.Popen[str], pause: float) -> int:
    """Kill it `pause` seconds after it has taken its first events; returns how many it held."""
    held = InboundEvent.objects.filter(state="processing", claimed_by__contains=f":{worker.pid}:")
    while not held.exists():
        assert worker.poll() is None, "the drain has ended before it could be killed"
        time.sleep(0.02)
    time.sleep(pause)
    worker.kill()
    worker.communicate()
    return held.count()


def test_a_killed_drain_loses_nothing_and_does_nothing_twice(sandbox: Any, stripe_api: Any, tmp_path: Path) -> None:
    chance = random.Random(20261123)
    make_story(stripe_api, tmp_path)
    events = sandbox.events()
    assert len(events) > 200
    for event in chance.sample(events, len(events)):
        intake.insert(event, json.dumps(event))

    sandbox.faults.add(Fault(kind="latency", method="GET", times=None, latency_ms=40))
    held = []
    for _ in range(KILLS):
        held.append(kill_at_work(start_drain(sandbox), chance.uniform(0.0, 0.8)))
        time.sleep(1.1)  # the lease
    assert sum(1 for number in held if number) >= KILLS - 2, held  # the others fell between two batches
    assert InboundEvent.objects.waiting().exists()
    sandbox.faults.clear()
    last = start_drain(sandbox)
    output, _ = last.communicate(timeout=200)
    assert last.returncode == 0, output

    states = Counter(InboundEvent.objects.values_list("state", flat=True))
    assert states["done"] + states["ignored"] == len(events), states
    assert InboundEvent.objects.filter(attempts__gt=1).exists()
    objects: dict[str, set[str]] = {}
    for event in events:
        subject = event["data"]["object"]
        if sync.can_refresh(subject["object"]):
            objects.setdefault(subject["object"], set()).add(subject["id"])
    assert len(objects["invoice"]) == len(objects["customer"]) == CUSTOMERS
    assert {kind: sorted(ids - known(kind, sorted(ids))) for kind, ids in objects.items()} == {
        kind: [] for kind in objects
    }

    assert Suggestion.objects.filter(kind="seller_payout").count() == CUSTOMERS
    assert set(PayoutRecord.objects.values_list("invoice", flat=True)) == objects["invoice"]
    assert PayoutRecord.objects.count() == CUSTOMERS
    proposed = Counter(AuditEntry.objects.filter(action="suggestion.proposed").values_list("subject", flat=True))
    assert list(proposed.values()) == [1] * CUSTOMERS, proposed
    assert audit.verify().broken_at is None
    for kind, object_type in (("invoice", "invoice"), ("payment", "charge")):
        told = TimelineEntry.objects.filter(kind=kind).values_list("what", "object_id")
        assert {object_id for _, object_id in told} == objects[object_type], kind
        assert set(Counter(told).values()) == {1}, kind


def make_story(stripe_api: Any, tmp_path: Path) -> None:
    """So many customers, each with a card, a subscription and its first invoice, paid; a seller has a share in it."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    call_command("import_config", str(file))
    api = stripe_api.v1
    api.accounts.create({"id": "acct_seller", "capabilities": {"transfers": {"requested": True}}})
    product = api.products.create({"name": "Box", "metadata": {"seller_account": "acct_seller"}})
    price = api.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 5000, "recurring": {"interval": "month"}}
    )
    for number in range(CUSTOMERS):
        customer = api.customers.create({"name": f"Customer {number}", "email": f"c{number}@example.com"})
        method = api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        api.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
        api.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
