"""patchgen: judging, rendering and starting, beside the same written plainly and beside kubectl.

    python benchmarks/patchgen.py [--quick]

Peers in the same run: jsonschema (draft 2020-12, the published schema), PyYAML, and `kubectl
kustomize` on one package. What a disk does to it: patchgen_disk.py. Medians of 5 rounds with the
spread; on a busy machine the CPU of one operation says more than the rate. `--quick` is one short
round (its numbers say little). Nothing is asserted.
"""

import argparse
import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from backstay.patchgen.render import render
from backstay.patchgen.schema import schema_text
from backstay.patchgen.validate import require, validate

ROUNDS = 5
_BIN = str(Path(sys.executable).parent)
PATCHGEN = f"{_BIN}/patchgen"
KUBECTL = shutil.which("kubectl") or shutil.which("kubectl", path=_BIN) or ""


def text_of(number: int) -> bytes:
    fields = {
        "intent_type": "scaling",
        "target": f"app-{number}",
        "namespace": "default",
        "replicas": number % 101,
        "reason": "evening peak",
        "source": "planner",
        "correlation_id": f"run-{number}",
    }
    return json.dumps(fields).encode()


class Rate(NamedTuple):
    """Operations a second (median, least, most of the rounds); CPU µs of one, user and system."""

    middle: float
    low: float
    high: float
    cpu: float


def rate_of(rounds: Iterable[tuple[int, Callable[[], object]]]) -> Rate:
    """Runs each round's work, which does so many operations."""
    rates, cpus = [], []
    for count, work in rounds:
        gc.collect()
        began, spent = time.perf_counter(), time.process_time()
        work()
        rates.append(count / (time.perf_counter() - began))
        cpus.append((time.process_time() - spent) / count * 1e6)
    return Rate(statistics.median(rates), min(rates), max(rates), statistics.median(cpus))


def per_second(work: Callable[[], object], count: int, rounds: int) -> Rate:
    """The same work in every round."""
    return rate_of((count, work) for _ in range(rounds))


def held(work: Callable[[], object], count: int) -> tuple[float, float]:
    """Living allocations and bytes of one result."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    kept = [work() for _ in range(count)]
    after = tracemalloc.take_snapshot()
    tracemalloc.stop()
    grown = after.compare_to(before, "filename")
    del kept
    return sum(one.count_diff for one in grown) / count, sum(one.size_diff for one in grown) / count


def show(name: str, rate: Rate, note: str = "") -> None:
    spread = f"({rate.low:,.0f}–{rate.high:,.0f})"
    print(
        f"{name:<46} {rate.middle:>9,.0f}/s {rate.cpu:>8,.1f} µs CPU  {spread:<18} {note}".rstrip()
    )


def in_memory(count: int, rounds: int) -> None:
    texts = [text_of(number) for number in range(count)]
    doubtful = [text.replace(b'"reason"', b'"reason2"') for text in texts[: count // 10]]
    allocations, size = held(lambda: validate(texts[0]), 200)
    note = f"{allocations:.0f} allocations, {size:.0f} bytes a result"
    show("validate", per_second(lambda: [validate(text) for text in texts], count, rounds), note)
    slow = per_second(lambda: [validate(text) for text in doubtful], len(doubtful), rounds)
    show("validate, slow pass (an unknown field)", slow)
    intents = [require(text) for text in texts[: count // 10]]
    allocations, size = held(lambda: render(intents[0]), 200)
    note = f"{allocations:.0f} allocations, {size:.0f} bytes a result"
    made = per_second(lambda: [render(one) for one in intents], len(intents), rounds)
    show("render a package (bytes only)", made, note)
    if find_spec("jsonschema") is None:
        print("peer: jsonschema is not installed")
        return
    import jsonschema
    import yaml

    judge = jsonschema.Draft202012Validator(json.loads(schema_text()))
    few = texts[: max(50, count // 100)]

    def plainly() -> None:
        for text in few:
            judge.validate(json.loads(text))

    show("peer: json + jsonschema", per_second(plainly, len(few), rounds))
    documents = [
        yaml.safe_load(content)
        for name, content in render(intents[0]).files.items()
        if name != "README.md"
    ]
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    def dump() -> None:
        for _ in few:
            for document in documents:
                yaml.dump(document, Dumper=dumper)

    show("peer: the same YAML by PyYAML (libyaml)", per_second(dump, len(few), rounds))


def commands(folder: Path, rounds: int) -> None:
    intent = folder / "intent.json"
    intent.write_bytes(text_of(1))
    _timed("`patchgen validate`, whole process", [PATCHGEN, "validate", str(intent)], rounds)
    out = folder / "one"
    out.mkdir(exist_ok=True)
    words = [PATCHGEN, "generate", "-intent", str(intent), "-output", str(out)]
    _timed("`patchgen generate`, whole process", words, rounds)
    if not KUBECTL:
        print("peer: kubectl is not installed")
        return
    package = next(out.iterdir())
    _timed(
        "peer: `kubectl kustomize` on that package", [KUBECTL, "kustomize", str(package)], rounds
    )


def _timed(name: str, words: Sequence[str], rounds: int) -> None:
    took = []
    for _ in range(rounds * 4):
        began = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        took.append(time.perf_counter() - began)
    middle = statistics.median(took)
    print(f"{name:<46} {middle * 1e3:>9.0f} ms  ({min(took) * 1e3:.0f}–{max(took) * 1e3:.0f})")


def machine(folder: str) -> str:
    """Where the figures come from."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True)
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, load {os.getloadavg()[0]:.1f} before the run, folder "
        f"{folder} ({kind.stdout.strip()})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    rounds = 1 if given.quick else ROUNDS
    print(machine(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory() as scratch:
        in_memory(2_000 if given.quick else 50_000, rounds)
        commands(Path(scratch), rounds)


if __name__ == "__main__":
    main()
