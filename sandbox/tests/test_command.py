"""`manage.py sandbox` runs until it is told to stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import SandboxControl

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"


@pytest.mark.skipif(not MANAGE.exists(), reason="the sandbox stands alone here")
def test_the_command_serves_and_stops_cleanly_on_sigterm() -> None:
    command = [sys.executable, str(MANAGE), "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Stripe sandbox at http://127.0.0.1:"), process.communicate()[1]
        assert SandboxControl(line.split()[-1]).healthz() is True
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "stopped" in out
