"""The demo as a person runs it: real processes, real webhooks, its own database."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r'<a\b[^>]*?href="([^"#]+)')
# A row's number, a UUID, an id of Stripe's.
ONE_OF_MANY = re.compile(r"/(?:\d+|[0-9a-f]{8}-[0-9a-f-]{27}|[a-z]+_\w+)(?=/)")
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


def test_every_page_that_a_link_leads_to_answers_until_ctrl_c_takes_everything_down(var: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--port", "0"],
        cwd=ROOT, env=environment(var), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        address, password = _said(demo)
        assert httpx2.get(f"{address}/healthz").status_code == 200
        for user in ("lead", "finance", "support", "auditor"):
            pages = _walk(address, user, password)
            assert {url: status for url, status in pages.items() if status != 200} == {}, user
            assert len(pages) > 50
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


def _said(demo: subprocess.Popen[str]) -> tuple[str, str]:
    """The address and the password that the demo prints."""
    assert demo.stdout is not None
    deadline = time.monotonic() + 300
    lines: list[str] = []
    while time.monotonic() < deadline:
        line = demo.stdout.readline()
        lines.append(line)
        if found := re.search(r"\(password (\S+)\)", line):
            (office,) = [one for one in lines if "Back office" in one]
            return office.split()[-1].removesuffix("/admin/"), found[1]
        if not line and demo.poll() is not None:
            break
    raise AssertionError("the demo never said its address:\n" + "".join(lines))


def _walk(address: str, user: str, password: str) -> dict[str, int]:
    """What is answered to whoever follows every link, one page of each sort: URL → status."""
    answers: dict[str, int] = {}
    seen: set[str] = set()
    with httpx2.Client(base_url=address, timeout=60) as client:
        client.get("/admin/login/")
        form = {"username": user, "password": password, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        assert client.post("/admin/login/", data=form).status_code == 302
        waiting = deque(["/admin/"])
        while waiting:
            url = waiting.popleft()
            sort = ONE_OF_MANY.sub("/#", urlsplit(url).path)
            if sort in seen or "/logout/" in url:
                continue
            seen.add(sort)
            answer = client.get(url, follow_redirects=True)
            answers[url] = answer.status_code
            if answer.headers["content-type"].startswith("text/html"):
                found = (urljoin(address + url, unescape(link)) for link in LINK.findall(answer.text))
                waiting += [one.removeprefix(address) for one in found if one.startswith(f"{address}/")]
    return answers


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
