"""The life of an invoice after the draft: open → paid, void or uncollectible; its payment attempts, and what they do
to a subscription."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from .. import payments
from ..errors import Json, StripeError, invalid
from ..shapes import shape
from ..store import Scope
from . import discounts as discounting
from .invoices import lines_of, payment_of, subscription_of
from .lines import rounded
from .totals import compute

if TYPE_CHECKING:
    from ..world import World

DAY = 86400
# Days after the first, second… failed attempt when Stripe would try again by itself.
RETRY_DAYS = (3, 5, 7)


def finalize(world: World, scope: Scope, invoice: Json) -> None:
    """Draft → open (or paid, where nothing is due): number, balance applied, payment intent made."""
    if invoice["status"] != "draft":
        raise invalid("This invoice is already finalized, you can't re-finalize a non-draft invoice.",
                      code="invoice_not_editable")  # fmt: skip
    now = world.clock.now()
    customer = scope.get("customer", invoice["customer"])
    compute(world, scope, invoice, lines_of(scope, invoice))
    if (refusal := _cannot_be_finalized(world, scope, invoice, customer)) is not None:
        raise refusal
    customer["next_invoice_sequence"] += 1
    invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence'] - 1:04d}"
    _apply_balance(world, scope, invoice, customer)
    invoice.update(
        status="open",
        effective_at=now,
        hosted_invoice_url=f"https://invoice.stripe.com/i/{scope.account_id}/{invoice['id']}",
        invoice_pdf=f"https://pay.stripe.com/invoice/{scope.account_id}/{invoice['id']}/pdf",
        automatically_finalizes_at=None,
        webhooks_delivered_at=now,
    )
    invoice["status_transitions"]["finalized_at"] = now
    discounting.use_up(world, scope, invoice["discounts"])
    if invoice["amount_due"] > 0:
        _make_payment(world, scope, invoice)
    if invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically":
        invoice["next_payment_attempt"] = now + 3600
    world.emit(scope, "invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        _settle(world, scope, invoice)


def _cannot_be_finalized(world: World, scope: Scope, invoice: Json, customer: Json) -> StripeError | None:
    """With automatic tax Stripe must know where the customer is; or a test has said what is wrong. The draft keeps the
    error. Source: https://docs.stripe.com/tax/customer-locations, https://docs.stripe.com/invoicing/integration/workflow-transitions
    """
    code = invoice.get("_finalization_error")
    located = bool((customer["address"] or {}).get("country"))
    automatic = invoice["automatic_tax"]
    if not code and automatic["enabled"] and not located:
        code = "customer_tax_location_invalid"
    if automatic["enabled"]:
        automatic["status"] = "complete" if located else "requires_location_inputs"
    if not code:
        invoice["last_finalization_error"] = None
        return None
    message = (
        "The customer's location isn't recognized. Set a valid customer address in order to automatically calculate "
        "tax."
        if code == "customer_tax_location_invalid"
        else f"The invoice could not be finalized ({code})."
    )
    refusal = invalid(message, code=code)
    with world.changes(scope, invoice, "invoice.updated"):
        invoice["last_finalization_error"] = {
            "code": code,
            "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
            "message": message,
            "type": "invalid_request_error",
        }
    world.emit(scope, "invoice.finalization_failed", invoice)
    return refusal


def _apply_balance(world: World, scope: Scope, invoice: Json, customer: Json) -> None:
    """Customer credit lowers what is due, debt raises it; a negative total becomes credit."""
    start = customer["balance"]
    due = invoice["total"] + start
    invoice["starting_balance"] = start
    invoice["ending_balance"] = min(due, 0)
    invoice["amount_due"] = invoice["amount_remaining"] = max(due, 0)
    applied = invoice["ending_balance"] - start
    if applied:
        with world.changes(scope, customer, "customer.updated"):
            customer["balance"] = invoice["ending_balance"]
        scope.add(
            shape(
                "customer_balance_transaction",
                id=world.store.new_id("cbtxn"),
                amount=applied,
                created=world.clock.now(),
                currency=invoice["currency"],
                customer=customer["id"],
                ending_balance=invoice["ending_balance"],
                invoice=invoice["id"],
                metadata={},
                type="applied_to_invoice",
            )
        )


def _make_payment(world: World, scope: Scope, invoice: Json) -> None:
    due, share = invoice["amount_due"], invoice["_transfer_data"]
    fee = invoice["_application_fee_amount"]
    if fee is None and invoice["_application_fee_percent"]:
        fee = rounded(Decimal(str(invoice["_application_fee_percent"])) * due / 100)
    data = None
    if share:
        data = {"destination": share["destination"], "amount": share.get("amount")}
        if share.get("amount_percent") is not None:
            data["amount"] = rounded(Decimal(str(share["amount_percent"])) * due / 100)
    intent = payments.new_intent(
        world,
        scope,
        amount=due,
        application_fee_amount=fee,
        currency=invoice["currency"],
        customer=invoice["customer"],
        description=invoice["description"] or f"Payment for Invoice {invoice['number']}",
        on_behalf_of=invoice["on_behalf_of"],
        setup_future_usage="off_session" if invoice["parent"] else None,
        transfer_data=data,
        _invoice=invoice["id"],
    )
    scope.add(
        shape(
            "invoice_payment",
            id=world.store.new_id("inpay"),
            amount_paid=None,
            amount_requested=due,
            created=world.clock.now(),
            currency=invoice["currency"],
            invoice=invoice["id"],
            is_default=True,
            payment={"type": "payment_intent", "payment_intent": intent["id"]},
            status="open",
        )
    )


def default_payment_method(scope: Scope, invoice: Json) -> str | None:
    """Invoice, then subscription, then customer."""
    if invoice["default_payment_method"]:
        return str(invoice["default_payment_method"])
    subscription = subscription_of(scope, invoice)
    if subscription and subscription["default_payment_method"]:
        return str(subscription["default_payment_method"])
    customer = scope.get("customer", invoice["customer"])
    chosen = customer["invoice_settings"]["default_payment_method"]
    return str(chosen) if chosen else None


def collect(
    world: World, scope: Scope, invoice: Json, *, payment_method: str | None = None, automatic: bool
) -> StripeError | None:
    """One attempt to take the money of an open invoice. A decline is returned after the books are done.

    `automatic`: an attempt of the retry schedule; attempts by hand count only when they are the first (as in Stripe).
    """
    chosen = payment_method or default_payment_method(scope, invoice)
    if chosen is None:
        refusal = invalid(
            "There is no `default_payment_method` set on this Customer or Invoice. Please set a "
            "`default_payment_method`.",
            code="missing",
        )
        if automatic:
            _failed(world, scope, invoice, automatic=True)
        return refusal
    payment = payment_of(scope, invoice)
    assert payment is not None, "an open invoice with something due has a payment"
    intent = scope.get("payment_intent", payment["payment"]["payment_intent"])
    intent["payment_method"] = chosen
    refusal_or_none = payments.confirm(world, scope, intent, off_session=True)
    if refusal_or_none is not None:
        _failed(world, scope, invoice, automatic=automatic)
        if refusal_or_none.code == "authentication_required":
            world.emit(scope, "invoice.payment_action_required", invoice)
        return refusal_or_none
    if intent["status"] == "processing":
        _on_its_way(world, scope, invoice, automatic=automatic)
        return None
    collected(world, scope, invoice, intent, automatic=automatic)
    return None


def collected(world: World, scope: Scope, invoice: Json, intent: Json, *, automatic: bool) -> None:
    """The money is there, at once or, for a debit that was on its way, days later."""
    payment = payment_of(scope, invoice)
    assert payment is not None, "an open invoice with something due has a payment"
    payment["amount_paid"], payment["status"] = payment["amount_requested"], "paid"
    payment["status_transitions"]["paid_at"] = world.clock.now()
    if not invoice["attempted"] or automatic:
        invoice["attempt_count"] += 1
    invoice["attempted"] = True
    invoice["amount_paid"] += intent["amount_received"]
    world.emit(scope, "invoice_payment.paid", payment)
    _settle(world, scope, invoice)


def attach(world: World, scope: Scope, invoice: Json, intent: Json) -> None:
    """A payment that succeeded by itself is credited to the invoice; what is left stays open."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid("Payments can only be attached to open invoices.", code="invoice_not_editable")
    if intent["status"] != "succeeded":
        raise invalid("The sandbox attaches a payment once it has succeeded.", param="payment_intent")
    now, paid = world.clock.now(), min(intent["amount_received"], invoice["amount_remaining"])
    made = shape(
        "invoice_payment",
        id=world.store.new_id("inpay"),
        amount_paid=paid,
        amount_requested=paid,
        created=now,
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=False,
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
        status="paid",
    )
    made["status_transitions"]["paid_at"] = now
    scope.add(made)
    with world.changes(scope, invoice, "invoice.updated"):
        invoice["amount_paid"] += paid
        invoice["amount_remaining"] -= paid
        keep_in_step(scope, invoice)
    world.emit(scope, "invoice_payment.paid", made)
    if invoice["amount_remaining"] == 0:
        settle_without_payment(world, scope, invoice)


def keep_in_step(scope: Scope, invoice: Json) -> None:
    """The default payment asks for what is left."""
    payment = payment_of(scope, invoice)
    if payment is not None and payment["status"] == "open":
        payment["amount_requested"] = invoice["amount_remaining"]
        scope.get("payment_intent", payment["payment"]["payment_intent"])["amount"] = invoice["amount_remaining"]


def _on_its_way(world: World, scope: Scope, invoice: Json, *, automatic: bool) -> None:
    """A debit was sent to the bank: the attempt counts, the invoice stays open until the bank has answered."""
    with world.changes(scope, invoice, "invoice.updated"):
        if not invoice["attempted"] or automatic:
            invoice["attempt_count"] += 1
        invoice["attempted"] = True
        invoice["next_payment_attempt"] = None


def came_back(world: World, scope: Scope, invoice: Json) -> None:
    """The bank has returned a debit; its attempt was counted when it was sent."""
    with world.changes(scope, invoice, "invoice.updated"):
        tries = invoice["attempt_count"]
        if invoice["auto_advance"] and tries <= len(RETRY_DAYS):
            invoice["next_payment_attempt"] = world.clock.now() + RETRY_DAYS[max(tries, 1) - 1] * DAY
    world.emit(scope, "invoice.payment_failed", invoice)
    _set_delinquent(world, scope, invoice, True)
    _past_due(world, scope, invoice)


def _failed(world: World, scope: Scope, invoice: Json, *, automatic: bool) -> None:
    with world.changes(scope, invoice, "invoice.updated"):
        if not invoice["attempted"] or automatic:
            invoice["attempt_count"] += 1
        invoice["attempted"] = True
        tries = invoice["attempt_count"]
        scheduled = invoice["auto_advance"] and tries <= len(RETRY_DAYS)
        if not scheduled:
            invoice["next_payment_attempt"] = None
        elif automatic or tries == 1:
            invoice["next_payment_attempt"] = world.clock.now() + RETRY_DAYS[tries - 1] * DAY
    world.emit(scope, "invoice.payment_failed", invoice)
    if automatic:
        _set_delinquent(world, scope, invoice, True)
    _past_due(world, scope, invoice)


def _past_due(world: World, scope: Scope, invoice: Json) -> None:
    subscription = subscription_of(scope, invoice)
    if subscription and subscription["status"] in ("active", "trialing"):
        with world.changes(scope, subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due"


def _set_delinquent(world: World, scope: Scope, invoice: Json, delinquent: bool) -> None:
    customer = scope.find("customer", invoice["customer"])
    if customer is not None:
        with world.changes(scope, customer, "customer.updated"):
            customer["delinquent"] = delinquent


def _settle(world: World, scope: Scope, invoice: Json) -> None:
    """Paid: books, events, and the subscription that waited for it."""
    now = world.clock.now()
    with world.changes(scope, invoice, "invoice.updated"):
        invoice.update(status="paid", attempted=True, amount_remaining=0, next_payment_attempt=None, auto_advance=False)
        invoice["status_transitions"]["paid_at"] = now
    world.emit(scope, "invoice.paid", invoice)
    world.emit(scope, "invoice.payment_succeeded", invoice)
    _set_delinquent(world, scope, invoice, False)
    subscription = subscription_of(scope, invoice)
    waits = subscription and subscription["status"] in ("incomplete", "past_due", "unpaid")
    if subscription and waits and subscription["latest_invoice"] in (None, invoice["id"]):
        with world.changes(scope, subscription, "customer.subscription.updated"):
            subscription["status"] = "active"


def pay_out_of_band(world: World, scope: Scope, invoice: Json) -> None:
    """Paid outside of Stripe: no charge; the payment intent falls away."""
    _drop_payment(world, scope, invoice)
    invoice["amount_paid"] = invoice["amount_due"]
    invoice["amount_paid_off_stripe"] = invoice["amount_due"]
    _settle(world, scope, invoice)


def settle_without_payment(world: World, scope: Scope, invoice: Json) -> None:
    """Nothing is left to pay (credit notes, payments made elsewhere): paid without a charge of its own."""
    _drop_payment(world, scope, invoice)
    _settle(world, scope, invoice)


def void(world: World, scope: Scope, invoice: Json) -> None:
    """Open or uncollectible → void."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"You can only pass in open invoices. This invoice isn't open (status: {invoice['status']}).",
                      code="invoice_not_editable")  # fmt: skip
    _drop_payment(world, scope, invoice)
    invoice.update(status="void", next_payment_attempt=None, auto_advance=False)
    invoice["status_transitions"]["voided_at"] = world.clock.now()
    world.emit(scope, "invoice.voided", invoice)
    subscription = subscription_of(scope, invoice)
    if subscription and subscription["status"] == "incomplete":
        with world.changes(scope, subscription, "customer.subscription.updated"):
            subscription["status"] = "incomplete_expired"


def mark_uncollectible(world: World, scope: Scope, invoice: Json) -> None:
    """Open → uncollectible."""
    if invoice["status"] != "open":
        raise invalid("You can only mark open invoices as uncollectible.", code="invoice_not_editable")
    invoice.update(status="uncollectible", next_payment_attempt=None, auto_advance=False)
    invoice["status_transitions"]["marked_uncollectible_at"] = world.clock.now()
    world.emit(scope, "invoice.marked_uncollectible", invoice)
    _set_delinquent(world, scope, invoice, False)
    subscription = subscription_of(scope, invoice)
    overdue = subscription and subscription["status"] in ("past_due", "unpaid")
    if subscription and overdue and subscription["latest_invoice"] == invoice["id"]:
        with world.changes(scope, subscription, "customer.subscription.updated"):
            subscription["status"] = "active"  # nothing of it is overdue any more


def _drop_payment(world: World, scope: Scope, invoice: Json) -> None:
    payment = payment_of(scope, invoice)
    if payment is None or payment["status"] != "open":
        return
    payment["status"] = "canceled"
    payment["status_transitions"]["canceled_at"] = world.clock.now()
    intent = scope.find("payment_intent", payment["payment"]["payment_intent"])
    if intent is not None and intent["status"] != "succeeded":
        intent.update(status="canceled", canceled_at=world.clock.now(), cancellation_reason="void_invoice")
        world.emit(scope, "payment_intent.canceled", intent)
