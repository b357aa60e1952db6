"""What all of our API endpoints share: rights, account scope, filters that refuse what they do not know, keyset pages
and one shape of error. It knows no domain; an app's `api.py` puts the pieces together.

    class PayoutRecordViewSet(ScopedViewSet, mixins.ListModelMixin, mixins.RetrieveModelMixin):
        queryset = PayoutRecord.objects.all()
        serializer_class = PayoutRecordSerializer
        filters = (Filter("state", choices=PayoutRecord.State.values), Filter("account"))

Reading asks for Django's `view_<model>` permission, every verb for what `verb_permissions` names. A row outside of the
caller's account scope does not exist for the caller (404). Errors: see `handle_exception`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_date, parse_datetime
from drf_spectacular.utils import OpenApiResponse
from rest_framework import exceptions, serializers, status, viewsets
from rest_framework.filters import BaseFilterBackend
from rest_framework.pagination import BasePagination
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import exception_handler as drf_exception_handler

from billingops import access, keyset
from billingops.api_access import StaffInAGroup
from billingops.exceptions import BillingOpsError, InvalidInput, InvalidTransition, VersionConflict
from billingops.stripe.errors import StripeProblem, Throttled

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100


# -- pages -------------------------------------------------------------------------------------------------------------


class KeysetPagination(BasePagination):
    """`{results, next, previous}`; the links carry a cursor, so page 1,000 costs what page 1 costs (keyset.py).

    The view names the columns as `page_order`; default: newest first by primary key.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        self.page: keyset.Page[Any] = keyset.page(
            queryset,
            order=getattr(view, "page_order", ("-pk",)) if view else ("-pk",),
            cursor=request.query_params.get("cursor", ""),
            size=page_size(request),
        )
        return self.page.rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {"results": data, "next": self._link(self.page.next), "previous": self._link(self.page.previous)}
        )

    def _link(self, cursor: str) -> str | None:
        return replace_query_param(self.request.build_absolute_uri(), "cursor", cursor) if cursor else None

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["results", "next", "previous"],
            "properties": {"results": schema, "next": link, "previous": link},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            _parameter("cursor", "Where the page starts; taken from `next` or `previous`."),
            _parameter(
                "page_size",
                f"Rows on a page: {DEFAULT_PAGE_SIZE} by default, at most {MAX_PAGE_SIZE}.",
                {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE},
            ),
        ]


def page_size(request: Request) -> int:
    """Rows asked for, held at MAX_PAGE_SIZE. Raises InvalidInput unless it is a whole number above zero."""
    raw = request.query_params.get("page_size", "")
    if not raw:
        return DEFAULT_PAGE_SIZE
    if not (raw.isascii() and raw.isdigit()) or len(raw) > 9 or int(raw) < 1:
        raise InvalidInput(f"page_size must be a whole number from 1 to {MAX_PAGE_SIZE}.", field="page_size")
    return min(int(raw), MAX_PAGE_SIZE)


# -- filters -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filter:
    """One query parameter that narrows a list.

    name     in the URL
    lookup   the ORM lookup it fills; default: `name`
    choices  the values allowed, or a function that gives them; empty: any text
    parse    text → value; raises InvalidInput. Default: the text itself
    """

    name: str
    lookup: str = ""
    choices: Iterable[str] | Callable[[], Iterable[str]] = ()
    parse: Callable[[str, str], Any] | None = None
    description: str = ""
    schema: dict[str, Any] | None = None

    def allowed(self) -> list[str]:
        return [str(value) for value in (self.choices() if callable(self.choices) else self.choices)]

    def value(self, raw: str) -> Any:
        allowed = self.allowed()
        if (allowed or callable(self.choices)) and raw not in allowed:
            raise InvalidInput(f"{self.name}={raw!r} is not known; allowed: {', '.join(allowed)}.", field=self.name)
        return self.parse(raw, self.name) if self.parse else raw


class FilterBackend(BaseFilterBackend):
    """Applies the view's `filters`. A parameter that the view does not know is refused: a misspelt filter that is
    silently ignored would answer with rows nobody asked for."""

    _always = ("cursor", "page_size", "format")

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if getattr(view, "action", "list") != "list":
            return queryset
        known = {item.name: item for item in view.filters}
        for name in request.query_params:
            if name not in known and name not in self._always:
                allowed = ", ".join([*known, "cursor", "page_size"])
                raise InvalidInput(f"{name} is no parameter of this list; there are {allowed}.", field=name)
        for name, item in known.items():
            if name in request.query_params:
                value = item.value(request.query_params[name].strip())
                queryset = queryset.filter(**{item.lookup or name: value})
        return queryset

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        found = []
        for item in getattr(view, "filters", ()):
            schema = dict(item.schema or {"type": "string"})
            if allowed := item.allowed():
                schema["enum"] = allowed
            found.append(_parameter(item.name, item.description, schema))
        return found


def parse_moment(raw: str, name: str, *, end_of_day: bool = False) -> datetime:
    """ISO 8601, a date (its first moment in UTC, or its last) or a time (UTC where it names no zone)."""
    raw = raw.replace(" ", "+")  # an unescaped "+" of a time zone arrives as a blank
    try:
        if len(raw) <= 10 and (day := parse_date(raw)):
            return _edge(day, end_of_day)
        if moment := parse_datetime(raw):
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the last moments of the year 9999 may lie behind it in UTC
        pass
    raise InvalidInput(f"{name}={raw!r} is no date (2026-11-27) or time (2026-11-27T09:00:00Z).", field=name)


def parse_last_moment(raw: str, name: str) -> datetime:
    return parse_moment(raw, name, end_of_day=True)


def _edge(day: date, end: bool) -> datetime:
    return datetime.combine(day, time.max if end else time.min, tzinfo=UTC)


def _parameter(name: str, description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "required": False,
        "in": "query",
        "description": description,
        "schema": schema or {"type": "string"},
    }


# -- rights ------------------------------------------------------------------------------------------------------------


class ModelPermission(StaffInAGroup):
    """Beside being staff in a group: GET, HEAD and OPTIONS need `view_<model>` (DRF's DjangoModelPermissions lets
    everybody read); each other verb needs that and what the view's `verb_permissions` names for its action. A verb that
    is not named is refused."""

    message = "You may not see this."

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            self.message = StaffInAGroup.message
            return False
        meta = model_of(view)._meta
        if not request.user.has_perm(f"{meta.app_label}.view_{meta.model_name}"):
            self.message = f"You may not see {meta.verbose_name_plural}."
            return False
        if request.method in SAFE_METHODS:
            return True
        needed = getattr(view, "verb_permissions", {}).get(getattr(view, "action", None), ())
        self.message = getattr(view, "refusal", f"You may look at {meta.verbose_name_plural} but not change them.")
        return bool(needed) and request.user.has_perms(needed)


def model_of(view: Any) -> type[Model]:
    """The model whose permissions a view goes by: its queryset's, or `permission_model` where it has none."""
    return getattr(view, "permission_model", None) or view.queryset.model


class ScopedViewSet(viewsets.GenericViewSet[Any]):
    """Base of our endpoints. Rows outside of the caller's accounts are left out everywhere, so they are 404."""

    permission_classes = [ModelPermission]
    pagination_class = KeysetPagination  # type: ignore[assignment]
    filter_backends = [FilterBackend]
    filters: Sequence[Filter] = ()
    verb_permissions: dict[str, tuple[str, ...]] = {}
    page_order: Sequence[str] = ("-pk",)
    scope_field = "account"

    def get_queryset(self) -> QuerySet[Any]:
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):  # the schema is made without a user
            return queryset.none()
        return access.scope(queryset, self.request.user, field=self.scope_field)


# -- errors ------------------------------------------------------------------------------------------------------------


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every error as `{"error": {code, message, field?, changes?}}`, `message` a sentence for a person.

    400 invalid_input (with `field`) · 401 · 403 permission_denied · 404 not_found · 405 · 409 invalid_transition ·
    409 version_conflict (with `changes`) · 415 · 502 and 503 when Stripe does not answer.
    """
    if isinstance(error, DjangoPermissionDenied):
        # The services raise Django's; it carries the sentence that DRF would drop.
        error = exceptions.PermissionDenied(str(error) or None)
    if isinstance(error, BillingOpsError):
        drf_exception_handler(exceptions.APIException(), context)  # for its rollback of an open transaction
        return Response(_body(error.code, str(error), **_details(error)), status=_status(error))
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        field, message = _first(error.detail)
        response.data = _body(InvalidInput.code, message, field=field)
        return response
    detail = response.data.get("detail", "") if isinstance(response.data, dict) else ""
    code = getattr(detail, "code", "") or "error"
    response.data = _body("invalid_input" if code == "parse_error" else code, str(detail))
    return response


def _status(error: BillingOpsError) -> int:
    if isinstance(error, (InvalidTransition, VersionConflict)):
        return status.HTTP_409_CONFLICT
    if isinstance(error, Throttled):
        return status.HTTP_503_SERVICE_UNAVAILABLE
    return status.HTTP_502_BAD_GATEWAY if isinstance(error, StripeProblem) else status.HTTP_400_BAD_REQUEST


def _details(error: BillingOpsError) -> dict[str, Any]:
    if isinstance(error, VersionConflict):
        return {"changes": error.changes}
    return {"field": error.field} if isinstance(error, InvalidInput) else {}


def _body(code: str, message: str, **details: Any) -> dict[str, Any]:
    given = {key: value for key, value in details.items() if value != ""}
    return {"error": {"code": code, "message": message, **given}}


def _first(detail: Any, path: str = "") -> tuple[str, str]:
    """The first complaint of a ValidationError: (dotted field, sentence)."""
    if isinstance(detail, dict):
        name, inner = next(iter(detail.items()))
        return _first(inner, path if name == "non_field_errors" else f"{path}.{name}".strip("."))
    if isinstance(detail, list):
        return _first(detail[0], path)
    return path, f"{path}: {detail}" if path else str(detail)


class ErrorDetailSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    field = serializers.CharField(required=False)
    changes = serializers.ListField(child=serializers.CharField(), required=False)


class ErrorSerializer(serializers.Serializer[Any]):
    error = ErrorDetailSerializer()


_REASONS = {
    400: "Something in the request is not acceptable; `field` names it.",
    401: "No token, an unknown one, or no session.",
    403: "No right to do this.",
    404: "Unknown, or outside of the caller's accounts.",
    409: "The state does not allow it, or it has changed since the version given; `changes` says how.",
}


def error_responses(*codes: int) -> dict[int, OpenApiResponse]:
    """For `extend_schema(responses={200: …, **error_responses(400, 409)})`; 401 and 403 are always among them."""
    return {code: OpenApiResponse(ErrorSerializer, description=_REASONS[code]) for code in sorted({401, 403, *codes})}
