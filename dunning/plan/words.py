"""Times and pauses in words, for rationales. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta


def day(moment: datetime) -> str:
    """Fri 27 Nov 2026"""
    return f"{moment:%a} {moment.day} {moment:%b %Y}"


def pause(length: timedelta) -> str:
    """3 hours, 2 days"""
    hours = int(length.total_seconds() // 3600)
    if hours % 24 == 0 and hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} hour" + ("s" if hours != 1 else "")
