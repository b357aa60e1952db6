"""What runs is installed by requirements.txt alone: a package that only a developer's tools bring is missing in
production, and in `make demo` on a fresh machine."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.test_import_arrows import ROOMS, ROOT, modules

NAMED = {
    re.split(r"[=\[]", line)[0].lower().replace("_", "-")
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
}
DISTRIBUTIONS = packages_distributions()


def packages(path: Path) -> set[str]:
    """The top-level packages from elsewhere that a module imports, function-level ones included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - ROOMS


@pytest.mark.parametrize("package", sorted({name for path in modules() for name in packages(path)}))
def test_what_is_imported_is_named_in_the_requirements(package: str) -> None:
    brought_by = {name.lower().replace("_", "-") for name in DISTRIBUTIONS.get(package, [package])}
    assert brought_by & NAMED, (
        f"{package} comes with {', '.join(sorted(brought_by))}, which requirements.txt does not name"
    )
