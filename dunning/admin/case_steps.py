"""The steps a person takes on a case, each on a page of its own: what will happen, what to fill in, one button.

Everything works without a script. The page is a courtesy: dunning/work.py checks all of it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from billingops import access
from billingops.actors import Actor
from billingops.exceptions import BillingOpsError, InvalidInput, VersionConflict
from dunning import by_hand, config, notes, work
from dunning.models import DunningCase
from dunning.states import CaseState

Choices = Callable[[DunningCase], list[tuple[str, str]]]


@dataclass(frozen=True)
class Field:
    """`widget`: textarea, date, datetime-local or select. `start`: what stands in it at first."""

    name: str
    label: str
    widget: str = "textarea"
    required: bool = False
    help: str = ""
    choices: Choices = lambda case: []
    start: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Step:
    """`sentence`: what will happen, `done`: what has. `why_not`: (case, user) → "" or why it is not possible now."""

    name: str
    label: str
    sentence: str
    done: str
    run: Callable[..., object]
    fields: tuple[Field, ...] = ()
    versioned: bool = True
    why_not: Callable[[DunningCase, Any], str] = lambda case, user: ""
    when_over: bool = False
    primary: bool = False
    button: str = ""  # what it says where the label names the matter, not the deed


def _is_held(case: DunningCase) -> bool:
    return bool(case.paused or case.promised_for or (case.snoozed_until and case.snoozed_until > timezone.now()))


def _not_theirs(case: DunningCase, user: Any) -> str:
    if case.owner_id not in (None, user.pk) and not user.has_perm(by_hand.ASSIGN):
        return f"{notes.holder(case)} has it; only they or a finance lead can pass it on."
    return ""


def _not_free(case: DunningCase, user: Any) -> str:
    if case.owner_id == user.pk:
        return "It is yours already."
    return f"{notes.holder(case)} has it." if case.owner_id else ""


def _not_releasable(case: DunningCase, user: Any) -> str:
    return _not_theirs(case, user) if notes.holder(case) else "Nobody has it."


def _no_look(case: DunningCase, user: Any) -> str:
    if case.paused:
        return "It is paused; resume it and it is looked at again."
    return "It is with a person; finish its support task first." if case.state == CaseState.ESCALATED else ""


def _people(case: DunningCase) -> list[tuple[str, str]]:
    return [(user.get_username(), user.get_username()) for user in by_hand.people(case)]


def _holders(case: DunningCase) -> list[tuple[str, str]]:
    teams = [(f"group:{group.name}", f"everybody in {group.name}") for group in by_hand.groups()]
    return [*teams, *_people(case)]


def _user(name: str) -> Any:
    user = get_user_model()._default_manager.filter(username=name).first()
    if user is None:
        raise InvalidInput("Choose somebody.", field="to")
    return user


def _assign(*, to: str, **given: Any) -> object:
    return work.assign(to=_user(to), **given)


def _hand_over(*, to: str, **given: Any) -> object:
    if to.startswith("group:"):
        group = Group.objects.filter(name=to.removeprefix("group:")).first()
        if group is None:
            raise InvalidInput("There is no group of that name.", field="to")
        return work.hand_over(group=group, **given)
    return work.hand_over(to=_user(to), **given)


def _promise(*, day: str, **given: Any) -> object:
    try:
        promised = date.fromisoformat(day)
    except ValueError:
        raise InvalidInput("That is no date; write it as 2026-11-27.", field="day")
    return work.promise(day=promised, **given)


def _snooze(*, until: str, **given: Any) -> object:
    try:
        moment = datetime.fromisoformat(until)
    except ValueError:
        raise InvalidInput("That is no time; write it as 2026-11-27T09:00.", field="until")
    aware = moment if timezone.is_aware(moment) else timezone.make_aware(moment)
    return work.snooze(until=aware, **given)


def _tomorrow() -> str:
    return f"{timezone.localtime() + timedelta(days=1):%Y-%m-%dT09:00}"


REMARK = Field("text", "Note", help="What was agreed, and with whom. It stays on this page; it is never changed.")
NOTE_KINDS: Choices = lambda case: [("call", "Call"), ("letter", "Letter"), ("note", "Remark")]  # noqa: E731

STEPS = (
    Step(
        "take", "Take", "It is yours from now on; others see your name on it.", "It is yours now.", work.take,
        versioned=False, why_not=_not_free, primary=True,
    ),
    Step(
        "release", "Release", "Your name is taken off it. What a group was given goes back to the group.",
        "Released.", work.release, versioned=False, why_not=_not_releasable,
    ),
    Step(
        "promise", "Promise to pay",
        "Every step but an escalation waits until the promised day has ended, and what waits at the gate for this case "
        "is dropped. If the invoice is paid by then the promise is kept; if not, the case comes up again.",
        "The promise is noted.", _promise,
        fields=(
            Field("day", "They pay by", "date", required=True, help="Today or a day to come, at most 60 days ahead."),
            REMARK,
        ),
        button="Note the promise",
    ),
    Step(
        "note", "Note a call or letter",
        "It is written down under your name, for good. A call or a letter counts as acting: the time to act begins "
        "anew.",
        "Noted.", work.write,
        fields=(
            Field("kind", "What", "select", required=True, choices=NOTE_KINDS),
            Field("text", "What was said", required=True),
        ),
        versioned=False, when_over=True,
    ),
    Step(
        "snooze", "Snooze",
        "Every step but an escalation waits until then, and what waits at the gate for this case is dropped.",
        "Put off.", _snooze,
        fields=(
            Field(
                "until",
                "Until",
                "datetime-local",
                required=True,
                help="In UTC, at most 60 days ahead.",
                start=_tomorrow,
            ),
            REMARK,
        ),
        why_not=lambda case, user: "It is paused, which lasts until somebody resumes it." if case.paused else "",
    ),
    Step(
        "pause", "Pause",
        "Every step waits until somebody resumes it, and what waits at the gate for this case is dropped.",
        "Paused.", work.pause,
        fields=(Field("text", "Why", required=True, help="Whoever resumes it will want to know."),),
        why_not=lambda case, user: "It is paused already." if case.paused else "",
    ),
    Step(
        "resume", "Resume", "Ends the pause, the snooze or the promise. The case is planned anew at once.",
        "It goes on.", work.resume, fields=(REMARK,),
        why_not=lambda case, user: "" if _is_held(case) else "Nothing holds it.",
    ),
    Step(
        "hand_over", "Hand over",
        "They have it from now on and are to act in time: {sla}. If nobody does, it is handed on and shows as overdue.",
        "Handed over.", _hand_over,
        fields=(
            Field("to", "To", "select", required=True, choices=_holders),
            Field("text", "What there is to do", required=True),
        ),
        why_not=_not_theirs,
    ),
    Step(
        "assign", "Assign", "It is theirs from now on. No time to act is set; “Hand over” sets one.", "Assigned.",
        _assign, fields=(Field("to", "To", "select", required=True, choices=_people),), why_not=_not_theirs,
    ),
    Step(
        "escalate", "Escalate",
        "Proposes at the gate that a person in support takes it on. Somebody else must approve; nothing is charged or "
        "sent. The invoice is read at Stripe first.",
        "The escalation waits at the gate for somebody else’s approval.", work.escalate,
        fields=(Field("text", "Why", required=True),),
        why_not=lambda case, user: (
            "It is with a person already." if case.state == CaseState.ESCALATED else ""
        ),
    ),
    Step(
        "look_again", "Look again now", "The worker reads the invoice at Stripe and plans the case anew.",
        "It is looked at as soon as the worker gets to it.", work.look_again, why_not=_no_look,
    ),
)  # fmt: skip
BY_NAME = {step.name: step for step in STEPS}


def why_not(step: Step, case: DunningCase, user: Any) -> str:
    """ "" when the step is possible now, else why not."""
    if not case.is_unpaid and not step.when_over:
        return f"The case is {case.get_state_display()}; it is over."
    return step.why_not(case, user)


def offered(case: DunningCase, user: Any) -> list[Step]:
    """The steps that are possible now, for whoever has the right."""
    if not user.has_perm(by_hand.WORK) or not access.may_see_account(user, case.account):
        return []
    return [step for step in STEPS if not why_not(step, case, user)]


def links(case: DunningCase, user: Any) -> list[tuple[Step, str]]:
    """The steps that are possible now, each with its page."""
    return [(step, reverse(f"admin:dunning_dunningcase_{step.name}", args=[case.pk])) for step in offered(case, user)]


def view(model_admin: Any, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
    """GET: the page of the step. POST: the step, then back to the case with what happened."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    if not model_admin.has_view_permission(request) or not request.user.has_perm(by_hand.WORK):
        raise PermissionDenied
    case = model_admin.get_object(request, object_id)
    if case is None:
        raise Http404
    step = BY_NAME[name]
    back = reverse("admin:dunning_dunningcase_change", args=[case.pk])
    if request.method != "POST":
        return _page(model_admin, request, case, step)
    values = {field.name: request.POST.get(field.name, "").strip() for field in step.fields}
    try:
        given: dict[str, Any] = {"case_id": case.pk, "actor": Actor.person(request.user), **values}
        if step.versioned:
            given["version"] = _version(request)
        _check(step, values)
        step.run(**given)
    except VersionConflict as problem:
        case = model_admin.get_object(request, object_id)
        return _page(model_admin, request, case, step, values=values, problem=problem, status=409)
    except BillingOpsError as problem:
        return _page(model_admin, request, case, step, values=values, problem=problem, status=400)
    messages.success(request, step.done)
    return HttpResponseRedirect(back)


def _version(request: HttpRequest) -> int:
    raw = request.POST.get("version", "")
    if not (raw.isascii() and raw.isdigit()) or len(raw) > 9:
        raise InvalidInput("The form was not whole. Nothing was changed; open the page again.", field="version")
    return int(raw)


def _check(step: Step, values: dict[str, str]) -> None:
    for field in step.fields:
        if field.required and not values[field.name]:
            raise InvalidInput(f"“{field.label}” is needed.", field=field.name)


def _page(
    model_admin: Any,
    request: HttpRequest,
    case: DunningCase,
    step: Step,
    *,
    values: dict[str, str] | None = None,
    problem: BillingOpsError | None = None,
    status: int = 200,
) -> HttpResponse:
    hours = config.current().sla_hours
    context = {
        **model_admin.admin_site.each_context(request),
        "title": step.label,
        "opts": model_admin.model._meta,
        "case": case,
        "step": step,
        "sentence": step.sentence.replace("{sla}", f"within {hours[0]} hours" if hours else "no time is configured"),
        "why_not": why_not(step, case, request.user),
        "fields": [
            {
                "spec": field,
                "value": (values or {}).get(field.name) or field.start(),
                "choices": field.choices(case),
                "error": str(problem) if problem and getattr(problem, "field", "") == field.name else "",
            }
            for field in step.fields
        ],
        "problem": problem,
        "changes": problem.changes if isinstance(problem, VersionConflict) else [],
        "max_length": by_hand.MAX_TEXT,
        "today": timezone.localdate(),
        "last_day": timezone.localdate() + work.MAX_AHEAD,
    }
    return TemplateResponse(request, "admin/dunning/case_step.html", context, status=status)
