"""The audit chain's table."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.db.models import F, Func

from billingops.ids import canonical


class CanonicalJSONField(models.TextField):
    """JSON kept as the one text that was hashed: the database neither parses nor rearranges it."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return None if value is None else json.loads(value)

    def to_python(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        return value if value is None else canonical(value)


class Family(Func):
    """The part of an action before its dot: "login" of "login.failed"."""

    # Without blanks: Django's introspection of SQLite takes a table's definition apart at each ", ".
    template = "substr(%(expressions)s,1,instr(%(expressions)s||'.','.')-1)"
    output_field = models.CharField(max_length=64)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="split_part(%(expressions)s, '.', 1)", **context)


class AuditEntry(models.Model):
    """A link of the append-only, hash-chained log. Triggers refuse UPDATE and DELETE; see approvals/audit.

    `account` is the tenant: the connected account it concerns ("" = the platform). What a person may see goes by it.
    """

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=160)
    action = models.CharField(max_length=64, help_text="suggestion.approved, policy.changed, …")
    subject = models.CharField(max_length=255, help_text="suggestion:<id>, policy:<kind>/<account>, …")
    account = models.CharField(max_length=64, blank=True, default="")
    event_id = models.CharField(max_length=255, blank=True, default="")
    data = CanonicalJSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)
    format = models.PositiveSmallIntegerField(default=1, help_text="how the hash was made")
    family = models.GeneratedField(
        expression=Family(F("action")), output_field=models.CharField(max_length=64), db_persist=True
    )

    class Meta:
        ordering = ["seq"]
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["subject", "seq"], name="audit_subject"),
            models.Index(fields=["account", "seq"], name="audit_account"),
            models.Index(fields=["actor", "seq"], name="audit_actor"),
            models.Index(fields=["family", "seq"], name="audit_family"),
            models.Index(fields=["event_id", "seq"], name="audit_event"),
            models.Index(fields=["at"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"#{self.seq} {self.action} {self.subject}"
