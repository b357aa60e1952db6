"""The list of campaigns, a campaign's page, its settings, and how a new version of it begins."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billingops.admin.filters import AccountFilter
from billingops.admin.site import site
from billingops.exceptions import BillingOpsError
from billingops.templatetags import billingops as tags
from dunning.campaigns import content, figures, services, words
from dunning.campaigns.admin.common import CampaignsAdmin, actor, may_write, number
from dunning.campaigns.figures import Figures
from dunning.campaigns.forms import CampaignForm, SettingsForm
from dunning.campaigns.models import Campaign, CampaignVersion, Experiment
from dunning.plan.sequences import STANDARD

_STANDARD = (content.segment_json(CampaignVersion().read_segment()), content.sequence_json(STANDARD))
MOST_VERSIONS = 100  # shown on a campaign's page; the list of versions has all


@admin.register(Campaign, site=site)
class CampaignAdmin(CampaignsAdmin):
    list_display = ("name", "account_", "priority", "takes_cases", "segment_", "open_", "recovered_", "money_", "test_")
    list_filter = ("active", AccountFilter)
    exact_search = ("name", "account")
    search_help_text = "The exact name or account."
    export_fields = ("name", "account", "priority", "active", "description", "created_by", "created_at")
    change_list_template = "admin/campaigns/campaign_list.html"
    change_form_template = "admin/campaigns/campaign_detail.html"
    empty_text = (
        "Without a campaign every case follows the standard sequence. Campaigns come from this page or from "
        "manage.py import_config FILE.yaml."
    )
    fieldsets = (
        (None, {"fields": ("name", "account_", "priority", "takes_cases", "description", "created_by", "created_at")}),
    )
    readonly_fields = ("name", "account_", "priority", "takes_cases", "description", "created_by", "created_at")

    @admin.display(description="Account")
    def account_(self, row: Campaign) -> str:
        return row.account or "all accounts"

    @admin.display(description="New cases")
    def takes_cases(self, row: Campaign) -> SafeString:
        version = _active(row)
        if not row.active:
            return tags.state_badge("paused", "off")
        if version is None:
            return tags.state_badge("draft", "no active version")
        return tags.state_badge("active", f"follow v{version.number}")

    @admin.display(description="For")
    def segment_(self, row: Campaign) -> str:
        version = _active(row)
        return words.segment_text(version.read_segment()) if version else "—"

    @admin.display(description="Open cases")
    def open_(self, row: Campaign) -> str:
        return f"{_figures(row).open:,}"

    @admin.display(description="Recovered")
    def recovered_(self, row: Campaign) -> str:
        return rate_text(_figures(row))

    @admin.display(description="Money recovered")
    def money_(self, row: Campaign) -> SafeString | str:
        sums = sorted(_figures(row).money.items())
        return format_html_join("", "<div>{}</div>", ((tags.money(sum_, one),) for one, sum_ in sums)) or "—"

    @admin.display(description="A/B test")
    def test_(self, row: Campaign) -> SafeString | str:
        test = getattr(row, "_test", None)
        if test is None:
            return "—"
        url = reverse("admin:campaigns_experiment_change", args=[test.pk])
        return format_html('<a class="bo-target" href="{}">running</a>', url)

    # -- pages -----------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("new/", view(self.new_view), name="campaigns_campaign_new"),
            path("<int:object_id>/settings/", view(self.settings_view), name="campaigns_campaign_settings"),
            path("<int:object_id>/draft/", view(self.draft_view), name="campaigns_campaign_draft"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        shown = {"may_add": request.user.has_perm(services.RIGHT), "days": figures.DAYS}  # type: ignore[union-attr]
        answer = super().changelist_view(request, {**shown, **(extra_context or {})})
        listed = getattr(answer, "context_data", None) or {}
        if "cl" in listed:
            with_figures(list(listed["cl"].result_list), request.user)
        return answer

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        shown: dict[str, Any] = {}
        if row is not None:
            with_figures([row], request.user)
            known = figures.of_versions(row.name, request.user)
            versions = list(row.versions.order_by("-number")[:MOST_VERSIONS])
            shown = {
                "may_write": may_write(request, row.account),
                "days": figures.DAYS,
                "versions": [
                    {"row": one, "figures": known.get(one.number, Figures()), "rate": rate_text(known.get(one.number))}
                    for one in versions
                ],
                "active": next((one for one in versions if one.state == CampaignVersion.State.ACTIVE), None),
                "tests": list(row.experiments.all()[:20]),
                "running": next(
                    (one for one in row.experiments.all()[:20] if one.state == Experiment.State.RUNNING), None
                ),
            }
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(services.RIGHT):  # type: ignore[union-attr]
            raise PermissionDenied("You may look at campaigns but not make any.")
        form = CampaignForm(request.POST if request.method == "POST" else None)
        problem = ""
        if request.method == "POST" and form.is_valid():
            try:
                row = services.create(actor=actor(request), **form.cleaned_data)
            except BillingOpsError as refused:
                problem = str(refused)
            else:
                return self._to_draft(request, row)
        status = 400 if request.method == "POST" else 200
        return self.render(request, "campaign_new.html", "Add a campaign", form=form, problem=problem, status=status)

    def _to_draft(self, request: HttpRequest, row: Campaign) -> HttpResponse:
        """A new campaign begins with what every case follows anyway."""
        segment, sequence = _STANDARD
        made = services.draft(campaign_id=row.pk, segment=segment, sequence=sequence, actor=actor(request))
        messages.success(request, f"Made: {row.name}. It takes no cases until a version of it is activated.")
        return HttpResponseRedirect(reverse("admin:campaigns_campaignversion_edit", args=[made.pk]))

    def draft_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """POST: a new draft, from the version `of`, else from the active one, else from the standard sequence."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.writable(request, object_id)
        wanted = row.versions.filter(number=number(request.POST.get("of"))).first()
        source = wanted or row.versions.filter(state=CampaignVersion.State.ACTIVE).first()
        segment, sequence = (source.segment, source.sequence) if source else _STANDARD
        made = services.draft(campaign_id=row.pk, segment=segment, sequence=sequence, actor=actor(request))
        what = f"version {source.number}" if source else "the standard sequence"
        messages.success(request, f"Draft {made.number} begins with {what}.")
        return HttpResponseRedirect(reverse("admin:campaigns_campaignversion_edit", args=[made.pk]))

    def settings_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        row = self.writable(request, object_id)
        given = {name: getattr(row, name) for name in ("priority", "active", "description", "version")}
        form = SettingsForm(request.POST) if request.method == "POST" else SettingsForm(initial=given)
        problem, status = "", 200
        if request.method == "POST":
            status = 400
            if form.is_valid():
                try:
                    services.change(campaign_id=row.pk, actor=actor(request), **form.cleaned_data)
                except BillingOpsError as refused:
                    problem, status = str(refused), 409
                else:
                    messages.success(request, f"Saved: {row.name}. Cases that run keep what they follow.")
                    return HttpResponseRedirect(reverse("admin:campaigns_campaign_change", args=[row.pk]))
        shown = {"form": form, "row": row, "problem": problem}
        return self.render(request, "campaign_settings.html", f"Change {row.name}", status=status, **shown)


def with_figures(rows: list[Campaign], user: Any) -> None:
    """Three statements for a page of campaigns: active versions, running tests, figures."""
    ids = [row.pk for row in rows]
    versions = CampaignVersion.objects.filter(campaign__in=ids, state=CampaignVersion.State.ACTIVE)
    active = {version.campaign_id: version for version in versions}
    running = Experiment.objects.filter(campaign__in=ids, state=Experiment.State.RUNNING)
    tests = {test.campaign_id: test for test in running}
    known = figures.of_campaigns([row.name for row in rows], user)
    for row in rows:
        row._active = active.get(row.pk)  # type: ignore[attr-defined]
        row._test = tests.get(row.pk)  # type: ignore[attr-defined]
        row._figures = known.get(row.name, Figures())  # type: ignore[attr-defined]


def _active(row: Campaign) -> CampaignVersion | None:
    """Read for all rows of a list; Django hands an object's page another instance."""
    if not hasattr(row, "_active"):
        row._active = row.versions.filter(state=CampaignVersion.State.ACTIVE).first()  # type: ignore[attr-defined]
    found: CampaignVersion | None = row._active  # type: ignore[attr-defined]
    return found


def _figures(row: Campaign) -> Figures:
    return getattr(row, "_figures", Figures())


def rate_text(one: Figures | None) -> str:
    """ "61 % of 210 (54–67 %)"; the interval is Wilson's."""
    if one is None or one.rate is None:
        return "none ended yet"
    low, high = one.interval
    return f"{one.rate:.0%} of {one.ended:,} ({low:.0%} to {high:.0%})"
