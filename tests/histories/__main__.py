"""`make histories`: random histories of sellers' money at full size. Ends with 1 at the first that breaks.

python -m tests.histories [--count 100000] [--seed 1] [--workers 2] [--orders 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.histories import runner


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description="Random histories of money.")
    parser.add_argument("--count", type=int, default=100_000, help="histories (100000)")
    parser.add_argument("--seed", type=int, default=1, help="of the first one; each further has the next")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--orders", type=int, default=2, help="in which each is heard (2)")
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args()
    runner.set_up()
    found = runner.run(count=given.count, seed=given.seed, workers=given.workers, orders=given.orders)
    print(f"{found.count:,} histories, {given.orders} orders each, in {found.seconds:.0f} s")
    print(f"{found.heard:,} events heard, {found.entries:,} journal entries posted, each step checked")
    width = max(map(len, found.features), default=0)
    for name, count in found.features.most_common():
        print(f"  {name:{width}}  {count:>9,}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found.as_json() | {"orders": given.orders, "first_seed": given.seed}) + "\n")
    if found.broken:
        print(f"\nseed {found.seed} breaks: {found.broken}")
        print(f"it takes: {', '.join(found.objects)}")
        print(f"again: python -m tests.histories --count 1 --seed {found.seed} --workers 1 --orders {given.orders}")
        return 1
    print("\nall hold")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
