"""Who may import whom (the design's arrows). A new arrow is a decision, not an accident."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {"billingops", "approvals", "settlements", "dunning", "invoicing", "support", "insights", "sandbox", "demo"}
MAY_IMPORT: dict[str, set[str]] = {
    "billingops": set(),
    "approvals": {"billingops"},
    "settlements": {"approvals", "billingops"},
    "dunning": {"approvals", "billingops"},
    "invoicing": {"approvals", "billingops"},
    "insights": {"settlements", "dunning", "invoicing", "approvals", "billingops"},
    "support": {"settlements", "dunning", "invoicing", "insights", "approvals", "billingops"},
    "sandbox": set(),
    "demo": ROOMS - {"demo"},
}
# support and insights read other domains, they do not use their verbs.
READS_ONLY = {"support": {"settlements", "dunning", "invoicing"}, "insights": {"settlements", "dunning", "invoicing"}}
READABLE = {"models", "querysets", "states"}
WIRING = {"billingops/settings.py", "billingops/urls.py"}


def modules() -> list[Path]:
    return [
        path
        for room in sorted(ROOMS)
        for path in sorted((ROOT / room).rglob("*.py"))
        if not {"tests", "migrations", "djstripe_migrations"} & set(path.parts)
    ]


def imports(path: Path) -> set[str]:
    """The dotted names a module imports, `from a import b` as `a.b`, function-level ones included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ROOMS}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    relative = str(path.relative_to(ROOT))
    room = relative.split("/")[0]
    wrong = []
    for name in imports(path):
        other, _, rest = name.partition(".")
        if other == room or relative in WIRING:
            continue
        if other not in MAY_IMPORT[room] or (
            other in READS_ONLY.get(room, set()) and rest.split(".")[0] not in READABLE
        ):
            wrong.append(name)
    assert not wrong, f"{relative} may not import {wrong}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_gateway_is_imported_by_actions_alone(path: Path) -> None:
    relative = str(path.relative_to(ROOT))
    uses_gateway = any(name.startswith("billingops.stripe.gateway") for name in imports(path))
    assert not uses_gateway or path.name == "actions.py" or "actions" in path.parts, (
        f"{relative} reaches for the gateway"
    )


def reached(path: Path) -> dict[str, set[str]]:
    """Every module of ours that `path` imports, directly or through others, with all the names each one imports."""
    found: dict[str, set[str]] = {}
    waiting = [path]
    while waiting:
        module = waiting.pop()
        if str(module) in found:
            continue
        found[str(module)] = every_import(module)
        for name in imports(module):
            for dotted in (name, name.rpartition(".")[0]):
                file = ROOT / f"{dotted.replace('.', '/')}.py"
                if file.exists():
                    waiting.append(file)
    return found


def every_import(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return named | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/rules.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_rules_reach_no_database_network_or_clock(path: Path) -> None:
    outside = ("django.db", "djstripe", "stripe", "openai", "requests", "httpx", "time", "socket")
    for module, names in reached(path).items():
        impure = {name for name in names if name in outside or name.startswith(tuple(f"{part}." for part in outside))}
        assert not impure, f"{path.relative_to(ROOT)} reaches {impure} through {Path(module).relative_to(ROOT)}"
