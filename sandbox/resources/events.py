"""Events as a list, webhook endpoints, and the billing portal."""

from __future__ import annotations

import secrets

from ..errors import Json, bad_parameter
from ..render import listing
from ..shapes import shape
from ..webhooks import Endpoint
from ..world import API_VERSION, Call
from . import base


def events(call: Call) -> Json:
    """GET /v1/events: by `type` (with `.*`), `types[]`, `created`, `delivery_success`."""
    params = call.params
    wanted, types = params.get("type"), params.get("types")
    if wanted and types:
        raise bad_parameter("You may pass either types or type, but not both.", param="type")
    success = params.get("delivery_success")

    def where(event: Json) -> bool:
        if types and event["type"] not in types:
            return False
        if wanted and not (event["type"].startswith(wanted[:-1]) if wanted.endswith(".*") else event["type"] == wanted):
            return False
        return success is None or (event["pending_webhooks"] == 0) == success

    return listing(call, "event", where=where)


# Webhook endpoints


def create_endpoint(call: Call) -> Json:
    """POST /v1/webhook_endpoints; the secret is only in this answer."""
    params = call.params
    made = shape(
        "webhook_endpoint", id=call.store.new_id("we"), api_version=params.get("api_version") or API_VERSION,
        created=call.now, description=params.get("description"), enabled_events=params["enabled_events"], metadata={},
        status="enabled", url=params["url"],
    )  # fmt: skip
    base.merge_metadata(made, params)
    secret = f"whsec_{secrets.token_urlsafe(24)}"
    call.scope.add(made)
    call.world.webhooks.endpoints.append(
        Endpoint(
            made["url"],
            secret,
            bool(params.get("connect")),
            tuple(made["enabled_events"]),
            id=made["id"],
            account=None if call.scope.is_platform else call.scope.account_id,
        )
    )
    return {**made, "secret": secret}


def update_endpoint(call: Call, id: str) -> Json:
    """POST /v1/webhook_endpoints/{id}"""
    made, params = call.scope.get("webhook_endpoint", id), call.params
    base.assign(made, params, ("description", "enabled_events", "url"))
    if params.get("disabled") is not None:
        made["status"] = "disabled" if params["disabled"] else "enabled"
    for endpoint in call.world.webhooks.endpoints:
        if endpoint.id == id:
            endpoint.url, endpoint.enabled_events = made["url"], tuple(made["enabled_events"])
            endpoint.enabled = made["status"] == "enabled"
    return made


def delete_endpoint(call: Call, id: str) -> Json:
    """DELETE /v1/webhook_endpoints/{id}"""
    made = call.scope.get("webhook_endpoint", id)
    call.scope.remove(made)
    hooks = call.world.webhooks
    hooks.endpoints[:] = [endpoint for endpoint in hooks.endpoints if endpoint.id != id]
    return base.deleted(made)


# Billing portal


def create_configuration(call: Call) -> Json:
    """POST /v1/billing_portal/configurations"""
    params = call.params
    made = shape(
        "billing_portal.configuration", id=call.store.new_id("bpc"), active=True, created=call.now, updated=call.now,
        business_profile=params.get("business_profile") or {}, default_return_url=params.get("default_return_url"),
        features=params.get("features") or {}, is_default=False, metadata={},
        login_page={"enabled": False, "url": None},
    )  # fmt: skip
    base.merge_metadata(made, params)
    call.scope.add(made)
    call.emit("billing_portal.configuration.created", made)
    return made


def update_configuration(call: Call, id: str) -> Json:
    """POST /v1/billing_portal/configurations/{id}"""
    made = call.scope.get("billing_portal.configuration", id)
    with call.world.changes(call.scope, made, "billing_portal.configuration.updated"):
        base.assign(made, call.params, ("active", "default_return_url"))
        base.merge(made["features"], call.params.get("features"))
        made["updated"] = call.now
    return made


def create_session(call: Call) -> Json:
    """POST /v1/billing_portal/sessions"""
    params = call.params
    customer = call.scope.get("customer", params.get("customer"), param="customer")
    session_id = call.store.new_id("bps")
    made = shape(
        "billing_portal.session", id=session_id, configuration=params.get("configuration") or "bpc_default",
        created=call.now, customer=customer["id"], locale=params.get("locale"),
        on_behalf_of=params.get("on_behalf_of"), return_url=params.get("return_url"),
        url=f"https://billing.stripe.com/p/session/{session_id}",
    )  # fmt: skip
    call.emit("billing_portal.session.created", made)
    return made
