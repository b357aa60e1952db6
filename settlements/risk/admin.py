"""Seller risk's pages: scores by account, the highest first, and holds. They read; the one step (release a hold) goes
through holds.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Exists, Min, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from approvals.models import Suggestion
from billingops.actors import Actor
from billingops.admin import chart, home
from billingops.admin.actions import ConfirmedAction, Given
from billingops.admin.base import ReadOnlyAdmin, age_column, stripe_id_column
from billingops.admin.filters import AccountFilter
from billingops.admin.paging import capped_counts
from billingops.admin.site import site
from billingops.templatetags import billingops as tags
from settlements.models import Seller
from settlements.risk import evidence, holds, terms
from settlements.risk.assessing import DONE, VERIFY
from settlements.risk.models import RiskAssessment, RiskHold
from settlements.risk.score import TABLE

SHOWN_SCORES = 30


class BarFilter(admin.SimpleListFilter):
    title = "bar"
    parameter_name = "bar"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("above", "above the bar"), ("hold", "above the hold bar"), ("below", "not above the bar")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen not in ("above", "hold", "below"):
            return queryset
        in_force = terms.current()
        if chosen == "hold":
            return queryset.none() if in_force.hold_bar is None else queryset.filter(score__gt=in_force.hold_bar)
        return (
            queryset.filter(score__gt=in_force.bar) if chosen == "above" else queryset.filter(score__lte=in_force.bar)
        )


@admin.register(RiskAssessment, site=site)
class RiskAssessmentAdmin(ReadOnlyAdmin):
    """The list shows each account's newest score; a page of an earlier one shows what was known then."""

    scope_field = "account"
    ordering = ("-score", "-id")
    list_display = ("seller_", "account_", "score", "heaviest", "held_", "age")
    list_filter = (BarFilter, AccountFilter)
    exact_search = ("id", "account")
    change_form_template = "admin/risk/assessment_detail.html"
    export_fields = ("id", "account", "score", "version", "terms_id", "made_at")
    empty_text = (
        "A score appears here when Stripe reports a change of a connected account, or the night after a seller is "
        "imported."
    )
    fieldsets = (("Score", {"fields": ("seller_", "account_", "score", "held_", "made_at", "event_id", "newest")}),)
    readonly_fields = ("seller_", "account_", "score", "held_", "made_at", "event_id", "newest")

    age = age_column("made_at", "Changed")
    account_ = stripe_id_column("account", "Account")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        held = RiskHold.objects.filter(account=OuterRef("account"), state=RiskHold.State.ACTIVE)
        seller = Seller.objects.filter(account=OuterRef("account")).values("name")[:1]
        return super().get_queryset(request).annotate(held=Exists(held), seller_name=Subquery(seller))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Seller risk", **(extra_context or {})})

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Called for the list alone: one row per account."""
        return super().get_search_results(request, queryset.filter(latest=True), search_term)

    def object_title(self, obj: RiskAssessment) -> str:
        return f"score {obj.score} of {getattr(obj, 'seller_name', None) or obj.account}"

    @admin.display(description="Seller")
    def seller_(self, row: Any) -> str:
        return row.seller_name or "no seller of ours"

    @admin.display(description="Heaviest parts")
    def heaviest(self, row: RiskAssessment) -> str:
        parts = [part for part in evidence.heaviest_first(row.parts) if part["points"]][:3]
        return " · ".join(f"{part['label']} {part['points']}" for part in parts) or "–"

    @admin.display(description="Payouts")
    def held_(self, row: Any) -> SafeString | str:
        return tags.state_badge("held", "held") if row.held else "not held"

    @admin.display(description="Newest")
    def newest(self, row: RiskAssessment) -> SafeString | str:
        if row.latest:
            return "yes"
        latest = RiskAssessment.objects.filter(account=row.account, latest=True).first()
        if latest is None:
            return "no"
        url = reverse("admin:risk_riskassessment_change", args=[latest.pk])
        return format_html('no: <a href="{}">the newest is {}</a>', url, latest.score)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        shown: dict[str, Any] = {}
        if row is not None:
            shown = _page(row, request.user)
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})


def _page(row: RiskAssessment, user: Any) -> dict[str, Any]:
    """What a risk page shows beside the assessment. Four statements."""
    scores = list(
        RiskAssessment.objects.filter(account=row.account)
        .order_by("-id")
        .values_list("made_at", "score")[:SHOWN_SCORES]
    )
    open_ones = Suggestion.objects.visible_to(user).waiting().filter(account=row.account, kind__in=(VERIFY, DONE))
    may_see = user.has_perm("approvals.view_suggestion")
    return {
        "parts": evidence.heaviest_first(row.parts),
        "holds": list(RiskHold.objects.visible_to(user).filter(account=row.account)[: evidence.SHOWN]),
        "suggestions": list(open_ones) if may_see else [],
        "terms": terms.of(row.terms),
        "table": TABLE,
        "chart": chart.stacked(
            title="Scores of the account",
            x_label="Made",
            series=("score",),
            rows=[(f"{made_at:%d %b}", (score,)) for made_at, score in reversed(scores)],
            tick_every=1 if len(scores) <= 10 else 5,
            totals=False,
        ),
    }


# -- holds -------------------------------------------------------------------------------------------------------------


def _release(hold: RiskHold, actor: Actor, given: Given) -> None:
    holds.release(hold_id=hold.pk, actor=actor, reason=given.comment)


RELEASE = ConfirmedAction(
    name="release",
    label="Release the selected holds",
    button="Release",
    done="Holds released",
    sentence=(
        "Payouts to these accounts are suggested again, each for a person to approve. Nothing is paid by this alone; "
        "the reason stays on record. A hold comes back when the score rises further."
    ),
    may=lambda request: request.user.has_perm("risk.release_hold"),
    refuse=lambda request, hold: "" if hold.state == RiskHold.State.ACTIVE else f"Released by {hold.released_by}.",
    run=_release,
    version=lambda hold: hold.state,
    comment="required",
    comment_label="Why the payouts may go on",
)


@admin.register(RiskHold, site=site)
class RiskHoldAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("name", "state_", "account_", "reason", "placed_by", "age")
    list_filter = ("state", AccountFilter)
    exact_search = ("id", "account")
    confirmed_actions = (RELEASE,)
    export_fields = (
        "id", "account", "state", "reason", "score", "placed_by", "since", "until", "released_at", "released_by",
        "released_reason",
    )  # fmt: skip
    empty_text = (
        "A hold appears here when a score rises above hold_bar of the config file, or when a verification is approved "
        "with one."
    )
    fieldsets = (
        ("Hold", {"fields": ("state_", "account_", "reason", "score", "since", "until", "placed_by", "event_id")}),
        ("Released", {"fields": ("released_at", "released_by", "released_reason", "score_at_release")}),
    )
    readonly_fields = (
        "state_", "account_", "reason", "score", "since", "until", "placed_by", "event_id", "released_at",
        "released_by", "released_reason", "score_at_release",
    )  # fmt: skip

    age = age_column("since", "Held since")
    account_ = stripe_id_column("account", "Account")

    @admin.display(description="State")
    def state_(self, hold: RiskHold) -> SafeString:
        """An active hold asks for attention; "active" is a good word elsewhere."""
        return tags.state_badge("held" if hold.state == RiskHold.State.ACTIVE else hold.state)

    @admin.display(description="Hold")
    def name(self, hold: RiskHold) -> str:
        return f"hold {hold.pk}"


@home.waiting(order=35)
def active_holds(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """Accounts whose payouts are held, for those who may release them. Two statements."""
    if not request.user.has_perm("risk.release_hold"):
        return
    rows = RiskHold.objects.visible_to(request.user).filter(state=RiskHold.State.ACTIVE)
    yield home.WaitingLine(
        label="accounts with payouts held",
        count=capped_counts({"active": rows})["active"],
        oldest=rows.aggregate(oldest=Min("since"))["oldest"],
        url=reverse("admin:risk_riskhold_changelist") + f"?state__exact={RiskHold.State.ACTIVE}",
    )
