"""The few figures of statistics that pages and policies rest on."""

from __future__ import annotations

from math import sqrt

Z_95 = 1.959963984540054  # two-sided 95 %


def wilson(successes: int, trials: int, *, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a proportion; (0.0, 1.0) when nothing was tried.

    381 of 381 give a lower bound of 0.99. Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no proportion")
    if trials == 0:
        return 0.0, 1.0
    share, square = successes / trials, z * z / trials
    middle = share + square / 2
    spread = z * sqrt(share * (1 - share) / trials + square / (4 * trials))
    lower, upper = (middle - spread) / (1 + square), (middle + spread) / (1 + square)
    # Rounding must not put a bound beyond what is possible.
    return (0.0 if successes == 0 else max(0.0, lower)), (1.0 if successes == trials else min(1.0, upper))


def newcombe(
    successes: int, trials: int, other_successes: int, other_trials: int, *, z: float = Z_95
) -> tuple[float, float]:
    """The interval of the difference of two independent proportions, the first minus the other, from their Wilson
    intervals; (-1.0, 1.0) where one of them was not tried.

    Source: R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, method 10.
    """
    if not trials or not other_trials:
        return -1.0, 1.0
    share, other = successes / trials, other_successes / other_trials
    low, high = wilson(successes, trials, z=z)
    other_low, other_high = wilson(other_successes, other_trials, z=z)
    below = sqrt((share - low) ** 2 + (other_high - other) ** 2)
    above = sqrt((high - share) ** 2 + (other - other_low) ** 2)
    return share - other - below, share - other + above
