"""What dj-stripe's tables lack: two kinds of object, one typed index over all that lists and joins need, and the
checkpoints of the backfill. Only sync.py, backfill.py and keeping_up.py write here.

Amounts: int, minor units of `currency`. Ids: Stripe's, "" where absent. `account` is the connected account ("" = the
platform's own).
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class MirroredObject(models.Model):
    """One typed, indexed row per mirrored object that stands in a list: what dj-stripe keeps in JSON meets no index.

    `status` and `amount` are the object's own (an invoice's total, a charge's amount, a refund's amount…). `parent_id`
    is what it belongs to: a charge's payment intent, a refund's or dispute's charge, a credit note's invoice, an
    invoice's subscription. `number` is what people call it (an invoice's or credit note's number).
    """

    object_type = models.CharField(max_length=32)
    object_id = models.CharField(max_length=255, unique=True)
    account = models.CharField(max_length=64, blank=True, default="")
    customer_id = models.CharField(max_length=255, blank=True, default="")
    parent_id = models.CharField(max_length=255, blank=True, default="")
    number = models.CharField(max_length=64, blank=True, default="")
    status = models.CharField(max_length=40, blank=True, default="")
    amount = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    created = models.DateTimeField()
    synced_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created", "-object_id"]
        indexes = [
            models.Index(fields=["customer_id", "-created", "-object_id"], name="mirror_customer"),
            models.Index(fields=["object_type", "status", "-created"], name="mirror_type_status"),
            models.Index(fields=["object_type", "account", "-created"], name="mirror_type_account"),
            models.Index(fields=["object_type", "-created", "-object_id"], name="mirror_type"),
            models.Index(fields=["parent_id"], name="mirror_parent"),
        ]

    def __str__(self) -> str:
        return f"{self.object_type} {self.object_id}"


class CreditNote(models.Model):
    """A credit note. `refund_ids` stand in `stripe_data` (both shapes, see reader.py)."""

    id = models.CharField(max_length=255, primary_key=True)
    account = models.CharField(max_length=64, blank=True, default="")
    invoice_id = models.CharField(max_length=255)
    customer_id = models.CharField(max_length=255, blank=True, default="")
    number = models.CharField(max_length=64, blank=True, default="")
    status = models.CharField(max_length=20)
    reason = models.CharField(max_length=40, blank=True, default="")
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    created = models.DateTimeField()
    livemode = models.BooleanField(default=False)
    stripe_data = models.JSONField(default=dict)
    synced_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created"]
        indexes = [
            models.Index(fields=["invoice_id", "-created"], name="creditnote_invoice"),
            models.Index(fields=["customer_id", "-created"], name="creditnote_customer"),
        ]

    def __str__(self) -> str:
        return self.number or self.id


class InvoicePayment(models.Model):
    """Which payment paid how much of which invoice: the object that replaced `invoice.charge` (API 2025-03-31)."""

    id = models.CharField(max_length=255, primary_key=True)
    account = models.CharField(max_length=64, blank=True, default="")
    invoice_id = models.CharField(max_length=255)
    payment_intent_id = models.CharField(max_length=255, blank=True, default="")
    charge_id = models.CharField(max_length=255, blank=True, default="")
    status = models.CharField(max_length=20)
    is_default = models.BooleanField(default=False)
    amount_requested = models.BigIntegerField()
    amount_paid = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    created = models.DateTimeField()
    paid_at = models.DateTimeField(null=True, blank=True)
    livemode = models.BooleanField(default=False)
    stripe_data = models.JSONField(default=dict)
    synced_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created", "id"]
        indexes = [
            models.Index(fields=["invoice_id", "created"], name="invoicepayment_invoice"),
            models.Index(fields=["payment_intent_id"], name="invoicepayment_intent"),
            models.Index(fields=["charge_id"], name="invoicepayment_charge"),
        ]

    def __str__(self) -> str:
        return f"{self.id} of {self.invoice_id}"


class MirroredBalanceTransaction(models.Model):
    """One movement on a Stripe balance, typed and indexed: what reconciliation joins with. `account`: whose balance.

    net = amount − fee. `source_id` is the object behind it (ch_…, re_…, du_…, tr_…, trr_…, po_…), `payout_id` the
    automatic payout that holds it, "" where Stripe does not say. Group by `reporting_category`, not by `type` (FACTS).
    """

    object_id = models.CharField(max_length=255, unique=True, help_text="txn_…")
    account = models.CharField(max_length=64, blank=True, default="")
    type = models.CharField(max_length=60)
    reporting_category = models.CharField(max_length=60)
    source_id = models.CharField(max_length=255, blank=True, default="")
    amount = models.BigIntegerField()
    fee = models.BigIntegerField(default=0)
    net = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    fee_details = models.JSONField(default=list, blank=True, help_text="[{type, amount, currency, application}]")
    exchange_rate = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True)
    status = models.CharField(max_length=12, blank=True, default="", help_text="pending or available")
    payout_id = models.CharField(max_length=255, blank=True, default="")
    created = models.DateTimeField()
    available_on = models.DateTimeField(null=True, blank=True)
    synced_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created", "-object_id"]
        indexes = [
            models.Index(fields=["account", "-created", "-object_id"], name="balance_txn_account"),
            models.Index(fields=["source_id"], name="balance_txn_source"),
            models.Index(fields=["payout_id"], condition=~models.Q(payout_id=""), name="balance_txn_payout"),
            models.Index(fields=["synced_at"], name="balance_txn_synced"),
            # Reconciliation reads all of them from the index alone (docs/decisions/0025).
            models.Index(
                fields=["object_id"], include=["id", "account", "currency", "net", "fee"], name="balance_txn_compared"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reporting_category} {self.object_id}"


class SyncCheckpoint(models.Model):
    """How far the backfill has come with one kind of object of one account: the last id of the last finished page. For
    keeping_up.py: up to which movement an account's balance was listed (`finished_at`), when (`updated_at`), how often
    it failed since, and why the last time."""

    model = models.CharField(max_length=40)
    account = models.CharField(max_length=64, blank=True, default="")
    cursor = models.CharField(max_length=255, blank=True, default="")
    stored = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    problem = models.CharField(max_length=300, blank=True, default="")
    finished_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["model", "account"]
        constraints = [
            models.UniqueConstraint(fields=["model", "account"], name="one_checkpoint_per_model_and_account")
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.account or 'platform'}: {self.stored}"
