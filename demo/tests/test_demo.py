"""The demo as a person runs it: real processes, real webhooks, its own database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


def environment(folder: Path) -> dict[str, str]:
    ours = {"BILLINGOPS_VAR": str(folder), "PYTHONUNBUFFERED": "1"}
    dropped = ("DATABASE_URL", "STRIPE_API_BASE", "DJANGO_SETTINGS_MODULE")
    return {name: value for name, value in os.environ.items() if name not in dropped} | ours


def test_the_story_played_once_comes_out_as_it_must(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "manage.py", "demo", "--once", "--json"],
        cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
    result = json.loads(run.stdout)
    assert (result["ok"], result["wrong"]) == (True, [])
    assert result["confirmed"] == result["approved"] - 1  # one was approved on facts that moved, and turned stale
    assert result["suggestions_by_state"]["stale"] == 1
    morning = ("batches", "held_by_policy", "edited", "assigned", "comments", "backtests")
    assert {name: result[name] for name in morning} == {
        "batches": 1, "held_by_policy": 1, "edited": 1, "assigned": 2, "comments": 2, "backtests": 2,
    }  # fmt: skip
    dunning = ("invoices_in_one_message", "messages_bounced", "answers_waiting", "promises", "ab_tests")
    assert {name: result[name] for name in dunning} == {
        "invoices_in_one_message": 2, "messages_bounced": 1, "answers_waiting": 1, "promises": 1, "ab_tests": 1,
    }  # fmt: skip
    assert result["platform_told"] == {"verified": 1, "refused": 0}
    assert result["verdicts_on_the_scoreboard"] >= result["approved"]


def test_ctrl_c_takes_everything_down(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--port", "0"],
        cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        address = _address(demo)
        assert httpx2.get(f"{address}/healthz").status_code == 200
        children = _children(demo.pid)
        assert len(children) >= 2
        demo.send_signal(signal.SIGINT)
        demo.wait(timeout=60)
    finally:
        if demo.poll() is None:
            demo.kill()
    assert demo.returncode == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    with pytest.raises(httpx2.HTTPError):
        httpx2.get(f"{address}/healthz", timeout=2)


def _address(demo: subprocess.Popen[str]) -> str:
    assert demo.stdout is not None
    deadline = time.monotonic() + 300
    lines = []
    while time.monotonic() < deadline:
        line = demo.stdout.readline()
        lines.append(line)
        if "Back office" in line:
            return line.split()[-1].removesuffix("/admin/")
        if not line and demo.poll() is not None:
            break
    raise AssertionError("the demo never said its address:\n" + "".join(lines))


def _children(pid: int) -> list[int]:
    """All descendants of `pid`, read off /proc."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, waiting = [], [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found
