"""patchgen: judging, making and starting, beside the same written plainly and beside kubectl.

    python benchmarks/patchgen.py [--quick] [--folder DIR] [--batch COUNT]

Peers in the same run: jsonschema + PyYAML written plainly (draft 2020-12, the published schema,
safe_dump, five files by write_bytes: not atomic, not synced), and `kubectl kustomize` on one
package. Medians of 5 rounds with the spread; on a busy machine the CPU of one operation says more
than the rate. `--quick` is one short round (its numbers say little). Nothing is asserted.
"""

import argparse
import gc
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from backstay.core.clock import SystemClock, Uuid7
from backstay.patchgen.model import Package
from backstay.patchgen.render import render
from backstay.patchgen.schema import schema_text
from backstay.patchgen.validate import require, validate
from backstay.patchgen.write import Durability, FolderWriter

ROUNDS = 5
PATCHGEN = str(Path(sys.executable).parent / "patchgen")


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


def on_disk(folder: Path, count: int, rounds: int) -> None:
    packages = [render(require(text_of(number))) for number in range(count)]
    ways: Sequence[tuple[Durability, int]] = (("process", 256), ("power", 256), ("power", 1))
    for durability, group in ways:
        number = count if group > 1 else max(20, count // 20)
        name = f"generate, {durability}, {'in groups of 256' if group > 1 else 'one by one'}"
        show(name, _written(folder, packages[:number], durability, group, rounds))
    latencies = sorted(_latencies(folder, packages[: max(50, count // 10)]))
    middle, late = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    print(
        f"{'single durable package, p50 and p99':<46} {middle * 1e3:>9.2f} ms {late * 1e3:>9.2f} ms"
    )
    show("peer: five plain writes, neither whole nor durable", _plain(folder, packages, rounds))


def _written(
    folder: Path, packages: Sequence[Package], durability: Durability, group: int, rounds: int
) -> Rate:
    def each() -> Iterator[tuple[int, Callable[[], object]]]:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(dir=folder) as out:
                writer = FolderWriter(out, Uuid7(SystemClock()), durability=durability)
                parts = [packages[at : at + group] for at in range(0, len(packages), group)]
                yield len(packages), lambda writer=writer, parts=parts: [*map(writer.place, parts)]

    return rate_of(each())


def _latencies(folder: Path, packages: Sequence[Package]) -> list[float]:
    found = []
    with tempfile.TemporaryDirectory(dir=folder) as out:
        writer = FolderWriter(out, Uuid7(SystemClock()))
        for package in packages:
            began = time.perf_counter()
            writer.place([package])
            found.append(time.perf_counter() - began)
    return found


def _plain(folder: Path, packages: Sequence[Package], rounds: int) -> Rate:
    def write(out: str) -> None:
        for package in packages:
            place = Path(out) / package.name
            (place / "component").mkdir(parents=True)
            for name, content in package.files.items():
                (place / name).write_bytes(content)

    def each() -> Iterator[tuple[int, Callable[[], object]]]:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(dir=folder) as out:
                yield len(packages), lambda out=out: write(out)

    return rate_of(each())


def commands(folder: Path, rounds: int) -> None:
    intent = folder / "intent.json"
    intent.write_bytes(text_of(1))
    _timed("`patchgen validate`, whole process", [PATCHGEN, "validate", str(intent)], rounds)
    out = folder / "one"
    out.mkdir(exist_ok=True)
    words = [PATCHGEN, "generate", "-intent", str(intent), "-output", str(out)]
    _timed("`patchgen generate`, whole process", words, rounds)
    kubectl = shutil.which("kubectl") or shutil.which("kubectl", path=str(Path(PATCHGEN).parent))
    if kubectl is None:
        print("peer: kubectl is not installed")
        return
    package = next(out.iterdir())
    _timed(
        "peer: `kubectl kustomize` on that package", [kubectl, "kustomize", str(package)], rounds
    )


def _timed(name: str, words: Sequence[str], rounds: int) -> None:
    took = []
    for _ in range(rounds * 4):
        began = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        took.append(time.perf_counter() - began)
    middle = statistics.median(took)
    print(f"{name:<46} {middle * 1e3:>9.0f} ms  ({min(took) * 1e3:.0f}–{max(took) * 1e3:.0f})")


def batch(folder: Path, count: int) -> None:
    source, out = folder / "in.jsonl", folder / "batch"
    with source.open("wb") as file:
        for number in range(count):
            file.write(text_of(number) + b"\n")
    out.mkdir()
    for name in ("written", "again: all unchanged"):
        began = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [PATCHGEN, "batch", str(source), "-output", str(out)], check=True, capture_output=True
        )
        took = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"{f'batch of {count:,}, durable, {name}':<46} {count / took:>9,.0f}/s  {took:.1f} s, "
            f"CPU {cpu / count * 1e6:.0f} µs each, peak {after.ru_maxrss / 1024:.0f} MB (≤ 150)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--folder", default=tempfile.gettempdir(), help="where packages are written"
    )
    parser.add_argument("--batch", type=int, default=10_000, help="intents in the batch; 0: none")
    given = parser.parse_args()
    rounds = 1 if given.quick else ROUNDS
    load = os.getloadavg()[0]
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, load {load:.1f} before the run, folder {given.folder}"
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        in_memory(2_000 if given.quick else 50_000, rounds)
        on_disk(Path(scratch), 60 if given.quick else 2_000, rounds)
        commands(Path(scratch), rounds)
        if given.batch and not given.quick:
            batch(Path(scratch), given.batch)


if __name__ == "__main__":
    main()
