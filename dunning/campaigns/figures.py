"""What became of the cases that follow campaigns: counts and money for pages, in few statements however many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from billingops import access
from billingops.admin.paging import COUNT_CAP, grouped
from billingops.statistics import wilson
from dunning.campaigns.comparing import Outcome, Result, compare
from dunning.campaigns.models import Experiment
from dunning.models import DunningCase
from dunning.states import UNPAID, CaseState

DAYS = 90  # a window has at most 60
MOST_CASES = 50_000  # of one test, read at once


@dataclass
class Figures:
    """Cases opened in the last DAYS days. `money`: recovered, minor units per currency."""

    open: int = 0
    recovered: int = 0
    ended: int = 0
    money: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """Recovered of those that have ended; None while none has."""
        return self.recovered / self.ended if self.ended else None

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.recovered, self.ended)


def of_campaigns(names: Iterable[str], user: Any) -> dict[str, Figures]:
    """name → figures of the cases that `user` may see; of the newest COUNT_CAP of them. One statement."""
    found: dict[str, Figures] = defaultdict(Figures)
    return _grouped(found, ("sequence",), {"sequence__in": list(names)}, user)


def of_versions(name: str, user: Any) -> dict[int, Figures]:
    """number → the same for the versions of one campaign. One statement."""
    found: dict[int, Figures] = defaultdict(Figures)
    return _grouped(found, ("sequence_version",), {"sequence": name}, user)


def _grouped(found: Any, by: tuple[str], narrow: dict[str, Any], user: Any) -> Any:
    cases = access.scope(DunningCase.objects.filter(**narrow), user)
    cases = cases.filter(opened_at__gte=timezone.now() - timedelta(days=DAYS))
    columns = (*by, "state", "currency")
    rows = grouped(cases, columns, amount="recovered_amount", when="opened_at", order=("-opened_at",))
    for row in rows:
        one = found[row[by[0]]]
        if row["state"] in UNPAID:
            one.open += row["count"]
        else:
            one.ended += row["count"]
        if row["state"] == CaseState.RECOVERED:
            one.recovered += row["count"]
        if row["amount"]:
            one.money[row["currency"]] = one.money.get(row["currency"], 0) + row["amount"]
    return found


def result_of(experiment: Experiment, *, now: datetime | None = None) -> Result:
    """What a test has shown so far. One statement, of at most MOST_CASES cases, the first ones."""
    rows = list(cases_of(experiment).order_by("opened_at", "pk").values_list(*_COLUMNS)[:MOST_CASES])
    return compare(
        [_outcome(*row) for row in rows],
        experiment.read_arms(),
        baseline=float(experiment.baseline_percent) / 100,
        difference=float(experiment.difference_points) / 100,
        window=timedelta(days=experiment.window_days),
        now=now or timezone.now(),
        seed=experiment.seed,
        stopped=experiment.state == Experiment.State.STOPPED,
    )


_COLUMNS = (
    "arm", "account", "customer", "invoice", "opened_at", "currency", "amount_at_opening", "recovered_amount", "state",
    "closed_at",
)  # fmt: skip


def cases_of(experiment: Experiment) -> Any:
    """The cases that were divided among its arms."""
    arms: Sequence[Any] = experiment.read_arms()
    cases = DunningCase.objects.filter(
        sequence=experiment.campaign.name,
        sequence_version__in=[arm.version for arm in arms],
        arm__in=[arm.name for arm in arms],
        opened_at__gte=experiment.started_at,
    )
    return cases.filter(opened_at__lte=experiment.stopped_at) if experiment.stopped_at else cases


def _outcome(
    arm: str, account: str, customer: str, invoice: str, opened_at: datetime, currency: str, at_risk: int,
    recovered: int, state: str, closed_at: datetime | None,
) -> Outcome:  # fmt: skip
    return Outcome(
        arm=arm,
        account=account,
        customer=customer or invoice,
        opened_at=opened_at,
        currency=currency,
        at_risk=at_risk,
        recovered=recovered,
        paid_at=closed_at if state == CaseState.RECOVERED else None,
        ended_at=closed_at,
    )


__all__ = ["COUNT_CAP", "DAYS", "Figures", "cases_of", "of_campaigns", "of_versions", "result_of"]
