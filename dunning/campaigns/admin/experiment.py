"""An A/B test's page with what it has shown, the form that starts one, and the step that stops it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from billingops import access
from billingops.admin.base import age_column, state_column
from billingops.admin.filters import AccountFilter
from billingops.admin.site import site
from billingops.exceptions import BillingOpsError
from dunning.campaigns import experiments, figures
from dunning.campaigns.admin.campaign import CampaignAdmin
from dunning.campaigns.admin.common import CampaignsAdmin, actor, may_write
from dunning.campaigns.comparing import Result
from dunning.campaigns.experiments import Wanted
from dunning.campaigns.forms import ArmForm, TestForm
from dunning.campaigns.models import Campaign, CampaignVersion, Experiment

State = CampaignVersion.State
OFFERED = 20  # versions that may be put into a test, the newest


@admin.register(Experiment, site=site)
class ExperimentAdmin(CampaignsAdmin):
    list_display = ("name", "state_", "account_", "started_by", "started", "stopped")
    list_select_related = ("campaign",)
    list_filter = ("state", AccountFilter)
    exact_search = ("campaign__name",)
    search_help_text = "The exact name of a campaign."
    change_form_template = "admin/campaigns/experiment_detail.html"
    empty_text = "A test appears here when two versions of a campaign are held against each other."
    fieldsets = (
        (None, {"fields": ("campaign", "state_", "account_", "seed", "window", "expected", "difference",
                           "started_by_name", "started_at", "stopped_by_name", "stopped_at", "stopped_reason")}),
    )  # fmt: skip
    readonly_fields = (
        "campaign", "state_", "account_", "seed", "window", "expected", "difference", "started_by_name", "started_at",
        "stopped_by_name", "stopped_at", "stopped_reason",
    )  # fmt: skip
    labels = {
        "started_by_name": "Started by",
        "started_at": "Started",
        "stopped_by_name": "Stopped by",
        "stopped_at": "Stopped",
        "stopped_reason": "Why it was stopped",
    }
    state_ = state_column()
    started = age_column("started_at", "Started")
    stopped = age_column("stopped_at", "Stopped")

    @admin.display(description="Started by")
    def started_by(self, row: Experiment) -> str:
        return row.started_by_name

    @admin.display(description="Test")
    def name(self, row: Experiment) -> str:
        return str(row)

    @admin.display(description="Account")
    def account_(self, row: Experiment) -> str:
        return row.account or "all accounts"

    @admin.display(description="Each case is given")
    def window(self, row: Experiment) -> str:
        return f"{row.window_days} days before it counts"

    @admin.display(description="Expected of the first arm")
    def expected(self, row: Experiment) -> str:
        return f"{row.baseline_percent.normalize():f} % recovered"

    @admin.display(description="Difference worth knowing")
    def difference(self, row: Experiment) -> str:
        return f"{row.difference_points.normalize():f} percentage points"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:object_id>/stop/", view(self.stop_view), name="campaigns_experiment_stop"),
            path("start/<int:campaign_id>/", view(self.start_view), name="campaigns_experiment_start"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        shown: dict[str, Any] = {}
        if row is not None:
            # All of its cases or none: a part of them would give another verdict than the whole.
            sees_all = access.may_see_account(request.user, row.account)
            shown = {
                "result": figures.result_of(row) if sees_all else None,
                "versions": {one.number: one for one in row.campaign.versions.filter(number__in=_numbers(row))},
                "may_stop": may_write(request, row.account) and row.state == Experiment.State.RUNNING,
                "max_reason": experiments.MAX_REASON,
            }
            shown["arms"] = _arms(row, shown["versions"], shown["result"])
            shown["has_money"] = any(one.money for one in shown["result"].arms) if shown["result"] else False
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def stop_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.writable(request, object_id)
        try:
            experiments.stop(experiment_id=row.pk, reason=request.POST.get("reason", ""), actor=actor(request))
        except BillingOpsError as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, "Stopped. New cases follow the first arm’s version; those that run keep theirs.")
        return HttpResponseRedirect(reverse("admin:campaigns_experiment_change", args=[row.pk]))

    def start_view(self, request: HttpRequest, campaign_id: int) -> HttpResponse:
        """GET: the form, with the versions that may be held against the active one. POST: check says what it takes,
        start begins."""
        campaigns = CampaignAdmin(Campaign, self.admin_site)
        campaign = campaigns.writable(request, campaign_id)
        active = campaign.versions.filter(state=State.ACTIVE).first()
        others = list(campaign.versions.filter(state__in=(State.DRAFT, State.RETIRED)).order_by("-number")[:OFFERED])
        versions = [active, *others] if active else []
        data = request.POST if request.method == "POST" else None
        known = figures.of_campaigns([campaign.name], request.user).get(campaign.name)
        rate = known.rate if known else None
        first = {"seed": experiments.new_seed(), "baseline_percent": round(min(max(rate or 0.5, 0.01), 0.99) * 100)}
        form = TestForm(data, initial=first)
        arms = [_arm_form(data, version, version is active) for version in versions]
        problem, status, needed = "", 200, None
        if data is not None:
            status = 400
            if form.is_valid() and all(one.is_valid() for one in arms):
                wanted = [
                    Wanted(
                        given["name"].strip(), version.number, given["weight"] or 1, given["revision"]
                    )
                    for version, one in zip(versions, arms, strict=True)
                    if (given := one.cleaned_data)["use"] or version is active
                ]  # fmt: skip
                try:
                    if data.get("step") != "start":
                        needed, status = experiments.sample(wanted, **_figures_of(form)), 200
                    else:
                        made = experiments.start(
                            campaign_id=campaign.pk, arms=wanted, seed=form.cleaned_data["seed"], actor=actor(request),
                            **_figures_of(form),
                        )  # fmt: skip
                        messages.success(request, "Started. New cases are divided among its arms.")
                        return HttpResponseRedirect(reverse("admin:campaigns_experiment_change", args=[made.pk]))
                except BillingOpsError as refused:
                    problem, status = str(refused), 409
        shown = {
            "row": campaign,
            "form": form,
            "rows": list(zip(versions, arms, strict=True)),
            "active": active,
            "others": others,
            "problem": problem,
            "needed": needed,
        }
        title = f"Test versions of {campaign.name}"
        return self.render(request, "experiment_start.html", title, status=status, **shown)


def _figures_of(form: TestForm) -> dict[str, Any]:
    return {name: form.cleaned_data[name] for name in ("baseline_percent", "difference_points")}


def _arm_form(data: Any, version: CampaignVersion, is_active: bool) -> ArmForm:
    name = "now" if is_active else f"version-{version.number}"
    initial = {"use": is_active, "name": name, "weight": 1, "revision": version.revision}
    return ArmForm(data, initial=initial, prefix=f"v{version.number}")


def _numbers(row: Experiment) -> list[int]:
    return [arm.version for arm in row.read_arms()]


def _arms(row: Experiment, versions: dict[int, CampaignVersion], result: Result | None) -> list[dict[str, Any]]:
    results = {one.arm.name: one for one in result.arms} if result else {}
    differences = {one.arm: one for one in result.differences} if result else {}
    weights = sum(arm.weight for arm in row.read_arms())
    return [
        {
            "arm": arm,
            "version": versions.get(arm.version),
            "part": arm.weight / weights,
            "result": results.get(arm.name),
            "difference": differences.get(arm.name),
        }
        for arm in row.read_arms()
    ]
