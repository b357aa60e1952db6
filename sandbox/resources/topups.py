"""Top-ups: money that the platform brings to its own balance. They succeed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import ledger
from ..errors import Json, invalid
from ..render import listing
from ..shapes import shape
from ..store import Scope
from ..world import Call
from . import base

if TYPE_CHECKING:
    from ..world import World


def top_up(world: World, scope: Scope, *, amount: int, currency: str, description: str | None = None,
           statement_descriptor: str | None = None, transfer_group: str | None = None,
           metadata: Json | None = None) -> Json:  # fmt: skip
    """Add `amount` minor units to the available balance."""
    topup_id, now = world.store.new_id("tu"), world.clock.now()
    brought = ledger.record(
        world, scope, type="topup", reporting_category="topup", amount=amount, currency=currency, source=topup_id,
        description=description,
    )  # fmt: skip
    made = scope.add(
        shape(
            "topup",
            id=topup_id,
            amount=amount,
            balance_transaction=None,
            created=now,
            currency=currency,
            description=description,
            expected_availability_date=now,
            metadata=dict(metadata or {}),
            statement_descriptor=statement_descriptor,
            status="pending",
            transfer_group=transfer_group,
        )
    )
    world.emit(scope, "topup.created", made)
    made.update(status="succeeded", balance_transaction=brought["id"])
    world.emit(scope, "topup.succeeded", made)
    return made


def create(call: Call) -> Json:
    """POST /v1/topups"""
    names = ("description", "statement_descriptor", "transfer_group", "metadata")
    return top_up(
        call.world, call.scope, amount=base.positive(call.params), currency=base.currency(call.params),
        **{name: call.params.get(name) for name in names},
    )  # fmt: skip


def update(call: Call, id: str) -> Json:
    """POST /v1/topups/{id}"""
    made = call.scope.get("topup", id)
    base.assign(made, call.params, ("description",))
    return made


def cancel(call: Call, id: str) -> Json:
    """POST /v1/topups/{id}/cancel: too late here, always."""
    made = call.scope.get("topup", id)
    raise invalid(f"Only pending top-ups can be canceled; this one is {made['status']}.")


def index(call: Call) -> Json:
    """GET /v1/topups"""
    return listing(call, "topup", "status")
