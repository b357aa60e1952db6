"""Workers killed with SIGKILL at random moments, a Stripe that drops connections before and after the effect and
answers 500, events that come twice and in any order: each approved payout has exactly one transfer."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from approvals import audit, services
from approvals.models import AuditEntry, Suggestion
from billingops.actors import Actor
from sandbox import Fault
from settlements.models import PayoutRecord
from tests.test_main_job import CONFIG

ROOT = Path(__file__).resolve().parent.parent
PAYOUTS = 24
KILLS = 6

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.django_db(transaction=True),
]


def start_worker(sandbox: Any) -> subprocess.Popen[str]:
    details = connection.get_connection_params()
    address = f"postgresql://{details['user']}@/{connection.settings_dict['NAME']}?host={details['host']}"
    environment = {
        **os.environ,
        "DATABASE_URL": address,
        "STRIPE_API_BASE": sandbox.url,
        "EXECUTION_STUCK_SECONDS": "1",  # one worker at a time here: what still executes belongs to a dead one
        "EXECUTION_LOOKUP_SECONDS": "1",
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.worker_process"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    with worker.stdout:
        assert worker.stdout.readline().strip() == "ready"
    return worker


def test_killed_workers_and_lost_answers_pay_everybody_exactly_once(
    sandbox: Any, stripe_api: Any, deliver: Any, finance: Any, tmp_path: Path
) -> None:
    chance = random.Random(20261122)
    suggestions = make_payouts(stripe_api, deliver, tmp_path)
    for suggestion in suggestions:
        services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    for kind, probability in (("drop_after", 0.2), ("drop_before", 0.1), ("error_after", 0.1), ("error_before", 0.1)):
        sandbox.faults.add(Fault(kind=kind, method="POST", path="/v1/transfers", times=None, probability=probability))
    sandbox.faults.add(Fault(kind="latency", method="POST", path="/v1/transfers", times=None, latency_ms=60))
    for _ in range(KILLS):
        worker = start_worker(sandbox)
        time.sleep(chance.uniform(0.05, 0.7))
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    assert start_worker(sandbox).wait(timeout=200) == 0
    sandbox.faults.clear()
    states = Counter(Suggestion.objects.filter(kind="seller_payout").values_list("state", flat=True))
    assert set(states) <= {"executed", "failed"}, states
    for failed in Suggestion.objects.filter(state="failed"):  # nothing happened there: a person asks again
        services.retry(suggestion_id=failed.pk, actor=Actor.person(finance), version=failed.version)
    assert start_worker(sandbox).wait(timeout=100) == 0

    def twice_and_shuffled(events: list[Any]) -> list[Any]:
        both = events + events
        chance.shuffle(both)
        return both

    deliver(order=twice_and_shuffled)
    transfers = [event["data"]["object"] for event in sandbox.events("transfer.created")]
    paid = Counter(transfer["metadata"]["billingops_suggestion"] for transfer in transfers)
    assert paid == Counter({str(suggestion.pk): 1 for suggestion in suggestions})
    assert set(Suggestion.objects.filter(kind="seller_payout").values_list("state", flat=True)) == {"confirmed"}
    assert set(PayoutRecord.objects.values_list("state", flat=True)) == {"transferred"}
    assert {record.transfer for record in PayoutRecord.objects.all()} == {transfer["id"] for transfer in transfers}
    assert audit.verify().broken_at is None
    # and the test did what it says: some answers were lost, and settled by a look-up
    assert AuditEntry.objects.filter(action="execution.unknown").exists()


def make_payouts(stripe_api: Any, deliver: Any, tmp_path: Path) -> list[Suggestion]:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    call_command("import_config", str(file))
    api = stripe_api.v1
    api.accounts.create({"id": "acct_seller", "capabilities": {"transfers": {"requested": True}}})
    product = api.products.create({"name": "Box", "metadata": {"seller_account": "acct_seller"}})
    price = api.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 5000, "recurring": {"interval": "month"}}
    )
    for number in range(PAYOUTS):
        customer = api.customers.create({"name": f"Customer {number}", "email": f"c{number}@example.com"})
        method = api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        api.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
        api.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    deliver()
    suggestions = list(Suggestion.objects.filter(kind="seller_payout"))
    assert len(suggestions) == PAYOUTS
    return suggestions
