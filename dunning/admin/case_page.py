"""What a case's page shows: the evidence first, then what comes and what holds it, then what was said and done.

Our rows and the mirror, never Stripe; the number of statements does not grow with the case.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from approvals import blind
from billingops import access, personal
from billingops.admin import names
from billingops.templatetags import billingops as tags
from dunning import by_hand, config, loading, messages, notes, reasons, services, showing
from dunning.admin.messages import badge
from dunning.contact.models import Reply
from dunning.loading import Loaded
from dunning.models import DunningCase
from dunning.plan import calendar, caps, planner
from dunning.plan.facts import Method

SOME = 50
FIXERS = {"bank": "the bank", "customer": "the customer", "us": "us"}
PLACES = {
    "invoice": "the invoice’s own",
    "subscription": "the subscription’s",
    "customer": "the customer’s default",
    "saved": "saved; Stripe would not take it by itself",
}


@dataclass(frozen=True)
class MethodRow:
    """A payment method, how often it was declined of late, and what the network allows."""

    method: Method
    place: str
    day: int
    month: int
    cap: caps.Cap
    used_up: str
    is_next: bool

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.method.brand.capitalize(), self.method.type.replace("_", " ")) if part)


@dataclass(frozen=True)
class Said:
    """A line of what was said and done. `url`: its page, "" for none; `object`: has a state, None for none."""

    at: datetime
    what: str
    text: str = ""
    who: str = ""
    url: str = ""
    object: Any = None
    badge: str = ""  # where its state alone says too little


def context(case: DunningCase, user: Any) -> dict[str, Any]:
    now = timezone.now()
    found = loading.load_cases([case], now=now)
    loaded = found[0] if found else None
    place = calendar.home(loaded.facts.zone, loaded.facts.country) if loaded else UTC
    is_unseen = bool(showing.unseen([case]))
    return {
        "case": case,
        "verdict": case.verdict,
        "category": reasons.Category(case.category).label,
        "fixer": FIXERS.get(str(case.verdict.who), str(case.verdict.who)),
        "codes": codes_of(case),
        "facts": loaded.facts if loaded else None,
        "zone": str(place) if loaded and loaded.facts.zone else "",
        "country": loaded.facts.country if loaded else "",
        "methods": methods_of(loaded, now),
        "conversation": conversation_of(case, user),
        "names": names.of({case.customer, case.account} - {""}, user),
        "steps": [] if is_unseen else showing.coming(case.plan, place),
        "unseen": showing.BLIND if is_unseen else "",
        "holds": holds_of(case, loaded, now, is_unseen=is_unseen),
        "unanswered": case.is_unpaid and Reply.objects.of_customer(case.customer, case.account).waiting().exists(),
        "holder": notes.holder(case),
        "brought_by": showing.label_of(case.recovered_by) if case.recovered_by else "",
        "notes": list(case.notes.order_by("-id")[:SOME]),
        "said": said(case, user),
        "tasks": list(case.tasks.select_related("assigned").order_by("-id")[:SOME]),
        "right": user.has_perm(by_hand.WORK) and access.may_see_account(user, case.account),
        "timeline_url": _url("support_timeline", case.customer) if case.customer else "",
        "invoice_url": _url("support_invoice", case.invoice),
    }


def codes_of(case: DunningCase) -> list[tuple[str, str]]:
    fields = ("code", "decline_code", "advice_code", "network_decline_code", "network_advice_code", "outcome_type")
    return [(name.replace("_", " "), value) for name in fields if (value := getattr(case, name))]


def methods_of(loaded: Loaded | None, now: datetime) -> list[MethodRow]:
    """In Stripe's order: the first is what a charge would use."""
    if loaded is None:
        return []
    rows = []
    for method in loaded.facts.methods:
        rows.append(
            MethodRow(
                method=method,
                place=PLACES.get(method.place, method.place),
                day=sum(at > now - timedelta(days=1) for at in method.attempts),
                month=len(method.attempts),
                cap=caps.cap_of(method.brand),
                used_up=caps.used_up(method.brand, method.attempts, now) if method.type == "card" else "",
                is_next=method.id == loaded.facts.on_file.id,
            )
        )
    return rows


def conversation_of(case: DunningCase, user: Any) -> list[DunningCase]:
    """The customer's other unpaid cases, which its messages speak of as well. One statement."""
    if not case.customer:
        return []
    others = DunningCase.objects.unpaid().of_customer(case.customer, case.account).exclude(pk=case.pk)
    return list(access.scope(others, user).order_by("opened_at", "pk")[:SOME])


def holds_of(
    case: DunningCase, loaded: Loaded | None, now: datetime, *, is_unseen: bool
) -> list[tuple[str, datetime | None]]:
    """What people have set, and what the plan itself waits for (a dispute, a message to come)."""
    found = showing.holds(case, now) if case.is_unpaid else []
    if loaded is None or is_unseen or not case.is_unpaid or found:
        return found
    plan = planner.plan(loaded.facts, loaded.sequence, now, config.current())
    return [(plan.held, plan.until)] if plan.held else []


def said(case: DunningCase, user: Any) -> list[Said]:
    """Suggestions, messages and answers, newest first. Three statements. What a customer wrote is read by those who may
    see who customers are, here as on the answer's own page."""
    may_read = personal.may_see(user)
    lines = [
        Said(
            row.created_at,
            row.kind_label,
            row.rationale,
            row.suggested_by,
            reverse("admin:approvals_suggestion_change", args=[row.pk]),
            row,
        )
        for row in map(blind.shown, services.suggestions_of(case).defer("facts", "policy").order_by("-id")[:SOME])
    ]
    lines += [
        Said(
            row.sent_at or row.created_at,
            f"Message by {row.get_channel_display()}",
            messages.as_shown(row.subject),
            url=reverse("admin:dunning_message_change", args=[row.pk]),
            object=row,
            badge=badge(row),
        )
        for row in case.messages.defer("body_html", "body_text").order_by("-id")[:SOME]
    ]
    lines += [
        Said(
            row.received_at,
            "Answer",
            (row.text or row.subject or "Its words are kept no longer.") if may_read else "",
            row.handled_by,
            _url("contact_reply_change", row.pk),
            badge=tags.state_badge(row.state, row.get_state_display()),
        )
        for row in Reply.objects.of_case(case)[:SOME]
    ]
    return sorted(lines, key=lambda line: line.at, reverse=True)


def _url(name: str, *args: Any) -> str:
    try:
        return reverse(f"admin:{name}", args=args)
    except NoReverseMatch:
        return ""
