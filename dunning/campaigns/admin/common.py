"""What the pages share: rows for all accounts are seen by everybody, and a page is drawn in one way."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse

from billingops.actors import Actor
from billingops.admin.base import ReadOnlyAdmin
from dunning.campaigns import services


class CampaignsAdmin(ReadOnlyAdmin):
    """Whoever is limited to some accounts sees what applies to these: their own campaigns and those for all."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset: QuerySet[Any] = super().get_queryset(request).visible_to(request.user)  # type: ignore[attr-defined]
        return queryset

    def found(self, request: HttpRequest, object_id: Any) -> Any:
        """The row, or 404; 403 for whoever may not see such rows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, str(object_id))
        if row is None:
            raise Http404
        return row

    def writable(self, request: HttpRequest, object_id: Any) -> Any:
        """The same for whoever may change it; else 403."""
        row = self.found(request, object_id)
        if why := services.why_not(request.user, row.account):
            raise PermissionDenied(why)
        return row

    def render(
        self, request: HttpRequest, template: str, title: str, *, status: int = 200, **shown: Any
    ) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.model._meta, **shown}
        return TemplateResponse(request, f"admin/campaigns/{template}", context, status=status)


def may_write(request: HttpRequest, account: str) -> bool:
    return not services.why_not(request.user, account)


def actor(request: HttpRequest) -> Actor:
    return Actor.person(request.user)


def number(text: str | None, default: int = 0) -> int:
    """A whole number out of a form or a URL; `default` for anything else."""
    text = text or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else default
