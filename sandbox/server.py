"""`SandboxServer`: Stripe's API on loopback, with the controls that tests and the demo use."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from . import debits
from .api import KEPT_RECORDS, Api, RequestRecord
from .billing import collection, subscriptions
from .bookkeeping import Balance
from .bulk import Bulk
from .cards import Cards
from .clock import Clock
from .errors import Json, StripeError
from .faults import Faults
from .http.handler import HttpServer
from .render import render
from .resources import accounts, balances, customers, disputes, payment_methods, refunds, topups
from .store import Scope, Store
from .webhooks import Webhooks
from .world import World


class SandboxServer:
    """Start it with `with` or `start()`; point the SDK at `url`.

    `webhook_url` receives the platform's events and those of connected accounts, signed with `webhook_secret`.
    `webhook_workers`: 1 delivers in order, more overlap. `retry_delays`: seconds between attempts of a delivery.
    `kept_requests`: how many of the latest requests are remembered.
    """

    def __init__(
        self,
        port: int = 0,
        webhook_url: str | None = None,
        webhook_secret: str = "whsec_sandbox",  # noqa: S107  a default for tests, documented
        *,
        host: str = "127.0.0.1",
        webhook_workers: int = 1,
        retry_delays: Sequence[float] | None = None,
        kept_requests: int = KEPT_RECORDS,
    ) -> None:
        self.world = World(webhook_workers=webhook_workers, retry_delays=retry_delays)
        self.api = Api(self.world, kept_requests=kept_requests)
        self._address = (host, port)
        self._http: HttpServer | None = None
        self._thread: threading.Thread | None = None
        self._make_platform()
        if webhook_url:
            self.webhooks.add(webhook_url, webhook_secret)
            self.webhooks.add(webhook_url, webhook_secret, connect=True)

    # Life

    def start(self) -> Self:
        """Listen; returns itself."""
        self._http = HttpServer(self._address, self)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name="sandbox-http", daemon=True
        )
        self._thread.start()
        self.webhooks.start()
        return self

    def stop(self) -> None:
        """Stop listening and delivering."""
        if self._http is not None:
            self._http.shutdown()
            self._http.close_all()
            self._http = None
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
        self.webhooks.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens: the SDK's `api_base`."""
        if self._http is None:
            raise RuntimeError("the sandbox is not started")
        return f"http://{self._address[0]}:{self._http.server_address[1]}"

    def reset(self) -> None:
        """Begin anew: state, clock, faults, cards, keys and recorded requests. Endpoints stay."""
        with self.world.lock:
            self.world.reset()
            self.api.requests.clear()
            self._make_platform()

    def _make_platform(self) -> None:
        accounts.make(self.world, self.world.store.platform.account_id, {}, platform=True)

    # What it is made of

    @property
    def clock(self) -> Clock:
        """Time stamped on objects."""
        return self.world.clock

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose."""
        return self.world.faults

    @property
    def cards(self) -> Cards:
        """What charges of a payment method meet."""
        return self.world.cards

    @property
    def webhooks(self) -> Webhooks:
        """Receivers and the queue to them."""
        return self.world.webhooks

    @property
    def balance(self) -> Balance:
        """The books, to falsify them: `hide`, `duplicate`, `change`, `add`."""
        return Balance(self.world)

    @property
    def bulk(self) -> Bulk:
        """Much at once: `paid_invoices`, `payouts`."""
        return Bulk(self.world)

    @property
    def state(self) -> Store:
        """The store: `state.platform`, `state.scope(account_id)`. Hold `world.lock` while you change it."""
        return self.world.store

    @property
    def requests(self) -> deque[RequestRecord]:
        """The API requests so far."""
        return self.api.requests

    def events(self, *types: str) -> list[Json]:
        """All events so far (of these types), of every account, oldest first; copies, as they are delivered."""
        with self.world.lock:
            found = [event for event in self.world.log if not types or event["type"] in types]
            return [json.loads(json.dumps(self.world.show_event(event))) for event in found]

    # What Stripe or a bank would do by itself

    def _scope(self, account: str | None) -> Scope:
        scope = self.world.store.scope(account)
        if scope is None:
            raise LookupError(f"no such account: {account}")
        return scope

    def _show(self, scope: Scope, obj: Json) -> Json:
        return self.world.snapshot(scope, obj)

    def bill_subscription(self, subscription_id: str, account: str | None = None) -> Json | None:
        """The next period begins: its invoice, finalized and tried. None if the subscription ended instead."""
        with self.world.lock:
            scope = self._scope(account)
            invoice = subscriptions.renew(self.world, scope, scope.get("subscription", subscription_id))
            return self._show(scope, invoice) if invoice else None

    def retry_invoice(self, invoice_id: str, account: str | None = None) -> Json:
        """Stripe's own next attempt of the retry schedule; none of an invoice that Stripe no longer advances."""
        with self.world.lock:
            scope = self._scope(account)
            invoice = scope.get("invoice", invoice_id)
            if invoice["status"] == "open" and invoice["auto_advance"]:
                collection.collect(self.world, scope, invoice, automatic=True)
            return self._show(scope, invoice)

    def create_dispute(
        self, charge: str, reason: str = "fraudulent", amount: int | None = None, days: int = disputes.DAYS_TO_ANSWER,
        account: str | None = None,
    ) -> Json:  # fmt: skip
        """The bank disputes a charge; `days` to answer; reason `inquiry` takes no money."""
        with self.world.lock:
            scope = self._scope(account)
            made = disputes.open_dispute(
                self.world, scope, scope.get("charge", charge), reason=reason, amount=amount, days=days
            )
            return self._show(scope, made)

    def close_dispute(self, dispute_id: str, won: bool, account: str | None = None) -> Json:
        """The bank decides."""
        with self.world.lock:
            scope = self._scope(account)
            made = disputes.settle(self.world, scope, scope.get("dispute", dispute_id), won=won)
            return self._show(scope, made)

    def settle_debit(
        self, object_id: str, account: str | None = None, *, failure: str | None = None, network: str | None = None
    ) -> Json:
        """The bank answers the debit that is on its way for an invoice, intent or charge: it comes back with `failure`
        and the bank's own code `network`, goes through (`failure=""`), or as its test account is made for (None)."""
        with self.world.lock:
            scope = self._scope(account)
            made = debits.pending_of(scope, object_id)
            return self._show(scope, debits.settle(self.world, scope, made, failure=failure, network=network))

    def set_mandate(self, payment_method: str, status: str, account: str | None = None) -> Json:
        """The permission to debit an account: `inactive` (the customer took it back), `active`."""
        with self.world.lock:
            scope = self._scope(account)
            method = scope.get("payment_method", payment_method)
            return self._show(scope, debits.set_mandate(self.world, scope, method, status))

    def renew_card(self, payment_method: str, account: str | None = None, **options: Any) -> Json:
        """The network tells of the card that came in the place of this one: `token=`, `exp_month= exp_year=`."""
        with self.world.lock:
            scope = self._scope(account)
            return self._show(scope, payment_methods.renew_card(self.world, scope, payment_method, **options))

    def fail_finalization(self, invoice_id: str, code: str | None, account: str | None = None) -> Json:
        """From now on this draft cannot be finalized, for this reason (None: it can); tried at once."""
        with self.world.lock:
            scope = self._scope(account)
            invoice = scope.get("invoice", invoice_id)
            invoice["_finalization_error"] = code
            if code:
                with contextlib.suppress(StripeError):
                    collection.finalize(self.world, scope, invoice)
            return self._show(scope, invoice)

    def restrict_account(self, account_id: str) -> Json:
        """Stripe stops an account's charges, transfers and payouts."""
        with self.world.lock:
            return self._show(self.state.platform, accounts.restrict(self.world, account_id))

    def set_account_state(self, account_id: str, **state: Any) -> Json:
        """What Stripe requires of an account: `disabled_reason=` (`rejected.fraud`, `listed`, `under_review`,
        `requirements.past_due`…, None: none), `currently_due= past_due= pending_verification= errors= future=`."""
        with self.world.lock:
            return self._show(self.state.platform, accounts.set_state(self.world, account_id, **state))

    def deauthorize_account(self, account_id: str) -> Json:
        """The account disconnects from the platform."""
        with self.world.lock:
            return self._show(self.state.platform, accounts.deauthorize(self.world, account_id))

    def reauthorize_account(self, account_id: str) -> Json:
        """It connects again."""
        with self.world.lock:
            return self._show(self.state.platform, accounts.reauthorize(self.world, account_id))

    def refund(self, charge: str, amount: int | None = None, account: str | None = None, **options: Any) -> Json:
        """A refund made in the dashboard: nothing on it tells of us."""
        with self.world.lock:
            scope = self._scope(account)
            made = refunds.refund(self.world, scope, scope.get("charge", charge), amount=amount, **options)
            return self._show(scope, made)

    def fail_refund(self, refund_id: str, account: str | None = None, **options: Any) -> Json:
        """The bank sends a refund back (`reason=`)."""
        with self.world.lock:
            scope = self._scope(account)
            return self._show(scope, refunds.fail(self.world, scope, scope.get("refund", refund_id), **options))

    def top_up(self, amount: int, currency: str = "usd", **options: Any) -> Json:
        """Money that the platform brings to its own balance, in the dashboard."""
        with self.world.lock:
            platform = self.state.platform
            return self._show(
                platform, topups.top_up(self.world, platform, amount=amount, currency=currency, **options)
            )

    def pay_out(self, amount: int, currency: str = "usd", account: str | None = None, **options: Any) -> Json:
        """A manual payout, made in the dashboard."""
        with self.world.lock:
            scope = self._scope(account)
            made = balances.pay_out(self.world, scope, amount=amount, currency=currency, **options)
            return self._show(scope, made)

    def set_customer_discount(self, customer_id: str, coupon: str, account: str | None = None) -> Json:
        """Put a coupon on a customer, as the dashboard can."""
        with self.world.lock:
            scope = self._scope(account)
            customer = scope.get("customer", customer_id)
            return self._show(scope, customers.set_discount(self.world, scope, customer, coupon))

    def auto_payout(self, account: str | None = None, currency: str = "usd") -> Json:
        """The automatic payout of all that is available; it tells which transactions it holds."""
        with self.world.lock:
            scope = self._scope(account)
            return self._show(scope, balances.pay_out_automatically(self.world, scope, currency))

    def mark_payout(self, payout_id: str, status: str, account: str | None = None, **options: Any) -> Json:
        """`paid`, `failed` (`failure_code=`; also after paid) or `reconciled`."""
        marks = {"paid": balances.mark_paid, "failed": balances.mark_failed, "reconciled": balances.mark_reconciled}
        with self.world.lock:
            scope = self._scope(account)
            return self._show(scope, marks[status](self.world, scope, scope.get("payout", payout_id), **options))

    def emit(self, type: str, object_id: str, account: str | None = None) -> Json:
        """An event of your choice about an object as it is now (`invoice.upcoming`, `invoice.overdue`…)."""
        with self.world.lock:
            scope = self._scope(account)
            kind = scope.kind_of(object_id)
            if kind is None:
                raise LookupError(f"no such object: {object_id}")
            return self.world.show_event(self.world.emit(scope, type, scope.get(kind, object_id)))

    def show(self, object_id: str, account: str | None = None, expand: Sequence[str] = ()) -> Json:
        """An object as the API would show it."""
        with self.world.lock:
            scope = self._scope(account)
            kind = scope.kind_of(object_id)
            if kind is None:
                raise LookupError(f"no such object: {object_id}")
            return render(self.world, scope, scope.get(kind, object_id), expand)

    def __repr__(self) -> str:
        return f"<SandboxServer {self.url if self._http else 'stopped'} pid={os.getpid()}>"
