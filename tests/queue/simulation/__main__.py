"""Replay a history: `python -m tests.queue.simulation SEED [--steps N] [--trace]`."""

import argparse
import asyncio
import sys
import tempfile
import traceback
from pathlib import Path

from tests.queue.simulation.simulation import STEPS, Simulation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.queue.simulation")
    parser.add_argument("seed", type=int)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--trace", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(
            given.seed,
            Path(folder) / "queue.db",
            steps=given.steps,
            trace=print if given.trace else None,
        )
        try:
            violations = asyncio.run(simulation.run())
        except Exception:  # noqa: BLE001 - shown, whatever it is
            traceback.print_exc()
            return 1
    for violation in violations:
        print(violation)
    print(
        f"seed {given.seed}: {len(simulation.history)} observations,"
        f" {simulation.crashes} restarts, {len(violations)} violations"
    )
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
