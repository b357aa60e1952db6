"""The home page's lines: receivers that do not answer, and what was given up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.http import HttpRequest
from django.urls import reverse

from billingops import access
from billingops.admin import home
from billingops.admin.paging import capped_counts
from billingops.outbound import services
from billingops.outbound.models import Delivery, Endpoint


@home.waiting(order=45)
def silent_endpoints(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """For those who may do something about them. One statement."""
    if not services.may_manage(request.user):
        return
    paused = access.scope(Endpoint.objects.filter(state=Endpoint.State.PAUSED), request.user)
    given_up = access.scope(Delivery.objects.filter(state=Delivery.State.GIVEN_UP), request.user)
    found: dict[str, datetime] = {}
    oldest = {
        "paused": paused.filter(failing_since__isnull=False).order_by("failing_since").values("failing_since")[:1]
    }
    counts = capped_counts({"paused": paused, "given_up": given_up}, moments=oldest, found=found)
    yield home.WaitingLine(
        label="webhook receivers paused: they do not answer",
        count=counts["paused"],
        oldest=found.get("paused"),
        url=reverse("admin:outbound_endpoint_changelist") + f"?state__exact={Endpoint.State.PAUSED}",
        urgent=True,
    )
    yield home.WaitingLine(
        label="outgoing webhooks given up",
        count=counts["given_up"],
        url=reverse("admin:outbound_delivery_changelist") + f"?state__exact={Delivery.State.GIVEN_UP}",
    )
