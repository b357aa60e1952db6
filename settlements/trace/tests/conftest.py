from __future__ import annotations

import pytest

from settlements.trace.tests.build import World


@pytest.fixture
def world(db: None) -> World:
    return World()
