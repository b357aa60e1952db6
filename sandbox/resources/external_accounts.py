"""Where a connected account's payouts go: added, changed and removed, each with its event on that account."""

from __future__ import annotations

from ..errors import Json, invalid
from ..shapes import shape
from ..store import Scope
from ..world import Call
from . import base
from .accounts import retrieve

CHANGEABLE = ("account_holder_name", "account_holder_type", "account_type")


def _scope(call: Call, account_id: str) -> Scope:
    retrieve(call, account_id)
    return call.store.scope(account_id) or call.scope


def create(call: Call, id: str) -> Json:
    """POST /v1/accounts/{id}/external_accounts: a bank account, or a token (`btok_…`) that stands for one."""
    account, scope = retrieve(call, id), _scope(call, id)
    given = call.params["external_account"]
    if isinstance(given, str):
        if not given.startswith("btok"):
            raise invalid(f"No such token: '{given}'", param="external_account", code="resource_missing")
        given = {
            "country": account["country"],
            "currency": account["default_currency"],
            "account_number": "000123456789",
        }
    elif given.get("object") != "bank_account":
        raise invalid("The sandbox pays out to bank accounts only.", param="external_account")
    currency = given.get("currency") or account["default_currency"]
    others = [one for one in scope.children("bank_account", id) if one["currency"] == currency]
    bank = scope.add(
        shape(
            "bank_account",
            id=call.store.new_id("ba"),
            account=id,
            bank_name="STRIPE TEST BANK",
            account_holder_name=given.get("account_holder_name"),
            account_holder_type=given.get("account_holder_type"),
            available_payout_methods=["standard"],
            country=given["country"],
            currency=currency,
            default_for_currency=not others or bool(call.params.get("default_for_currency")),
            fingerprint=call.store.new_id("x", 16)[2:],
            last4=str(given["account_number"])[-4:],
            metadata={},
            routing_number=given.get("routing_number") or "110000000",
            status="new",
        )
    )
    base.merge_metadata(bank, call.params)
    call.world.emit(scope, "account.external_account.created", bank)
    if bank["default_for_currency"]:
        _step_back(call, scope, others)
    return bank


def update(call: Call, id: str, external: str) -> Json:
    """POST /v1/accounts/{id}/external_accounts/{external}"""
    scope = _scope(call, id)
    bank = scope.get("bank_account", external)
    with call.world.changes(scope, bank, "account.external_account.updated"):
        base.assign(bank, call.params, CHANGEABLE)
        if call.params.get("default_for_currency"):
            bank["default_for_currency"] = True
    if call.params.get("default_for_currency"):
        same = (one for one in scope.children("bank_account", id) if one["currency"] == bank["currency"])
        _step_back(call, scope, [one for one in same if one is not bank])
    return bank


def delete(call: Call, id: str, external: str) -> Json:
    """DELETE /v1/accounts/{id}/external_accounts/{external}"""
    scope = _scope(call, id)
    bank = scope.get("bank_account", external)
    if bank["default_for_currency"]:
        raise invalid(
            "You cannot delete the default external account for your default currency. Please make another external "
            "account the default using the `default_for_currency` param, and then delete this one."
        )
    scope.remove(bank)
    call.world.emit(scope, "account.external_account.deleted", bank)
    return base.deleted(bank)


def _step_back(call: Call, scope: Scope, banks: list[Json]) -> None:
    for bank in banks:
        with call.world.changes(scope, bank, "account.external_account.updated"):
            bank["default_for_currency"] = False
