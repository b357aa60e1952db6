"""A stand-in for Stripe's API that reads only: it answers after a fixed delay and counts what it was asked.

Purpose-made, in place of the sandbox, because it must cost next to nothing itself and because every answer must be late
by the same time, however many are under way.

    python -m benchmarks.stand_in_api PORT MILLISECONDS CUSTOMERS

`GET /counts` gives the requests so far, by path without the id, and sets them to zero.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks import stripe_objects


class StandIn:
    def __init__(self, *, delay: float, customers: int) -> None:
        self.delay = delay
        self.customers = customers
        self.counts: Counter[str] = Counter()

    def answer(self, target: str) -> tuple[int, Any]:
        """Status and body for a GET of `target`, which stands for one request in the counts."""
        url = urlsplit(target)
        parts = url.path.strip("/").split("/")[1:]
        self.counts["/".join([*parts[:1], "{id}", *parts[2:]]) if len(parts) > 1 else "/".join(parts)] += 1
        match parts:
            case ["account"] | ["accounts", stripe_objects.PLATFORM]:
                return 200, stripe_objects.account()
            case ["customers", ident] if ident.startswith("cus_bench"):
                return 200, stripe_objects.customer(int(ident.removeprefix("cus_bench")))
            case ["invoices", ident] if ident.startswith("in_bench"):
                return 200, stripe_objects.invoice(int(ident.removeprefix("in_bench")), self.customers)
            case ["invoice_payments"] if parse_qs(url.query).get("invoice"):
                return 200, {"object": "list", "data": [], "has_more": False, "url": "/v1/invoice_payments"}
        message = f"No such object: {url.path}"
        return 404, {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": message}}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await self._head(reader):
                target = head.split(" ", 2)[1]
                if target == "/counts":
                    status, data = 200, dict(self.counts)
                    self.counts.clear()
                else:
                    await asyncio.sleep(self.delay)
                    status, data = self.answer(target)
                body = json.dumps(data).encode()
                lines = [
                    f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not Found'}",
                    "Content-Type: application/json",
                    f"Content-Length: {len(body)}",
                    f"Request-Id: req_bench{sum(self.counts.values()):08d}",
                    f"Stripe-Version: {stripe_objects.API_VERSION}",
                ]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
                await writer.drain()
        except ConnectionError:
            pass  # a client that was stopped
        finally:
            writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> str:
        """The request's head, or "" at the end of the connection. A GET has no body."""
        try:
            return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return ""


async def _main(port: int, milliseconds: float, customers: int) -> None:
    stand_in = StandIn(delay=milliseconds / 1000, customers=customers)
    server = await asyncio.start_server(stand_in.serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
