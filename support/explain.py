"""Why an invoice asks for what it asks for, and where the money went: from the mirror, the timeline, settlements and
dunning, in sentences and tables that add up. Reads only; a fixed number of statements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from billingops import access
from billingops.money import format_money
from billingops.stripe import sync
from billingops.stripe.facts import InvoiceFacts, LineFacts
from billingops.stripe.models import MirroredObject
from dunning.models import DunningCase
from settlements.models import PayoutRecord
from support import rows, words
from support.models import TimelineEntry

Kind = TimelineEntry.Kind
SHOWN = 200  # payments, refunds and notes of one invoice


@dataclass(frozen=True)
class Line:
    """`amount` before discounts; `discount` positive; `tax` on top, `tax_within` contained; `total` = what it adds."""

    facts: LineFacts
    period: str

    @property
    def less(self) -> int:
        return -self.facts.discount

    @property
    def total(self) -> int:
        return self.facts.amount - self.facts.discount + self.facts.tax_exclusive


@dataclass(frozen=True)
class Step:
    """One row of the sum: a label, minor units, and whether it is a result (a line above it)."""

    label: str
    amount: int
    result: bool = False


@dataclass(frozen=True)
class Share:
    """What one seller gets of one line; `record` None for a line that no payout holds."""

    line: str
    base: int
    fee: int
    share: int
    rule: str
    record: PayoutRecord | None


@dataclass
class Explanation:
    invoice: InvoiceFacts
    sentences: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    sums: dict[str, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    days: list[rows.Day] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    share_sums: dict[str, int] = field(default_factory=dict)
    refunded: int = 0
    credited: int = 0
    kept: int = 0
    cases: list[DunningCase] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def invoice(invoice_id: str, user: Any) -> Explanation | None:
    """None when the invoice is not mirrored, or lies outside of the accounts that `user` may see."""
    row = access.scope(MirroredObject.objects.filter(object_id=invoice_id, object_type="invoice"), user).first()
    facts = sync.invoice_facts(invoice_id, row.account, live=False) if row else None
    if facts is None:
        return None
    found = Explanation(invoice=facts)
    _lines(found)
    _steps(found)
    entries = list(TimelineEntry.objects.visible_to(user).about(invoice_id)[:SHOWN])
    found.days = rows.days(entries, user, on_page_of=invoice_id)
    _money_back(found, entries)
    if user.has_perm("settlements.view_payoutrecord"):
        _shares(found, user)
    if user.has_perm("dunning.view_dunningcase"):
        cases = DunningCase.objects.of_invoice(invoice_id, facts.account)
        found.cases = list(access.scope(cases, user).select_related("suggestion"))
    found.sentences = list(_sentences(found, entries))
    return found


def _lines(found: Explanation) -> None:
    found.lines = [Line(line, _period(line)) for line in found.invoice.lines]
    found.sums = {
        "amount": sum(line.facts.amount for line in found.lines),
        "discount": sum(line.facts.discount for line in found.lines),
        "less": sum(line.less for line in found.lines),
        "tax": sum(line.facts.tax_exclusive for line in found.lines),
        "total": sum(line.total for line in found.lines),
    }


def _period(line: LineFacts) -> str:
    if not line.period_start or not line.period_end or line.period_start == line.period_end:
        return ""
    return f"{words.short_day(line.period_start)} – {words.short_day(line.period_end)}"


def _steps(found: Explanation) -> None:
    """From the lines to what is left to pay. Whatever Stripe counted elsewhere stands as a row of its own: the column
    adds up, or says by how much it would not."""
    invoice, sums = found.invoice, found.sums
    found.steps = [Step("Lines", sums["amount"])]
    if sums["discount"]:
        found.steps.append(Step("Discounts", -sums["discount"]))
    if sums["tax"]:
        found.steps.append(Step("Tax on top", sums["tax"]))
    if other := invoice.total - sums["total"]:
        found.steps.append(Step("Counted by Stripe outside of the lines", other))
    found.steps.append(Step("Total", invoice.total, result=True))
    if balance := invoice.amount_due - invoice.total:
        label = "From the customer’s credit" if balance < 0 else "Added from the customer’s balance"
        found.steps.append(Step(label, balance))
        found.steps.append(Step("Amount due", invoice.amount_due, result=True))
    if invoice.amount_paid:
        found.steps.append(Step("Paid", -invoice.amount_paid))
    settled = invoice.amount_due - invoice.amount_paid - invoice.amount_remaining
    if settled:
        found.steps.append(Step("Credited, or settled outside Stripe", -settled))
    found.steps.append(Step("Left to pay", invoice.amount_remaining, result=True))


def _money_back(found: Explanation, entries: Iterable[TimelineEntry]) -> None:
    for entry in entries:
        amount = entry.amount or 0
        if entry.currency != found.invoice.currency:
            continue
        if entry.kind == Kind.REFUND and entry.state in ("succeeded", "pending"):
            found.refunded += amount
        elif entry.kind == Kind.CREDIT_NOTE and entry.state != "void":
            found.credited += amount
        elif entry.kind == Kind.PAYMENT_FAILED and words.failure_of(entry)[1]:
            found.warnings = [words.SECRET]
    found.kept = found.invoice.amount_paid - found.refunded


def _shares(found: Explanation, user: Any) -> None:
    records = PayoutRecord.objects.visible_to(user).live().filter(invoice=found.invoice.id)
    held: dict[str, list[Any]] = {}
    for record in records.select_related("seller").prefetch_related("lines__rule"):
        for part in record.lines.all():
            held.setdefault(part.line, []).append((record, part))
    if not held:
        return
    for line in found.lines:
        for record, part in held.get(line.facts.id, ()):
            found.shares.append(Share(line.facts.description, part.base, part.fee, part.share, str(part.rule), record))
        if line.facts.id not in held:
            found.shares.append(Share(line.facts.description, line.facts.base, line.facts.base, 0, "", None))
    found.share_sums = {name: sum(getattr(share, name) for share in found.shares) for name in ("base", "fee", "share")}


# -- in sentences ------------------------------------------------------------------------------------------------------


def _sentences(found: Explanation, entries: list[TimelineEntry]) -> Iterable[str]:
    invoice = found.invoice

    def money(amount: int) -> str:
        return format_money(amount, invoice.currency)

    reason = words.BILLING_REASONS.get(invoice.billing_reason, "")
    name = invoice.number or invoice.id
    yield f"Invoice {name} asks for {money(invoice.total)}" + (f", for {reason}." if reason else ".")
    if found.sums["discount"]:
        yield f"Discounts take off {money(found.sums['discount'])}."
    within = sum(line.facts.tax_inclusive for line in found.lines)
    if found.sums["tax"] or within:
        parts = [f"{money(found.sums['tax'])} on top"] if found.sums["tax"] else []
        parts += [f"{money(within)} contained in the prices"] if within else []
        yield f"Tax: {', '.join(parts)}."
    prorated = [line.facts for line in found.lines if line.facts.proration]
    if prorated:
        credit = sum(line.base for line in prorated if line.base < 0)
        charge = sum(line.base for line in prorated if line.base > 0)
        parts = [f"{money(charge)} for the rest of the period"] if charge else []
        parts += [f"less {money(-credit)} for time already paid and not used"] if credit else []
        yield f"The plan changed within a paid period, so it is prorated: {', '.join(parts)}."
    yield _outcome(found, entries)
    if found.refunded:
        yield f"{money(found.refunded)} of it went back as refunds; {money(found.kept)} stays."
    if found.credited:
        yield f"Credit notes over {money(found.credited)} were issued."


def _outcome(found: Explanation, entries: list[TimelineEntry]) -> str:
    invoice = found.invoice
    failures = sum(entry.kind == Kind.PAYMENT_FAILED for entry in entries)
    tries = f" after {failures} failed attempt{'s' if failures != 1 else ''}" if failures else ""
    if invoice.is_paid:
        on = f" on {words.short_day(invoice.paid_at)}" if invoice.paid_at else ""
        if invoice.paid_out_of_band:
            return f"It was marked as paid outside Stripe{on}{tries}."
        if not invoice.amount_paid:
            return f"Nothing had to be paid; it was closed{on}."
        return f"It was paid{on}{tries}."
    if invoice.status == "void":
        return "It was voided: nothing is owed."
    left = format_money(invoice.amount_remaining, invoice.currency)
    if invoice.status == "uncollectible":
        return f"It was given up as uncollectible{tries}; {left} was never paid."
    if invoice.status == "draft":
        return "It is a draft: nothing is owed yet."
    if invoice.next_payment_attempt:
        return f"{left} is open{tries}; Stripe tries again on {words.short_day(invoice.next_payment_attempt)}."
    due = f", due {words.short_day(invoice.due_date)}" if invoice.due_date else ""
    return f"{left} is open{tries}{due}."
