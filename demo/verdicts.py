"""What the desk decides in `demo --once`, and what must come of it: one row a case, compared with what came."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from approvals import audit
from approvals.models import BacktestRun, Batch, Comment, Comparison, Execution, Suggestion
from billingops.inbox.models import InboundEvent
from demo.desk import Desk
from demo.office import BAKERY, KYOTO, STUDIO_A_DAY, plain
from demo.story import SHOPS, Story, Tally
from dunning.campaigns.models import Experiment
from dunning.contact.models import Reply
from dunning.models import DunningCase, Message, SupportTask
from settlements.models import Finding, PayoutRecord

PAYOUTS_APPROVED_PER_SELLER = 2
PAYOUTS_REJECTED = 2
MESSAGES_REJECTED = 1


def decide(desk: Desk, story: Story, wanted: dict[str, str]) -> None:
    """Approve and reject; `wanted` gets the state that each approved suggestion must reach."""
    tally = story.tally
    for account in (BAKERY, KYOTO):  # the studio's were decided in the morning
        rows = plain(desk, tally, account)
        for row in rows[:PAYOUTS_APPROVED_PER_SELLER]:
            desk.approve(row, comment="the computation agrees with the invoice")
            wanted[row["id"]] = "confirmed"
        if account == BAKERY:
            for row in rows[2 : 2 + PAYOUTS_REJECTED]:
                desk.reject(row, reason_code="bad_timing")
            _approve_what_moves(desk, story, rows[2 + PAYOUTS_REJECTED], wanted)
    _approve_by_two(desk, tally, wanted)
    for failure, kind in DUNNING.items():
        row = desk.one(subject=tally.failed[failure], kind=kind, state="pending")
        desk.approve(row)
        wanted[row["id"]] = "confirmed"


# What must wait for these failures of month 3; the others were messages (office.py).
DUNNING = {
    "processing_error": "grace_period",  # a customer of three years, and Stripe tries again by itself
    "expired_card": "retry_payment",  # there is a new card since
    "do_not_honor": "escalate",  # support asked for it
}


def _approve_by_two(desk: Desk, tally: Tally, wanted: dict[str, str]) -> None:
    """The payout over the limit: finance said yes in the morning, now (not finance again) the lead."""
    row = desk.one(subject=tally.large, kind="seller_payout", state="second_review")
    if desk.refusal(row, by="finance") != 403:
        raise RuntimeError("The same person could approve twice.")
    if desk.refusal(row, by="support") != 403:
        raise RuntimeError("Support could approve.")
    if desk.refusal(row, by="lead", version=row["version"] - 1) != 409:
        raise RuntimeError("An outdated version could be approved.")
    desk.approve(row, by="lead")
    wanted[row["id"]] = "confirmed"


def _approve_what_moves(desk: Desk, story: Story, row: dict[str, Any], wanted: dict[str, str]) -> None:
    """Refund a charge while the webhooks are held up, then approve its payout: the execution must notice by itself."""
    story.sandbox.webhooks.pause()
    story.refund(row["subject"])
    desk.approve(row)
    wanted[row["id"]] = "stale"
    states = desk.wait({row["id"]: "stale"}, seconds=90)
    story.sandbox.webhooks.resume()
    if states != {row["id"]: "stale"}:
        raise RuntimeError(f"The payout of a charge refunded meanwhile is {states}, not stale.")


def counts(desk: Desk, story: Story, wanted: dict[str, str], states: dict[str, str], since: datetime) -> dict[str, Any]:
    """Everything that can be counted after the story, by name."""
    rows = Suggestion.objects.filter(created_at__gte=since)
    return {
        "customers": story.tally.customers,
        "invoices_paid": story.tally.invoices_paid,
        "invoices_failed": story.tally.invoices_failed,
        "events_received": InboundEvent.objects.filter(received_at__gte=since).count(),
        "events_by_state": dict(
            sorted(Counter(InboundEvent.objects.filter(received_at__gte=since).values_list("state", flat=True)).items())
        ),
        "suggestions_by_kind": dict(sorted(Counter(rows.values_list("kind", flat=True)).items())),
        "suggestions_by_state": dict(sorted(Counter(rows.values_list("state", flat=True)).items())),
        "payouts": PayoutRecord.objects.filter(suggestion__in=rows).count(),
        "dunning_cases": DunningCase.objects.count(),
        "findings_open": dict(sorted(Counter(Finding.objects.open().values_list("code", flat=True)).items())),
        "messages_sent": Message.objects.filter(sent_at__isnull=False).count(),
        "invoices_in_one_message": max(
            (len(ids) for ids in Message.objects.values_list("invoices", flat=True)), default=0
        ),
        "messages_bounced": Message.objects.filter(bounced_at__isnull=False).count(),
        "answers_waiting": Reply.objects.waiting().count(),
        "promises": DunningCase.objects.filter(promised_for__isnull=False).count(),
        "ab_tests": Experiment.objects.filter(stopped_at__isnull=True).count(),
        "support_tasks": SupportTask.objects.count(),
        "approved": len(wanted),
        "rejected": len(desk.rejected),
        "held_by_policy": Execution.objects.filter(state=Execution.State.QUEUED, suggestion__in=rows)
        .exclude(held="")
        .count(),
        "edited": rows.filter(last_editor__isnull=False).count(),
        "assigned": rows.filter(assignee__isnull=False).count(),
        "comments": Comment.objects.filter(suggestion__in=rows).count(),
        "batches": Batch.objects.filter(created_at__gte=since, state=Batch.State.DONE).count(),
        "backtests": BacktestRun.objects.filter(created_at__gte=since, state="done").count(),
        "verdicts_on_the_scoreboard": Comparison.objects.filter(suggestion__in=rows).count(),
        "confirmed": sum(state == "confirmed" for state in states.values()),
        "transfers_at_stripe": len(story.sandbox.events("transfer.created")),
        "audit_entries": audit.verify().entries,
    }


def differences(
    story: Story, found: dict[str, Any], wanted: dict[str, str], states: dict[str, str], *, once: bool
) -> list[str]:
    """What the story demands and did not come, one sentence each; [] when all is as it must be.

    once: the finance desk has decided, too; else only the morning (office.py) has been."""
    tally = story.tally
    payable = sum(len(invoices) for invoices in tally.payable.values())
    expected: dict[str, Any] = {
        "customers": sum(shop.customers for shop in SHOPS) + 1,
        "invoices_paid": 3 * (sum(shop.customers for shop in SHOPS) + 1) - len(tally.failed),
        # The retry that was approved pays its invoice, which is shared out like any other.
        "payouts": payable + (1 if once else 0),
        "dunning_cases": len(tally.failed) + 2,  # one more of month 2, and the second invoice of one customer
        "approved": len(wanted),
        "confirmed": sum(state == "confirmed" for state in wanted.values()),
        # Of each seller as many, and the large one; of the studio as many as its cap lets out.
        "transfers_at_stripe": STUDIO_A_DAY + (2 * PAYOUTS_APPROVED_PER_SELLER + 1 if once else 0),
        "rejected": MESSAGES_REJECTED + (PAYOUTS_REJECTED if once else 0),
        "messages_sent": 2,
        "invoices_in_one_message": 2,
        "messages_bounced": 1,
        "answers_waiting": 1,
        "promises": 1,
        "ab_tests": 1,
        "support_tasks": 1 if once else 0,
        "held_by_policy": 1,
        "edited": 1,
        "assigned": 2,
        "comments": 2,
        "batches": 1,
        "backtests": 2,
    }
    wrong = [f"{name}: {found[name]}, must be {value}" for name, value in expected.items() if found[name] != value]
    wrong += [
        f"suggestion {key}: {states.get(key)}, must be {value} {_last_word(key)}"
        for key, value in wanted.items()
        if states.get(key) != value
    ]
    unfinished = set(found["events_by_state"]) - {"done", "ignored", "gone"}
    wrong += [f"events are {state}: {found['events_by_state'][state]}" for state in sorted(unfinished)]
    if found["findings_open"].get("missing_rule", 0) != 3:
        wrong.append(f"missing-rule findings: {found['findings_open'].get('missing_rule', 0)}, must be 3")
    if InboundEvent.objects.filter(event_id=tally.repeated_event).count() != 1:
        wrong.append("the event that was delivered twice is not there exactly once")
    told = found["platform_told"]
    if told["refused"] or (once and not told["verified"]):
        wrong.append(f"the platform was told of {told['verified']} changes of service and refused {told['refused']}")
    verdict = audit.verify()
    if verdict.broken_at is not None:
        wrong.append(f"the audit chain is broken at {verdict.broken_at}")
    return wrong


def _last_word(suggestion_id: str) -> str:
    """What the last attempt or step of a suggestion says of itself."""
    execution = Execution.objects.filter(suggestion_id=suggestion_id).order_by("-attempt").first()
    return f"({execution.error_code} {execution.error})" if execution is not None and execution.error else ""
