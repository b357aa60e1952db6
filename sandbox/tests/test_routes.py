"""The route table: each parameter type exists in the SDK, and no two routes answer the same request."""

from __future__ import annotations

import pytest

from sandbox import routes
from sandbox.params import _fields, params_class


@pytest.mark.parametrize("name", sorted({route.params for route in routes.TABLE if route.params}))
def test_parameter_types_exist_in_the_sdk(name: str) -> None:
    assert _fields(params_class(name))


def test_routes_are_unique() -> None:
    seen = [(route.method, route.pattern.pattern) for route in routes.TABLE]
    assert len(seen) == len(set(seen))
