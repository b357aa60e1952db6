"""What the gate may carry out for seller risk: ask for an enhanced verification, and say that it is done. Both write
only here; nothing goes to Stripe, and no money moves."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals.models import Execution, Suggestion
from approvals.registry import Editable, Kind, Outcome, Preview
from billingops.exceptions import InvalidInput
from billingops.journal import Note, note
from billingops.stripe.errors import Refused
from settlements.risk import assessing, evidence, holds
from settlements.risk.assessing import ACTOR, DONE, VERIFY
from settlements.risk.models import Verification
from settlements.risk.score import sealed

HOLD_WORDS = {True: "yes", False: "no"}


def rebuild_facts(suggestion: Suggestion) -> dict[str, Any]:
    """The score as it is now, from Stripe. One that nobody knows any more has no score."""
    found = assessing.evaluate(suggestion.account, live=True)
    if found is None:
        return {"account": suggestion.account, "score": 0}
    return sealed(*found)


# -- enhanced_verification ---------------------------------------------------------------------------------------------


def preview_verification(suggestion: Suggestion) -> Preview:
    held = (
        "Payouts to it are held until the verification is said to be done, or a lead releases them."
        if suggestion.params["hold"]
        else "Payouts to it go on meanwhile, unless policy holds them already."
    )
    return Preview(
        f"Records that an enhanced verification of {suggestion.account} is asked for. {held} Nothing is sent to Stripe "
        "or to the seller by this: ask the seller for what is missing, outside of this page."
    )


def ask(suggestion: Suggestion, execution: Execution) -> Outcome:
    if found := asked(suggestion, execution):
        return found
    try:
        with transaction.atomic():
            made = Verification.objects.create(account=suggestion.account, asked_by=suggestion)
            data = {"suggestion": str(suggestion.pk), "hold": suggestion.params["hold"]}
            note(Note("risk.verification_asked", f"verification:{made.pk}", ACTOR, data, suggestion.account))
            if suggestion.params["hold"]:
                holds.place(
                    account=suggestion.account,
                    reason="Held with the enhanced verification that was approved.",
                    placed_by=f"suggestion {suggestion.pk}",
                    score=suggestion.facts.get("score", 0),
                    event_id=suggestion.event_id,
                    suggestion=suggestion,
                    actor=ACTOR,
                )
    except IntegrityError:
        raise Refused("A verification of this account is open already. Nothing was changed.", code="open_already")
    return Outcome(f"verification:{made.pk}", summary=_summary(suggestion))


def asked(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    found = Verification.objects.filter(asked_by=suggestion).first()
    return Outcome(f"verification:{found.pk}", summary=_summary(suggestion)) if found else None


def _summary(suggestion: Suggestion) -> str:
    return "verification asked for" + (", payouts held" if suggestion.params["hold"] else "")


def _hold_word(suggestion: Suggestion) -> str:
    return HOLD_WORDS[bool(suggestion.params["hold"])]


def edit_verification(suggestion: Suggestion, given: dict[str, str]) -> dict[str, Any]:
    word = given.get("hold", _hold_word(suggestion)).strip().lower()
    if word not in HOLD_WORDS.values():
        raise InvalidInput('Write "yes" to hold the payouts meanwhile, or "no".', field="hold")
    return {**suggestion.params, "hold": word == "yes"}


# -- verification_done -------------------------------------------------------------------------------------------------


def preview_done(suggestion: Suggestion) -> Preview:
    return Preview(
        f"Records that the verification of {suggestion.account} is done, and releases the hold on its payouts if there "
        "is one: what is due to it is then suggested again. Nothing is sent to Stripe by this."
    )


def finish(suggestion: Suggestion, execution: Execution) -> Outcome:
    """May be called again: what is closed stays closed."""
    with transaction.atomic():
        found = Verification.objects.select_for_update().filter(account=suggestion.account, done_at=None).first()
        if found is not None:
            found.done_at, found.done_by = timezone.now(), suggestion
            found.save()
            data = {"suggestion": str(suggestion.pk)}
            note(Note("risk.verification_done", f"verification:{found.pk}", ACTOR, data, suggestion.account))
        released = holds.release_verified(
            account=suggestion.account, actor=ACTOR, reason=f"verification done: suggestion {suggestion.pk}"
        )
    return Outcome(
        f"verification:{found.pk}" if found else f"hold:{released.pk}" if released else suggestion.account,
        summary="verification done" + (", hold released" if released else ""),
    )


def finished(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    found = Verification.objects.filter(done_by=suggestion).first()
    return Outcome(f"verification:{found.pk}", summary="verification done") if found else None


KINDS = (
    Kind(
        name=VERIFY,
        label="Enhanced verification",
        params_schema={"account": str, "hold": bool},
        moves_money=False,
        rebuild_facts=rebuild_facts,
        preview=preview_verification,
        execute=ask,
        look_up=asked,
        editable=(Editable("hold", "Hold payouts meanwhile", help="yes or no", present=_hold_word, shown=_hold_word),),
        edit=edit_verification,
        evidence_template="risk/evidence.html",
        evidence_context=evidence.context,
    ),
    Kind(
        name=DONE,
        label="Verification done",
        params_schema={"account": str},
        moves_money=False,
        rebuild_facts=rebuild_facts,
        preview=preview_done,
        execute=finish,
        look_up=finished,
        evidence_template="risk/evidence.html",
        evidence_context=evidence.context,
    ),
)
