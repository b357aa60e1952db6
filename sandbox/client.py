"""`SandboxControl`: the controls of a sandbox in another process, with the names `SandboxServer` has."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .api import RequestRecord
from .errors import Json
from .faults import Fault


class ControlError(RuntimeError):
    """The sandbox refused a control."""


class _Part:
    def __init__(self, control: SandboxControl) -> None:
        self._control = control

    def _get(self, path: str) -> Any:
        return self._control.send("GET", path)

    def _post(self, path: str, /, **body: Any) -> Any:
        return self._control.send("POST", path, body)


class ClockControl(_Part):
    """Time stamped on objects."""

    def now(self) -> int:
        """Unix seconds."""
        return int(self._get("clock")["now"])

    def set(self, unix: int) -> int:
        """Jump; it ticks on from there."""
        return int(self._post("clock", set=unix)["now"])

    def advance(self, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> int:
        """Move."""
        return int(self._post("clock", advance=seconds + 60 * minutes + 3600 * hours + 86400 * days)["now"])


class FaultsControl(_Part):
    """What goes wrong on purpose."""

    def add(self, fault: Fault) -> Fault:
        """Arm one."""
        self._post("faults", **asdict(fault))
        return fault

    def armed(self) -> list[Fault]:
        """What is still armed."""
        return [Fault(**fault) for fault in self._get("faults")["faults"]]

    def clear(self) -> None:
        """Disarm all."""
        self._post("faults/clear")


class CardsControl(_Part):
    """What charges of a payment method meet."""

    def set_outcome(self, pm_id: str, decline_code: str | None = None, **options: Any) -> None:
        """As `Cards.set_outcome`."""
        self._post(f"cards/{pm_id}/outcome", decline_code=decline_code, **options)


class WebhooksControl(_Part):
    """Receivers and the queue to them."""

    @property
    def endpoints(self) -> list[Json]:
        """The receivers (secrets hidden)."""
        found: list[Json] = self._get("webhooks")["endpoints"]
        return found

    @property
    def attempts(self) -> list[Json]:
        """The deliveries so far."""
        found: list[Json] = self._get("webhooks")["attempts"]
        return found

    def queued(self) -> list[str]:
        """Ids of waiting events."""
        found: list[str] = self._get("webhooks")["queued"]
        return found

    def add(self, url: str, secret: str, connect: bool = False, enabled_events: tuple[str, ...] = ("*",)) -> str:
        """Register a receiver; returns its id."""
        return str(
            self._post("webhooks", url=url, secret=secret, connect=connect, enabled_events=list(enabled_events))["id"]
        )

    def pause(self) -> None:
        """Queue, deliver nothing."""
        self._post("webhooks/pause")

    def resume(self) -> None:
        """Deliver again."""
        self._post("webhooks/resume")

    def repeat(self, event_id: str) -> int:
        """Deliver once more."""
        return int(self._post("webhooks/repeat", event=event_id)["deliveries"])

    def shuffle(self, seed: int | None = None) -> int:
        """Reorder what is queued."""
        return int(self._post("webhooks/shuffle", seed=seed)["queued"])

    def deliver_all(self, timeout: float = 30.0) -> bool:
        """Deliver all that is queued and wait."""
        return bool(self._post("webhooks/deliver_all", timeout=timeout)["idle"])

    def wait_idle(self, timeout: float = 10.0) -> bool:
        """Wait until nothing is queued or in flight."""
        return bool(self._post("webhooks/wait_idle", timeout=timeout)["idle"])


class BalanceControl(_Part):
    """The books, to falsify them: the methods of `Balance`."""

    def _ask(self, act: str, /, **body: Any) -> Any:
        return self._post(f"balance/{act}", **body)["result"]

    def find(self, account: str | None = None, **fields: Any) -> list[Json]:
        """An account's balance transactions whose fields say so, hidden ones too."""
        found: list[Json] = self._ask("find", account=account, **fields)
        return found

    def hide(self, transaction: str) -> Json:
        """Neither listed, read nor expanded any more."""
        return dict(self._ask("hide", transaction=transaction))

    def show(self, transaction: str) -> Json:
        """Undo `hide`."""
        return dict(self._ask("show", transaction=transaction))

    def duplicate(self, transaction: str) -> Json:
        """A second one with an id of its own."""
        return dict(self._ask("duplicate", transaction=transaction))

    def change(self, transaction: str, **fields: Any) -> Json:
        """Set fields; `fee_currency` is one, and `net` follows."""
        return dict(self._ask("change", transaction=transaction, **fields))

    def add(self, type: str, amount: int, currency: str = "usd", account: str | None = None, **options: Any) -> Json:
        """A movement that nothing else tells of."""
        return dict(self._ask("add", type=type, amount=amount, currency=currency, account=account, **options))


class BulkControl(_Part):
    """Much at once: the methods of `Bulk`."""

    def paid_invoices(self, entries: Sequence[Json], *, at_once: int = 500) -> list[Json]:
        """Invoices, made, finalized and paid; in requests of `at_once`, in the order of `created`."""
        order = sorted(range(len(entries)), key=lambda index: entries[index].get("created") or 0)
        answers: dict[int, Json] = {}
        for start in range(0, len(order), at_once):
            part = order[start : start + at_once]
            made = self._post("bulk/paid_invoices", entries=[entries[index] for index in part])["result"]
            answers.update(zip(part, made, strict=True))
        return [answers[index] for index in range(len(entries))]

    def payouts(
        self, accounts: Sequence[str] | None = None, *, currency: str = "usd", complete: bool = True
    ) -> list[Json]:
        """The automatic payouts of these accounts (None: all connected ones)."""
        chosen = None if accounts is None else list(accounts)
        made: list[Json] = self._post("bulk/payouts", accounts=chosen, currency=currency, complete=complete)["result"]
        return made


class SandboxControl:
    """`SandboxControl("http://127.0.0.1:12111").clock.advance(days=3)`"""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        self.clock = ClockControl(self)
        self.faults = FaultsControl(self)
        self.cards = CardsControl(self)
        self.webhooks = WebhooksControl(self)
        self.balance = BalanceControl(self)
        self.bulk = BulkControl(self)

    def send(self, method: str, path: str, body: Json | None = None) -> Any:
        """One control request."""
        request = urllib.request.Request(  # noqa: S310  the sandbox's own URL
            f"{self.url}/_sandbox/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._open(request, timeout=self._timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ControlError(json.load(error).get("error", error.reason)) from None

    @property
    def requests(self) -> list[RequestRecord]:
        """The API requests so far."""
        return [RequestRecord(**record) for record in self.send("GET", "requests")["requests"]]

    @property
    def state(self) -> Json:
        """How many objects of each kind, per account."""
        counts: Json = self.send("GET", "state")["counts"]
        return counts

    def events(self, *types: str) -> list[Json]:
        """All events so far (of these types), of every account, oldest first."""
        found: list[Json] = self.send("GET", "events")["events"]
        return [event for event in found if not types or event["type"] in types]

    def healthz(self) -> bool:
        """Whether it answers."""
        return bool(self.send("GET", "healthz")["ok"])

    def reset(self) -> None:
        """Begin anew."""
        self.send("POST", "reset", {})

    def bill_subscription(self, subscription_id: str, **options: Any) -> Json | None:
        """The next period begins."""
        invoice: Json | None = self.send("POST", f"subscriptions/{subscription_id}/renew", options)
        return invoice

    def retry_invoice(self, invoice_id: str, **options: Any) -> Json:
        """Stripe's own next attempt."""
        invoice: Json = self.send("POST", f"invoices/{invoice_id}/retry", options)
        return invoice

    def create_dispute(self, charge: str, reason: str = "fraudulent", **options: Any) -> Json:
        """The bank disputes a charge."""
        made: Json = self.send("POST", "disputes", {"charge": charge, "reason": reason, **options})
        return made

    def close_dispute(self, dispute_id: str, won: bool, **options: Any) -> Json:
        """The bank decides."""
        made: Json = self.send("POST", f"disputes/{dispute_id}/close", {"won": won, **options})
        return made

    def settle_debit(self, object_id: str, **options: Any) -> Json:
        """The bank answers a debit."""
        made: Json = self.send("POST", f"debits/{object_id}/settle", options)
        return made

    def set_mandate(self, payment_method: str, status: str, **options: Any) -> Json:
        """The permission to debit an account."""
        made: Json = self.send("POST", f"cards/{payment_method}/mandate", {"status": status, **options})
        return made

    def renew_card(self, payment_method: str, **options: Any) -> Json:
        """The network tells of a new card."""
        made: Json = self.send("POST", f"cards/{payment_method}/renew", options)
        return made

    def fail_finalization(self, invoice_id: str, code: str | None, **options: Any) -> Json:
        """A draft cannot be finalized."""
        made: Json = self.send("POST", f"invoices/{invoice_id}/finalization", {"code": code, **options})
        return made

    def restrict_account(self, account_id: str) -> Json:
        """Stripe stops an account."""
        account: Json = self.send("POST", f"accounts/{account_id}/restrict", {})
        return account

    def set_account_state(self, account_id: str, **state: Any) -> Json:
        """What Stripe requires of an account."""
        account: Json = self.send("POST", f"accounts/{account_id}/state", state)
        return account

    def deauthorize_account(self, account_id: str) -> Json:
        """The account disconnects."""
        account: Json = self.send("POST", f"accounts/{account_id}/deauthorize", {})
        return account

    def reauthorize_account(self, account_id: str) -> Json:
        """It connects again."""
        account: Json = self.send("POST", f"accounts/{account_id}/reauthorize", {})
        return account

    def refund(self, charge: str, amount: int | None = None, **options: Any) -> Json:
        """A refund made in the dashboard."""
        made: Json = self.send("POST", "refunds", {"charge": charge, "amount": amount, **options})
        return made

    def fail_refund(self, refund_id: str, **options: Any) -> Json:
        """The bank sends a refund back."""
        made: Json = self.send("POST", f"refunds/{refund_id}/fail", options)
        return made

    def top_up(self, amount: int, currency: str = "usd", **options: Any) -> Json:
        """Money that the platform brings."""
        made: Json = self.send("POST", "topups", {"amount": amount, "currency": currency, **options})
        return made

    def pay_out(self, amount: int, currency: str = "usd", **options: Any) -> Json:
        """A manual payout, made in the dashboard."""
        made: Json = self.send("POST", "payouts/manual", {"amount": amount, "currency": currency, **options})
        return made

    def set_customer_discount(self, customer_id: str, coupon: str, **options: Any) -> Json:
        """Put a coupon on a customer."""
        made: Json = self.send("POST", f"customers/{customer_id}/discount", {"coupon": coupon, **options})
        return made

    def auto_payout(self, **options: Any) -> Json:
        """The automatic payout of what is available."""
        made: Json = self.send("POST", "payouts", options)
        return made

    def mark_payout(self, payout_id: str, status: str, **options: Any) -> Json:
        """`paid`, `failed` or `reconciled`."""
        made: Json = self.send("POST", f"payouts/{payout_id}/{status}", options)
        return made

    def emit(self, type: str, object_id: str, account: str | None = None) -> Json:
        """An event of your choice."""
        event: Json = self.send("POST", "events", {"type": type, "object": object_id, "account": account})
        return event
