"""Config as code: sellers, rules, policies… from one YAML file, all or nothing.

An app registers the sections it owns (`register_section`) in `AppConfig.ready()`; this module knows the file's form and
how mistakes are reported, and no domain. `import_text` reads everything, collects every mistake with its line and key,
and only then applies, in one transaction. The file names what there is to be; what it does not name is reported and
left alone, or, with `prune`, closed by the section that owns it (never deleted without a trace).

YAML's surprises are refused rather than guessed at: duplicate keys, anchors, tags, `010`, `1_000`, floats.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

import yaml
from django.db import transaction

from billingops import money
from billingops.actors import Actor
from billingops.exceptions import BillingOpsError, InvalidInput
from billingops.journal import Note, note

T = TypeVar("T")
MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20  # of mappings and lists within one another; the parser recurses
MAX_DIGITS = 20
NOTED_CHANGES = 100  # in the audit log; each section notes its own besides
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)\Z")
_TYPES = {"str": "text", "int": "a whole number", "float": "a decimal number", "bool": "yes/no", "null": "nothing",
          "timestamp": "a date", "seq": "a list", "map": "a mapping", "merge": "a merge key"}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """One mistake. `line` counts from 1; `path` is the key's (`rules[0].share.seller`), "" for the file as a whole."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path + ': ' if self.path else ''}{self.message}"


class ConfigError(BillingOpsError):
    """The file is refused, nothing was changed. `problems`: all mistakes, in the order of the file."""

    code = "config_refused"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True)
class Change:
    """`sign`: + added, ~ changed, - closed or not in the file. `lines`: "field old → new" or why nothing was done."""

    sign: str
    what: str
    lines: tuple[str, ...] = ()
    applied: bool = True

    def __str__(self) -> str:
        return "\n".join([f"{self.sign} {self.what}", *(f"    {line}" for line in self.lines)])


@dataclass(frozen=True)
class Section:
    """One top-level key, whose value is a list.

    read   (values, plans) → the section's plan, any object. Reports mistakes through the values. `plans` holds what the
           sections before it (lower `order`) have read from the same file: a rule may name a seller of this file.
    apply  (plan, actor, prune) → changes. Runs in the import's transaction. `plan` is None when the file lacks the
    section.
    before () → None. Called first in that transaction, before any section is applied, where the file has the section:
           for a lock that must come before all rows.
    """

    name: str
    read: Callable[[list[Value], Mapping[str, Any]], Any]
    apply: Callable[..., list[Change]]
    order: int = 100
    before: Callable[[], None] | None = None


_sections: dict[str, Section] = {}


def register_section(section: Section) -> None:
    if section.name in _sections:
        raise RuntimeError(f"The config section {section.name!r} is registered twice.")
    _sections[section.name] = section


def sections() -> list[Section]:
    return sorted(_sections.values(), key=lambda section: (section.order, section.name))


_OPENING = (
    yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken, yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken,
)  # fmt: skip
_CLOSING = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)


class _Stop(Exception):
    """The file cannot be read any further."""


@dataclass(frozen=True)
class Value:
    """A node of the file with where it stands. Its readers report a mistake and return None, so that all are found."""

    node: yaml.Node
    path: str
    file: str
    problems: list[Problem] = field(repr=False)
    line: int = 1  # of the key where there is one: that is where a person looks

    @property
    def type(self) -> str:
        return str(self.node.tag).rpartition(":")[2]

    @property
    def is_null(self) -> bool:
        return self.type == "null"

    def refuse(self, message: str) -> None:
        self.problems.append(Problem(self.file, self.line, self.path, message))

    def _expected(self, what: str) -> None:
        given = f" ({self.node.value!r})" if isinstance(self.node, yaml.ScalarNode) and not self.is_null else ""
        self.refuse(f"must be {what}, not {_TYPES.get(self.type, self.type)}{given}.")

    def items(self) -> list[Value]:
        """The members of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            self._expected("a list (lines that start with '- ')")
            return []
        return [
            Value(child, f"{self.path}[{index}]", self.file, self.problems, child.start_mark.line + 1)
            for index, child in enumerate(self.node.value)
        ]

    def fields(self, *allowed: str) -> Fields | None:
        """The mapping's members; keys that are not `allowed`, and keys given twice, are refused."""
        if not isinstance(self.node, yaml.MappingNode):
            self._expected(f"a mapping with the keys {', '.join(allowed)}")
            return None
        return Fields(self, {name: value for name, value in self._pairs() if self._knows(name, value, allowed)})

    def _knows(self, name: str, value: Value, allowed: tuple[str, ...]) -> bool:
        if name not in allowed:
            value.refuse(f"unknown key {name!r}; allowed here: {', '.join(allowed)}.")
        return name in allowed

    def _pairs(self) -> Iterator[tuple[str, Value]]:
        """(key, value) of a mapping; the value carries the key's line. A second use of a key is refused."""
        seen: dict[str, int] = {}
        assert isinstance(self.node, yaml.MappingNode)
        for key, child in self.node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            line = key.start_mark.line + 1
            value = Value(child, f"{self.path}.{name}" if self.path else name, self.file, self.problems, line)
            if name in seen:
                value.refuse(f"the key {name!r} is given twice (first on line {seen[name]}); keep one.")
                continue
            seen[name] = line
            yield name, value

    def text(self) -> str | None:
        if self.type != "str" or not self.node.value.strip():
            self._expected('text (in quotes if it looks like something else: "12")')
            return None
        return str(self.node.value).strip()

    def whole(self, *, minimum: int = 0, maximum: int = 2**53) -> int | None:
        if self.type != "int" or not _WHOLE.match(self.node.value):
            self._expected("a whole number written in plain digits")
            return None
        if len(self.node.value) > MAX_DIGITS:  # int() takes its time over thousands of digits, and refuses more
            self.refuse(f"must be between {minimum} and {maximum}.")
            return None
        number = int(self.node.value)
        if not minimum <= number <= maximum:
            self.refuse(f"must be between {minimum} and {maximum}, not {number}.")
            return None
        return number

    def percent(self) -> Decimal | None:
        if self.type == "float":
            self.refuse(f'must be written as text, "{self.node.value}" in quotes: a float is not exact.')
            return None
        if self.type not in {"str", "int"} or not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,6})?", self.node.value):
            self._expected('a percentage written as text, for example "70" or "2.5"')
            return None
        try:
            return money.parse_percent(self.node.value, self.path)
        except InvalidInput:
            self.refuse(f"must lie between 0 and 100, not {self.node.value}.")
            return None

    def currency(self) -> str | None:
        text = self.node.value if isinstance(self.node, yaml.ScalarNode) else None
        if text is None or text not in CURRENCIES:
            self._expected("a currency that Stripe knows, lower-case, for example usd")
            return None
        return str(text)

    def choice(self, options: Collection[str]) -> str | None:
        # By its letters, whatever YAML takes them for: `off` is a word here.
        if not isinstance(self.node, yaml.ScalarNode) or self.node.value not in options:
            self._expected(f"one of {', '.join(options)}")
            return None
        return str(self.node.value)

    def day(self) -> date | None:
        try:
            if isinstance(self.node, yaml.ScalarNode) and _DAY.match(self.node.value):
                return date.fromisoformat(self.node.value)
        except ValueError:
            pass
        self._expected("a day that exists, written YYYY-MM-DD")
        return None

    def amounts(self) -> dict[str, int] | None:
        """`{usd: 100}`: minor units per currency."""
        if not isinstance(self.node, yaml.MappingNode):
            self._expected("a mapping of currency to minor units, for example {usd: 100}")
            return None
        found: dict[str, int] = {}
        for name, value in self._pairs():
            if name not in CURRENCIES:
                value.refuse(
                    f"unknown currency {name!r}; allowed: ISO codes that Stripe knows, lower-case, for example usd."
                )
            elif (number := value.whole()) is not None:
                found[name] = number
        return found


@dataclass(frozen=True)
class Fields:
    """The members of one mapping, read by key with a default for what is absent."""

    value: Value
    members: dict[str, Value]

    def get(self, key: str) -> Value | None:
        """The member, or None where it is absent or null."""
        member = self.members.get(key)
        return None if member is None or member.is_null else member

    def need(self, key: str) -> Value | None:
        member = self.get(key)
        if member is None:
            self.value.refuse(f"the key {key!r} is missing.")
        return member

    def read(self, key: str, reader: Callable[[Value], T | None], default: T) -> T:
        """`reader` of the member; `default` where it is absent (or wrong: then the import is refused anyway)."""
        member = self.get(key)
        found = reader(member) if member is not None else None
        return default if found is None else found

    def require(self, key: str, reader: Callable[[Value], T | None]) -> T | None:
        member = self.need(key)
        return reader(member) if member is not None else None


def import_text(text: str, *, file: str, actor: Actor, dry_run: bool = False, prune: bool = False) -> list[Change]:
    """Read and apply. Raises ConfigError with every mistake, nothing changed. A dry run applies and takes it back."""
    plans = read(text, file=file)
    with transaction.atomic():
        for section in sections():
            if section.before is not None and section.name in plans:
                section.before()
        changes = [
            change
            for section in sections()
            for change in section.apply(plans.get(section.name), actor=actor, prune=prune)
        ]
        applied = [change for change in changes if change.applied]
        if dry_run:
            transaction.set_rollback(True)
        elif applied:
            data = {
                "file": file.replace("\\", "/").rpartition("/")[2],
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
                "prune": prune,
                "changes": len(applied),
                "first_changes": [str(change)[:300] for change in applied[:NOTED_CHANGES]],
            }
            note(Note("setting.imported", "config:file", actor, data))
    return changes


def read(text: str, *, file: str) -> dict[str, Any]:
    """Section name → plan. Raises ConfigError."""
    problems: list[Problem] = []
    plans: dict[str, Any] = {}
    try:
        root = _compose(text, file, problems)
    except _Stop:
        raise ConfigError(problems)
    fields = root.fields(*(section.name for section in sections()))
    if fields is not None:
        for section in sections():
            member = fields.get(section.name)
            if member is not None:
                plans[section.name] = section.read(member.items(), plans)
    if problems:
        raise ConfigError(problems)
    return plans


def parse(text: str, *, file: str) -> Value:
    """A piece of such a file, for an app that reads one of its sections out of it; mistakes collect in its `problems`.
    Raises ConfigError where it is no YAML."""
    problems: list[Problem] = []
    try:
        return _compose(text, file, problems)
    except _Stop:
        raise ConfigError(problems)


def _compose(text: str, file: str, problems: list[Problem]) -> Value:
    def stop(line: int, message: str) -> _Stop:
        problems.append(Problem(file, line, "", message))
        return _Stop()

    if len(text.encode()) > MAX_BYTES:
        raise stop(1, f"the file is larger than {MAX_BYTES:,} bytes.")
    depth = 0
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if depth > MAX_DEPTH:
                raise stop(token.start_mark.line + 1, f"this is nested more than {MAX_DEPTH} deep.")
            if isinstance(token, (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)):
                raise stop(
                    token.start_mark.line + 1,
                    'anchors (&), aliases (*) and tags (!) are not used here; write values out, and "*" in quotes.',
                )
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        hint = ' (write "*" in quotes)' if "alias" in f"{error.context} {error.problem}" else ""
        raise stop(mark.line + 1 if mark else 1, f"this is not YAML: {error.problem or error.context}{hint}.")
    except yaml.YAMLError as error:
        raise stop(1, f"this is not YAML: {error}")
    if root is None:
        raise stop(1, f"the file is empty; it holds the keys {', '.join(section.name for section in sections())}.")
    return Value(root, "", file, problems, root.start_mark.line + 1)


# Source: https://docs.stripe.com/currencies ("Presentment currencies"), lower-case ISO codes.
CURRENCIES = frozenset(
    """aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp
    cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk
    jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn
    nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std
    szl thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw""".split()  # noqa: SIM905
)
