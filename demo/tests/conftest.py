"""What the demo's tests share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def var(tmp_path: Path, migrated: Path | None, django_db_setup: None) -> Path:
    """A folder for a demo, its database migrated already where one is kept: that takes twenty seconds, and
    `test_the_story_played_once_comes_out_as_it_must` begins with nothing."""
    if migrated:
        shutil.copy(migrated, tmp_path / "billingops.sqlite3")
    return tmp_path
