"""Brands: one per connected account, and the platform's own (account ""), which speaks where an account has none."""

from __future__ import annotations

from email.utils import formataddr

from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

PLAIN = "#1a5a86"


class Logo(models.Model):
    """A picture, kept for good: messages that were sent show it. PNG, at most 64 KB (terms.py)."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    data = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.sha256[:12]


class Brand(models.Model):
    """`voice`: how the brand speaks, told to the model as data. `languages`: those it writes in, empty for all that
    there are texts in. `logo`: a PNG of at most 64 KB; its fingerprint stands in the history, the picture does not."""

    class Unsubscribe(models.TextChoices):
        LAW = "law", "where the law asks for it"
        ALWAYS = "always", "in every message"

    slug = models.SlugField(max_length=40, unique=True)
    account = models.CharField(max_length=64, blank=True, default="", unique=True)
    name = models.CharField(max_length=80)
    colour = models.CharField(max_length=7, default=PLAIN)
    logo_sha256 = models.CharField(max_length=64, blank=True, default="")
    from_name = models.CharField(max_length=80, blank=True, default="", help_text="the brand's name where empty")
    from_address = models.CharField(max_length=254, blank=True, default="", help_text="the installation's where empty")
    reply_to = models.CharField(max_length=254, blank=True, default="")
    postal_address = models.TextField(max_length=400, blank=True, default="")
    help_url = models.CharField(max_length=200, blank=True, default="")
    voice = models.TextField(max_length=500, blank=True, default="")
    default_language = models.CharField(max_length=12, default="en")
    languages = models.JSONField(default=list, blank=True)
    unsubscribe = models.CharField(max_length=6, choices=Unsubscribe.choices, default=Unsubscribe.LAW)
    footer = models.TextField(max_length=500, blank=True, default="", help_text="the same in every language")
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(default=timezone.now)

    history = HistoricalRecords()

    class Meta:
        ordering = ["account"]
        constraints = [models.CheckConstraint(condition=~Q(name=""), name="brand_has_a_name")]

    picture: bytes | None = None

    def __str__(self) -> str:
        return self.name

    def logo(self) -> bytes:
        """The PNG, b"" where there is none. One statement; none where `picture` was set, as for one not stored yet."""
        return logo_of(self.logo_sha256) if self.picture is None else self.picture

    @property
    def is_stored(self) -> bool:
        return self.pk is not None

    def sender(self, fallback: str) -> str:
        """The From header. `fallback`: the installation's address, used where the brand has none."""
        return formataddr((self.from_name or self.name, self.from_address or fallback))

    def speaks(self, language: str) -> bool:
        return not self.languages or language in self.languages


def logo_of(sha256: str) -> bytes:
    """The PNG with this fingerprint (or the beginning of it), b"" where there is none."""
    data = Logo.objects.filter(sha256__startswith=sha256).values_list("data", flat=True).first() if sha256 else None
    return bytes(data) if data else b""
