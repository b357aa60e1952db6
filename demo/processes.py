"""The demo's children: the web server and the worker, started on free ports and stopped by their own pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import httpx2
from django.conf import settings

RECEIVERS = "127.0.0.1/32"


def free_port(preferred: int) -> int:
    """`preferred` when nobody listens there, else one the system picks."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("No free port on 127.0.0.1.")


class Processes:
    """`with Processes(...) as running:` — both children are up inside, and gone afterwards."""

    def __init__(self, *, port: int, stripe_api_base: str, log_dir: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log_dir = log_dir
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "billingops.settings",
            "STRIPE_API_BASE": stripe_api_base,
            "DUNNING_QUIET_HOURS": os.environ.get("DUNNING_QUIET_HOURS", "off"),  # it is played at any hour
            "OUTBOUND_ALLOW_PRIVATE": RECEIVERS,  # the platform's own receiver listens on this machine
            # The demo's clock is short: what an interrupted call left behind is looked up soon.
            "EXECUTION_LOOKUP_SECONDS": os.environ.get("EXECUTION_LOOKUP_SECONDS", "5"),
        }
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        gunicorn = [sys.executable, "-m", "gunicorn", "billingops.wsgi", "--bind", f"127.0.0.1:{self.port}"]
        try:
            self._start("web", [*gunicorn, "--workers", "1", "--threads", "8", "--worker-tmp-dir", "/tmp"])  # noqa: S108
            self._start("worker", [sys.executable, "manage.py", "qcluster"])
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, name: str, command: list[str]) -> None:
        # A session of its own: Ctrl-C reaches us alone, and we stop each child in the way it likes.
        with (self.log_dir / f"{name}.log").open("wb") as log:
            self.children[name] = subprocess.Popen(  # noqa: S603
                command, cwd=settings.BASE_DIR, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def _wait_until_up(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            try:
                if httpx2.get(f"{self.url}/healthz", timeout=2).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"The web server did not answer within {seconds:.0f} s; see {self.log_dir}/web.log.")

    def check(self) -> None:
        """Raise when a child has died, with where to read why."""
        for name, child in self.children.items():
            if child.poll() is not None:
                raise RuntimeError(f"The {name} stopped with code {child.returncode}; see {self.log_dir}/{name}.log.")

    def stop(self) -> None:
        """SIGTERM to each main process alone (a group-wide one hangs django-q2), then SIGKILL to what stays."""
        for child in self.children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        for child in self.children.values():
            try:
                child.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(timeout=10)
