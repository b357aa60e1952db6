"""Lines of the timeline as a page shows them. What several lines need is asked for once for all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from djstripe.models import Price

from approvals import blind
from approvals.models import Execution, Suggestion
from billingops import access
from billingops.admin import links
from billingops.templatetags import billingops as tags
from support import words
from support.models import TimelineEntry

Kind = TimelineEntry.Kind
# Money that goes back to the customer; the page shows it with a minus.
BACK = frozenset({Kind.REFUND, Kind.CREDIT_NOTE})
AMOUNTS = frozenset({"amount_due", "amount_paid", "amount_remaining", "amount_refunded"})
TIMES = frozenset({"next_attempt", "due", "period_start", "period_end", "due_by", "grace_until", "until"})
_IDS = frozenset({"charge", "payment_intent", "subscription", "event"})
_OWN_PAGES = {
    "case": "dunning_dunningcase_change",
    "message": "dunning_message_change",
    "task": "dunning_supporttask_change",
}
_NOT_LISTED = frozenset({"items", "from", "to", "case", "version", "note"})
_LABELS = {
    "amount_due": "Due",
    "amount_paid": "Paid",
    "amount_remaining": "Remaining",
    "amount_refunded": "Refunded",
    "billing_reason": "Made for",
    "by": "Recovered by",
    "who": "By",
    "suggestion_kind": "Kind",
    "code": "Stripe’s code",
    "how": "How",
}


@dataclass
class Row:
    """One line. `amount`: minor units with the sign the reader expects. `links`: (text, URL) to the right of it.
    `explain_url`: the invoice explained, "" where there is none or this is its page."""

    entry: TimelineEntry
    icon: str
    title: str
    tone: str
    text: str = ""
    warning: str = ""
    waits: str = ""
    state: str = ""
    amount: int | None = None
    links: list[tuple[str, str]] = field(default_factory=list)
    explain_url: str = ""
    facts: list[tuple[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Day:
    date: date
    rows: list[Row]


@dataclass
class Shared:
    """What the lines of a page have in common, three or four statements for all of them."""

    suggestions: dict[str, Suggestion]
    executions: dict[str, Execution]
    attempts: dict[Any, int]
    plans: dict[str, str]


def days(entries: Sequence[TimelineEntry], user: Any, *, on_page_of: str = "") -> list[Day]:
    """The lines, grouped by the day (of the site's time zone) they fall on, in the order given. `on_page_of`: the
    invoice whose page this is; the lines need not lead there."""
    shared = gather(entries, user)
    here = own_url("support_invoice", on_page_of) if on_page_of else ""
    found: list[Day] = []
    for entry in entries:
        on = timezone.localtime(entry.at).date()
        if not found or found[-1].date != on:
            found.append(Day(on, []))
        row = row_of(entry, shared)
        row.explain_url = own_url("support_invoice", entry.subject) if entry.subject not in ("", on_page_of) else ""
        row.links = [(text, url) for text, url in row.links if row.explain_url or url != here]
        found[-1].rows.append(row)
    return found


def gather(entries: Sequence[TimelineEntry], user: Any) -> Shared:
    ids = {entry.object_id for entry in entries if entry.kind in (Kind.SUGGESTION, Kind.DECISION, Kind.EXECUTION)}
    suggestions: dict[str, Suggestion] = {}
    executions: dict[str, Execution] = {}
    if ids and user.has_perm("approvals.view_suggestion"):
        visible = access.scope(Suggestion.objects.filter(pk__in=ids).defer("facts", "params", "policy"), user)
        suggestions = {str(one.pk): one for one in visible}
        attempts = Execution.objects.filter(suggestion_id__in=suggestions).order_by("attempt")
        executions = {str(one.suggestion_id): one for one in attempts}
    items = [item for entry in entries for key in ("items", "from", "to") for item in _items(entry.facts.get(key))]
    return Shared(suggestions, executions, _attempt_numbers(entries), plan_names(item[0] for item in items))


def _attempt_numbers(entries: Iterable[TimelineEntry]) -> dict[Any, int]:
    """Which attempt at its invoice each failed payment was: counted here, because events may arrive in any order."""
    subjects = {entry.subject for entry in entries if entry.kind == Kind.PAYMENT_FAILED and entry.subject}
    if not subjects:
        return {}
    numbers: dict[Any, int] = {}
    counts: dict[str, int] = {}
    failures = TimelineEntry.objects.filter(subject__in=subjects, kind=Kind.PAYMENT_FAILED)
    for pk, subject in failures.order_by("at", "id").values_list("id", "subject"):
        counts[subject] = numbers[pk] = counts.get(subject, 0) + 1
    return numbers


def plan_names(prices: Iterable[str]) -> dict[str, str]:
    """Price id → what people call it: its product's name, with the price's own nickname where it has one."""
    wanted = {price for price in prices if price}
    if not wanted:
        return {}
    rows = Price.objects.filter(id__in=wanted).values_list("id", "product__name", "nickname")
    return {one: " · ".join(part for part in (name, nickname) if part) for one, name, nickname in rows}


def _items(value: Any) -> list[list[Any]]:
    return [item for item in value if isinstance(item, list) and len(item) == 3] if isinstance(value, list) else []


def plan_text(items: Any, plans: dict[str, str]) -> str:
    """`Pro`, `Pro × 5, Support`; a price that is not mirrored shows as its id."""
    parts = []
    for price, product, quantity in _items(items):
        name = plans.get(price) or str(product or price)
        parts.append(f"{name} × {quantity}" if quantity not in (0, 1) else name)
    return ", ".join(parts)


def row_of(entry: TimelineEntry, shared: Shared) -> Row:
    icon, title, tone = words.title(entry)
    amount = -entry.amount if entry.amount is not None and entry.kind in BACK else entry.amount
    row = Row(entry=entry, icon=icon, title=title, tone=tone, amount=amount)
    _describe(row, shared)
    row.links = _links(row, shared)
    row.facts = _fact_rows(row, shared)
    return row


# -- the short text ----------------------------------------------------------------------------------------------------


def _describe(row: Row, shared: Shared) -> None:
    entry, facts = row.entry, row.entry.facts
    family = entry.what.partition(".")[0]
    if family == "invoice":
        _describe_invoice(row)
    elif entry.kind == Kind.PAYMENT_FAILED:
        row.text, secret = words.failure_of(entry)
        if number := shared.attempts.get(entry.pk):
            row.text += f" (attempt {number})"
        row.warning = words.SECRET if secret else ""
    elif entry.kind == Kind.PAYMENT:
        how = {"out_of_band": "paid outside Stripe", "without_charge": "from the customer’s credit"}
        brand = str(facts.get("card_brand", ""))
        row.text = how.get(facts.get("how", ""), f"{brand.capitalize()} card" if brand else "")
        if facts.get("amount_refunded"):
            row.text += " · refunded " + tags.money_text(facts["amount_refunded"], entry.currency)
    elif family == "refund":
        row.text, row.state = words.REFUND_REASONS.get(facts.get("reason", ""), ""), entry.state
    elif family == "dispute":
        reason = str(facts.get("reason", ""))
        row.text, row.state = words.DISPUTE_REASONS.get(reason, words.spaced(reason)), entry.state
        due = words.moment(facts.get("due_by"))
        if due and entry.state in ("needs_response", "warning_needs_response"):
            row.waits = f"answer due {words.day(due)}"
    elif family == "credit_note":
        row.text = " · ".join(
            part for part in (facts.get("number", ""), words.CREDIT_REASONS.get(facts.get("reason", ""), "")) if part
        )
        row.state = entry.state if entry.state != "issued" else ""
    elif family == "subscription":
        _describe_subscription(row, shared)
    elif family in ("suggestion", "decision", "execution"):
        _describe_step(row, shared)
    elif family == "dunning":
        row.state = entry.state if entry.what == "dunning.opened" else ""
        row.text = words.case_category(facts) if entry.what == "dunning.opened" else words.case_end(facts)
        until = words.moment(facts.get("grace_until"))
        row.waits = f"grace until {words.day(until)}" if until and entry.what == "dunning.opened" else ""
    elif family == "note":
        by = words.who(entry)
        row.text = " · ".join(part for part in (words.note_text(facts), f"noted by {by}" if by else "") if part)
    elif family == "message":
        row.text = words.spaced(str(facts.get("template", "")))
    elif family == "task":
        row.text = f"by {words.who(entry)}" if facts.get("who") else ""


def _describe_invoice(row: Row) -> None:
    entry, facts = row.entry, row.entry.facts
    reason = words.BILLING_REASONS.get(facts.get("billing_reason", ""), "")
    row.text = " · ".join(part for part in (facts.get("number", ""), reason) if part)
    if entry.what != "invoice.issued":
        return
    row.state = entry.state
    if entry.state != "open":
        return
    next_attempt, due = words.moment(facts.get("next_attempt")), words.moment(facts.get("due"))
    if next_attempt:
        row.waits = f"next attempt {words.day(next_attempt)}"
    elif due:
        row.waits = f"due {words.day(due)}"
    else:
        row.waits = "awaiting payment"


def _describe_subscription(row: Row, shared: Shared) -> None:
    entry, facts = row.entry, row.entry.facts
    if entry.what == "subscription.plan_changed":
        row.text = f"{plan_text(facts.get('from'), shared.plans)} → {plan_text(facts.get('to'), shared.plans)}"
    elif entry.what == "subscription.status_changed":
        row.text = f"{words.spaced(facts.get('from_state', ''))} → {words.spaced(facts.get('to_state', ''))}"
    elif entry.what in ("subscription.cancel_planned", "subscription.cancel_withdrawn"):
        end = words.moment(facts.get("period_end"))
        row.text = f"at the end of the period, {words.day(end)}" if end and entry.what.endswith("planned") else ""
    else:
        row.text = plan_text(facts.get("items"), shared.plans)
        if entry.what == "subscription.started":
            row.text, row.state = " · ".join(part for part in (row.text, "now") if part), entry.state


def _describe_step(row: Row, shared: Shared) -> None:
    entry, facts = row.entry, row.entry.facts
    suggestion = shared.suggestions.get(entry.object_id)
    parts = [words.kind_of_suggestion(entry)]
    if entry.kind == Kind.SUGGESTION and facts.get("reason_code"):
        parts.append(words.spaced(facts["reason_code"]))
    if entry.kind == Kind.DECISION and words.who(entry):
        parts.append(f"by {words.who(entry)}")
    if entry.kind == Kind.EXECUTION and entry.state in ("failed", "unknown"):
        execution = shared.executions.get(entry.object_id)
        if execution and execution.state == entry.state and execution.error_code:
            parts.append(words.spaced(execution.error_code))
    row.text = " · ".join(part for part in parts if part)
    # Only the last line of a suggestion waits for something; the earlier ones are history.
    if suggestion and suggestion.version == facts.get("version"):
        row.waits = words.waits_for(suggestion.state)


# -- links and facts ---------------------------------------------------------------------------------------------------


def own_url(name: str, *args: Any) -> str:
    """A page of ours, "" while nobody serves it."""
    try:
        return reverse(f"admin:{name}", args=args)
    except NoReverseMatch:
        return ""


def _links(row: Row, shared: Shared) -> list[tuple[str, str]]:
    entry = row.entry
    found: list[tuple[str, str]] = []
    if entry.object_id in shared.suggestions:
        found.append(("suggestion", own_url("approvals_suggestion_change", entry.object_id)))
    root, _, number = entry.object_id.partition(":")
    if root in _OWN_PAGES and number:
        found.append((root, own_url(_OWN_PAGES[root], number)))
    elif links.prefix(entry.object_id) not in ("", "in", "cus"):
        found.append((tags.short_text(entry.object_id), links.page_url(entry.object_id)))
    if entry.subject:
        number = str(entry.facts.get("number") or "") if entry.object_id == entry.subject else ""
        found.append((number or "invoice", own_url("support_invoice", entry.subject)))
    return [(text, url) for text, url in found if url]


def _fact_rows(row: Row, shared: Shared) -> list[tuple[str, Any]]:
    entry, facts = row.entry, row.entry.facts
    found: list[tuple[str, Any]] = [("At", tags.exact(entry.at))]
    if row.entry.amount is not None:
        found.append(("Amount", tags.money(row.amount, entry.currency)))
    if entry.object_id and links.prefix(entry.object_id):
        found.append(("Object", tags.stripe_link(entry.object_id, entry.account)))
    if entry.subject and entry.subject != entry.object_id:
        found.append(("Invoice", tags.stripe_link(entry.subject, entry.account)))
    for key, value in facts.items():
        if key not in _NOT_LISTED and (cell := _cell(key, value, entry)) not in (None, ""):
            found.append((_LABELS.get(key) or words.spaced(key).capitalize(), cell))
    for key, label in (("from", "From"), ("to", "To"), ("items", "Plan")):
        if text := plan_text(facts.get(key), shared.plans):
            found.append((label, text))
    if (suggestion := shared.suggestions.get(entry.object_id)) and entry.kind == Kind.SUGGESTION:
        found += [("Suggestion is now", tags.state_badge(suggestion.state)), ("Why", blind.shown(suggestion).rationale)]
    if (execution := shared.executions.get(entry.object_id)) and entry.kind == Kind.EXECUTION:
        if execution.object_id:
            found.append(("Made", tags.stripe_link(execution.object_id)))
        if execution.request_id:
            found.append(("Request", tags.short_id(execution.request_id)))
    if entry.account:
        found.append(("Account", tags.stripe_link(entry.account)))
    return found


def _cell(key: str, value: Any, entry: TimelineEntry) -> Any:
    if key in AMOUNTS and isinstance(value, int) and entry.currency:
        return tags.money(value, entry.currency)
    if key in TIMES:
        when = words.moment(value)
        return tags.exact(when) if isinstance(when, datetime) else value
    if key == "suggestion_kind":
        return words.kind_of_suggestion(entry)
    if key == "who":
        return words.who(entry)
    if key == "category":
        return words.case_category(entry.facts)
    if key == "billing_reason":
        return words.BILLING_REASONS.get(value, words.spaced(str(value)))
    if value is True:
        return "yes"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, str) and links.prefix(value) and key in _IDS:
        return tags.stripe_link(value, entry.account)
    return value
