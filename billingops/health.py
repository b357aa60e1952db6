"""`/healthz`: the process answers. `/readyz`: it can do its work, with what it measured; 503 when it cannot."""

from __future__ import annotations

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

HEARTBEAT_MAX_AGE = 180
WAITING_MAX_AGE = 300


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    from billingops.inbox.models import InboundEvent
    from billingops.models import Heartbeat

    answer: dict[str, object] = {"database": False, "migrations": False, "sandbox": settings.STRIPE_IS_SANDBOX}
    ready = False
    try:
        executor = MigrationExecutor(connection)
        answer["database"] = True
        answer["migrations"] = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        if answer["migrations"]:
            now = timezone.now()
            beat = Heartbeat.objects.filter(name="worker").values_list("at", flat=True).first()
            waiting = InboundEvent.objects.filter(state=InboundEvent.State.WAITING)
            oldest = waiting.order_by("next_attempt_at", "id").values_list("received_at", flat=True).first()
            beat_age = (now - beat).total_seconds() if beat else None
            waiting_age = (now - oldest).total_seconds() if oldest else 0
            answer["worker_heartbeat_age_seconds"] = None if beat_age is None else round(beat_age)
            answer["oldest_waiting_event_age_seconds"] = round(waiting_age)
            ready = beat_age is not None and beat_age < HEARTBEAT_MAX_AGE and waiting_age < WAITING_MAX_AGE
    except DatabaseError:
        pass
    answer["status"] = "ready" if ready else "not ready"
    return JsonResponse(answer, status=200 if ready else 503)
