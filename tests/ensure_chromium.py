"""Exit 0 when a chromium is there (installing Debian's where that is possible), 77 when the browser tests cannot run.

In CI (CI=true) the absence is a failure, never a skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    if any(shutil.which(name) for name in NAMES):
        return 0
    if shutil.which("apt-get") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
            subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)
        if any(shutil.which(name) for name in NAMES):
            return 0
    print("NOT RUN: the browser tests (pytest -m browser). No chromium found and none could be installed;")
    print("install it (Debian: apt-get install chromium) and run `make test-browser`.")
    return 1 if os.environ.get("CI") else 77


if __name__ == "__main__":
    sys.exit(main())
