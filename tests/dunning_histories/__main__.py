"""`make dunning-histories`: random histories of unpaid invoices at full size. Ends with 1 at the first that breaks.

python -m tests.dunning_histories [--count 100000] [--seed 1] [--workers 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.dunning_histories import runner


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.dunning_histories", description="Random dunning histories.")
    parser.add_argument("--count", type=int, default=100_000, help="histories (100000)")
    parser.add_argument("--seed", type=int, default=1, help="of the first one; each further has the next")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args()
    runner.set_up()
    found = runner.run(count=given.count, seed=given.seed, workers=given.workers)
    print(f"{found.count:,} histories in {found.seconds:.0f} s, {found.twice:,} of them played twice")
    for title, figures in (("", found.figures), ("what nobody could have known:", found.unheard)):
        print(f"\n{title}" if title else "")
        for name, count in figures.most_common():
            print(f"  {count:>11,}  {name}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found.as_json() | {"first_seed": given.seed}, indent=1) + "\n")
    if found.broken:
        print(f"\nseed {found.seed} breaks: {found.broken}")
        print(f"again: python -m tests.dunning_histories --count 1 --seed {found.seed} --workers 1")
        return 1
    print("\nall hold")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
