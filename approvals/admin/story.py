"""All of one suggestion, for an auditor: the same sections as a page and as a PDF, each value as plain text.

`tell` only reads. What names a person is masked for whoever has no right to find people (billingops/personal.py).
While a suggestion is in the blind sample and nobody has decided, there is no story: it would give the verdict away.

/admin/approvals/suggestion/<id>/story/      the page
/admin/approvals/suggestion/<id>/story.pdf   the PDF; each one is noted in the audit log with its digest
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from approvals import audit, blind, registry
from approvals.admin import story_pdf
from approvals.audit import actions
from approvals.models import AuditEntry, Suggestion
from billingops import personal
from billingops.admin import export, history, names
from billingops.inbox.models import InboundEvent

MAX_ROWS = 500  # of facts, of history, of audit entries; what is left out is said
_CLAUSES = (("proposed", "when suggested"), ("approved", "when approved"), ("executed", "when carried out"))


@dataclass(frozen=True)
class Table:
    """`figures`: how many of the last columns are figures."""

    caption: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    figures: int = 0

    @property
    def labelled(self) -> list[list[tuple[str, str, bool]]]:
        """(label, value, whether a word of it is too long for a column) for each cell."""
        rows = [list(zip(self.header, row, strict=True)) for row in self.rows]
        return [[(label, value, any(len(word) > 24 for word in value.split())) for label, value in row] for row in rows]


@dataclass(frozen=True)
class Section:
    """`pairs`: label and value; `table`; `text`: a paragraph; `empty`: what stands there when there is nothing."""

    title: str
    pairs: list[tuple[str, str]] = field(default_factory=list)
    table: Table | None = None
    text: str = ""
    empty: str = ""
    note: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.pairs or self.text or (self.table and self.table.rows))


@dataclass(frozen=True)
class Story:
    title: str
    subtitle: str
    told_at: datetime
    told_to: str
    sections: list[Section]


def tell(suggestion: Suggestion, user: Any) -> Story:
    """About a dozen statements, whatever happened."""
    events = _events(suggestion)
    sections = [
        _what(suggestion, user),
        _why(suggestion),
        _values("The facts it was computed from", suggestion.facts, user, note=f"sha256 {suggestion.facts_hash}"),
        _values("The parameters of the step", suggestion.params, user),
        _policies(suggestion),
        _decisions(suggestion),
        _comments(suggestion),
        _executions(suggestion),
        _stripe_events(events),
        _history(suggestion, user),
        *_audit(suggestion, [event.event_id for event in events]),
    ]
    return Story(
        title=f"{registry.label(suggestion.kind)} {suggestion.money}".strip(),
        subtitle=f"Suggestion {suggestion.pk}",
        told_at=timezone.now(),
        told_to=user.get_username(),
        sections=sections,
    )


class StoryViews:
    """The two pages, for SuggestionAdmin."""

    def story_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view  # type: ignore[attr-defined]
        return [
            path("<uuid:object_id>/story/", wrap(self.story_view), name="approvals_suggestion_story"),
            path("<uuid:object_id>/story.pdf", wrap(self.story_pdf_view), name="approvals_suggestion_story_pdf"),
        ]

    def story_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        suggestion = self._visible(request, object_id)  # type: ignore[attr-defined]
        hidden = blind.hides(suggestion)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "story": None if hidden else tell(suggestion, request.user),
            "hidden": hidden,
            "suggestion": blind.shown(suggestion),
            "title": "The whole story",
            "opts": Suggestion._meta,
        }
        return TemplateResponse(request, "admin/approvals/story.html", context)

    def story_pdf_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        suggestion = self._visible(request, object_id)  # type: ignore[attr-defined]
        if blind.hides(suggestion):
            return HttpResponse("There is no story while the suggestion is in the blind sample.", status=409)
        body = story_pdf.render(tell(suggestion, request.user))
        data = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "version": suggestion.version}
        export.note_export(
            request, "export.story", what=f"suggestion:{suggestion.pk}", data=data, account=suggestion.account
        )
        response = HttpResponse(body, content_type="application/pdf")
        response["Content-Disposition"] = f'attachment; filename="suggestion-{suggestion.pk}.pdf"'
        response["Cache-Control"] = "no-store"
        return response


# -- the sections ------------------------------------------------------------------------------------------------------


def _what(suggestion: Suggestion, user: Any) -> Section:
    account = names.of({suggestion.account} - {""}, user).get(suggestion.account, "")
    pairs = [
        ("State", suggestion.get_state_display()),
        ("Kind", f"{registry.label(suggestion.kind)} ({suggestion.kind})"),
        ("Amount", suggestion.money),
        ("About", suggestion.subject),
        ("Account", f"{suggestion.account} {account}".strip() or "the platform’s own"),
        ("Customer", suggestion.customer),
        ("Destination", suggestion.destination),
        ("Version", f"{suggestion.version}, revision {suggestion.revision}"),
        ("Mode", suggestion.mode),
        ("Approvals needed", str(suggestion.required_approvals)),
        ("Suggested", moment(suggestion.created_at)),
        ("Expires", moment(suggestion.expires_at)),
        ("Follows", str(suggestion.previous_id or "")),
        ("Followed by", ", ".join(str(pk) for pk in suggestion.successors.values_list("pk", flat=True))),
        ("Stripe event behind it", suggestion.event_id),
    ]
    return Section("What was suggested", pairs=[pair for pair in pairs if pair[1]])


def _why(suggestion: Suggestion) -> Section:
    pairs = [
        ("Suggested by", suggestion.suggested_by),
        ("Baseline beside it", suggestion.baseline),
        ("Run of the agent", str(suggestion.agent_run or "")),
        ("Reason code", suggestion.reason_code),
        ("Confidence", "" if suggestion.confidence is None else str(suggestion.confidence)),
        *((f"Flag {flag.get('code', '')}", str(flag.get("text", ""))) for flag in suggestion.flags),
    ]
    return Section(
        "Why", pairs=[pair for pair in pairs if pair[1]], text=suggestion.rationale, empty="No rationale was given."
    )


def _values(title: str, value: Any, user: Any, *, note: str = "") -> Section:
    pairs = list(flat(personal.shown(value, user)))
    if any(where.rpartition(".")[2] == "amount" for where, _ in pairs):
        note = f"Amounts in the currency’s smallest unit, as they were kept. {note}".strip()
    if len(pairs) > MAX_ROWS:
        note = f"{note} The first {MAX_ROWS} of {len(pairs):,} values.".strip()
    return Section(title, pairs=pairs[:MAX_ROWS], empty="None.", note=note)


def _policies(suggestion: Suggestion) -> Section:
    rows = []
    known = dict(_CLAUSES)
    for key, result in suggestion.policy.items():
        if not isinstance(result, dict):
            continue
        extra = {name: part for name, part in result.items() if part and name not in ("mode", "approvals", "clause")}
        rows.append(
            (
                known.get(key, key),
                str(result.get("clause", "")),
                str(result.get("mode", "")),
                str(result.get("approvals", "")),
                "; ".join(f"{name}: {part}" for name, part in flat(extra)),
            )
        )
    header = ("Evaluated", "The clause that decided", "Mode", "Approvals", "Further")
    return Section("What policy said", table=Table("Policy results", header, rows), empty="No policy result is stored.")


def _decisions(suggestion: Suggestion) -> Section:
    rows = [
        (
            moment(one.created_at),
            one.actor_name,
            one.get_verdict_display(),
            " · ".join(part for part in (one.reason_code, one.comment, *map(_edit, one.changes)) if part),
            f"version {one.version}, revision {one.revision}",
            f"facts {one.facts_hash}" + (f" seal {one.seal}" if one.seal else ""),
        )
        for one in suggestion.decisions.order_by("id")
    ]
    header = ("When", "Who", "Verdict", "Reason, comment, edit", "Saw", "Hash of what they saw")
    return Section("Who decided, and what they saw", table=Table("Decisions", header, rows), empty="Nobody yet.")


def _edit(change: Any) -> str:
    return f"{change.get('field')}: {change.get('before')} → {change.get('after')}" if isinstance(change, dict) else ""


def _comments(suggestion: Suggestion) -> Section:
    rows = [(moment(one.created_at), one.author_name, one.text) for one in suggestion.comments.order_by("id")]
    return Section("Comments", table=Table("Comments", ("When", "Who", "Said"), rows), empty="None.")


def _executions(suggestion: Suggestion) -> Section:
    rows = [
        (
            str(one.attempt),
            one.get_state_display(),
            one.idempotency_key,
            one.request_id,
            one.object_id,
            " ".join(part for part in (one.error_code, one.error, one.held) if part),
            "; ".join(
                f"{label} {moment(at)}"
                for label, at in (
                    ("queued", one.queued_at),
                    ("started", one.started_at),
                    ("ended", one.finished_at),
                    ("confirmed", one.confirmed_at),
                )
                if at
            ),
            one.confirmed_event,
        )
        for one in suggestion.executions.order_by("id")
    ]
    header = (
        *("Attempt", "State", "Idempotency key", "Stripe request", "Stripe object", "Answer", "When"),
        "Confirming event",
    )
    return Section("How it was carried out", table=Table("Executions", header, rows), empty="It was not carried out.")


def _events(suggestion: Suggestion) -> list[InboundEvent]:
    confirming = suggestion.executions.exclude(confirmed_event="").values_list("confirmed_event", flat=True)
    wanted = {suggestion.event_id, *confirming} - {""}
    rows = InboundEvent.objects.filter(event_id__in=wanted).defer("payload").order_by("received_at", "id")
    return list(rows) if wanted else []


def _stripe_events(events: list[InboundEvent]) -> Section:
    rows = [
        (
            one.event_id,
            one.type,
            one.object_id,
            moment(one.created_at),
            moment(one.received_at),
            one.get_state_display(),
        )
        for one in events
    ]
    header = ("Event", "Type", "Object", "Made by Stripe", "Received", "State")
    return Section(
        "Stripe’s events",
        table=Table("The events behind it and the ones that confirmed it", header, rows),
        empty="None is stored here.",
    )


def _history(suggestion: Suggestion, user: Any) -> Section:
    records = list(
        suggestion.history.select_related("history_user").order_by("-history_date", "-history_id")[:MAX_ROWS]
    )
    for record in records:
        record.facts, record.params = personal.shown(record.facts, user), personal.shown(record.params, user)
    rows = []
    for new, old in zip(records, [*records[1:], None], strict=True):
        reason = new.history_change_reason or ""
        who = new.history_user.get_username() if new.history_user else ""
        if not who:  # save_with_history writes the system's name behind the reason
            reason, _, who = reason.rpartition(" · ")
        changes = history.differences(new, old) if old is not None else []
        said = "; ".join(f"{change.label}: {change.old or '—'} → {change.new or '—'}" for change in changes)
        rows.append((moment(new.history_date), who, str(new.version), reason, said or ("made" if old is None else "—")))
    header = ("When", "Who", "Version", "Reason", "Field by field")
    return Section("Every change, newest first", table=Table("History", header, rows), empty="No history is stored.")


def _audit(suggestion: Suggestion, event_ids: list[str]) -> list[Section]:
    subjects = [f"suggestion:{suggestion.pk}", *(f"event:{event_id}" for event_id in event_ids)]
    entries = list(AuditEntry.objects.filter(subject__in=subjects).order_by("seq")[:MAX_ROWS])
    checked = audit.check_entries([entry.seq for entry in entries])
    broken = {seq: why for seq, why in checked.items() if why}
    rows = [
        (
            str(entry.seq),
            moment(entry.at),
            entry.actor,
            actions.sentence(entry.action),
            entry.event_id,
            entry.hash,
            broken.get(entry.seq) or "holds",
        )
        for entry in entries
    ]
    header = ("Entry", "When", "Who", "What", "Event", "Hash", "Seal")
    table = Section(
        "The audit log’s entries", table=Table("Audit entries", header, rows), empty="The log has no entry about it."
    )
    return [table, Section("Does the log hold?", pairs=_verdict(entries, broken))]


def _verdict(entries: list[AuditEntry], broken: dict[int, str]) -> list[tuple[str, str]]:
    said = (
        f"BROKEN: {len(broken)} of {len(entries)} entries do not hold; the first: {next(iter(broken.values()))}."
        if broken
        else f"Yes: all {len(entries)} entries above fit their hashes, and each continues the entry before it."
    )
    signed = AuditEntry.objects.filter(family="checkpoint").order_by("-seq").first()
    link: Any = signed.data if signed else {}
    return [
        ("The entries above", said),
        (
            "The log as a whole",
            f"signed up to entry {link.get('seq')} on {moment(signed.at)}, key {link.get('key')}"
            if signed
            else "no signed checkpoint has been made yet; verify_audit walks it",
        ),
    ]


# -- values as text ----------------------------------------------------------------------------------------------------


def moment(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else ""


def flat(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """JSON as (path, text), in the order of the paths' names: `lines.0.amount`, `1000`."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from flat(value[key], f"{where}.{key}" if where else str(key))
    elif isinstance(value, list) and value:
        for index, part in enumerate(value):
            yield from flat(part, f"{where}.{index}" if where else str(index))
    elif where:
        text = {None: "—", True: "yes", False: "no"}.get(value) if value is None or isinstance(value, bool) else value
        yield where, "—" if text in ("", [], {}) else str(text)
