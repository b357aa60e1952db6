"""cProfile's figures as a short text."""

from __future__ import annotations

import cProfile
import io
import pstats

LINES = 25


def top(profile: cProfile.Profile) -> str:
    """The functions that took most, by their own time and then with what they called."""
    text = io.StringIO()
    stats = pstats.Stats(profile, stream=text).strip_dirs()
    for order in ("tottime", "cumulative"):
        stats.sort_stats(order).print_stats(LINES)
    lines = [line for line in text.getvalue().splitlines() if line.strip()]
    return "\n".join(lines)
