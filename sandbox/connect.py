"""Money between the platform and connected accounts: transfers, their reversals, application fees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import ledger
from .errors import Json, invalid, no_such
from .render import embedded_list, virtual
from .shapes import shape
from .store import Scope

if TYPE_CHECKING:
    from .world import World

APPLICATION = "ca_sandbox"
INSUFFICIENT = (
    "You have insufficient available funds in your Stripe account. Try adding funds directly to your available balance "
    "by creating Charges using the 4000000000000077 test card. See: https://stripe.com/docs/testing#available-balance"
)


def destination_scope(world: World, destination: str, *, param: str = "destination") -> Scope:
    """The scope of an account that can receive transfers; Stripe's refusals otherwise."""
    account = world.store.platform.find("account", destination)
    scope = world.store.scope(destination)
    if account is None or scope is None or scope.is_platform or account.get("_disconnected"):
        raise no_such("destination", destination, param=param)
    if account["capabilities"].get("transfers") != "active":
        raise invalid(
            "Your destination account needs to have at least one of the following capabilities enabled: transfers, "
            "crypto_transfers, legacy_payments",
            code="insufficient_capabilities_for_transfer",
            param=param,
        )
    return scope


def transfer(
    world: World,
    scope: Scope,
    *,
    amount: int,
    currency: str,
    destination: str,
    source: Json | None = None,
    transfer_group: str | None = None,
    description: str | None = None,
    metadata: Json | None = None,
    fee: int = 0,
) -> Json:
    """Move `amount` minor units. `source`: the charge it comes from, whose availability it shares. `fee`: what the
    platform takes back from the connected account (destination charges)."""
    target = destination_scope(world, destination)
    now = world.clock.now()
    available_on = now
    if source is not None:
        _check_source(scope, source, amount, currency)
        charge_transaction = scope.get("balance_transaction", source["balance_transaction"])
        available_on = max(now, charge_transaction["available_on"])
        transfer_group = transfer_group or source["transfer_group"] or f"group_{source['id']}"
        source["transfer_group"] = transfer_group
    else:
        ledger.require(world, scope, amount, currency, INSUFFICIENT)
    transfer_id, payment_id = world.store.new_id("tr"), world.store.new_id("py")
    outgoing = ledger.record(
        world, scope, type="transfer", reporting_category="transfer", amount=-amount, currency=currency,
        source=transfer_id, description=description, available_on=available_on,
    )  # fmt: skip
    fees = [ledger.application_fee(fee, currency, APPLICATION)] if fee else []
    incoming = ledger.record(
        world, target, type="payment", reporting_category="charge", amount=amount, currency=currency,
        source=payment_id, description=description, available_on=available_on, fee_details=fees,
    )  # fmt: skip
    payment = shape(
        "charge", id=payment_id, amount=amount, amount_captured=amount, balance_transaction=incoming["id"],
        application_fee_amount=fee or None, application=APPLICATION if fee else None, captured=True, created=now,
        currency=currency, paid=True, source_transfer=transfer_id, status="succeeded", metadata={}, fraud_details={},
        description=description, payment_method_details={"type": "stripe_account", "stripe_account": {}},
    )  # fmt: skip
    target.add(payment)
    made = scope.add(
        shape(
            "transfer",
            id=transfer_id,
            amount=amount,
            balance_transaction=outgoing["id"],
            created=now,
            currency=currency,
            description=description,
            destination=destination,
            destination_payment=payment_id,
            metadata=metadata or {},
            source_transaction=source["id"] if source else None,
            source_type="card",
            transfer_group=transfer_group,
        )
    )
    world.emit(scope, "transfer.created", made)
    world.emit(target, "payment.created", payment)
    return made


def _check_source(scope: Scope, source: Json, amount: int, currency: str) -> None:
    if source["status"] != "succeeded" or not source["captured"]:
        raise invalid("You can only create transfers from a charge that succeeded.", param="source_transaction")
    if source["currency"] != currency:
        raise invalid(
            f"The currency of source_transaction's balance transaction ({source['currency']}) must be the same as the "
            f"transfer currency ({currency})",
            param="currency",
        )
    shared = sum(made["amount"] - made["amount_reversed"] for made in scope.children("transfer", source["id"]))
    if shared + amount > source["amount"]:
        raise invalid(
            f"The transfer amount ({amount}) exceeds what is left of the source transaction "
            f"({source['amount'] - shared} of {source['amount']}).",
            param="amount",
        )


def reverse(
    world: World,
    scope: Scope,
    made: Json,
    *,
    amount: int | None = None,
    metadata: Json | None = None,
    description: str | None = None,
    source_refund: str | None = None,
) -> Json:
    """Take back all or a part of a transfer, out of the connected account's balance."""
    left = made["amount"] - made["amount_reversed"]
    if left == 0:
        raise invalid(f"Transfer {made['id']} has already been fully reversed.", code="transfer_already_reversed")
    amount = left if amount is None else amount
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount > left:
        raise invalid(
            f"Reversal amount ({amount}) is greater than unreversed amount on transfer ({left})", param="amount"
        )
    target = world.store.scope(made["destination"])
    if target is None:
        raise no_such("destination", made["destination"], param="destination")
    currency = made["currency"]
    payment = target.get("charge", made["destination_payment"])
    incoming = target.get("balance_transaction", payment["balance_transaction"])
    now = world.clock.now()
    # Funds that are still on their way may be taken back on their way.
    available_on = max(now, incoming["available_on"])
    if available_on == now:
        ledger.require(
            world, target, amount, currency,
            "Insufficient funds in the connected account: its available balance is less than the reversal.",
        )  # fmt: skip
    reversal_id, refund_id = world.store.new_id("trr"), world.store.new_id("pyr")
    returned = ledger.record(
        world, scope, type="transfer_refund", reporting_category="transfer_reversal", amount=amount, currency=currency,
        source=reversal_id, description=description, available_on=available_on,
    )  # fmt: skip
    taken = ledger.record(
        world, target, type="payment_refund", reporting_category="refund", amount=-amount, currency=currency,
        source=refund_id, available_on=available_on,
    )  # fmt: skip
    target.add(
        shape(
            "refund",
            id=refund_id,
            amount=amount,
            balance_transaction=taken["id"],
            charge=payment["id"],
            created=now,
            currency=currency,
            metadata={},
            status="succeeded",
            source_transfer_reversal=reversal_id,
        )
    )
    with world.changes(target, payment, "charge.updated"):
        payment["amount_refunded"] += amount
        payment["refunded"] = payment["amount_refunded"] == payment["amount"]
    reversal = scope.add(
        shape(
            "transfer_reversal",
            id=reversal_id,
            amount=amount,
            balance_transaction=returned["id"],
            created=now,
            currency=currency,
            destination_payment_refund=refund_id,
            metadata=metadata or {},
            source_refund=source_refund,
            transfer=made["id"],
        )
    )
    before = world.snapshot(scope, made)
    made["amount_reversed"] += amount
    made["reversed"] = made["amount_reversed"] == made["amount"]
    world.emit(
        scope, "transfer.reversed", made,
        {"amount_reversed": before["amount_reversed"], "reversed": before["reversed"]},
    )  # fmt: skip
    return reversal


def collect_fee(world: World, *, account: str, charge: str, amount: int, currency: str, original: str | None) -> Json:
    """The platform's application fee on a charge (`original`: the platform's own charge, with destination charges)."""
    platform = world.store.platform
    fee_id = world.store.new_id("fee")
    incoming = ledger.record(
        world, platform, type="application_fee", reporting_category="platform_earning", amount=amount,
        currency=currency, source=fee_id, available_on=world.clock.now() + ledger.SETTLEMENT_SECONDS,
    )  # fmt: skip
    fee = platform.add(
        shape(
            "application_fee",
            id=fee_id,
            account=account,
            amount=amount,
            application=APPLICATION,
            balance_transaction=incoming["id"],
            charge=charge,
            created=world.clock.now(),
            currency=currency,
            fee_source={"charge": charge, "payout": None, "type": "charge"},
            originating_transaction=original,
        )
    )
    world.emit(platform, "application_fee.created", fee)
    return fee


def refund_fee(world: World, fee: Json, amount: int) -> None:
    """Give a part of an application fee back to the connected account."""
    amount = min(amount, fee["amount"] - fee["amount_refunded"])
    target = world.store.scope(fee["account"])
    if amount <= 0 or target is None:
        return
    refund_id = world.store.new_id("fr")
    taken = ledger.record(
        world, world.store.platform, type="application_fee_refund", reporting_category="platform_earning_refund",
        amount=-amount, currency=fee["currency"], source=refund_id,
    )  # fmt: skip
    ledger.record(
        world, target, type="application_fee_refund", reporting_category="fee", amount=amount,
        currency=fee["currency"], source=refund_id,
    )  # fmt: skip
    world.store.platform.add(
        shape(
            "fee_refund",
            id=refund_id,
            amount=amount,
            balance_transaction=taken["id"],
            created=world.clock.now(),
            currency=fee["currency"],
            fee=fee["id"],
            metadata={},
        )
    )
    fee["amount_refunded"] += amount
    fee["refunded"] = fee["amount_refunded"] == fee["amount"]
    world.emit(world.store.platform, "application_fee.refunded", fee)


@virtual("transfer", "reversals")
def _reversals(world: World, scope: Scope, made: Json) -> Json:
    found = scope.children("transfer_reversal", made["id"])[::-1]
    return embedded_list(found, f"/v1/transfers/{made['id']}/reversals")


@virtual("application_fee", "refunds")
def _fee_refunds(world: World, scope: Scope, fee: Json) -> Json:
    found = scope.children("fee_refund", fee["id"])[::-1]
    return embedded_list(found, f"/v1/application_fees/{fee['id']}/refunds")
