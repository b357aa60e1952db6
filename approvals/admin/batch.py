"""A batch's page: what it would do (one button), how far it is, what became of each row.

/admin/approvals/batch/                 one's own; all for whoever reads the audit log
/admin/approvals/batch/<id>/change/     the page, in every state of the batch
/admin/approvals/batch/<id>/start/      POST: comment, reason_code
/admin/approvals/batch/<id>/stop/       POST: leave the rest undone
/admin/approvals/batch/<id>/progress/   JSON, what the page's script asks for while it runs
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from approvals.admin import bulk
from approvals.models import Batch, BatchItem
from approvals.services import MAX_COMMENT, REJECTION_REASONS, batches
from billingops import keyset
from billingops.actors import Actor
from billingops.admin.base import ReadOnlyAdmin, age_column, state_column
from billingops.admin.site import site
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.money import format_money

PER_PAGE = 100
APART = 20  # rows shown in the boxes of what is left out, before one has to go to their own list
# What the suggestion's line on the page needs; facts and params stay in the database.
_COLUMNS = ("kind", "subject", "account", "state", "version", "is_blind", "revealed_at")


@admin.register(Batch, site=site)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ("what", "state_", "sums", "maker_name", "age")
    list_filter = ("state", "verb")
    exact_search = ("id",)
    empty_text = "A batch appears here when somebody selects suggestions in the queue and chooses Approve or Reject."
    state_ = state_column()
    age = age_column()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).visible_to(request.user)  # type: ignore[attr-defined]

    def get_urls(self) -> list[URLPattern]:
        def view(verb: str, function: Any) -> URLPattern:
            wrapped = self.admin_site.admin_view(function)
            return path(f"<uuid:object_id>/{verb}/", wrapped, name=f"approvals_batch_{verb}")

        own = [view("start", self.start_view), view("stop", self.stop_view), view("progress", self.progress_view)]
        return [*own, *super().get_urls()]

    @admin.display(description="What")
    def what(self, obj: Batch) -> str:
        return f"{obj.get_verb_display().capitalize()} {obj.ready:,}"

    @admin.display(description="Sums when frozen")
    def sums(self, obj: Batch) -> str:
        found = [format_money(one["amount"], one["currency"]) for one in obj.totals if one["currency"]]
        return ", ".join(found) or "—"

    # -- the page --------------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return self._page(request, self._visible(request, object_id))

    def _visible(self, request: HttpRequest, object_id: Any) -> Batch:
        batch: Batch | None = self.get_object(request, str(object_id))
        if batch is None:
            self._get_obj_does_not_exist_redirect(request, self.opts, str(object_id))
        assert batch is not None
        if not self.has_view_permission(request, batch):
            raise PermissionDenied
        return batch

    def _page(
        self, request: HttpRequest, batch: Batch, *, errors: dict[str, str] | None = None, status: int = 200
    ) -> HttpResponse:
        found = batches.progress(batch)
        counts = found["counts"]
        is_frozen = batch.state == Batch.State.FROZEN
        shown = request.GET.get("show", "")
        if not counts.get(shown):
            first = ("ready", "changed", "refused") if is_frozen else ("skipped", "done", "ready", "cancelled")
            shown = next((name for name in first if counts[name]), first[0])
        problem = ""
        try:
            page = _items(batch, shown, request.GET.get("cursor", ""))
        except InvalidInput as error:
            page, problem = _items(batch, shown, ""), str(error)
        mine = batch.maker_id == request.user.pk and bulk.has_right(request)
        lead = request.user.has_perm(batches.LEAD)  # type: ignore[union-attr]
        over = counts["done"] + counts["skipped"] + counts["cancelled"]
        context = {
            **self.admin_site.each_context(request),
            "title": f"{batch.get_verb_display().capitalize()} {batch.ready:,} suggestions",
            "opts": self.model._meta,
            "original": batch,
            "batch": batch,
            "verb": batch.get_verb_display().capitalize(),
            "counts": counts,
            "worked": over,
            "totals": found["totals"],
            "differs": any(total["difference"] for total in found["totals"]) or counts["skipped"],
            "show": shown,
            "tabs": [
                {"key": name, "label": label.capitalize(), "count": f"{counts[name]:,}", "on": name == shown}
                for name, label in BatchItem.Outcome.choices
                if counts[name]
            ],
            "rows": page.rows,
            "newer": page.previous,
            "older": page.next,
            "problem": problem,
            "apart": [
                {"name": name, "title": title, "count": counts[name], "rows": _items(batch, name, "", APART).rows}
                for name, title in (("changed", "Changed since you selected"), ("refused", "Left out"))
                if is_frozen and counts[name]
            ],
            "apart_shown": APART,
            "may_start": mine and is_frozen and batch.ready > 0,
            "may_stop": batch.state == Batch.State.RUNNING and (mine or lead),
            "is_running": batch.state == Batch.State.RUNNING,
            "is_frozen": is_frozen,
            "in_background": batch.ready > batches.IN_FOREGROUND,
            "reasons": REJECTION_REASONS if batch.verb == Batch.Verb.REJECT else [],
            "max_comment": MAX_COMMENT,
            "typed": request.POST,
            "errors": errors or {},
            "queue_url": f"{reverse('admin:approvals_suggestion_changelist')}?{batch.came_from}".removesuffix("?"),
        }
        return TemplateResponse(request, "admin/approvals/batch.html", context, status=status)

    # -- the steps -------------------------------------------------------------------------------------------------

    def start_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        batch, refused = self._for_step(request, object_id)
        if refused:
            return refused
        comment, reason = request.POST.get("comment", "").strip(), request.POST.get("reason_code", "")
        try:
            batch = batches.start(
                batch_id=batch.pk, actor=Actor.person(request.user), comment=comment, reason_code=reason
            )
        except InvalidInput as problem:
            return self._page(request, batch, errors={problem.field: str(problem)}, status=400)
        except InvalidTransition as problem:
            messages.error(request, f"{problem} Nothing was changed by this click.")
            return self._back(batch)
        self._say(request, batch)
        return self._back(batch)

    def stop_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        batch, refused = self._for_step(request, object_id)
        if refused:
            return refused
        try:
            batch = batches.stop(batch_id=batch.pk, actor=Actor.person(request.user))
        except InvalidTransition as problem:
            messages.error(request, str(problem))
            return self._back(batch)
        messages.warning(request, "Stopped. What was done before stays done; the rest was left as it was.")
        return self._back(batch)

    def _for_step(self, request: HttpRequest, object_id: Any) -> tuple[Batch, HttpResponse | None]:
        if request.method != "POST":
            return Batch(), HttpResponseNotAllowed(["POST"])
        batch = self._visible(request, object_id)
        if not bulk.has_right(request):
            raise PermissionDenied("You may look at suggestions but not decide on them. Nothing was changed.")
        return batch, None

    @staticmethod
    def _say(request: HttpRequest, batch: Batch) -> None:
        if batch.state == Batch.State.RUNNING:
            messages.info(request, f"{batch.ready:,} are being worked off. You may leave this page; it goes on.")
            return
        found = batches.progress(batch)
        counts = found["counts"]
        sums = ", ".join(format_money(one["amount"], one["currency"]) for one in found["done"] if one["currency"])
        done = "Approved" if batch.verb == Batch.Verb.APPROVE else "Rejected"
        if counts["done"]:
            messages.success(request, f"{done}: {counts['done']:,}{f' ({sums})' if sums else ''}.")
        if counts["skipped"]:
            messages.warning(request, f"Skipped: {counts['skipped']:,}. Why stands beside each of them below.")

    @staticmethod
    def _back(batch: Batch) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:approvals_batch_change", args=[batch.pk]))

    def progress_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        batch = self._visible(request, object_id)
        found = batches.progress(batch)
        answer = JsonResponse({"state": batch.state, "ready": batch.ready, "is_over": batch.is_over, **found})
        answer["Cache-Control"] = "no-store"
        return answer


def _items(batch: Batch, outcome: str, cursor: str, size: int = PER_PAGE) -> keyset.Page[BatchItem]:
    own = ("batch", "suggestion", "position", "amount", "currency", "why", "came_to", "outcome")
    rows = batch.items.filter(outcome=outcome).select_related("suggestion")
    rows = rows.only(*own, *(f"suggestion__{name}" for name in _COLUMNS))
    return keyset.page(rows, order=("position",), cursor=cursor, size=size)
