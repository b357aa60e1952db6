"""Many failures under many policies, each failure drawn once and played by all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from dunning.proof import assumptions, policies
from dunning.proof.assumptions import Assumptions
from dunning.proof.engine import Policy, play
from dunning.proof.measures import ALL, Lift, Outcome, Tally, lift, tallies
from dunning.proof.world import failure

SEED = 20261122
CHUNK = 2500
NAMED = (
    "fixed_3_5_7",
    "stripe_custom",
    "lago",
    "killbill",
    "polar",
)  # schedules that somebody publishes or that the issue names
# What the sensitivity table varies, one at a time, by half: every number that is assumed and that could matter.
FACTORS = (0.5, 1.5)


@dataclass(frozen=True, slots=True)
class Run:
    """`outcomes`: policy → one outcome per failure, in the order of their numbers."""

    seed: int
    failures: int
    world: Assumptions
    outcomes: dict[str, list[Outcome]]
    labels: dict[str, str]
    sources: dict[str, str]
    tallies: dict[str, dict[str, Tally]] = field(default_factory=dict)

    def best(self, among: Iterable[str] = policies.FIXED) -> str:
        """Of these policies the one that recovers most, "" when none was played."""
        played = [name for name in among if name in self.outcomes]
        return max(played, key=lambda name: self.tallies[name][ALL].share, default="")

    def lift(self, first: str, second: str, **options: int) -> Lift:
        return lift(self.outcomes[first], self.outcomes[second], **options)


def run(
    names: Sequence[str],
    *,
    failures: int,
    seed: int = SEED,
    world: Assumptions | None = None,
    messages: bool = True,
    charges: bool = True,
    processes: int = 1,
    made: Callable[[str], Policy] = policies.make,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """Play `failures` failed payments under each of the policies. `processes` > 1 shares them out; the result is the
    same, for each failure is a function of seed and number."""
    dials = world or Assumptions()
    spans = [(start, min(start + CHUNK, failures)) for start in range(0, failures, CHUNK)]
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    jobs = [(tuple(names), seed, first, last, dials, messages, charges) for first, last in spans]
    if processes > 1 and made is policies.make:
        with ProcessPoolExecutor(processes) as pool:
            parts: Iterable[dict[str, list[Outcome]]] = pool.map(_job, jobs)
            for part, (_first, last) in zip(parts, spans, strict=True):
                _extend(outcomes, part, last, progress)
    else:
        for job, (_first, last) in zip(jobs, spans, strict=True):
            _extend(outcomes, _chunk(*job, made), last, progress)
    found = {name: made(name) for name in names}
    return Run(
        seed,
        failures,
        dials,
        outcomes,
        {name: policy.label for name, policy in found.items()},
        {name: policy.source for name, policy in found.items()},
        {name: tallies(rows) for name, rows in outcomes.items()},
    )


def _extend(
    outcomes: dict[str, list[Outcome]],
    part: dict[str, list[Outcome]],
    last: int,
    progress: Callable[[int], None] | None,
) -> None:
    for name, rows in part.items():
        outcomes[name].extend(rows)
    if progress:
        progress(last)


Job = tuple[tuple[str, ...], int, int, int, Assumptions, bool, bool]


def _job(job: Job) -> dict[str, list[Outcome]]:
    return _chunk(*job, policies.make)


def _chunk(
    names: tuple[str, ...],
    seed: int,
    first: int,
    last: int,
    world: Assumptions,
    messages: bool,
    charges: bool,
    made: Callable[[str], Policy],
) -> dict[str, list[Outcome]]:
    found = {name: made(name) for name in names}
    rows: dict[str, list[Outcome]] = {name: [] for name in names}
    for number in range(first, last):
        case = failure(seed, number, world)
        for name, policy in found.items():
            rows[name].append(Outcome.of(play(case, policy, messages=messages, charges=charges)))
    return rows


@dataclass(frozen=True, slots=True)
class Ablated:
    """A policy with nothing but its charges, and with nothing but its messages: recovered shares."""

    policy: str
    both: float
    charges: float
    messages: float


def ablation(names: Sequence[str], *, failures: int, seed: int = SEED, processes: int = 1) -> list[Ablated]:
    both = run(names, failures=failures, seed=seed, processes=processes)
    timing = run(names, failures=failures, seed=seed, messages=False, processes=processes)
    words = run(names, failures=failures, seed=seed, charges=False, processes=processes)
    return [
        Ablated(
            name,
            both.tallies[name][ALL].share,
            timing.tallies[name][ALL].share,
            words.tallies[name][ALL].share,
        )
        for name in names
    ]


@dataclass(frozen=True, slots=True)
class Varied:
    """The comparison in a world in which one thing is different. `best`: the ladder that is best there."""

    what: str
    value: str
    source: str
    ours: float
    best: str
    best_share: float
    lift: Lift


def variations(base: Assumptions) -> list[tuple[str, str, str, Assumptions]]:
    """(what, value, source, world): each assumed number half as much and half as much again, and reasons' shares."""
    found = [("nothing", "", "", base)]
    for name in assumptions.NUMBERS:
        if name == "night_approval":
            continue
        for factor in FACTORS:
            world = assumptions.changed(base, name, factor)
            value = getattr(world, name)
            if value != getattr(base, name):
                found.append((name, f"{value:.4g}", assumptions.source_of(name), world))
    for code in ("insufficient_funds", "do_not_honor", "expired_card", "authentication_required"):
        for factor in FACTORS:
            world = assumptions.with_share(base, code, factor)
            share = dict(world.card_reasons)[code]
            found.append((f"share of {code}", f"{share:.3f}", assumptions.source_of("card_reasons"), world))
    night = assumptions.replace(base, night_approval=0.85)
    found.append(("night_approval", "0.85", assumptions.source_of("night_approval"), night))
    return found


def sensitivity(
    *, failures: int, seed: int = SEED, ladders: Sequence[str] = policies.FIXED, processes: int = 1
) -> list[Varied]:
    rows = []
    for what, value, source, world in variations(Assumptions()):
        found = run((policies.OURS, *ladders), failures=failures, seed=seed, world=world, processes=processes)
        best = found.best(ladders)
        rows.append(
            Varied(
                what,
                value,
                source,
                found.tallies[policies.OURS][ALL].share,
                best,
                found.tallies[best][ALL].share,
                found.lift(policies.OURS, best, resamples=200),
            )
        )
    return rows
