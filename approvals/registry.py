"""The actions the gate knows, by name. A domain app registers each of its kinds in `AppConfig.ready()`.

The gate never imports a domain: whatever it must know of a kind stands in a `Kind`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from billingops.exceptions import InvalidInput

if TYPE_CHECKING:
    from datetime import date, datetime

    from approvals.backtest import Replayed, Window
    from approvals.models import Execution, Suggestion


@dataclass(frozen=True)
class Preview:
    """What an approval will do, for the person who decides.

    sentence: "Transfers USD 133.03 to Bakery Supplies (acct_…) from charge ch_…; available with the charge's funds."
    call: the exact Stripe call to come, as (label, value) rows: ("POST", "/v1/transfers"), ("amount", "13303")…;
          empty when nothing goes to Stripe.
    """

    sentence: str
    call: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What an execution (or a look-up) found. `object_id`: tr_…, in_…, Message id…; `data`: small, no personal data."""

    object_id: str
    request_id: str = ""
    summary: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def _destination_param(suggestion: Suggestion) -> str:
    value = suggestion.params.get("destination", "")
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Editable:
    """A parameter that a person may change before approving. `widget`: text, textarea, datetime (ISO 8601, UTC), or
    hidden for one that only moves with another. `present`: the text to start from; `shown`: what would go out, in words
    (both: the parameter itself by default)."""

    name: str
    label: str
    widget: str = "text"
    help: str = ""
    present: Callable[[Suggestion], str] | None = None
    shown: Callable[[Suggestion], str] | None = None

    def present_of(self, suggestion: Suggestion) -> str:
        return self.present(suggestion) if self.present else str(suggestion.params.get(self.name, ""))

    def shown_of(self, suggestion: Suggestion) -> str:
        return self.shown(suggestion) if self.shown else str(suggestion.params.get(self.name, ""))


@dataclass(frozen=True)
class Spoiled:
    """A real suggestion with one thing wrong: `changes` are the fields that differ, whole; `flaw` a code, `text` the
    same in words, for the reviewer, after the verdict. See seeds.py."""

    flaw: str
    text: str
    changes: dict[str, Any]


class Rehearsal(Protocol):
    """What a dry run of other rules answers: the same figures for a terminal and as JSON."""

    def as_text(self) -> Iterator[str]: ...

    def as_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Kind:
    """One action the gate may execute.

    name            "seller_payout"
    label           "Payout" (singular, for pages)
    params_schema   the keys of `params` and their types: {"destination": str, "amount": int}; `propose` checks them
    optional_params keys of `params_schema` that may be left out
    moves_money     True when its execution moves money
    final           True when it cannot be taken back: a policy for "*" never lets it through by itself, and two people
                    approve it, unless a policy names this very kind
    rebuild_facts   (suggestion) → facts, read from Stripe now, same shape as when proposed. Called outside any
                    transaction. The hash over it decides "stale". May raise billingops.stripe.errors.*
                    (Ambiguous: try later).
    preview         (suggestion) → Preview. No network: from params and facts only.
    execute         (suggestion, execution) → Outcome. Called outside any transaction; uses execution.idempotency_key.
                    Raises billingops.stripe.errors.Refused (definite: nothing happened) or .Ambiguous (state unknown).
    look_up         (suggestion, execution) → Outcome | None: whether an attempt with an unknown result took effect.
                    None: it did not. May raise Ambiguous: cannot tell yet, ask again later.
    due_at          (suggestion) → when an approved one is to be carried out; None: at once.
    confirmed_by    the event types that close the case; empty: the execution itself is the confirmation.
    evidence        template for the evidence panel ("settlements/evidence.html"), rendered with `suggestion` and what
                    `evidence_context(suggestion, user)` returns. Few queries.
    backfill        (since: datetime | None) → iterator of progress (label, proposed: bool): proposes for what the
                    mirror already holds. Idempotent. None: nothing to propose after a backfill.
    replay          (backtest.Window) → iterator of backtest.Replayed: what the rules would have proposed in that time,
                    from what was known then. None: the kind cannot be back-tested.
    dry_run         (text of a config file, file, since, until, progress) → Rehearsal: what the file's rules would have
                    done to these days; writes nothing. Raises ConfigError, InvalidInput. None: nothing to rehearse.
    editable        the parameters a person may change (a message's words, a retry's time; never an amount), and
    edit            (suggestion, {name: text}) → the new params, checked and whole. Raises InvalidInput. No network.
    destination     (suggestion) → where the money goes (acct_…), "" for none. No network.
    destination_changed_at  (destination) → when its bank details last changed, None if never seen. No network.
    deadline        (suggestion) → by when somebody should have decided, None: only when it expires.
    alternatives    the kinds that could have been suggested in its place; a blind reviewer chooses among them
    spoil           (suggestion) → copies of a real one with one thing wrong, for seeded checks. None: there are none
    """

    name: str
    label: str
    params_schema: dict[str, type | tuple[type, ...]]
    moves_money: bool
    rebuild_facts: Callable[[Suggestion], dict[str, Any]]
    preview: Callable[[Suggestion], Preview]
    execute: Callable[[Suggestion, Execution], Outcome]
    look_up: Callable[[Suggestion, Execution], Outcome | None]
    due_at: Callable[[Suggestion], datetime | None] = lambda suggestion: None
    confirmed_by: tuple[str, ...] = ()
    evidence_template: str = ""
    evidence_context: Callable[[Suggestion, Any], dict[str, Any]] | None = None
    backfill: Callable[[datetime | None], Iterable[tuple[str, bool]]] | None = None
    replay: Callable[[Window], Iterator[Replayed]] | None = None
    dry_run: Callable[[str, str, date, date, Callable[[str], None]], Rehearsal] | None = None
    editable: tuple[Editable, ...] = ()
    edit: Callable[[Suggestion, dict[str, str]], dict[str, Any]] | None = None
    destination: Callable[[Suggestion], str] = _destination_param
    destination_changed_at: Callable[[str], datetime | None] = lambda destination: None
    deadline: Callable[[Suggestion], datetime | None] = lambda suggestion: None
    alternatives: tuple[str, ...] = ()
    spoil: Callable[[Suggestion], Iterable[Spoiled]] | None = None
    optional_params: frozenset[str] = frozenset()
    final: bool = False

    def check_params(self, params: dict[str, Any]) -> None:
        """Raise InvalidInput when `params` lacks a key, has one too many, or one of the wrong type."""
        for key, types in self.params_schema.items():
            if key not in params:
                if key in self.optional_params:
                    continue
                raise InvalidInput(f"{self.name} needs the parameter {key!r}.", field=key)
            value = params[key]
            allowed = types if isinstance(types, tuple) else (types,)
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in allowed):
                raise InvalidInput(
                    f"{self.name}: parameter {key!r} has the wrong type {type(value).__name__}.", field=key
                )
        if extra := sorted(set(params) - set(self.params_schema)):
            raise InvalidInput(f"{self.name} does not know the parameter {extra[0]!r}.", field=extra[0])


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    if kind.name in _kinds:
        raise RuntimeError(f"The kind {kind.name!r} is registered twice.")
    _kinds[kind.name] = kind


def get(name: str) -> Kind:
    """Raises InvalidInput for a name no app has registered."""
    try:
        return _kinds[name]
    except KeyError:
        raise InvalidInput(f"{name!r} is no known kind; there are {', '.join(sorted(_kinds))}.", field="kind")


def kinds() -> Iterator[Kind]:
    yield from sorted(_kinds.values(), key=lambda kind: kind.name)


def names() -> list[str]:
    return sorted(_kinds)


def label(name: str) -> str:
    return _kinds[name].label if name in _kinds else name


def alternatives(name: str) -> tuple[str, ...]:
    return _kinds[name].alternatives if name in _kinds else ()


def with_alternatives() -> list[str]:
    return [kind.name for kind in kinds() if kind.alternatives]


def is_final(name: str) -> bool:
    return name in _kinds and _kinds[name].final


def destination(suggestion: Suggestion) -> str:
    return _kinds[suggestion.kind].destination(suggestion) if suggestion.kind in _kinds else ""
