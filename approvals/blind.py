"""The blind sample: some suggestions are shown without their verdict until a reviewer has said what they would do.

Who is drawn follows from the suggestion's id alone, so nobody can choose, and no secret is needed. Until somebody has
said it, nobody is shown why, by whom and with what confidence it was suggested; where the kind has alternatives, not
even which of them it is. `shown` gives the copy that pages, lists, exports and the API show instead.
"""

from __future__ import annotations

import copy
import hashlib
import uuid
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from approvals import registry
from approvals.models import BlindVerdict, Policy, Suggestion
from approvals.states import WAITING_FOR_A_PERSON
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition

CARRY_OUT, DO_NOT = "carry_out", "do_not"
UNDISCLOSED = "Undisclosed"
AUTHOR_HIDDEN = "not shown yet (blind sample)"
FIRST_SAY = "It is in the blind sample: first say what you would do, then you are shown what is suggested."
_PARTS = 10_000  # a percentage with two digits behind the point


def drawn(suggestion_id: uuid.UUID, percent: Decimal) -> bool:
    """Whether this suggestion is in a sample of `percent` of all."""
    digest = hashlib.sha256(f"blind:{suggestion_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _PARTS < percent * 100


def draw(suggestion: Suggestion, policies: list[Policy]) -> bool:
    """`policies`: those that apply; the highest share holds."""
    return drawn(suggestion.pk, max((row.blind_percent for row in policies), default=Decimal(0)))


def hides(row: Any) -> bool:
    """Of a suggestion, or of a row of its history."""
    return bool(row.is_blind and row.revealed_at is None and row.state in WAITING_FOR_A_PERSON)


def hidden() -> Q:
    return Q(is_blind=True, revealed_at=None, state__in=WAITING_FOR_A_PERSON)


def held_back(user: Any) -> Any:
    """The suggestions whose record in the logs is not for `user` yet: whoever may decide would read the verdict there.

    An auditor decides on nothing, and sees the logs whole.
    """
    hiding = Suggestion.objects.filter(hidden())
    return hiding if user.has_perm("approvals.approve_suggestion") else hiding.none()


def without_undisclosed(queryset: Any) -> Any:
    """For a filter by kind or by currency: being found by it would tell what is not to be told yet."""
    if not (kinds := registry.with_alternatives()):
        return queryset
    return queryset.exclude(hidden() & Q(kind__in=kinds))


def shown(suggestion: Suggestion) -> Suggestion:
    """What may be shown of it: itself, or a copy (never saved) without what would give the verdict away."""
    if not hides(suggestion):
        return suggestion
    other = copy.copy(suggestion)
    other.rationale = other.reason_code = other.baseline = ""
    other.confidence = other.agent_run = None
    other.suggested_by = AUTHOR_HIDDEN
    # Who had read what is told by flags of the model's; all others are evidence.
    other.flags = [flag for flag in suggestion.flags if not str(flag.get("code", "")).startswith("model_")]
    other.policy = {}
    if registry.alternatives(suggestion.kind):
        other.kind = UNDISCLOSED
        other.amount, other.currency = None, ""  # not every alternative has one
        other.params, other.facts, other.facts_hash = {}, {}, ""
    return other


def choices(suggestion: Suggestion) -> list[tuple[str, str]]:
    """What a reviewer may say, in an order that tells nothing."""
    if others := registry.alternatives(suggestion.kind):
        kinds = sorted({suggestion.kind, *others})
        return [*((kind, registry.label(kind)) for kind in kinds), (DO_NOT, "None of these")]
    return [(CARRY_OUT, "Carry it out as computed"), (DO_NOT, "Do not carry it out")]


def say(
    *,
    suggestion_id: uuid.UUID | str,
    actor: Actor,
    version: int,
    choice: str,
    reason_code: str = "",
    comment: str = "",
) -> Suggestion:
    """A reviewer's own verdict, then the suggestion's is shown; theirs stands.

    What was computed is carried out or not (`reason_code` says why). Where the kind has alternatives: another one than
    the suggested is a rejection; the same one is theirs to approve now that they see its words and its time.
    """
    from approvals import services
    from approvals.services import deciding, steps, writing
    from approvals.signals import Change

    with transaction.atomic():
        suggestion = Suggestion.objects.select_for_update(no_key=True).get(pk=suggestion_id)
        steps.check_right(suggestion, actor)
        if not hides(suggestion):
            raise InvalidTransition("This one is not, or no longer, in the blind sample. Nothing was changed.")
        if choice not in dict(choices(suggestion)):
            allowed = ", ".join(name for name, _ in choices(suggestion))
            raise InvalidInput(f"choice must be one of {allowed}.", field="choice")
        if choice == DO_NOT:
            deciding.check_reason(reason_code, comment)
        suggestion.revealed_at = timezone.now()
        # Without what changed since: it would be told before anything was said.
        steps.check_ready(suggestion, actor=actor, version=version, allowed=WAITING_FOR_A_PERSON, explain=False)
        steps.check_four_eyes(suggestion, actor, steps.approvals(suggestion))
        agreed = choice in (CARRY_OUT, suggestion.kind)
        assert actor.user is not None  # check_right has seen to it
        BlindVerdict.objects.create(
            suggestion=suggestion, actor=actor.user, choice=choice, reason_code=reason_code, agreed=agreed
        )
        suggestion.version += 1
        said = Change(suggestion, suggestion.state, f"said unseen: {choice}")
        writing.write([said], actor=actor, action="suggestion.revealed")
        decide: dict[str, Any] = {"suggestion_id": suggestion.pk, "actor": actor, "version": suggestion.version}
        if choice == CARRY_OUT:
            return services.approve(**decide, comment=comment)
        if agreed:
            return suggestion
        reason = reason_code if choice == DO_NOT else "wrong_action"
        return services.reject(**decide, reason_code=reason, comment=comment)
