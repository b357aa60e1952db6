"""Bulk steps with a page in between: what will happen, to which rows, for how much; then one button.

    class InboundEventAdmin(ReadOnlyAdmin):
        confirmed_actions = (
            ConfirmedAction(
                name="replay",
                label="Replay the selected events",
                button="Replay",
                sentence="Hands these events to the worker again.",
                may=lambda request: request.user.has_perm("inbox.replay_inboundevent"),
                refuse=lambda request, event: "" if event.is_parked else f"It is {event.get_state_display()}.",
                run=lambda event, actor, given: services.replay(event_id=event.pk, actor=actor),
                comment="optional",
            ),
        )

Each row is carried out by its own call of `run`, which takes its own transaction and checks everything again: the page
is a courtesy, the service decides. What raises BillingOpsError, PermissionDenied or ObjectDoesNotExist is listed as not
done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join

from billingops.actors import Actor
from billingops.exceptions import BillingOpsError
from billingops.money import format_money, sum_by_currency

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

BULK_CAP = 500
CONFIRMED = "confirmed"
MAX_COMMENT = 2000


@dataclass(frozen=True)
class Given:
    """What the person wrote on the confirmation page; `version` is the row's as shown there ("" without versions)."""

    comment: str = ""
    reason: str = ""
    version: str = ""


@dataclass(frozen=True)
class ConfirmedAction:
    """One bulk step.

    run        (object, actor, Given) → anything (not used). Raises BillingOpsError or PermissionDenied.
    may        (request) → whether the action is offered at all; asked again before anything is done
    refuse     (request, object) → "" or the sentence that says why this row is left out
    amount     (object) → (minor units, currency) or None; the page adds them up per currency
    version    (object) → text that changes when the object does; rows that moved since they were selected are left out
    describe   (object) → what the row is called on the page
    prefetch   (queryset) → queryset, so that refuse and describe cost no statement per row
    comment    whether a comment is asked for
    reasons    (code, label) pairs: one must be chosen
    """

    name: str
    label: str
    button: str
    sentence: str
    run: Callable[[Any, Actor, Given], object]
    may: Callable[[HttpRequest], bool]
    refuse: Callable[[HttpRequest, Any], str] = lambda request, obj: ""
    amount: Callable[[Any], tuple[int, str] | None] = lambda obj: None
    version: Callable[[Any], str] = lambda obj: ""
    describe: Callable[[Any], str] = str
    prefetch: Callable[[Any], Any] = lambda queryset: queryset
    comment: Literal["none", "optional", "required"] = "none"
    comment_label: str = "Comment"
    reasons: tuple[tuple[str, str], ...] = ()
    reasons_label: str = "Reason"
    danger: bool = False
    done: str = "Done"


@dataclass
class Sorted:
    """The selection, sorted into what will be done and what will not."""

    ready: list[Any] = field(default_factory=list)
    refused: list[tuple[Any, str]] = field(default_factory=list)
    changed: list[tuple[Any, str]] = field(default_factory=list)
    totals: list[dict[str, Any]] = field(default_factory=list)


def sort_selection(
    action: ConfirmedAction, request: HttpRequest, objects: Iterable[Any], seen: Mapping[str, str]
) -> Sorted:
    """`seen`: primary key → version the person saw when selecting; a key that is missing counts as unchanged."""
    result = Sorted()
    amounts: list[tuple[int, str]] = []
    for obj in objects:
        expected = seen.get(str(obj.pk), "")
        if why := action.refuse(request, obj):
            result.refused.append((obj, why))
        elif expected and expected != action.version(obj):
            result.changed.append((obj, "It changed since you selected it; look at it again."))
        else:
            result.ready.append(obj)
            if money := action.amount(obj):
                amounts.append(money)
    counts: dict[str, int] = {}
    for _, currency in amounts:
        counts[currency] = counts.get(currency, 0) + 1
    result.totals = [
        {"currency": currency, "amount": total, "count": counts[currency]}
        for currency, total in sum_by_currency(amounts).items()
    ]
    return result


def respond(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    action: ConfirmedAction,
    queryset: Any,
    *,
    seen: Mapping[str, str] | None = None,
    back: str = "",
) -> HttpResponse:
    """The confirmation page; or, when its button was pressed, the work and a redirect to `back` with what happened.

    The confirmation page posts the same selection again, with the versions it showed.
    """
    if not action.may(request):
        raise PermissionDenied
    back = back or request.get_full_path()
    objects = list(action.prefetch(queryset)[: BULK_CAP + 1])
    if len(objects) > BULK_CAP:
        messages.error(
            request,
            f"More than {BULK_CAP} rows are selected. Nothing was changed; narrow the selection and do it in parts.",
        )
        return HttpResponseRedirect(back)
    if not objects:
        messages.warning(request, "Nothing is selected. Nothing was changed.")
        return HttpResponseRedirect(back)
    result = sort_selection(action, request, objects, seen or {})
    errors: dict[str, str] = {}
    given = Given(comment=request.POST.get("comment", "").strip(), reason=request.POST.get("reason", ""))
    if request.POST.get(CONFIRMED):
        errors = check_given(action, given)
        if not errors:
            _carry_out(request, action, result, given)
            return HttpResponseRedirect(back)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": action.label,
        "opts": model_admin.model._meta,
        "action": action,
        "rows": [
            {"object": obj, "text": action.describe(obj), "money": action.amount(obj), "version": action.version(obj)}
            for obj in result.ready
        ],
        "refused": [{"text": action.describe(obj), "why": why} for obj, why in result.refused],
        "changed": [{"text": action.describe(obj), "why": why} for obj, why in result.changed],
        "totals": result.totals,
        "given": given,
        "errors": errors,
        "back": back,
        "confirmed_name": CONFIRMED,
        "max_comment": MAX_COMMENT,
    }
    return TemplateResponse(request, "admin/_confirm.html", context, status=400 if errors else 200)


def versions_seen(request: HttpRequest) -> dict[str, str]:
    """Primary key → version, from the hidden fields `version_<pk>` that came with the selection."""
    return {
        key.removeprefix("version_"): str(value) for key, value in request.POST.items() if key.startswith("version_")
    }


def check_given(action: ConfirmedAction, given: Given) -> dict[str, str]:
    errors = {}
    if action.reasons and given.reason not in dict(action.reasons):
        errors["reason"] = "Choose a reason."
    if action.comment == "required" and not given.comment:
        errors["comment"] = f"{action.comment_label} is needed."
    if len(given.comment) > MAX_COMMENT:
        errors["comment"] = f"Longer than {MAX_COMMENT} characters."
    return errors


def _carry_out(request: HttpRequest, action: ConfirmedAction, result: Sorted, given: Given) -> None:
    actor = Actor.person(request.user)
    done: list[tuple[int, str] | None] = []
    failed: list[tuple[str, str]] = []
    for obj in result.ready:
        try:
            action.run(obj, actor, Given(given.comment, given.reason, action.version(obj)))
        except (BillingOpsError, PermissionDenied, ObjectDoesNotExist) as problem:
            failed.append((action.describe(obj), str(problem) or "You may not do this."))
        else:
            done.append(action.amount(obj))
    failed += [(action.describe(obj), why) for obj, why in [*result.refused, *result.changed]]
    if done:
        sums = ", ".join(
            format_money(total, currency)
            for currency, total in sum_by_currency(money for money in done if money).items()
        )
        messages.success(request, f"{action.done}: {len(done):,}{f' ({sums})' if sums else ''}.")
    if failed:
        shown = format_html_join("", "<li>{}: {}</li>", failed[:50])
        more = f"… and {len(failed) - 50} more" if len(failed) > 50 else ""
        messages.warning(request, format_html("Not done: {}<ul>{}</ul>{}", len(failed), shown, more))
