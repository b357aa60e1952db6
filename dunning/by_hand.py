"""What the verbs of work.py share: the right, the version, the locks, and what is written down. And who may be given a
case.

Locks are taken in the gate's own order: suggestions, the audit log, then the case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction

from approvals import services as gate
from approvals.services import AlreadyTaken
from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.journal import Note, note
from dunning import notes, services
from dunning.models import CaseNote, DunningCase
from dunning.states import CaseState

WORK, ASSIGN = "dunning.work_dunningcase", "dunning.assign_dunningcase"
MAX_TEXT = 2000
SHOWN = ("state", "owner", "owner_group", "promised_for", "paused", "snoozed_until", "sla_level", "amount_remaining")


class Step:
    """One step on a case whose row is locked. `facts` go into the note; `result` is what `before` returned."""

    def __init__(self, case: DunningCase, user: Any, result: Any) -> None:
        self.case, self.user, self.result = case, user, result
        self.facts: dict[str, Any] = {}
        self.is_nothing = False

    def nothing(self) -> DunningCase:
        """It is so already: neither row nor note nor audit entry is written."""
        self.is_nothing = True
        return self.case


@contextmanager
def step(
    case_id: int,
    kind: CaseNote.Kind,
    *,
    actor: Actor,
    reason: str,
    version: int | None = None,
    text: str = "",
    before: Callable[[DunningCase], Any] | None = None,
) -> Iterator[Step]:
    """`before` runs first, in the same transaction: it may lock suggestions, which must not happen once the case is
    locked. `version`: as the person saw it; None where the step itself says what it needs."""
    with transaction.atomic():
        case = DunningCase.objects.select_related("owner", "owner_group").get(pk=case_id)
        check_person(case, actor)
        _check_now(case, version)
        result = before(case) if before else None
        journal(case, kind, actor=actor, text=text)
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        _check_now(case, version)
        now = Step(case, actor.user, result)
        try:
            yield now
        finally:
            if now.is_nothing:
                transaction.set_rollback(True)
        if now.is_nothing:
            return
        case.version += 1
        save_with_history(case, actor=actor, reason=reason)
        notes.write(case, kind, actor=actor, text=text, **now.facts)


def check_person(case: DunningCase, actor: Actor) -> None:
    if actor.user is None or not actor.user.has_perm(WORK):
        raise PermissionDenied("You may look at cases but not work on them.")
    if not access.may_see_account(actor.user, case.account):
        raise PermissionDenied("This case belongs to an account that you have no access to.")


def _check_now(case: DunningCase, version: int | None) -> None:
    if not case.is_unpaid:
        raise InvalidTransition(f"This case is {CaseState(case.state).label}; it is over. Nothing was changed.")
    if version is not None and case.version != version:
        raise VersionConflict(
            f"You saw version {version}, it is now version {case.version}. Nothing was changed; look again.",
            changes_since(case, version),
        )


def changes_since(case: DunningCase, version: int) -> list[str]:
    """What moved between `version` and now, one sentence a field. Two statements."""
    old = case.history.filter(version=version).order_by("-history_id").first()
    new = case.history.order_by("-history_id").first()
    if old is None or new is None:
        return []
    delta = new.diff_against(old, included_fields=SHOWN)
    return [f"{change.field}: {change.old} → {change.new}" for change in delta.changes]


def journal(case: DunningCase, kind: str, *, actor: Actor, text: str) -> None:
    data: dict[str, Any] = {"version": case.version, "about": case.invoice}
    if text:
        data["sha256"] = sha256(text.encode()).hexdigest()
    note(Note(f"case.{kind}", f"case:{case.pk}", actor, data, case.account))


def drop_waiting(reason: str, *, actor: Actor, keep: Sequence[str] = ()) -> Callable[[DunningCase], None]:
    """For `before`: what waits for a person is superseded, what is approved and not yet carried out cancelled, kinds in
    `keep` left alone. All are locked before the first is changed: a change takes the audit log's lock, and nobody who
    holds that may wait for a suggestion."""

    def drop(case: DunningCase) -> None:
        found = services.suggestions_of(case).filter(state__in=services.STILL_POSSIBLE).exclude(kind__in=keep)
        for suggestion in list(found.select_for_update(no_key=True).order_by("pk")):
            gate.supersede(suggestion_id=suggestion.pk, actor=actor, reason=reason)

    return drop


def check_free(case: DunningCase) -> None:
    if case.owner is not None:
        raise AlreadyTaken(f"{case.owner.get_username()} has it. Nothing was changed.")


def check_own_or_lead(case: DunningCase, actor: Actor) -> None:
    assert actor.user is not None
    if case.owner_id not in (None, actor.user.pk) and not actor.user.has_perm(ASSIGN):
        raise PermissionDenied("Somebody else has it; only they or a finance lead can pass it on.")


def check_receiver(case: DunningCase, to: Any) -> None:
    if why := why_not(case, to):
        raise InvalidInput(f"{to.get_username()} {why}. Nothing was changed.", field="to")


def checked(text: str, needed: str = "") -> str:
    text = text.strip()
    if needed and not text:
        raise InvalidInput(needed, field="text")
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"That is longer than {MAX_TEXT} characters.", field="text")
    return text


# -- who may be given a case ------------------------------------------------------------------------------------------


def why_not(case: DunningCase, user: Any) -> str:
    """ "" when `user` may work on it, else why not, to follow a name."""
    if not user.is_active or not user.is_staff or not user.has_perm(WORK):
        return "may not work on cases"
    return "" if access.may_see_account(user, case.account) else "may not see this account"


def why_not_group(group: Group | None) -> str:
    if group is None:
        return "is not there"
    app, _, codename = WORK.partition(".")
    may = group.permissions.filter(content_type__app_label=app, codename=codename).exists()
    return "" if may else "may not work on cases"


def people(case: DunningCase) -> list[Any]:
    """Who may be given it, by name. Two statements, however many people there are."""
    found = list(access.holders(WORK))
    access.read_many(found)
    return [user for user in found if access.may_see_account(user, case.account)]


def groups() -> list[Group]:
    """To whom a case may be handed over as a group. One statement."""
    app, _, codename = WORK.partition(".")
    right = {"permissions__content_type__app_label": app, "permissions__codename": codename}
    return list(Group.objects.filter(**right).order_by("name"))
