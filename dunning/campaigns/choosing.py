"""Which sequence a case follows. What the planner's loader calls; three statements for any number of cases.

A case is given its sequence once, when it is opened: write `sequence.name`, `sequence.version` and the arm on it
(`Chosen.columns`). From then on ask `sequence_of` with what stands there: an old version stays as it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from dunning.campaigns import content
from dunning.campaigns.arms import Arm, assign
from dunning.campaigns.models import CampaignVersion, Experiment
from dunning.campaigns.segments import Candidate, CaseProfile, winner
from dunning.plan.sequences import STANDARD, Sequence


class Chosen(NamedTuple):
    """`arm`: of a running A/B test, "" where there is none."""

    sequence: Sequence
    arm: str = ""

    @property
    def columns(self) -> dict[str, Any]:
        """What a case keeps of it."""
        return {"sequence": self.sequence.name, "sequence_version": self.sequence.version, "arm": self.arm}


@dataclass(frozen=True, slots=True)
class _Test:
    seed: int
    arms: tuple[Arm, ...]
    sequences: dict[int, Sequence]


@dataclass(frozen=True, slots=True)
class _Content:
    sequence: Sequence
    test: _Test | None = None


class Book:
    """The campaigns that take cases, as they stood when it was read: one for each pass over many cases."""

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        self.candidates = tuple(candidates)

    @classmethod
    def read(cls) -> Book:
        """At most three statements."""
        rows = CampaignVersion.objects.filter(state=CampaignVersion.State.ACTIVE, campaign__active=True)
        active = list(rows.select_related("campaign"))
        tests = _running_tests() if active else {}
        return cls(
            Candidate(
                name=row.campaign.name,
                account=row.campaign.account,
                priority=row.campaign.priority,
                segment=row.read_segment(),
                content=_Content(row.read_sequence(), tests.get(row.campaign_id)),
            )
            for row in active
        )

    def with_version(self, version: CampaignVersion) -> Book:
        """As it would be, were this version its campaign's active one and nothing tested."""
        campaign = version.campaign
        mine = Candidate(
            campaign.name,
            campaign.account,
            campaign.priority,
            version.read_segment(),
            _Content(version.read_sequence()),
        )
        return Book([mine, *(one for one in self.candidates if one.name != campaign.name)])

    def choose(self, profile: CaseProfile) -> Chosen:
        found = winner(self.candidates, profile)
        if found is None:
            return Chosen(STANDARD)
        if (test := found.content.test) is None:
            return Chosen(found.content.sequence)
        who = profile.customer or profile.invoice
        arm = assign(test.arms, seed=test.seed, account=profile.account, customer=who)
        return Chosen(test.sequences[arm.version], arm.name)


def _running_tests() -> dict[int, _Test]:
    """campaign id → its running test. Two statements, one where nothing is tested."""
    running = list(Experiment.objects.filter(state=Experiment.State.RUNNING))
    if not running:
        return {}
    sequences: dict[int, dict[int, Sequence]] = defaultdict(dict)
    wanted = {number for row in running for number in (arm.version for arm in row.read_arms())}
    versions = CampaignVersion.objects.filter(campaign__in=[row.campaign_id for row in running], number__in=wanted)
    for version in versions.select_related("campaign"):
        sequences[version.campaign_id][version.number] = version.read_sequence()
    return {row.campaign_id: _Test(row.seed, row.read_arms(), sequences[row.campaign_id]) for row in running}


def sequence_for(profile: CaseProfile, *, book: Book | None = None) -> Chosen:
    """(sequence, arm) for a case that is being opened; STANDARD where no campaign matches."""
    return (book or Book.read()).choose(profile)


def sequences_for(profiles: Iterable[CaseProfile], *, book: Book | None = None) -> list[Chosen]:
    """The same for many, in their order, in the statements of one."""
    book = book or Book.read()
    return [book.choose(profile) for profile in profiles]


def sequence_of(name: str, version: int) -> Sequence:
    """The sequence a case follows, whatever became of the campaign; STANDARD for "" and "standard". One statement."""
    return sequences_of([(name, version)])[(name, version)]


def sequences_of(keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Sequence]:
    """The same for many (name, version). One statement; a version that is not there answers STANDARD."""
    found: dict[tuple[str, int], Sequence] = dict.fromkeys(keys, STANDARD)
    names = {name for name, _ in found} - {"", STANDARD.name}
    if names:
        rows = CampaignVersion.objects.filter(campaign__name__in=names, number__in={number for _, number in found})
        for name, number, text in rows.values_list("campaign__name", "number", "sequence"):
            if (name, number) in found:
                found[(name, number)] = content.read_sequence(text, name=name, version=number)
    return found
