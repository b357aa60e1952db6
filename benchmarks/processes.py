"""The benchmark's children: the stand-in API, web servers, workers. Each is stopped by its own pid after its block."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "bench-results" / "logs"
OURS = "billingops.settings"
WEB_WORKERS, WEB_THREADS = 2, 4
SECRET = "whsec_benchmark"


class ChildFailed(RuntimeError):
    """A child ended with an error; `str()` holds the end of what it wrote."""


def environment(*, database: str, api_base: str, settings: str = OURS) -> dict[str, str]:
    """What each side runs with: the same but for the settings module."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": settings,
        "DATABASE_URL": database,
        "STRIPE_API_BASE": api_base,
        "STRIPE_WEBHOOK_SECRETS": SECRET,
        "LOG_LEVEL": "WARNING",
    }


def python(*arguments: str, env: dict[str, str]) -> Any:
    """Run a module to its end and give what its last line of output says as JSON, None for no output."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise ChildFailed(f"{' '.join(arguments)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else None


@contextmanager
def stand_in_api(*, milliseconds: float, customers: int) -> Iterator[int]:
    """The stand-in for Stripe's API; gives its port."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.stand_in_api", str(port), str(milliseconds), str(customers)]
    with _running("stand-in-api", command, {**os.environ, "PYTHONPATH": str(ROOT)}) as child:
        _wait_for(port, "stand-in-api", child)
        yield port


def api_counts(port: int) -> dict[str, int]:
    """What the stand-in was asked since the last call."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=10) as answer:
        return json.load(answer)


@dataclass(frozen=True)
class Web:
    """A running gunicorn. `cpu_seconds()` is what its processes have computed so far, the database's not included."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        main = psutil.Process(self.pid)
        times = [process.cpu_times() for process in (main, *main.children(recursive=True))]
        return sum(one.user + one.system for one in times)


@contextmanager
def web_server(name: str, env: dict[str, str]) -> Iterator[Web]:
    """gunicorn as in production, with keep-alive."""
    port = _free_port()
    command = [sys.executable, "-m", "gunicorn", "billingops.wsgi", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", str(WEB_WORKERS), "--threads", str(WEB_THREADS), "--keep-alive", "75"]
    with _running(name, [*command, "--worker-tmp-dir", "/tmp", "--log-level", "warning"], env) as child:
        _wait_for(port, name, child)
        yield Web(port, child.pid)


@contextmanager
def _running(name: str, command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(timeout=10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, name: str, child: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ChildFailed(f"{name} ended with {child.returncode}; see {LOGS / name}.log")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise ChildFailed(f"{name} did not listen within {seconds:.0f} s; see {LOGS / name}.log")
