"""What putting many steps forward needs, read once for all of them: brands with their own texts, bundled invoices,
saved payment methods, the prices of downgrades.

    with shelf.filled(loaded):        # a thousand cases: a handful of statements
        …                             # draft after draft: none

Without a shelf each draft reads for itself. A shelf is this thread's own and ends with its block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from billingops.brands import current
from billingops.brands.models import Brand
from billingops.stripe import mirrored, reader, sync
from billingops.stripe.facts import InvoiceFacts, PaymentMethodFacts, PriceFacts
from dunning.messages import overrides
from dunning.messages.bundle import MAX_BUNDLED

if TYPE_CHECKING:
    from dunning.loading import Loaded


@dataclass
class Shelf:
    brands: dict[str, Brand] = field(default_factory=dict)
    invoices: dict[str, InvoiceFacts] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)  # the saved ones, Stripe's JSON
    prices: dict[str, PriceFacts] = field(default_factory=dict)


_shelf: ContextVar[Shelf | None] = ContextVar("dunning_messages_shelf", default=None)


@contextmanager
def filled(many: Sequence[Loaded]) -> Iterator[None]:
    brands = current.brands_of({one.snapshot.invoice.account for one in many})
    overrides.read_many(list(brands.values()))
    wanted = dict.fromkeys(invoice for one in many for invoice in one.facts.bundle[:MAX_BUNDLED])
    saved = [method.id for one in many for method in one.facts.saved]
    methods = mirrored.payment_methods_of((), saved) if saved else {}
    smaller = [one for one in many if any(entry.price for entry in one.sequence.entries)]
    prices = {one.facts.price for one in smaller} | {entry.price for one in smaller for entry in one.sequence.entries}
    invoices = mirrored.invoices_facts(wanted) if wanted else {}
    token = _shelf.set(Shelf(brands, invoices, methods, mirrored.prices_facts(prices - {""}) if smaller else {}))
    try:
        yield
    finally:
        _shelf.reset(token)


def brand_of(account: str) -> Brand:
    shelf = _shelf.get()
    if shelf is not None and account in shelf.brands:
        return shelf.brands[account]
    return current.brand_of(account)


def method(method_id: str) -> PaymentMethodFacts | None:
    """A saved payment method as the mirror has it; None where no shelf has it."""
    shelf = _shelf.get()
    data = shelf.methods.get(method_id) if shelf is not None else None
    return reader.read_payment_method(data) if data else None


def price(price_id: str) -> PriceFacts | None:
    """A price as the mirror has it; None where no shelf has it."""
    shelf = _shelf.get()
    return shelf.prices.get(price_id) if shelf is not None else None


def invoices(ids: Iterable[str], account: str, *, live: bool) -> list[InvoiceFacts]:
    """These invoices of `account`, those left out that are not there. `live`: as Stripe has them now, one call each."""
    wanted = list(dict.fromkeys(ids))[:MAX_BUNDLED]
    if live:
        read = (sync.invoice_facts(invoice, account, live=True) for invoice in wanted)
        return [invoice for invoice in read if invoice is not None]
    shelf = _shelf.get()
    known = shelf.invoices if shelf is not None else {}
    missing = [invoice for invoice in wanted if invoice not in known]
    found = {**known, **(mirrored.invoices_facts(missing) if missing else {})}
    return [found[one] for one in wanted if one in found and found[one].account == account]
