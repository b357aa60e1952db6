"""The API describes itself, completely and without a warning."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from django.core.management import call_command

pytestmark = pytest.mark.django_db


def test_the_schema_is_valid_and_names_what_it_answers(tmp_path: Path) -> None:
    file = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(file))
    schema = yaml.safe_load(file.read_text())
    listed = schema["paths"]["/api/v1/suggestions/"]["get"]
    assert {parameter["name"] for parameter in listed["parameters"]} >= {"state", "kind", "cursor", "page_size"}
    approve = schema["paths"]["/api/v1/suggestions/{id}/approve/"]["post"]
    assert set(approve["responses"]) == {"200", "400", "401", "403", "404", "409"}
    assert "/api/v1/customers/{customer}/timeline/" in schema["paths"]
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert {"401", "403"} <= set(operation["responses"]), f"{method} {path}"
