"""Transfers, reversals and application fees as the API shows them; the money moves in connect.py."""

from __future__ import annotations

from .. import connect
from ..errors import Json, missing_parameter
from ..render import listing, page
from ..world import Call
from . import base


def create(call: Call) -> Json:
    """POST /v1/transfers"""
    params = call.params
    source = None
    if params.get("source_transaction"):
        source = call.scope.get("charge", params["source_transaction"], param="source_transaction")
    if params.get("amount") is None and source is None:
        raise missing_parameter("amount")
    amount = base.positive(params) if params.get("amount") is not None else source["amount"]  # type: ignore[index]
    return connect.transfer(
        call.world, call.scope, amount=amount, currency=base.currency(params), destination=params["destination"],
        source=source, transfer_group=params.get("transfer_group"), description=params.get("description"),
        metadata=params.get("metadata"),
    )  # fmt: skip


def update(call: Call, id: str) -> Json:
    """POST /v1/transfers/{id}"""
    made = call.scope.get("transfer", id)
    with call.world.changes(call.scope, made, "transfer.updated"):
        base.assign(made, call.params, ("description",))
    return made


def index(call: Call) -> Json:
    """GET /v1/transfers"""
    return listing(call, "transfer", "destination", "transfer_group")


def create_reversal(call: Call, id: str) -> Json:
    """POST /v1/transfers/{id}/reversals"""
    params = call.params
    return connect.reverse(
        call.world, call.scope, call.scope.get("transfer", id), amount=params.get("amount"),
        metadata=params.get("metadata"), description=params.get("description"),
    )  # fmt: skip


def reversals(call: Call, id: str) -> Json:
    """GET /v1/transfers/{id}/reversals"""
    call.scope.get("transfer", id)
    return page(call, call.scope.children("transfer_reversal", id)[::-1])


def reversal(call: Call, id: str, reversal_id: str) -> Json:
    """GET /v1/transfers/{id}/reversals/{reversal}"""
    call.scope.get("transfer", id)
    return call.scope.get("transfer_reversal", reversal_id)


def update_reversal(call: Call, id: str, reversal_id: str) -> Json:
    """POST /v1/transfers/{id}/reversals/{reversal}: metadata."""
    made = reversal(call, id, reversal_id)
    base.merge_metadata(made, call.params)
    return made


def application_fees(call: Call) -> Json:
    """GET /v1/application_fees"""
    return listing(call, "application_fee", "charge")


def fee_refunds(call: Call, id: str) -> Json:
    """GET /v1/application_fees/{id}/refunds"""
    call.scope.get("application_fee", id)
    return page(call, call.scope.children("fee_refund", id)[::-1])


def create_fee_refund(call: Call, id: str) -> Json:
    """POST /v1/application_fees/{id}/refunds"""
    fee = call.scope.get("application_fee", id)
    connect.refund_fee(call.world, fee, call.params.get("amount") or fee["amount"])
    return call.scope.children("fee_refund", id)[-1]
