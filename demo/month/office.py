"""How the month gets into the back office, and what finance does there: the backfill and signed webhooks; payouts and
reversals approved as batches over the API, carried out by the worker."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import close_old_connections
from django_q.models import OrmQ

from approvals.models import Suggestion
from approvals.states import State
from billingops import jobs
from billingops.inbox.models import InboundEvent
from billingops.stripe import sync
from demo.desk import Desk
from sandbox import SandboxServer

PLATFORM = ("Product", "Price", "Customer", "Invoice", "Charge")
AT_ONCE = 1000
UNDER_WAY = (State.APPROVED, State.EXECUTING, State.EXECUTED)
Json = dict[str, Any]


class Office:
    def __init__(self, sandbox: SandboxServer, *, say: Callable[[str], None]) -> None:
        self.sandbox, self.say = sandbox, say
        self.check: Callable[[], None] = lambda: None  # raises when a child process has died
        self.desk: Desk | None = None

    # -- in ------------------------------------------------------------------------------------------------------------

    def backfill(self) -> Json:
        """What was there before the webhooks were: the platform's own objects first, then which accounts there are;
        then what the rules make of it."""
        answer = io.StringIO()
        for models in (PLATFORM, ("Account",)):
            call_command("djstripe_sync_models", *models, stdout=answer, stderr=io.StringIO())
        said = io.StringIO()
        call_command("suggest", kind="seller_payout", stdout=said, stderr=io.StringIO())
        counts: Json = json.loads(said.getvalue())["seller_payout"]
        return {"stored": [line.strip() for line in answer.getvalue().splitlines()], **counts}

    def listen(self, url: str, desk: Desk, check: Callable[[], None]) -> None:
        """From now on Stripe tells what happens."""
        self.desk, self.check = desk, check
        for connect in (False, True):
            self.sandbox.webhooks.add(f"{url}/stripe/webhook/", settings.SANDBOX_WEBHOOK_SECRET, connect=connect)

    def turn_a_deaf_ear(self) -> None:
        """From now on no event arrives; what happens meanwhile is never told."""
        self._hear(False)

    def listen_again(self) -> None:
        """From now on events arrive again."""
        self._hear(True)

    def _hear(self, enabled: bool) -> None:
        for endpoint in self.sandbox.webhooks.endpoints:
            endpoint.enabled = enabled

    def settle(self, seconds: float = 900) -> None:
        """Wait until every webhook is delivered, every event dealt with, and the worker has nothing left to do."""
        deadline = time.monotonic() + seconds
        quiet = 0
        while quiet < 2:
            self.check()
            idle = self.sandbox.webhooks.wait_idle(5)
            waiting = InboundEvent.objects.filter(state__in=("waiting", "processing")).count()
            left = waiting + OrmQ.objects.count() + self._under_way()
            quiet = 0 if left or not idle else quiet + 1
            if time.monotonic() > deadline:
                raise RuntimeError(f"{left} events, tasks and executions still wait after {seconds:.0f} s.")
            time.sleep(0.3)
        close_old_connections()

    def list_movements(self, accounts: list[str]) -> int:
        """List the balance transactions of these accounts ("" is the platform)."""
        return sum(sync.balance_transactions(account) for account in accounts)

    # -- through the gate ----------------------------------------------------------------------------------------------

    def pay_what_is_due(self) -> None:
        """As the schedule does every hour."""
        jobs.enqueue("settlements.tasks.pay_what_is_due")
        self.settle()

    def approve(self, kind: str, *, but: Callable[[Json], bool] = lambda row: False) -> int:
        """Finance approves all that waits of a kind, as batches; returns when Stripe has confirmed it."""
        assert self.desk is not None
        rows = [row for row in self.desk.suggestions(kind=kind, state=State.PENDING) if not but(row)]
        for start in range(0, len(rows), AT_ONCE):
            self.desk.bulk(rows[start : start + AT_ONCE], comment="the month's close")
        self.settle()
        return len(rows)

    @staticmethod
    def _under_way() -> int:
        return Suggestion.objects.filter(state__in=UNDER_WAY).count()

    @staticmethod
    def states(kind: str) -> dict[str, int]:
        """Suggestions of a kind by state."""
        found: dict[str, int] = {}
        for state in Suggestion.objects.filter(kind=kind).values_list("state", flat=True):
            found[state] = found.get(state, 0) + 1
        return found
