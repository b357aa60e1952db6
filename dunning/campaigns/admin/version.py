"""A version: its page, the editor, what activating it will do, and what it would have planned in the past."""

from __future__ import annotations

import re
from typing import Any

import yaml
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billingops import access
from billingops.admin.base import age_column, state_column
from billingops.admin.filters import AccountFilter
from billingops.admin.site import site
from billingops.exceptions import BillingOpsError
from dunning.campaigns import preview, services, templates, validation, words
from dunning.campaigns.admin.common import CampaignsAdmin, actor, may_write, number
from dunning.campaigns.export import version_as_config
from dunning.campaigns.forms import Editor, with_line, without_line
from dunning.campaigns.models import CampaignVersion
from dunning.campaigns.services import Refused
from dunning.campaigns.validation import Finding
from dunning.plan.sequences import Timing

_LINE = re.compile(r"entries\[(\d+)\]")
State = CampaignVersion.State


@admin.register(CampaignVersion, site=site)
class CampaignVersionAdmin(CampaignsAdmin):
    list_display = ("name", "state_", "account_", "segment_", "note", "created_by", "activated", "age")
    list_select_related = ("campaign",)
    list_filter = ("state", AccountFilter)
    exact_search = ("campaign__name",)
    search_help_text = "The exact name of a campaign."
    change_form_template = "admin/campaigns/version_detail.html"
    empty_text = "Versions appear here when somebody designs a campaign."
    fieldsets = (
        (None, {"fields": ("campaign_", "state_", "note", "created_by_name", "created_at", "activated_by_name",
                           "activated_at", "retired_at")}),
    )  # fmt: skip
    readonly_fields = (
        "campaign_", "state_", "note", "created_by_name", "created_at", "activated_by_name", "activated_at",
        "retired_at",
    )  # fmt: skip
    labels = {
        "note": "What is different",
        "created_by_name": "Made by",
        "created_at": "Made",
        "activated_by_name": "Activated by",
        "activated_at": "Activated",
        "retired_at": "Retired",
    }
    state_ = state_column()
    age = age_column()
    activated = age_column("activated_at", "Activated")

    @admin.display(description="Made by")
    def created_by(self, row: CampaignVersion) -> str:
        return row.created_by_name

    @admin.display(description="Version")
    def name(self, row: CampaignVersion) -> str:
        return str(row)

    @admin.display(description="Account")
    def account_(self, row: CampaignVersion) -> str:
        return row.account or "all accounts"

    @admin.display(description="For")
    def segment_(self, row: CampaignVersion) -> str:
        return words.segment_text(row.read_segment())

    @admin.display(description="Campaign")
    def campaign_(self, row: CampaignVersion) -> SafeString:
        url = reverse("admin:campaigns_campaign_change", args=[row.campaign_id])
        return format_html('<a href="{}">{}</a>', url, row.campaign.name)

    # -- pages -----------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:object_id>/edit/", view(self.edit_view), name="campaigns_campaignversion_edit"),
            path("<int:object_id>/activate/", view(self.activate_view), name="campaigns_campaignversion_activate"),
            path("<int:object_id>/preview/", view(self.preview_view), name="campaigns_campaignversion_preview"),
            path("<int:object_id>/discard/", view(self.discard_view), name="campaigns_campaignversion_discard"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        shown: dict[str, Any] = {}
        if row is not None:
            config = yaml.safe_dump({"campaigns": [version_as_config(row)]}, sort_keys=False, allow_unicode=True)
            shown = {**described(row), "may_write": may_write(request, row.account), "config": config}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def edit_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The form. `step` add and remove:N give it back with a line more or less; check says what is wrong; save."""
        row = self.writable(request, object_id)
        page = reverse("admin:campaigns_campaignversion_change", args=[row.pk])
        if not row.is_draft:
            messages.warning(request, f"{row} has been in use and stays as it is. Make a new version from it.")
            return HttpResponseRedirect(page)
        title = f"Design {row}"
        if request.method != "POST":
            editor = Editor(segment=row.read_segment(), sequence=row.read_sequence(), note=row.note)
            return self._editor(request, row, editor, title, found=services.findings(row))
        step = request.POST.get("step", "")
        if step == "add":
            return self._editor(request, row, Editor(data=with_line(request.POST)), title, focus="last")
        if step.startswith("remove:"):
            data = without_line(request.POST, number(step.partition(":")[2], -1))
            return self._editor(request, row, Editor(data=data), title)
        editor = Editor(data=request.POST)
        if not editor.is_valid():
            return self._editor(request, row, editor, title, status=400)
        segment, sequence, note = editor.contents()
        if step == "check":
            return self._checked(request, row, editor, title, segment, sequence)
        revision = number(request.POST.get("revision"))
        try:
            services.save_draft(
                version_id=row.pk, segment=segment, sequence=sequence, revision=revision, comment=note,
                actor=actor(request),
            )  # fmt: skip
        except BillingOpsError as refused:
            return self._editor(request, row, editor, title, status=409, problem=str(refused))
        messages.success(request, f"Saved: draft {row.number} of {row.campaign.name}. It takes no cases yet.")
        return HttpResponseRedirect(page)

    def _checked(
        self, request: HttpRequest, row: CampaignVersion, editor: Editor, title: str, segment: Any, sequence: Any
    ) -> HttpResponse:
        """What would be wrong with it, without saving it. Lines are checked, and shown, in the order of their days."""
        tried = CampaignVersion(campaign=row.campaign, account=row.account, number=row.number, revision=row.revision)
        services.write(tried, segment, sequence, row.note)
        note = editor.sequence.cleaned_data["note"]
        ordered = Editor(segment=tried.read_segment(), sequence=tried.read_sequence(), note=note)
        found = services.findings(tried)
        revision = number(request.POST.get("revision"))
        return self._editor(request, row, ordered, title, found=found, checked=True, revision=revision)

    def _editor(
        self, request: HttpRequest, row: CampaignVersion, editor: Editor, title: str, *, status: int = 200,
        found: list[Finding] | None = None, revision: int | None = None, **shown: Any,
    ) -> HttpResponse:  # fmt: skip
        if revision is None:
            revision = number(request.POST.get("revision"), row.revision)
        lines = [
            {"form": form, "number": index + 1, "findings": of_line(found or [], index)}
            for index, form in enumerate(editor.entries)
        ]
        general = [one for one in found or [] if not _LINE.match(one.field)]
        given = {"row": row, "editor": editor, "lines": lines, "findings": general, "revision": revision, **shown}
        return self.render(request, "version_edit.html", title, status=status, **given)

    def activate_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """GET: what will happen. POST: it happens."""
        row = self.writable(request, object_id)
        if request.method == "POST":
            try:
                services.activate(
                    version_id=row.pk, revision=number(request.POST.get("revision")), actor=actor(request)
                )
            except BillingOpsError as refused:
                found = refused.findings if isinstance(refused, Refused) else []
                problem = "Not activated." if found else str(refused)
                return self._activate(request, row, status=409, problem=problem)
            messages.success(request, f"Active: {row}. New cases of its segment follow it; those that run keep theirs.")
            return HttpResponseRedirect(reverse("admin:campaigns_campaignversion_change", args=[row.pk]))
        return self._activate(request, row)

    def _activate(self, request: HttpRequest, row: CampaignVersion, *, status: int = 200, problem: str = "") -> Any:
        active = row.campaign.versions.filter(state=State.ACTIVE).exclude(pk=row.pk).first()
        if active is not None:
            active.campaign = row.campaign
        before = (active.read_segment(), active.read_sequence()) if active else None
        found = [*services.findings(row), *services.rivals(row.campaign, row)]
        shown = {
            **described(row),
            "row": row,
            "active": active,
            "differences": words.differences(before, (row.read_segment(), row.read_sequence()), templates.known()),
            "findings": found,
            "blocked": bool(validation.errors(found)) or row.state not in (State.DRAFT, State.RETIRED),
            "running": services.running_test(row.campaign),
            "caught": preview.caught(row, request.user),
            "problem": problem,
        }
        return self.render(request, "version_activate.html", f"Activate {row}", status=status, **shown)

    def discard_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.writable(request, object_id)
        try:
            services.discard(version_id=row.pk, actor=actor(request))
        except BillingOpsError as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect(reverse("admin:campaigns_campaignversion_change", args=[row.pk]))
        messages.success(request, f"Discarded: draft {row.number} of {row.campaign.name}.")
        return HttpResponseRedirect(reverse("admin:campaigns_campaign_change", args=[row.campaign_id]))

    def preview_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        row = self.found(request, object_id)
        if not access.may_see_account(request.user, row.account):
            raise PermissionDenied("Past cases of a campaign for all accounts are for those who see all accounts.")
        before = number(request.GET.get("before"), 0) or None
        shown = {"row": row, "page": preview.page(row, request.user, before=before), "groups": preview.SHOWN}
        return self.render(request, "version_preview.html", f"{row} on past cases", **shown)


def described(row: CampaignVersion) -> dict[str, Any]:
    """A version in words and as days in a row, with what is wrong with it."""
    sequence, labels = row.read_sequence(), templates.known()
    found = services.findings(row)
    return {
        "segment_lines": words.segment_lines(row.read_segment()),
        "sequence_lines": words.sequence_lines(sequence),
        "days": words.strip(sequence, labels),
        "lines": [
            {
                "number": index + 1,
                "day": entry.day,
                "text": words.entry_text(entry, labels),
                "findings": of_line(found, index),
            }
            for index, entry in enumerate(sequence.entries)
        ],
        "findings": [one for one in found if not _LINE.match(one.field)],
        "errors": len(validation.errors(found)),
        "retries_by_reason": sequence.timing == Timing.BY_REASON,
        "warnings": len(found) - len(validation.errors(found)),
    }


def of_line(found: list[Finding], index: int) -> list[Finding]:
    return [one for one in found if (at := _LINE.match(one.field)) and int(at[1]) == index]
