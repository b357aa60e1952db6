"""The audit log, to look at: by family, actor, account, time, or an exact subject, event or number.

Every list is in the order of the log, read from an index that ends with that order, and counted up to a cap: it costs
the same at a million entries. Its export holds what verify_checkpoint.py needs to make each hash again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from approvals import audit, blind
from approvals.audit import actions
from approvals.models import AuditEntry
from billingops import access
from billingops.admin.base import ReadOnlyAdmin, json_column
from billingops.admin.filters import AccountFilter, ExactFilter
from billingops.admin.site import site
from billingops.exceptions import InvalidInput
from billingops.ids import canonical
from billingops.rest import parse_last_moment, parse_moment
from billingops.templatetags import billingops as tags

# The clocks of two machines differ: entries this near to a moment are compared by their time, not by their number.
SLACK = 1000


class FamilyFilter(admin.SimpleListFilter):
    title = "what"
    parameter_name = "family"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return sorted(actions.FAMILIES.items(), key=lambda pair: pair[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(family=self.value()) if self.value() else queryset


class ActorFilter(ExactFilter):
    title = "who"
    parameter_name = "actor"
    placeholder = "user name, system:worker"


class MomentFilter(ExactFilter):
    """A day or a time, as a bound of the numbers (which the primary key answers) and, exactly, of the times."""

    parse: Callable[[str, str], datetime]
    comparison = ""
    placeholder = "2026-11-22"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = (self.value() or "").strip()
        if not text:
            return queryset
        try:
            moment = type(self).parse(text, str(self.title))
        except InvalidInput as problem:
            messages.warning(request, f"{problem} The filter was left out.")
            raise IncorrectLookupParameters(str(problem))
        at, earliest = {f"at__{self.comparison}": moment}, self.comparison == "gte"
        edge = AuditEntry.objects.filter(**at).order_by("at" if earliest else "-at").values_list("seq", flat=True)
        if (seq := edge.first()) is None:
            return queryset.none()
        seq += -SLACK if earliest else SLACK
        return queryset.filter(**at, **{f"seq__{self.comparison}": seq})


class FromFilter(MomentFilter):
    title, parameter_name, comparison = "from", "from", "gte"
    parse = staticmethod(parse_moment)


class UntilFilter(MomentFilter):
    title, parameter_name, comparison = "until", "until", "lte"
    parse = staticmethod(parse_last_moment)


@admin.register(AuditEntry, site=site)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Entries name accounts of all kinds, so whoever is limited to some accounts does not see the log at all; they see
    what it says of a suggestion on its story page (story.py)."""

    ordering = ("-seq",)
    list_display = ("seq", "when", "actor", "what", "subject_", "account_", "hash_")
    list_filter = (FamilyFilter, ActorFilter, AccountFilter, FromFilter, UntilFilter)
    exact_search = ("seq", "subject", "event_id")
    search_help_text = "A number, a suggestion’s id, an event (evt_…), or a whole subject: user:7, policy:*/."
    export_fields = (
        *("seq", "at", "actor", "action", "subject", "account", "event_id", "data", "previous_hash", "hash", "format"),
    )
    fields = (
        *("seq", "at_", "actor", "what", "subject_", "account_", "event_", "data_"),
        *("previous_hash", "hash", "format", "check_"),
    )
    readonly_fields = fields
    empty_text = "Every step of every suggestion is written here, each entry sealed with the one before it."
    _data = json_column("data", "Data", has_people=False)  # by rule: an entry outlives a person's erasure

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and access.accounts_of(request.user) is None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)
        name = (request.resolver_match.url_name or "") if request.resolver_match else ""
        if name.endswith("_export"):
            hidden = blind.held_back(request.user).values_list("pk", flat=True)
            queryset = queryset.exclude(subject__in=[f"suggestion:{pk}" for pk in hidden])
        return queryset.defer("data", "previous_hash") if name.endswith("_changelist") else queryset

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """One column, told by the form of what was typed: an OR over several would leave the index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isascii() and term.isdigit():
            return queryset.filter(seq=int(term)) if len(term) < 19 else queryset.none(), False
        if term.startswith("evt_"):
            return queryset.filter(event_id=term), False
        with suppress(ValueError):
            term = f"suggestion:{UUID(term)}"
        return queryset.filter(subject=term), False

    def _export_value(self, obj: AuditEntry, name: str) -> Any:
        return canonical(obj.data) if name == "data" else getattr(obj, name)

    @admin.display(description="When")
    def when(self, obj: AuditEntry) -> str:
        return tags.exact(obj.at)

    @admin.display(description="When")
    def at_(self, obj: AuditEntry) -> str:
        return obj.at.isoformat(timespec="microseconds")

    @admin.display(description="What")
    def what(self, obj: AuditEntry) -> str:
        said = actions.sentence(obj.action)
        return said if said == obj.action else format_html("{} <code>{}</code>", said, obj.action)

    @admin.display(description="Subject")
    def subject_(self, obj: AuditEntry) -> str:
        kind, _, key = obj.subject.partition(":")
        if kind != "suggestion":
            return obj.subject
        url = reverse("admin:approvals_suggestion_change", args=[key])
        return format_html('<a href="{}">{}</a>', url, tags.short_text(obj.subject, 16))

    @admin.display(description="Account")
    def account_(self, obj: AuditEntry) -> str:
        return tags.stripe_link(obj.account) if obj.account else "—"

    @admin.display(description="Event")
    def event_(self, obj: AuditEntry) -> str:
        return tags.stripe_link(obj.event_id, obj.account) if obj.event_id else "—"

    @admin.display(description="Data")
    def data_(self, obj: AuditEntry) -> Any:
        """Not of a blind suggestion's entry for whoever may yet decide on it: it names kind and author."""
        kind, _, key = obj.subject.partition(":")
        viewer = getattr(obj, "_billingops_viewer", None)
        if kind == "suggestion" and viewer is not None and blind.held_back(viewer).filter(pk=key).exists():
            return "not shown before its verdict (blind sample)"
        return self._data(obj)

    @admin.display(description="Hash")
    def hash_(self, obj: AuditEntry) -> str:
        return tags.short_id(obj.hash)

    @admin.display(description="Seal")
    def check_(self, obj: AuditEntry) -> str:
        why = audit.check_entries([obj.seq])[obj.seq]
        if why:
            return format_html('<strong class="bo-state bo-bad">Broken: {}</strong>', why)
        before = f"entry {obj.seq - 1}" if obj.seq > 1 else "the beginning"
        return f"Holds: its hash fits what stands here, and it continues {before}. verify_audit walks the whole log."
