"""Which policies apply, asked about one suggestion or about many at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from django.utils import timezone

from approvals import registry
from approvals.models import KillSwitch, Policy, Suggestion
from approvals.policies import usage
from approvals.policies.clauses import Case, Used, judge
from approvals.policies.results import STRICTNESS, Clause, Result, built, strictest
from approvals.policies.terms import Cap, Terms

Stage = Literal["proposed", "approved", "executed"]
MANY = 500  # accounts in one condition; above it all policies are read, there are few


def applicable(kind: str, account: str) -> list[Policy]:
    """The narrowest policies: kind and account named beats one of them named beats none. The strictest mode first.

    Two can be equally narrow (this kind for all accounts, all kinds for this account): then both hold.
    """
    return narrowest(Policy.objects.filter(kind__in=[kind, "*"], account__in=[account, ""]), kind, account)


def narrowest(rows: Iterable[Policy], kind: str, account: str) -> list[Policy]:
    """Those of `rows` that apply."""
    fitting = [row for row in rows if row.kind in (kind, "*") and row.account in (account, "")]
    most = max((_narrowness(row) for row in fitting), default=0)
    equal = [row for row in fitting if _narrowness(row) == most]
    return sorted(equal, key=lambda row: (STRICTNESS[Policy.Mode(row.mode)], row.pk or 0))


def _narrowness(row: Policy) -> int:
    return (row.kind != "*") + (row.account != "")


class Book:
    """What an evaluation reads, read once for all of `suggestions`: a fixed number of statements, however many.

    `policies`: asked in place of those in the database (what would be, if they were so). `evidence` False: what `auto`
    rests on is not looked up, and counts as not earned.
    """

    def __init__(
        self,
        suggestions: Sequence[Suggestion],
        *,
        at: datetime | None = None,
        policies: Iterable[Policy] | None = None,
        evidence: bool = True,
    ) -> None:
        self.evidence = evidence
        self.suggestions = suggestions
        self.at = at or timezone.now()
        self.policies = list(self._read() if policies is None else policies)
        self.switches = list(KillSwitch.objects.filter(is_on=True))
        self._applicable: dict[tuple[str, str], list[Policy]] = {}
        self._used: dict[tuple[Any, ...], dict[str, Used]] = {}
        self._changed: dict[tuple[str, str], datetime | None] = {}

    def _read(self) -> Iterable[Policy]:
        kinds = {suggestion.kind for suggestion in self.suggestions}
        accounts = {suggestion.account for suggestion in self.suggestions}
        rows = Policy.objects.filter(kind__in=[*kinds, "*"])
        return rows if len(accounts) > MANY else rows.filter(account__in=[*accounts, ""])

    def applicable(self, suggestion: Suggestion) -> list[Policy]:
        key = (suggestion.kind, suggestion.account)
        if key not in self._applicable:
            self._applicable[key] = narrowest(self.policies, *key)
        return self._applicable[key]

    def case(self, suggestion: Suggestion) -> Case:
        destination = registry.destination(suggestion)
        return Case(
            at=self.at,
            amount=suggestion.amount,
            currency=suggestion.currency,
            customer=suggestion.customer,
            destination=destination,
            used=lambda cap, terms: self._used_of(suggestion, cap, terms),
            changed_at=lambda: self._changed_at(suggestion.kind, destination),
        )

    def _used_of(self, suggestion: Suggestion, cap: Cap, terms: Terms) -> Used:
        scope = usage.SCOPE_OF[cap.scope]
        start, end = terms.day_of(self.at)
        question = (suggestion.kind, scope.value, start, end)
        if question not in self._used:
            keys = {_usage_key(one, scope.value) for one in self.suggestions if one.kind == suggestion.kind}
            self._used[question] = usage.used(suggestion.kind, scope.value, keys, start, end)
        return self._used[question].get(_usage_key(suggestion, scope.value), Used())

    def _changed_at(self, kind: str, destination: str) -> datetime | None:
        if (kind, destination) not in self._changed:
            self._changed[kind, destination] = registry.get(kind).destination_changed_at(destination)
        return self._changed[kind, destination]

    def switched_off(self, kind: str) -> Result | None:
        """The kill switches that hold this kind."""
        on = [switch for switch in self.switches if switch.kind in ("", kind)]
        if not on:
            return None
        words = [registry.label(switch.kind) if switch.kind else "everything" for switch in on]
        clauses = [Clause("kill_switch", "hold", f"the kill switch is on for {word}") for word in words]
        return built(clauses, mode=Policy.Mode.AUTO.value, approvals=0)


def _usage_key(suggestion: Suggestion, scope: str) -> str:
    return {"customer": suggestion.customer, "account": suggestion.account}.get(scope, "")


def evaluate(suggestion: Suggestion, *, stage: Stage, at: datetime | None = None, book: Book | None = None) -> Result:
    """What holds for `suggestion` now: the policies of today, and where these are looser, those of when it was made.

    Without any policy everything waits for one person. At the stage "executed" the caller holds the suggestion's row
    lock and `locks.begin`, inside the transaction that begins the execution.
    """
    book = book or Book([suggestion], at=at)
    policies = book.applicable(suggestion)
    now = [Terms.of(row) for row in policies] or [Terms()]
    case = book.case(suggestion)
    then = _stored(suggestion)
    results = [judge(terms, case) for terms in [*now, *(terms for terms in then if _differs(terms, now))]]
    if switched_off := book.switched_off(suggestion.kind):
        results.insert(0, switched_off)
    if registry.is_final(suggestion.kind) and not all(_names(suggestion.kind, group) for group in (now, then) if group):
        results.append(_as_final(now[0]))
    result = strictest(*results)
    if result.mode == Policy.Mode.AUTO and stage == "proposed" and result.flags:
        flagged = Clause("flags", "review", "it is flagged, one person reviews", now[0].source)
        result = strictest(result, built([flagged], mode=Policy.Mode.REVIEW.value, approvals=1))
    elif result.mode == Policy.Mode.AUTO:
        result = _earned(result, _grant_for(suggestion, policies) if book.evidence else None, now[0])
    kept = [terms.as_json() for terms in now if terms.policy] if stage == "proposed" else None
    return replace(result, versions=[[row.pk, row.version] for row in policies], terms=kept)


def evaluate_many(suggestions: Sequence[Suggestion], *, stage: Stage, at: datetime | None = None) -> dict[Any, Result]:
    """By primary key. A fixed number of statements (one more for each destination where there is a cool-down)."""
    book = Book(suggestions, at=at)
    return {suggestion.pk: evaluate(suggestion, stage=stage, book=book) for suggestion in suggestions}


def _names(kind: str, group: Sequence[Terms]) -> bool:
    return any(terms.kind == kind for terms in group)


def _as_final(terms: Terms) -> Result:
    """What cannot be taken back asks for two people, whatever a policy for all kinds says."""
    text = "it cannot be taken back: two people approve unless a policy names this very kind"
    return built([Clause("final", "second", text, terms.source)], mode=Policy.Mode.REVIEW.value, approvals=2)


def _stored(suggestion: Suggestion) -> list[Terms]:
    """The terms as they were when it was suggested. The caps of a day are not among them: they are breakers for what
    happens on that day, so today's count (docs/decisions/0018)."""
    stored = suggestion.policy.get("proposed")
    if not stored:
        return []
    if "terms" not in stored:  # from before terms were kept
        over = {suggestion.currency: -1} if stored.get("approvals", 1) > 1 else {}
        return [Terms(kind=suggestion.kind, policy=-1, mode=stored["mode"], two_approvers_over=over, earlier=True)]
    found = [Terms.read(one) for one in stored["terms"]] or [Terms(earlier=True)]
    return [_of_one(one) for one in found]


def _of_one(terms: Terms) -> Terms:
    """What of the terms concerns one suggestion by itself."""
    return replace(terms, caps={name: limits for name, limits in terms.caps.items() if name == "action"})


def _differs(stored: Terms, now: Sequence[Terms]) -> bool:
    """False for terms that still hold as they were; then saying it once is enough."""
    return not any(replace(_of_one(one), earlier=True) == stored for one in now)


def _earned(result: Result, grant: Any, terms: Terms) -> Result:
    """`auto` holds while its evidence does; else a person reviews."""
    if grant is None:
        clause = Clause("automation", "review", "auto is not earned yet, one person reviews", terms.source)
        return strictest(result, built([clause], mode=Policy.Mode.REVIEW.value, approvals=1))
    clause = Clause("automation", "allow", f"auto is earned: {grant}", terms.source)
    earned = strictest(built([clause], mode=Policy.Mode.AUTO.value, approvals=0), result)
    return replace(earned, grant_id=grant.pk)


def _grant_for(suggestion: Suggestion, policies: list[Policy]) -> Any:
    from approvals.automation import grant_for  # it asks the policies in its turn

    return grant_for(suggestion, policies)
