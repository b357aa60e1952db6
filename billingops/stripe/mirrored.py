"""Facts from the mirror alone, for many objects at once: a constant number of SQL statements per call, whatever the
number of ids (at most MOST). What the mirror does not have is left out; sync.py gives these names on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, TypeVar

from django.db.models import Q

from billingops.stripe import reader
from billingops.stripe import store as mirror
from billingops.stripe.facts import (
    ChargeFacts,
    CreditNoteFacts,
    CustomerFacts,
    DisputeFacts,
    InvoiceFacts,
    PriceFacts,
    RefundFacts,
    SubscriptionFacts,
    together,
)
from billingops.stripe.models import CreditNote, InvoicePayment, MirroredBalanceTransaction, MirroredObject
from billingops.stripe.relations import whole
from billingops.stripe.shapes import balance_applied, metadata_of

MOST = 1000
MOST_CHARGES = 20_000

F = TypeVar("F", RefundFacts, DisputeFacts, CreditNoteFacts)


def invoices_facts(ids: Iterable[str]) -> dict[str, InvoiceFacts]:
    """As sync.invoice_facts, by id, in at most 6 statements."""
    rows = {pk: (data, account) for pk, data, account in _rows("invoice", _bounded(ids))}
    full = whole_invoices({pk: data for pk, (data, _) in rows.items()})
    return {pk: reader.read_invoice(data, rows[pk][1]) for pk, data in full.items()}


def bare_invoices(ids: Iterable[str]) -> dict[str, InvoiceFacts]:
    """The same from the invoices' own JSON alone, in one statement: without what stands behind them (prices, products,
    payments, the subscription's metadata)."""
    return {pk: reader.read_invoice(data, account) for pk, data, account in _rows("invoice", _bounded(ids))}


def whole_invoices(invoices: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Stored invoices with their payments as the mirror has them, and with what read_invoice looks behind."""
    payments: dict[str, list[dict[str, Any]]] = {}
    found = InvoicePayment.objects.filter(invoice_id__in=list(invoices)) if invoices else InvoicePayment.objects.none()
    for invoice_id, data in found.order_by("created", "id").values_list("invoice_id", "stripe_data"):
        payments.setdefault(invoice_id, []).append(data)
    with_payments = {
        pk: {**data, "payments": {"object": "list", "data": payments[pk]}} if pk in payments else data
        for pk, data in invoices.items()
    }
    return whole(with_payments, mirror.load)


def charges_facts(ids: Iterable[str]) -> dict[str, ChargeFacts]:
    """As sync.charge_facts, by id, in at most 3 statements."""
    rows = _rows("charge", _bounded(ids))
    return {facts.id: facts for facts in completed([reader.read_charge(data, account) for _, data, account in rows])}


def payments(
    charges: Mapping[str, Sequence[str]], fresh: Mapping[str, ChargeFacts] | None = None
) -> dict[str, ChargeFacts]:
    """By invoice, its charges (ids, the largest first) as one payment: one of several is `together` with the others.
    Left out where the mirror lacks one. `fresh`: charges, by id, that were read just now. As many statements as
    charges_facts for each thousand charges."""
    known = dict(fresh or {})
    ids = [pk for named in charges.values() for pk in named if pk not in known]
    for start in range(0, len(ids), MOST):
        known |= charges_facts(ids[start : start + MOST])
    return {
        invoice: together([known[pk] for pk in named])
        for invoice, named in charges.items()
        if named and all(pk in known for pk in named)
    }


def charges_of_many(invoice_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The ids of the charges that paid these invoices, the largest first, as their payments name them (none did before
    2025-03-31); in one statement."""
    rows = InvoicePayment.objects.filter(invoice_id__in=_bounded(invoice_ids), status="paid").exclude(charge_id="")
    found: dict[str, tuple[str, ...]] = {}
    in_turn = rows.order_by("-amount_paid", "created", "id").values_list("invoice_id", "charge_id")
    for invoice_id, charge_id in dict.fromkeys(in_turn):
        found[invoice_id] = (*found.get(invoice_id, ()), charge_id)
    return found


def invoices_of_charge(charge_id: str) -> list[str]:
    """The invoices that it paid, or a part of, as their payments name it (none did before 2025-03-31)."""
    rows = InvoicePayment.objects.filter(charge_id=charge_id) if charge_id else InvoicePayment.objects.none()
    return sorted(set(rows.values_list("invoice_id", flat=True)))


def balances_applied(invoice_ids: Iterable[str]) -> dict[str, int]:
    """What the customer's balance paid of each of these invoices (InvoiceFacts.from_balance), in one statement."""
    rows = mirror.model_of("invoice").objects.filter(id__in=_bounded(invoice_ids))
    names = ("id", "stripe_data__starting_balance", "stripe_data__ending_balance")
    return {pk: balance_applied(start, end) for pk, start, end in rows.values_list(*names)}


def completed(charges: Sequence[ChargeFacts]) -> list[ChargeFacts]:
    """The same charges with what their payloads do not say: the invoice (since 2025-03-31), and the fee and the net
    where the balance transaction is not expanded."""
    return _with_balances(_with_invoices(charges))


def _with_invoices(charges: Sequence[ChargeFacts]) -> list[ChargeFacts]:
    open_ones = [charge for charge in charges if not charge.invoice_id]
    if not open_ones:
        return list(charges)
    intents = [charge.payment_intent_id for charge in open_ones if charge.payment_intent_id]
    wanted = Q(charge_id__in=[charge.id for charge in open_ones])
    rows = InvoicePayment.objects.filter(wanted | Q(payment_intent_id__in=intents) if intents else wanted)
    by_reference: dict[str, list[tuple[int, str]]] = {}
    names = ("charge_id", "payment_intent_id", "invoice_id")
    for rank, (charge_id, intent_id, invoice_id) in enumerate(rows.order_by("created", "id").values_list(*names)):
        for reference in {charge_id, intent_id} - {""}:
            by_reference.setdefault(reference, []).append((rank, invoice_id))

    def invoice_of(charge: ChargeFacts) -> str:
        found = [*by_reference.get(charge.id, ()), *by_reference.get(charge.payment_intent_id, ())]
        return min(found)[1] if found else ""

    return [charge if charge.invoice_id else replace(charge, invoice_id=invoice_of(charge)) for charge in charges]


def _with_balances(charges: Sequence[ChargeFacts]) -> list[ChargeFacts]:
    ids = [charge.balance_transaction_id for charge in charges if charge.fee is None and charge.balance_transaction_id]
    if not ids:
        return list(charges)
    rows = MirroredBalanceTransaction.objects.filter(object_id__in=ids)
    names = ("fee", "net", "currency", "exchange_rate", "created")
    found = {pk: values for pk, *values in rows.values_list("object_id", *names)}

    def with_balance(charge: ChargeFacts) -> ChargeFacts:
        if charge.fee is not None or charge.balance_transaction_id not in found:
            return charge
        fee, net, currency, rate, moved_at = found[charge.balance_transaction_id]
        return replace(charge, fee=fee, net=net, balance_currency=currency, exchange_rate=rate, moved_at=moved_at)

    return [with_balance(charge) for charge in charges]


def customers_metadata(ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """The metadata of these customers, by id, in one statement that reads nothing else of them."""
    rows = mirror.model_of("customer").objects.filter(id__in=_bounded(ids))
    return {pk: metadata_of(metadata) for pk, metadata in rows.values_list("id", "metadata")}


def customers_facts(ids: Iterable[str]) -> dict[str, CustomerFacts]:
    """As sync.customer_facts, by id, in one statement."""
    return {pk: reader.read_customer(data, account) for pk, data, account in _rows("customer", _bounded(ids))}


def subscriptions_facts(ids: Iterable[str]) -> dict[str, SubscriptionFacts]:
    """As sync.subscription_facts, by id, in one statement."""
    return {pk: reader.read_subscription(data, account) for pk, data, account in _rows("subscription", _bounded(ids))}


def prices_facts(ids: Iterable[str]) -> dict[str, PriceFacts]:
    """Prices by id, in one statement."""
    return {pk: reader.read_price(data) for pk, data in mirror.load("price", _bounded(ids)).items()}


def payment_methods_of(customers: Iterable[str], ids: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Stripe's JSON of every payment method that is saved for one of these customers, and of those named; by id, oldest
    first, in one statement."""
    wanted = Q(customer_id__in=_bounded(customers)) | Q(id__in=_bounded(ids))
    rows = mirror.model_of("payment_method").objects.filter(wanted).order_by("created", "id")
    return dict(rows.values_list("id", "stripe_data"))


@dataclass(frozen=True, slots=True)
class Trouble:
    """`declined`: charges of each customer, newest first, of all together the newest MOST_CHARGES: far above every
    network's cap. `disputes`: the statuses of the disputes of each (customer, account)."""

    declined: Mapping[str, list[ChargeFacts]]
    disputes: Mapping[tuple[str, str], frozenset[str]]


def trouble_of(customers: Iterable[str]) -> Trouble:
    """What went wrong with these customers' payments, in two statements."""
    wanted = _bounded(customers)
    declined: dict[str, list[ChargeFacts]] = {customer: [] for customer in wanted}
    disputes: dict[tuple[str, str], frozenset[str]] = {}
    owners: dict[str, tuple[str, str]] = {}
    index = MirroredObject.objects.filter(
        Q(object_type="charge", status="failed") | Q(object_type="dispute"), customer_id__in=wanted
    )
    columns = ("object_type", "object_id", "customer_id", "account", "status")
    for kind, pk, customer, account, status in index.order_by("-created", "-object_id").values_list(*columns)[
        :MOST_CHARGES
    ]:
        if kind == "charge":
            owners[pk] = (customer, account)
        else:
            pair = (customer, account)
            disputes[pair] = disputes.get(pair, frozenset()) | {status}
    data = mirror.load("charge", owners)
    for pk, (customer, account) in owners.items():
        if pk in data:
            declined[customer].append(reader.read_charge(data[pk], account))
    return Trouble(declined, disputes)


def refunds_of_many(charge_ids: Iterable[str]) -> dict[str, tuple[RefundFacts, ...]]:
    """The refunds of each of these charges, oldest first, in two statements; () for a charge without one."""
    wanted = _bounded(charge_ids)
    found = [(parent, reader.read_refund(data, account)) for parent, data, account in _children("refund", wanted)]
    return _grouped(wanted, found)


def disputes_of_many(charge_ids: Iterable[str]) -> dict[str, tuple[DisputeFacts, ...]]:
    """The disputes of each of these charges, oldest first, in two statements; () for a charge without one."""
    wanted = _bounded(charge_ids)
    found = [(parent, reader.read_dispute(data, account)) for parent, data, account in _children("dispute", wanted)]
    return _grouped(wanted, found)


def credit_notes_of_many(invoice_ids: Iterable[str]) -> dict[str, tuple[CreditNoteFacts, ...]]:
    """The credit notes on each of these invoices, oldest first, in one statement; () for an invoice without one."""
    wanted = _bounded(invoice_ids)
    rows = CreditNote.objects.filter(invoice_id__in=wanted).values_list("invoice_id", "stripe_data", "account")
    return _grouped(wanted, [(parent, reader.read_credit_note(data, account)) for parent, data, account in rows])


def in_order(facts: Iterable[F]) -> tuple[F, ...]:
    """By (created, id)."""
    return tuple(sorted(facts, key=attrgetter("created", "id")))


# -- below -------------------------------------------------------------------------------------------------------------
def _bounded(ids: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > MOST:
        raise ValueError(f"At most {MOST} at a time, not {len(wanted)}.")
    return wanted


def _rows(object_type: str, ids: Sequence[str]) -> list[tuple[str, dict[str, Any], str]]:
    """(id, JSON, account) from dj-stripe's table."""
    if not ids:
        return []
    rows = mirror.model_of(object_type).objects.filter(id__in=ids)
    names = ("id", "stripe_data", "djstripe_owner_account_id")
    return [(pk, data, account or "") for pk, data, account in rows.values_list(*names)]


def _children(object_type: str, parents: Sequence[str]) -> list[tuple[str, dict[str, Any], str]]:
    """(parent, JSON, account). The index tells which: dj-stripe's foreign key is empty where the parent came later."""
    if not parents:
        return []
    index = MirroredObject.objects.filter(object_type=object_type, parent_id__in=parents)
    found = {pk: (parent, account) for pk, parent, account in index.values_list("object_id", "parent_id", "account")}
    data = mirror.load(object_type, found)
    return [(found[pk][0], data[pk], found[pk][1]) for pk in found if pk in data]


def _grouped(wanted: Iterable[str], found: Iterable[tuple[str, F]]) -> dict[str, tuple[F, ...]]:
    groups: dict[str, list[F]] = {parent: [] for parent in wanted}
    for parent, facts in found:
        groups[parent].append(facts)
    return {parent: in_order(facts) for parent, facts in groups.items()}
