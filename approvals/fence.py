"""The last look before a call that cannot be taken back: is this attempt still ours to carry out?

A worker may be stopped between "executing" and its call (a suspended machine, a long pause) and wake up when
the attempt was long looked up in vain and a person has asked for another. Its call would be a second effect; after 24
hours not even the idempotency key would stop it, for Stripe may have forgotten it. So an action asks here right before
the gateway's call, after everything it reads.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from approvals.models import Execution
from billingops.stripe.errors import Refused


def check(execution: Execution) -> None:
    """Raise Refused (nothing was sent) when the attempt is no longer executing, or began so long ago that the sweep may
    call it lost at any moment. One statement."""
    since = timezone.now() - timedelta(seconds=settings.EXECUTION_STUCK_SECONDS)
    if not Execution.objects.filter(pk=execution.pk, state=Execution.State.EXECUTING, started_at__gt=since).exists():
        raise Refused("This attempt has taken too long to reach its call. Nothing was sent.", code="too_late")
