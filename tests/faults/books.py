"""The judgement: what money moved at the sandbox, against what was approved; then what our own records say of it.

Every finding is a sentence in `problems`; an empty list is the proof. The sandbox's store is read on its own: nothing
of our database decides how many effects there were.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from approvals import audit
from approvals.models import AuditEntry, Execution, Suggestion
from approvals.states import State
from billingops.inbox.models import InboundEvent
from dunning.models import DunningCase
from settlements.models import PayoutRecord
from tests.faults.desk import KINDS, Run

EXAMPLES = 5
LOOKED_UP = "looked up"
PATHS = {"seller_payout": ("/v1/transfers", ""), "transfer_reversal": ("/v1/transfers/", "/reversals")}
PATHS["retry_payment"] = ("/v1/invoices/", "/pay")


@dataclass
class KindFigures:
    """One money kind. Amounts are minor units per currency."""

    executions: int = 0
    attempts: int = 0
    deaths: dict[str, int] = field(default_factory=dict)  # where a worker died with one of these in hand
    dropped_before: int = 0
    dropped_after: int = 0
    errors_before: int = 0
    errors_after: int = 0
    throttled: int = 0
    unknown: int = 0
    found_executed: int = 0  # by look-up
    found_by_event: int = 0  # the returning event was faster
    found_failed: int = 0  # by look-up: nothing of it there
    found_by_answer: int = 0  # a slow worker's own answer came after all
    retries_by_person: int = 0
    stale: int = 0
    duplicates: int = 0
    lost: int = 0
    approved: dict[str, int] = field(default_factory=dict)
    effected: dict[str, int] = field(default_factory=dict)


@dataclass
class Books:
    kinds: dict[str, KindFigures]
    problems: list[str]
    kills: dict[str, int]
    webhooks: dict[str, int]
    events: int
    audit_entries: int
    read_faults: dict[str, int]
    requests: int

    @property
    def is_clean(self) -> bool:
        return not self.problems


def close(run: Run) -> Books:
    """Judge a finished run. Reads the database and the sandbox's truth; changes nothing."""
    problems: list[str] = []
    kinds = {kind: KindFigures() for kind in KINDS}
    effects = _effects(run.truth)
    unknown, answered = _keys_of("execution.unknown"), _keys_of("execution.executed")
    for kind, figures in kinds.items():
        _count(kind, figures, run, unknown=unknown, answered=answered)
        problems += _compare(kind, figures, effects[kind], run)
        problems += _calls(kind, run)
        settled = figures.found_executed + figures.found_by_event + figures.found_failed + figures.found_by_answer
        if settled != figures.unknown:
            problems.append(f"{kind}: {figures.unknown} results were unknown, {settled} of them were settled")
    problems += _balances(run.truth)
    problems += _records(run)
    entries = audit.verify()
    if entries.broken_at is not None:
        problems.append(f"the audit chain is broken at {entries.broken_at}: {entries.why}")
    if run.foreman.get("ended"):
        problems.append(f"{run.foreman['ended']} workers ended by themselves; see the log")
    if not run.idle:
        problems.append("webhooks, events or tasks were left over at the end")
    at_steps = len(run.deaths)
    at_sandbox = sum(
        count for found in run.figures["faults"].values() for name, count in found.items() if "kill" in name
    )
    kills = {
        "total": run.foreman.get("killed", 0),
        "random": run.foreman.get("random", 0),
        "at_a_step": at_steps,
        "at_the_sandbox": at_sandbox,
    }
    return Books(
        kinds, problems, kills, dict(run.figures["webhooks"]), InboundEvent.objects.count(), entries.entries,
        dict(run.figures["faults"]["reads"]), run.figures["requests"],
    )  # fmt: skip


# -- what happened at the sandbox --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """One movement of money at the sandbox. `of` names what asked for it: the suggestion's id, or the invoice."""

    id: str
    of: str
    amount: int
    currency: str
    where: str


def _effects(truth: dict[str, Any]) -> dict[str, list[Effect]]:
    retried = set(Suggestion.objects.filter(kind="retry_payment").values_list("subject", flat=True))
    return {
        "seller_payout": [
            Effect(made["id"], made["suggestion"], made["amount"], made["currency"], made["destination"])
            for made in truth["transfers"]
        ],
        "transfer_reversal": [
            Effect(made["id"], made["suggestion"], made["amount"], made["currency"], made["transfer"])
            for made in truth["reversals"]
        ],
        "retry_payment": [
            Effect(made["id"], made["invoice"], made["amount"], made["currency"], made["payment_method"])
            for made in truth["charges"]
            if made["invoice"] in retried
        ],
    }


def _where(suggestion: Suggestion) -> str:
    named = {
        "seller_payout": suggestion.params.get("destination"),
        "transfer_reversal": suggestion.params.get("transfer"),
        "retry_payment": suggestion.facts.get("payment_method"),
    }
    return str(named[suggestion.kind])


def _compare(kind: str, figures: KindFigures, effects: list[Effect], run: Run) -> list[str]:
    """Each approval that was not sent back has exactly one effect, of that amount, in that place; no other has any."""
    sent_back = (State.STALE, State.CANCELLED, State.SUPERSEDED)
    approved = Suggestion.objects.filter(kind=kind, decisions__verdict="approve").exclude(state__in=sent_back)
    wanted = {
        suggestion.subject if kind == "retry_payment" else str(suggestion.pk): suggestion
        for suggestion in approved.distinct()
    }
    figures.executions = len(wanted)
    figures.stale = Suggestion.objects.filter(kind=kind, state=State.STALE).count()
    found: dict[str, list[Effect]] = {}
    for effect in effects:
        found.setdefault(effect.of, []).append(effect)
        figures.effected[effect.currency] = figures.effected.get(effect.currency, 0) + effect.amount
    twice = {of: made for of, made in found.items() if len(made) > 1}
    lost = sorted(set(wanted) - set(found))
    unasked = sorted(set(found) - set(wanted))
    figures.duplicates, figures.lost = sum(len(made) - 1 for made in twice.values()), len(lost)
    wrong = []
    for of, suggestion in wanted.items():
        assert suggestion.amount is not None
        currency = suggestion.currency
        figures.approved[currency] = figures.approved.get(currency, 0) + suggestion.amount
        for effect in found.get(of, ()):
            if (effect.amount, effect.currency, effect.where) != (suggestion.amount, currency, _where(suggestion)):
                wrong.append(effect.id)
    return [
        *_said(f"{kind}: carried out more than once", sorted(twice)),
        *_said(f"{kind}: approved and never carried out", lost),
        *_said(f"{kind}: carried out and never approved", unasked),
        *_said(f"{kind}: another amount, currency or place than approved", wrong),
        *([] if figures.approved == figures.effected else [f"{kind}: the sums differ, see the figures"]),
        *([] if figures.executions >= run.plan.count else [f"{kind}: only {figures.executions} executions"]),
    ]


def _calls(kind: str, run: Run) -> list[str]:
    """No key was sent a second time, but for the repeat that a 429 allows; every key is an attempt's."""
    start, end = PATHS[kind]
    sent: Counter[str] = Counter()
    for call in run.figures["calls"]:
        path = call["path"]
        mine = path == start if not end else path.startswith(start) and path.endswith(end)
        if mine and call["status"] != 429:
            sent[call["key"]] += 1
    keys = set(Execution.objects.filter(suggestion__kind=kind).values_list("idempotency_key", flat=True))
    return [
        *_said(f"{kind}: a key was sent more than once", [key for key, count in sent.items() if count > 1]),
        *_said(f"{kind}: a call with a key that no attempt has", sorted(set(sent) - keys)),
    ]


def _balances(truth: dict[str, Any]) -> list[str]:
    """The connected accounts' books agree: what they have is what was transferred less what was taken back."""
    due: Counter[tuple[str, str]] = Counter()
    destination = {made["id"]: made["destination"] for made in truth["transfers"]}
    for made in truth["transfers"]:
        due[made["destination"], made["currency"]] += made["amount"]
    for made in truth["reversals"]:
        due[destination[made["transfer"]], made["currency"]] -= made["amount"]
    wrong = [
        f"{account} {currency}"
        for account, sums in truth["received"].items()
        for currency, amount in sums.items()
        if amount != due[account, currency]
    ]
    return _said("a seller's balance is not what was transferred", wrong)


# -- what our records say ----------------------------------------------------------------------------------------------


def _count(kind: str, figures: KindFigures, run: Run, *, unknown: set[str], answered: set[str]) -> None:
    """`unknown` and `answered`: the keys of attempts whose result was once unknown, and of those recorded as done."""
    executions = Execution.objects.filter(suggestion__kind=kind)
    figures.attempts = executions.count()
    figures.retries_by_person = run.retries[kind]
    faults = Counter(run.figures["faults"].get(kind, {}))
    figures.dropped_before, figures.dropped_after = faults["drop_before"], faults["drop_after"]
    figures.errors_before, figures.errors_after = faults["error_before"], faults["error_after"]
    figures.throttled = faults["rate_limit"]
    deaths = Counter(meaning for found, meaning in run.deaths if found == kind)
    deaths["when the request had arrived"] = faults["kill_before"]
    deaths["after the effect, before the answer"] = faults["kill_after"]
    figures.deaths = {meaning: count for meaning, count in sorted(deaths.items()) if count}
    for execution in executions:
        if execution.idempotency_key not in unknown:
            continue
        figures.unknown += 1
        if execution.state == Execution.State.FAILED:
            figures.found_failed += execution.error_code == "not_carried_out"
            figures.found_by_answer += execution.error_code != "not_carried_out"
        elif execution.idempotency_key not in answered:
            figures.found_by_event += bool(execution.confirmed_event)
        elif execution.result.get("summary", "").startswith(LOOKED_UP):
            figures.found_executed += 1
        else:
            figures.found_by_answer += 1


def _keys_of(action: str) -> set[str]:
    rows = AuditEntry.objects.filter(action=action).values_list("data", flat=True)
    return {str((json.loads(data) if isinstance(data, str) else data)["idempotency_key"]) for data in rows.iterator()}


def _records(run: Run) -> Iterable[str]:
    """Our database at the end: nothing open, each suggestion with one live attempt, records and cases in step."""
    suggestions = Suggestion.objects.filter(kind__in=KINDS)
    ended = (State.CONFIRMED, State.STALE, State.SUPERSEDED)
    yield from _said("a suggestion has not ended", suggestions.exclude(state__in=ended).values_list("pk", flat=True))
    open_states = ("queued", "executing", "unknown", "executed")
    open_executions = Execution.objects.filter(state__in=open_states)
    yield from _said("an attempt has not ended", open_executions.values_list("idempotency_key", flat=True))
    live = (*open_states, "confirmed")
    confirmed = suggestions.filter(state=State.CONFIRMED).values_list("pk", flat=True)
    attempts = Execution.objects.filter(state__in=live).values("suggestion").annotate(count=Count("pk"))
    count = {row["suggestion"]: row["count"] for row in attempts}
    yield from _said(
        "a confirmed suggestion has not exactly one live attempt", [pk for pk in confirmed if count.get(pk) != 1]
    )
    yield from _said(
        "an attempt began although the one before it was not certain to have failed", _overlapping_attempts()
    )
    transfers = {made["id"]: made for made in run.truth["transfers"]}
    for record in PayoutRecord.objects.exclude(state="cancelled"):
        if wrong := _wrong_record(record, transfers.get(record.transfer)):
            yield f"payout record {record.pk}: {wrong}"
    retried = suggestions.filter(kind="retry_payment").values("subject")
    cases = DunningCase.objects.filter(invoice__in=retried)
    yield from _said(
        "a dunning case was not closed by its payment",
        cases.exclude(state="recovered", recovered_by="retry_payment").values_list("pk", flat=True),
    )
    events = InboundEvent.objects.exclude(state__in=("done", "ignored"))
    yield from _said("an event was not worked off", [f"{e.type} {e.event_id} {e.state} {e.error}" for e in events])


def _overlapping_attempts() -> list[str]:
    """Suggestions with a later attempt that was queued before the one before it had failed."""
    found = []
    previous: Execution | None = None
    for execution in Execution.objects.order_by("suggestion_id", "attempt").iterator():
        if previous is not None and previous.suggestion_id == execution.suggestion_id:
            finished = previous.finished_at
            if previous.state != Execution.State.FAILED or finished is None or finished > execution.queued_at:
                found.append(str(execution.suggestion_id))
        previous = execution
    return found


def _wrong_record(record: PayoutRecord, made: dict[str, Any] | None) -> str:
    if made is None:
        return f"its transfer {record.transfer or '-'} is not at the sandbox"
    if record.state not in ("transferred", "reversed"):
        return f"it is {record.state}"
    if made["suggestion"] != str(record.suggestion_id):
        return "its transfer is another suggestion's"
    if (made["amount"], made["currency"], made["destination"]) != (record.amount, record.currency, record.account):
        return "its transfer is another one"
    if made["amount_reversed"] != record.amount_reversed:
        return f"{made['amount_reversed']} is reversed, it says {record.amount_reversed}"
    return ""


def _said(what: str, found: Iterable[Any]) -> list[str]:
    items = [str(item) for item in found]
    return [f"{what}: {len(items)}, such as {', '.join(items[:EXAMPLES])}"] if items else []
