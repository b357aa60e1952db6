"""Accounts: the platform's own, connected ones, their capabilities and external accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import Json, invalid
from ..render import embedded_list, page, virtual
from ..shapes import shape
from ..store import Scope, Store
from ..world import Call
from . import base

if TYPE_CHECKING:
    from ..world import World

CAPABILITIES = ("card_payments", "transfers")
EMPTY_REQUIREMENTS: Json = {
    "alternatives": [], "current_deadline": None, "currently_due": [], "disabled_reason": None, "errors": [],
    "eventually_due": [], "past_due": [], "pending_verification": [],
}  # fmt: skip


def make(world: World, account_id: str, params: Json, *, platform: bool = False) -> Json:
    """A stored account with its scope. Connected accounts are ready at once: the sandbox skips onboarding, so the
    requested capabilities are active (`transfers` and `card_payments` when none is named)."""
    wanted = params.get("capabilities")
    named = [name for name, given in wanted.items() if given.get("requested")] if wanted else CAPABILITIES
    capabilities = dict.fromkeys(named, "active")
    country = params.get("country") or "US"
    name = (params.get("business_profile") or {}).get("name") or ("Sandbox platform" if platform else None)
    kind = params.get("type") or ("standard" if platform else "none" if params.get("controller") else "custom")
    account = shape(
        "account",
        id=account_id,
        business_profile={"name": name, "monthly_estimated_revenue": None, "support_address": None},
        business_type=params.get("business_type") or "company",
        capabilities=capabilities,
        charges_enabled=True,
        company={"name": name},
        controller={"type": "account" if platform else "application", "is_controller": not platform},
        country=country,
        created=world.clock.now(),
        default_currency=params.get("default_currency") or "usd",
        details_submitted=True,
        email=params.get("email"),
        metadata={},
        payouts_enabled=True,
        requirements=dict(EMPTY_REQUIREMENTS),
        future_requirements=dict(EMPTY_REQUIREMENTS),
        settings={
            "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
            "card_payments": {"decline_on": {"avs_failure": False, "cvc_failure": False}},
            "dashboard": {"display_name": name, "timezone": "Etc/UTC"},
            "payments": {"statement_descriptor": "SANDBOX"},
            "payouts": {
                "debit_negative_balances": platform,
                "schedule": {"delay_days": 2, "interval": "daily" if platform else "manual"},
                "statement_descriptor": None,
            },
        },
        tos_acceptance={"date": world.clock.now()},
        type=kind,
    )
    _change(account, params)
    scope = world.store.platform if platform else world.store.open_scope(account_id)
    world.store.platform.add(account)
    _add_bank(world, scope, account)
    return account


def _add_bank(world: World, scope: Scope, account: Json) -> Json:
    return scope.add(
        shape(
            "bank_account",
            id=world.store.new_id("ba"),
            account=account["id"],
            bank_name="STRIPE TEST BANK",
            account_holder_name=account["business_profile"]["name"],
            account_holder_type="company",
            available_payout_methods=["standard"],
            country=account["country"],
            currency=account["default_currency"],
            default_for_currency=True,
            fingerprint=world.store.new_id("x", 16)[2:],
            last4="6789",
            metadata={},
            routing_number="110000000",
            status="new",
        )
    )


def _change(account: Json, params: Json) -> None:
    base.assign(account, params, ("business_type", "default_currency", "email"))
    for name in ("business_profile", "company", "settings"):
        account[name] = base.merge(account[name] or {}, params.get(name))
    if params.get("individual"):
        person = account.get("individual") or {"id": f"person_{account['id']}", "object": "person"}
        account["individual"] = base.merge(person, params["individual"])
    for name, wanted in (params.get("capabilities") or {}).items():
        if wanted.get("requested") is False:
            account["capabilities"].pop(name, None)
        else:
            account["capabilities"].setdefault(name, "active")


def platform(call: Call) -> Json:
    """GET /v1/account: whose key (or Stripe-Account header) it is."""
    return call.store.platform.get("account", call.scope.account_id)


def create(call: Call) -> Json:
    """POST /v1/accounts; the sandbox also takes an `id`."""
    account_id = call.params.pop("id", None) or call.store.new_id("acct", 16)
    if call.store.platform.find("account", account_id):
        raise invalid(f"Account already exists: {account_id}", param="id", code="resource_already_exists")
    account = make(call.world, account_id, call.params)
    target = call.store.scope(account_id)
    if target is not None:
        call.world.emit(target, "account.updated", account)
    return account


def retrieve(call: Call, id: str) -> Json:
    """GET /v1/accounts/{id}"""
    found = call.store.platform.find("account", id)
    if found is None or found.get("_disconnected"):
        raise unknown_account(id)
    return found


def unknown_account(account_id: str) -> Exception:
    """403: Stripe does not say whether the account exists."""
    from ..errors import StripeError

    return StripeError(
        403,
        "invalid_request_error",
        f"The provided key 'sk_test_********' does not have access to account '{account_id}' (or that account does "
        "not exist). Application access may have been revoked.",
        code="account_invalid",
        executed=False,
    )


def update(call: Call, id: str) -> Json:
    """POST /v1/accounts/{id}"""
    account = retrieve(call, id)
    target = call.store.scope(id) or call.scope
    with call.world.changes(target, account, "account.updated"):
        _change(account, call.params)
    return account


def delete(call: Call, id: str) -> Json:
    """DELETE /v1/accounts/{id}"""
    account = retrieve(call, id)
    if id == call.store.platform.account_id:
        raise invalid("You cannot delete your own account.")
    call.store.platform.remove(account)
    call.store.close_scope(id)
    return base.deleted(account)


def index(call: Call) -> Json:
    """GET /v1/accounts: the connected ones."""
    own = call.store.platform.account_id
    others = (account for account in call.store.platform.newest("account") if account["id"] != own)
    return page(call, (account for account in others if not account.get("_disconnected")))


REASONS = (
    "action_required.requested_capabilities", "listed", "other", "platform_paused", "rejected.fraud",
    "rejected.incomplete_verification", "rejected.listed", "rejected.other", "rejected.platform_fraud",
    "rejected.platform_other", "rejected.platform_terms_of_service", "rejected.terms_of_service",
    "requirements.past_due", "requirements.pending_verification", "under_review",
)  # fmt: skip


def restrict(world: World, account_id: str) -> Json:
    """A control: Stripe finds something missing, and payouts and transfers stop."""
    missing = ["company.tax_id"]
    return set_state(
        world, account_id, disabled_reason="requirements.past_due", currently_due=missing, past_due=missing
    )


def set_state(
    world: World, account_id: str, *, disabled_reason: str | None = None, currently_due: list[str] | None = None,
    past_due: list[str] | None = None, eventually_due: list[str] | None = None,
    pending_verification: list[str] | None = None, errors: list[Json] | None = None,
    current_deadline: int | None = None, future: Json | None = None,
) -> Json:  # fmt: skip
    """A control: what Stripe requires of an account from now on, and whether it stops it. Without a `disabled_reason`
    it may do everything it asked for, again. `errors`: [{code, reason, requirement}]; `future`: the same lists, of
    `future_requirements`."""
    if disabled_reason is not None and disabled_reason not in REASONS:
        raise ValueError(f"unknown disabled_reason {disabled_reason!r}: one of {', '.join(REASONS)}")
    account = world.store.platform.get("account", account_id)
    target = world.store.scope(account_id)
    assert target is not None, "an account has a scope"
    stopped = disabled_reason is not None
    requirements = {
        **EMPTY_REQUIREMENTS, "disabled_reason": disabled_reason, "currently_due": currently_due or [],
        "past_due": past_due or [], "eventually_due": eventually_due or currently_due or [],
        "pending_verification": pending_verification or [], "errors": errors or [],
        "current_deadline": current_deadline,
    }  # fmt: skip
    with world.changes(target, account, "account.updated"):
        account.update(charges_enabled=not stopped, payouts_enabled=not stopped)
        account["capabilities"] = dict.fromkeys(account["capabilities"], "inactive" if stopped else "active")
        account["requirements"] = requirements
        account["future_requirements"] = {**EMPTY_REQUIREMENTS, **(future or {})}
    return account


def deauthorize(world: World, account_id: str) -> Json:
    """A control: the account disconnects from the platform, which is told once and sees nothing of it any more."""
    from ..connect import APPLICATION

    account = world.store.platform.get("account", account_id)
    target = world.store.scope(account_id)
    assert target is not None, "an account has a scope"
    account["_disconnected"] = True
    application = {"id": APPLICATION, "object": "application", "name": "Sandbox platform"}
    world.emit(target, "account.application.deauthorized", application)
    return account


def reauthorize(world: World, account_id: str) -> Json:
    """A control: it connects again."""
    account = world.store.platform.get("account", account_id)
    target = world.store.scope(account_id)
    assert target is not None, "an account has a scope"
    account["_disconnected"] = False
    world.emit(target, "account.application.authorized", {"id": "ca_sandbox", "object": "application"})
    world.emit(target, "account.updated", account)
    return account


def is_reachable(store: Store, account_id: str | None) -> bool:
    """Whether a request may name this account."""
    if store.scope(account_id) is None:
        return False
    account = store.platform.find("account", account_id) if account_id else None
    return not (account and account.get("_disconnected"))


def external_accounts(call: Call, id: str) -> Json:
    """GET /v1/accounts/{id}/external_accounts"""
    retrieve(call, id)
    return page(call, (call.store.scope(id) or call.scope).children("bank_account", id)[::-1])


def external_account(call: Call, id: str, external: str) -> Json:
    """GET /v1/accounts/{id}/external_accounts/{external}"""
    retrieve(call, id)
    return (call.store.scope(id) or call.scope).get("bank_account", external)


def capabilities(call: Call, id: str) -> Json:
    """GET /v1/accounts/{id}/capabilities"""
    account = retrieve(call, id)
    return page(call, [_capability(account, name) for name in account["capabilities"]])


def capability(call: Call, id: str, name: str) -> Json:
    """GET /v1/accounts/{id}/capabilities/{name}"""
    return _capability(retrieve(call, id), name)


def _capability(account: Json, name: str) -> Json:
    return shape(
        "capability", id=name, account=account["id"], requested=name in account["capabilities"],
        requested_at=account["created"], status=account["capabilities"].get(name, "unrequested"),
    )  # fmt: skip


@virtual("account", "external_accounts")
def _external(world: World, scope: Scope, account: Json) -> Json:
    owner = world.store.scope(account["id"])
    found = owner.children("bank_account", account["id"])[::-1] if owner else []
    return embedded_list(found, f"/v1/accounts/{account['id']}/external_accounts")
