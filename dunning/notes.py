"""Writing down what happens to a case beside the steps of its plan. Inside the caller's transaction."""

from __future__ import annotations

from typing import Any

from billingops.actors import Actor
from dunning import sla
from dunning.models import CaseNote, DunningCase

Kind = CaseNote.Kind


def write(case: DunningCase, kind: str, *, actor: Actor, text: str = "", **facts: Any) -> CaseNote:
    """`facts`: JSON's own types, no personal data; what is empty is left out."""
    return CaseNote.objects.create(
        case=case,
        account=case.account,
        kind=kind,
        text=text,
        facts={key: value for key, value in facts.items() if value not in ("", None)},
        author=actor.user,
        author_name=actor.name,
    )


def case_ended(case: DunningCase, *, is_paid: bool, actor: Actor) -> None:
    """The case closes, the caller saves it: a promise is kept or lapses, and nobody has to act on it any more."""
    if case.promised_for and is_paid:
        write(case, Kind.KEPT, actor=actor, day=case.promised_for.isoformat())
    case.promised_for = None
    sla.stop(case)


def holder(case: DunningCase) -> str:
    """Who has the case: a person's name, else a group's, "" for nobody."""
    if case.owner is not None:
        return case.owner.get_username()
    return case.owner_group.name if case.owner_group is not None else ""
