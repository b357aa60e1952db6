"""`manage.py sandbox`: the sandbox alone, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sandbox.server import SandboxServer


class Command(BaseCommand):
    """Runs the stand-in for Stripe's API on loopback."""

    help = "Run a stateful stand-in for Stripe's API on loopback."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Port and webhook receiver."""
        parser.add_argument("--port", type=int, default=12111)
        parser.add_argument("--webhook-url", help="where signed events are posted")
        parser.add_argument("--webhook-secret", default="whsec_sandbox", help="what they are signed with")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until a signal."""
        done = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: done.set())
        server = SandboxServer(options["port"], options["webhook_url"], options["webhook_secret"])
        with server:
            self.stdout.write(f"Stripe sandbox at {server.url}")
            self.stdout.flush()
            done.wait()
        self.stdout.write("Stripe sandbox stopped")
