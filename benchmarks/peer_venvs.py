"""What benchmarks with peers share: each peer is installed into a virtual environment of its own
and run there, and how figures are told.

    with folder(given) as place:
        python = installed(place, "huey", ["huey==3.0.0"])
        figures = measured(python, "engine_huey.py", "/tmp/store", "2000")
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

APPS = Path(__file__).parent / "peers"
WITHIN = 300.0


@contextlib.contextmanager
def folder(given: Path | None) -> Iterator[Path]:
    """Where environments are kept: `given`, for the next time too, or a temporary one."""
    with contextlib.ExitStack() as stack:
        yield given or Path(stack.enter_context(tempfile.TemporaryDirectory()))


def installed(place: Path, name: str, packages: Sequence[str]) -> Path:
    """The interpreter of this peer, installed when it is not there yet."""
    home = place / name
    python = home / "bin" / "python"
    done = home / "installed"
    wanted = " ".join(packages)
    if not done.exists() or done.read_text() != wanted:
        print(f"installing {wanted}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
        done.write_text(wanted)
    return python


def execute(python: Path | str, app: str, *words: str) -> str:
    """What a script of `peers` prints; it must end well."""
    done = subprocess.run(
        [str(python), str(APPS / app), *words],
        capture_output=True,
        text=True,
        timeout=WITHIN,
        cwd=APPS,
    )
    if done.returncode:
        sys.exit(f"{app} {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def measured(python: Path | str, app: str, *words: str) -> Mapping[str, Any]:
    """The figures that a script of `peers` prints; a library may print on the same line."""
    return figures(execute(python, app, *words))


def figures(told: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(told[told.index('{"rate"') :].splitlines()[0])
    return found


def percentiles(times: Sequence[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds, of seconds."""
    ordered = sorted(times)
    return ordered[len(ordered) // 2] * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
