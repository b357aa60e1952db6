"""The backfill: pages through Stripe's lists and stores each page, the platform's first, then each connected account's.

A page is stored, then its last id is noted (SyncCheckpoint): a run that is interrupted goes on there. Lists come newest
first; what is created while a run rests arrives through its events. A run that got to the end of every list leaves no
checkpoint, so the next one begins anew; it stores the same again, harmlessly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from billingops.exceptions import InvalidInput
from billingops.stripe import reads, sync
from billingops.stripe.errors import StripeProblem
from billingops.stripe.models import SyncCheckpoint
from billingops.stripe.store import model_of

# In this order each object finds what it refers to. An invoice brings its lines and its payments.
MODELS = {
    "Account": "account",
    "Product": "product",
    "Price": "price",
    "Coupon": "coupon",
    "Customer": "customer",
    "PaymentMethod": "payment_method",
    "Subscription": "subscription",
    "PaymentIntent": "payment_intent",
    "Invoice": "invoice",
    "Charge": "charge",
    "Refund": "refund",
    "Dispute": "dispute",
    "Transfer": "transfer",
    "Payout": "payout",
    "TopUp": "topup",
    "ApplicationFee": "application_fee",
    "BalanceTransaction": "balance_transaction",
    "CreditNote": "credit_note",
    "InvoicePayment": "invoice_payment",
}
ON_REQUEST = {"InvoicePayment"}  # Invoice has brought them already
PLATFORM_ONLY = {"Account", "Transfer", "TopUp", "ApplicationFee"}
CUSTOMERS_AT_ONCE = 100


@dataclass
class Report:
    """What a run has done. `failures`: "Customer cus_…: why", at most a hundred; `failed` counts all."""

    stored: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    def note_failure(self, text: str) -> None:
        self.failed += 1
        if len(self.failures) < 100:
            self.failures.append(text)


def chosen_models(names: Sequence[str]) -> list[str]:
    """The models to run in their order; all of them for none given. Raises InvalidInput naming the allowed ones."""
    by_lower = {name.lower(): name for name in MODELS}
    for name in names:
        if name.lower() not in by_lower:
            raise InvalidInput(f"{name!r} is not mirrored; there are {', '.join(MODELS)}.", field="models")
    wanted = {by_lower[name.lower()] for name in names}
    return [name for name in MODELS if (name in wanted if wanted else name not in ON_REQUEST)]


def run(names: Sequence[str], *, restart: bool = False, progress: Callable[[str], None] = lambda line: None) -> Report:
    """Store everything of these models. `progress` gets a line after each page."""
    models = chosen_models(names)
    checkpoints = SyncCheckpoint.objects.filter(model__in=models)
    if restart:
        checkpoints.delete()
    report, complete = Report(), True
    for model in models:
        for account in [""] if model in PLATFORM_ONLY else ["", *connected_accounts()]:
            complete &= _run_one(model, account, report, progress)
    if complete:
        checkpoints.delete()
    return report


def connected_accounts() -> list[str]:
    """Those the mirror knows: Account comes first, so one run lists them once."""
    known = model_of("account").objects.exclude(stripe_data__has_key="deauthorised")
    return list(known.order_by("id").values_list("id", flat=True))


def _run_one(model: str, account: str, report: Report, progress: Callable[[str], None]) -> bool:
    """False when Stripe stopped answering before the end of the list: the next run goes on there."""
    checkpoint, _ = SyncCheckpoint.objects.get_or_create(model=model, account=account)
    if checkpoint.finished_at:
        return True
    label = f"{model}{f' of {account}' if account else ''}"
    started, count = time.monotonic(), 0
    try:
        for last, rows in _pages(MODELS[model], account, checkpoint.cursor):
            problems = sync.store_many(rows, account)
            failed = [row["id"] for row in rows if sync.key_of(row["object"], row["id"], account) in problems]
            for key, problem in problems.items():
                report.note_failure(f"{key[0]} {key[1]}: {_why(problem)}")
            count += len(rows)
            report.stored += len(rows) - len(failed)
            checkpoint.stored += len(rows) - len(failed)
            checkpoint.failed += len(failed)
            checkpoint.cursor, checkpoint.updated_at = last, timezone.now()
            checkpoint.save()
            rate = count / max(time.monotonic() - started, 0.001)
            progress(f"{label}: {checkpoint.stored:,} stored, {checkpoint.failed:,} failed, {rate:,.0f}/s")
    except StripeProblem as problem:
        report.note_failure(f"{label}: {_why(problem)}")
        progress(f"{label}: stopped — {_why(problem)}")
        return False
    checkpoint.finished_at = checkpoint.updated_at = timezone.now()
    checkpoint.save()
    progress(f"{label}: done, {checkpoint.stored:,} stored, {checkpoint.failed:,} failed")
    return True


def _pages(object_type: str, account: str, cursor: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(what the checkpoint is to say, the objects)."""
    if object_type != "payment_method":
        for page in reads.pages(object_type, account, after=cursor):
            yield page[-1]["id"], page
        return
    owner = {"djstripe_owner_account": account or None}
    customers = model_of("customer").objects.filter(**owner).order_by("id").values_list("id", flat=True)
    while ids := list(customers.filter(id__gt=cursor)[:CUSTOMERS_AT_ONCE]):
        cursor = ids[-1]
        yield cursor, reads.payment_methods_of(ids, account)


def _why(problem: Exception) -> str:
    return str(problem) if isinstance(problem, StripeProblem) else type(problem).__name__
