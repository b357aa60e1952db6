"""One object of every model for each of two accounts and the platform, with names that cannot be overlooked in a page.

Made from the models' fields, so that a new model is in the walk without a line here. What a model cannot guess (its
constraints, a payload that has to be readable) stands in OVERRIDES.
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models
from django.utils import timezone


@dataclass(eq=False)
class Tenant:
    """`mark` is part of every id, `hush` of every text. Neither may ever reach somebody of another account."""

    name: str
    account: str
    mark: str
    hush: str
    objects: dict[str, Any] = field(default_factory=dict)
    shares: Tenant | None = None  # whose customer, invoice and charge its objects are about

    def ref(self, prefix: str) -> str:
        return (self.shares or self).id(prefix)

    def id(self, prefix: str) -> str:
        return f"{prefix}_{self.mark}"


def tenants(*, entangled: bool = False) -> tuple[Tenant, Tenant, Tenant]:
    """`entangled`: one customer with one invoice, on which both accounts and the platform have a part."""
    ours = Tenant("ours", "acct_OURSxOURS", "OURSxOURS", "hushOURSxOURS")
    shares = ours if entangled else None
    return (
        ours,
        Tenant("theirs", "acct_THEIRSxTHEIRS", "THEIRSxTHEIRS", "hushTHEIRSxTHEIRS", shares=shares),
        Tenant("the platform", "", "PLATFORMxPLATFORM", "hushPLATFORMxPLATFORM", shares=shares),
    )


SHARED = {"customer", "invoice", "charge", "subscription", "subject", "invoice_id", "customer_id", "invoice_number"}


IDS = {
    "customer": "cus", "invoice": "in", "charge": "ch", "subject": "in", "transfer": "tr", "subscription": "sub",
    "object_id": "in", "invoice_id": "in", "event_id": "evt", "customer_id": "cus", "invoice_number": "NR",
}  # fmt: skip
TEXTS = {"name", "title", "label", "description", "memo", "text", "nickname", "reason", "note", "comment"}
STRIPE_PREFIX = {
    "account": "acct", "balancetransaction": "txn", "charge": "ch", "customer": "cus", "dispute": "dp", "invoice": "in",
    "paymentintent": "pi", "paymentmethod": "pm", "payout": "po", "price": "price", "product": "prod", "refund": "re",
    "subscription": "sub", "transfer": "tr", "creditnote": "cn", "invoicepayment": "inpay",
}  # fmt: skip


STATUS = {"balancetransaction": "available", "dispute": "lost"}  # dj-stripe knows no others of these
_seq = itertools.count(1_000_000, 1_000)  # with room for what is logged meanwhile


def stripe_data(model_name: str, tenant: Tenant) -> dict[str, Any]:
    return {
        "id": tenant.id(STRIPE_PREFIX[model_name]), "object": model_name, "customer": tenant.id("cus"), "amount": 100,
        "currency": "usd", "status": STATUS.get(model_name, "paid"), "total": 100, "created": 1764000000,
        "description": tenant.hush, "lines": {"data": []}, "name": tenant.hush, "number": f"NR-{tenant.mark}",
        "charge": tenant.id("ch"), "payment_intent": tenant.id("pi"),
    }  # fmt: skip


# label → field values; a function gets the tenant.
OVERRIDES: dict[str, Any] = {
    "approvals.suggestion": lambda t: {
        "kind": "seller_payout", "state": "pending", "policy": {}, "facts": {"text": t.hush},
        "params": {"destination": t.account or t.id("acct"), "source_transaction": t.id("ch"),
                   "transfer_group": t.id("in"), "description": t.hush, "invoice": t.id("in")},
    },
    "approvals.execution": lambda t: {"state": "queued"},
    "approvals.policy": lambda t: {"kind": f"kind-{t.mark}", "mode": "review"},
    "approvals.killswitch": lambda t: {
        "kind": f"kind-{len(t.name)}", "reason": "", "changed_by_name": "", "is_on": False,
    },
    "mirror.mirroredobject": lambda t: {"object_id": t.id("in"), "object_type": "invoice"},
    "approvals.auditentry": lambda t: {"seq": next(_seq), "data": {"text": t.hush}},
    "django_q.success": lambda t: {"id": f"s{t.mark}"[:32], "success": True},
    "django_q.failure": lambda t: {"id": f"f{t.mark}"[:32], "success": False},
    "approvals.decision": lambda t: {"verdict": "approve"},
    "settlements.sharerule": lambda t: {
        "name": f"rule-{t.mark}", "share_type": "percent", "seller_percent": 70, "fee": None, "currency": "",
        "match_type": "none", "match_value": "", "seller": None if not t.account else make("settlements.seller", t),
        "period": "",
    },
    "settlements.payoutrecord": lambda t: {"state": "pending_review", "flags": [], "period": ""},
    "settlements.earning": lambda t: {"base": 100, "fee": 30, "share": 70, "open": 70, "lines": [], "terms": {}},
    "settlements.payoutline": lambda t: {"base": 100, "fee": 30, "share": 70},
    "ledger.journalentry": lambda t: _entry(t),
    "dunning.dunningcase": lambda t: {"closed_reason": "", "state": "open"},
    "campaigns.experiment": lambda t: {
        "arms": [{"name": "now", "version": 100, "weight": 1}, {"name": "new", "version": 101, "weight": 1}],
        "baseline_percent": 50, "difference_points": 10, "state": "running",
    },
    "brands.brand": lambda t: {
        "slug": f"brand-{t.mark}".lower(), "colour": "#1a5a86", "from_address": "", "reply_to": "", "help_url": "",
        "logo_sha256": "", "footer": t.hush,
    },
    "dunning.message": lambda t: {
        "suggestion": make("approvals.suggestion", t), "template": "reminder", "language": "en",
        "message_id": f"<{t.mark}@example.com>", "brand": "",
    },
    "dunning.messagetemplate": lambda t: {"name": "reminder", "language": "en", "version": 1, "subject": t.hush},
    "dunning.supporttask": lambda t: {"state": "open", "suggestion": make("approvals.suggestion", t)},
    "support.customercontact": lambda t: {"customer": t.id("cus"), "name": t.hush},
    "djstripe.account": lambda t: {"id": t.account or t.id("acct"), "djstripe_owner_account": None},
}  # fmt: skip


def _entry(tenant: Tenant) -> dict[str, Any]:
    """Its postings come first: the insert of the entry checks them and closes it."""
    entry_id, amounts = uuid.uuid4(), {"receivable": 100, "seller_payable": -70, "platform_revenue": -30}
    for account, amount in amounts.items():
        apps.get_model("ledger.posting")._default_manager.create(
            entry_id=entry_id, account=account, amount=amount, currency="usd", seller=tenant.account,
            invoice=tenant.ref("in"),
        )  # fmt: skip
    return {"id": entry_id, "seller": tenant.account, "book": "", "source": tenant.id("tr")}


def make(label: str, tenant: Tenant) -> Any:
    """The tenant's object of this model, made on the first call."""
    label = label.lower()
    if label not in tenant.objects:
        model = apps.get_model(label)
        given = OVERRIDES.get(label, lambda t: {})(tenant)
        fields = [f for f in model._meta.concrete_fields if f.name not in given]
        values = given | {f.name: found for f in fields if (found := _value(f, tenant)) is not _LEFT}
        if label == "auth.user":
            values = {"username": f"user-{tenant.mark}", "password": "!", "is_staff": True}
        if label.startswith(("djstripe.", "mirror.")) and label.partition(".")[2] in STRIPE_PREFIX:
            name = label.partition(".")[2]
            column = "stripe_data" if label.startswith("djstripe.") else "data"
            values |= {"id": values.get("id") if name == "account" else tenant.id(STRIPE_PREFIX[name])}
            if any(f.name == column for f in model._meta.concrete_fields):
                values[column] = stripe_data(name, tenant)
        obj = model(**values)
        obj.save(force_insert=True)
        tenant.objects[label] = obj
    return tenant.objects[label]


_LEFT = object()


def _value(f: Any, tenant: Tenant) -> Any:
    if isinstance(f, models.GeneratedField) or (f.primary_key and isinstance(f, models.AutoField)):
        return _LEFT
    if f.name in ("account", "djstripe_owner_account") and not f.primary_key:
        if f.is_relation:
            return make("djstripe.account", tenant) if tenant.account else None
        return tenant.account
    if f.is_relation:
        target = f.related_model
        if target._meta.label_lower == "auth.user":
            return make("auth.user", tenant) if not f.null else _LEFT
        return (
            _LEFT
            if f.null or target._meta.label_lower == f.model._meta.label_lower
            else make(target._meta.label_lower, tenant)
        )
    if f.choices:
        return _LEFT if f.has_default() else next(value for value, _ in f.flatchoices if value != "")
    if isinstance(f, models.UUIDField):
        return _LEFT if f.has_default() else uuid.uuid4()
    if f.name == "currency":
        return "usd"
    if isinstance(f, models.EmailField):
        return f"{tenant.mark.lower()}@example.com"
    if isinstance(f, models.TextField):
        return tenant.hush
    if isinstance(f, models.CharField):
        named = tenant.ref if f.name in SHARED and not f.unique else tenant.id
        text = tenant.hush if f.name in TEXTS else named(IDS.get(f.name, f.name[:4]))
        return text[: f.max_length] if f.max_length and f.max_length < len(text) else text
    if isinstance(f, models.JSONField):
        return _LEFT if f.has_default() else {"text": tenant.hush}
    if isinstance(f, models.BooleanField):
        return _LEFT if f.has_default() else False
    if isinstance(f, models.DateTimeField):
        return _LEFT if f.has_default() or f.null or f.auto_now or f.auto_now_add else timezone.now()
    if isinstance(f, models.DateField):
        return _LEFT if f.has_default() or f.null else timezone.localdate()
    if isinstance(f, (models.IntegerField, models.DecimalField)):
        return _LEFT if f.has_default() or (f.null and f.name != "amount") else 100
    return _LEFT
