"""The finance desk of `demo --once`: decides over the API, with the demo people's tokens, and waits for Stripe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx2

from billingops import jobs

Json = dict[str, Any]


class Desk:
    def __init__(self, url: str, tokens: dict[str, str], *, check: Callable[[], None]) -> None:
        """`check` raises when a child process has died."""
        self.url = f"{url}/api/v1"
        self.tokens = tokens
        self.check = check
        self.approved: list[str] = []
        self.rejected: list[str] = []

    def suggestions(self, **filters: str) -> Iterator[Json]:
        """All that match, page by page."""
        address: str | None = f"{self.url}/suggestions/"
        params: dict[str, str] | None = filters
        while address:
            page = self._ask("GET", address, "auditor", params=params)
            yield from page["results"]
            address, params = page["next"], None

    def one(self, *, subject: str, **filters: str) -> Json:
        """The only one about `subject` that matches; anything else is off."""
        found = [row for row in self.suggestions(**filters) if row["subject"] == subject]
        if len(found) != 1:
            raise LookupError(f"{len(found)} suggestions about {subject} match {filters}, the story has exactly one.")
        return found[0]

    def get(self, suggestion_id: str) -> Json:
        return self._ask("GET", f"{self.url}/suggestions/{suggestion_id}/", "auditor")

    def approve(self, suggestion: Json, *, by: str = "finance", comment: str = "") -> Json:
        answer = self.post(suggestion, "approve", by, version=suggestion["version"], comment=comment)
        self.approved.append(suggestion["id"])
        return answer

    def reject(self, suggestion: Json, *, reason_code: str, by: str = "finance") -> Json:
        answer = self.post(suggestion, "reject", by, version=suggestion["version"], reason_code=reason_code)
        self.rejected.append(suggestion["id"])
        return answer

    def refusal(self, suggestion: Json, *, by: str, version: int | None = None) -> int:
        """The status with which an approval is refused (200 when it is not)."""
        response = httpx2.post(
            f"{self.url}/suggestions/{suggestion['id']}/approve/",
            json={"version": version or suggestion["version"]},
            headers={"Authorization": f"Token {self.tokens[by]}"},
            timeout=30,
        )
        return response.status_code

    def wait(self, wanted: dict[str, str], *, seconds: float = 150) -> dict[str, str]:
        """Wait until each suggestion (id → state) is in its state; returns what they are in at the end."""
        deadline = time.monotonic() + seconds
        for round_ in count():
            self.check()
            if round_ % 6 == 5:  # the demo's clock is short: what is due now need not wait for the sweep of the minute
                jobs.enqueue("approvals.tasks.sweep_executions")
            states = {suggestion_id: self.get(suggestion_id)["state"] for suggestion_id in wanted}
            if states == wanted or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return states

    def wait_for(self, ids: list[str], states: list[str], *, seconds: float = 60) -> dict[str, str]:
        """Wait until those suggestions are in these states, whichever of them in which."""
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            found = {suggestion_id: self.get(suggestion_id)["state"] for suggestion_id in ids}
            if sorted(found.values()) == sorted(states) or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def bulk(self, suggestions: list[Json], *, by: str = "finance", comment: str = "") -> Json:
        """Approve them as one batch."""
        items = [{"id": row["id"], "version": row["version"]} for row in suggestions]
        body = {"verb": "approve", "items": items, "comment": comment}
        return self._ask("POST", f"{self.url}/suggestions/bulk/", by, json=body)

    def switch(self, kind: str, position: str, reason: str, *, by: str = "lead") -> Json:
        """The kill switch of a kind, "on" or "off"."""
        return self._ask("POST", f"{self.url}/kill-switches/{kind}/{position}/", by, json={"reason": reason})

    def post(self, suggestion: Json, verb: str, by: str, **body: Any) -> Json:
        return self._ask("POST", f"{self.url}/suggestions/{suggestion['id']}/{verb}/", by, json=body)

    def case(self, invoice: str) -> Json:
        """The dunning case of an invoice."""
        page = self._ask("GET", f"{self.url}/dunning/cases/", "auditor", params={"invoice": invoice})
        found = [row for row in page["results"] if row["invoice"] == invoice]
        if len(found) != 1:
            raise LookupError(f"{len(found)} dunning cases of {invoice}, the story has exactly one.")
        return self._ask("GET", f"{self.url}/dunning/cases/{found[0]['id']}/", "auditor")

    def on_case(self, case: Json, verb: str, by: str, **body: Any) -> Json:
        return self._ask("POST", f"{self.url}/dunning/cases/{case['id']}/{verb}/", by, json=body)

    def _ask(self, method: str, address: str, who: str, **kwargs: Any) -> Json:
        response = httpx2.request(
            method, address, headers={"Authorization": f"Token {self.tokens[who]}"}, timeout=30, **kwargs
        )
        if response.status_code not in (200, 201, 202):
            raise RuntimeError(f"{method} {address} by {who}: {response.status_code} {response.text[:300]}")
        result: Json = response.json()
        return result
