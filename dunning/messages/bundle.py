"""Several overdue invoices of a customer in one message: listed by code, summed per currency. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billingops.money import sum_by_currency
from billingops.stripe.facts import InvoiceFacts
from dunning.messages import languages

MAX_LISTED = 20
MAX_BUNDLED = 20  # as many invoices one message speaks of; each is read from Stripe again before it is sent
_BULLET = "• "
# The list as `as_text` writes it: bulleted lines and the line of the sums under them. No person may write either, for
# both hold figures.
WRITTEN = re.compile(r"(?m)^• .+\n(?:• .+\n)*.+$")
_MORE = {"en": "and {} more", "de": "und {} weitere", "fr": "et {} autres", "es": "y {} más", "ja": "ほか{}件"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One invoice of the list. Amount in minor units, times aware."""

    invoice: str
    number: str
    amount: int
    currency: str
    created: datetime
    due: datetime | None = None
    status: str = "open"

    @classmethod
    def of(cls, invoice: Any) -> Entry:
        """Of InvoiceFacts, of whatever has them as `.invoice` (a Snapshot), or of what `as_json` made."""
        if isinstance(invoice, Entry):
            return invoice
        if isinstance(invoice, Mapping):
            return cls.from_json(invoice)
        facts: InvoiceFacts = invoice if isinstance(invoice, InvoiceFacts) else invoice.invoice
        return cls(
            facts.id, facts.number, facts.amount_remaining, facts.currency, facts.created, facts.due_date, facts.status
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Entry:
        return cls(
            invoice=data["invoice"],
            number=data.get("number", ""),
            amount=data["amount_remaining"],
            currency=data["currency"],
            created=datetime.fromisoformat(data["created"]),
            due=datetime.fromisoformat(data["due"]) if data.get("due") else None,
            status=data.get("status", "open"),
        )

    def as_json(self) -> dict[str, Any]:
        """What the sealed facts of a suggestion hold of it: if any of it moves, the suggestion goes back."""
        return {
            "invoice": self.invoice,
            "number": self.number,
            "status": self.status,
            "amount_remaining": self.amount,
            "currency": self.currency,
            "created": self.created.isoformat(),
            "due": self.due.isoformat() if self.due else "",
        }


def is_owed(entry: Entry) -> bool:
    return entry.status == "open" and entry.amount > 0


def sealed(main: str, invoices: Sequence[Any]) -> list[dict[str, Any]]:
    """What the sealed facts hold of the invoices beside `main`, oldest first."""
    found = {entry.invoice: entry for entry in map(Entry.of, invoices) if entry.invoice != main}
    return [entry.as_json() for entry in sorted(found.values(), key=lambda entry: (entry.created, entry.invoice))]


def entries(main: Any, others: Sequence[Any]) -> list[Entry]:
    """The message's own invoice first, then the others by age; each once. Empty where there are no others."""
    first = Entry.of(main)
    rest = {entry.invoice: entry for entry in map(Entry.of, others) if entry.invoice != first.invoice}
    return [first, *sorted(rest.values(), key=lambda entry: (entry.created, entry.invoice))] if rest else []


def as_text(listed: Sequence[Entry], language: str) -> str:
    """One line an invoice, then the sums, never across currencies."""
    lines = [_BULLET + _line(entry, language) for entry in listed[:MAX_LISTED]]
    if more := len(listed) - MAX_LISTED:
        lines += [_BULLET + _MORE.get(language, _MORE["en"]).format(more)] if more > 0 else []
    sums = sum_by_currency((entry.amount, entry.currency) for entry in listed)
    amounts = [languages.money_text(amount, currency, language) for currency, amount in sums.items()]
    return "\n".join([*lines, languages.total_line(amounts, language)])


def _line(entry: Entry, language: str) -> str:
    return languages.invoice_line(
        entry.number or entry.invoice,
        languages.day_text(entry.created, language),
        languages.money_text(entry.amount, entry.currency, language),
        languages.day_text(entry.due, language) if entry.due else "",
        language,
    )
