"""What an access rule costs: the same answers with the rule and without it.

    python benchmarks/app_rule.py [--runs 5] [--seconds 4]

The program, the rows and the load of app_sqlite.py, served twice from files of their own: once
with `read: owner == user.id`, once with `read: true`. Both verify the token and are asked the same:
a row by its key, and a list of 20 that is filtered by owner and state, so that the rule's condition
comes on top of an equal one. On SQLite the server's CPU is that of the database, too, so nothing
weighs more than here. In turns, on this machine; medians.
"""

import argparse
import os
import statistics
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path

from app_postgres import PROGRAM, Figure, Served, load, token
from app_sqlite import app

MOST_PERCENT = 10
RULED = PROGRAM.replace("filter: [state]", "filter: [state, owner]")
UNRULED = RULED.replace("read: owner == user.id", "read: true")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--runs", type=int, default=5)
    asked.add_argument("--seconds", type=int, default=4)
    options = asked.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run")
    key = str(uuid.uuid4())
    with ExitStack() as stack:
        served = []
        for name, program in (("with the rule", RULED), ("without", UNRULED)):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            served.append(stack.enter_context(app(folder, key, program, name)))
        show(served, key, options.runs, options.seconds)


def show(served: list[Served], key: str, runs: int, seconds: int) -> None:
    paths = {
        "one row": f"/items/{key}",
        "filtered list of 20": "/items?state=open&owner=user%207&sort=-made&limit=20",
    }
    missed = []
    print(f"\n{'':22} {'':15} {'answers/s':>10} {'CPU ms':>8}")
    for what, path in paths.items():
        found: dict[str, list[Figure]] = {each.name: [] for each in served}
        for run in range(runs + 1):
            for each in served:
                took = load(each, each.base + path, token(), "", seconds if run else 1)
                if run:  # the first only warms up
                    found[each.name].append(took)
        for name, many in found.items():
            rate, cpu = (
                statistics.median(getattr(one, of) for one in many) for of in ("rate", "cpu")
            )
            print(f"{what:22} {name:15} {rate:10,.0f} {cpu:8.3f}")
        pairs = zip(*found.values(), strict=True)
        more = statistics.median((ruled.cpu / free.cpu - 1) * 100 for ruled, free in pairs)
        print(f"{'':22} the rule costs {more:.1f} % of CPU (median of pairs)")
        if more > MOST_PERCENT:
            missed.append(f"{what}: {more:.1f} % of {MOST_PERCENT}")
    print("reached: all" if not missed else "missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
