"""patchgen on a disk: packages a second, one durable package, a long batch that is killed.

    python benchmarks/patchgen_disk.py [--quick] [--folder DIR] [--rounds N] [--batch COUNT]

A package is measured from the bytes of its intent to its name in the folder, in one thread. In
each round every way takes its turn in a new folder, and the ratio to the peer is that of the same
round. Three parts make its time: CPU (user and system), waiting for a core that somebody else has
(from /proc/self/schedstat), and waiting for the disk. `free core` is the rate without the second.

An ext4 without a journal (some virtual machines have one) looks at all inodes that anybody freed
there within the last minutes before it gives out a new one. So nothing is removed before the end,
and each round has a part of the disk of its own where the file system knows the hint; `on used
ground` shows what that search costs. A round whose part others had used shows by its CPU, more than
twice the least of its way: such rounds are counted, and the rate is told without them, too.

Peers in the same run: jsonschema + PyYAML written plainly (the published schema, five files by
plain writes: neither whole nor durable), and `kubectl kustomize` on each package. Then a batch by
the command itself: killed in the middle, run again, run once more. Nothing is asserted.
"""

import argparse
import array
import fcntl
import gc
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, NamedTuple

from backstay.core.clock import SystemClock, Uuid7
from backstay.patchgen.look import difference
from backstay.patchgen.render import render
from backstay.patchgen.schema import schema_text
from backstay.patchgen.validate import require
from backstay.patchgen.write import Durability, FolderWriter
from patchgen import KUBECTL, PATCHGEN, machine, text_of

_GET_FLAGS, _SET_FLAGS, _TOP_OF_TREE = 0x80086601, 0x40086602, 0x00020000


class Turn(NamedTuple):
    """Seconds of one package: all, at work, waiting for a core."""

    wall: float
    cpu: float
    queued: float

    @property
    def alone(self) -> float:
        """What it would have taken with a core of its own."""
        return max(self.wall - self.queued, self.cpu)


Way = Callable[[Path, Sequence[bytes]], None]


def generate(durability: Durability, group: int) -> Way:
    """From bytes to names."""

    def work(out: Path, texts: Sequence[bytes]) -> None:
        writer = FolderWriter(out, Uuid7(SystemClock()), durability=durability)
        for at in range(0, len(texts), group):
            writer.place([render(require(text)) for text in texts[at : at + group]])
        if len(os.listdir(out)) != len(texts):  # noqa: PTH208
            raise SystemExit("not all were written")

    return work


def plainly(out: Path, texts: Sequence[bytes]) -> None:
    """What one writes who has jsonschema and PyYAML at hand."""
    import jsonschema
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    judge = jsonschema.Draft202012Validator(json.loads(schema_text()))
    like = render(require(texts[0])).files
    documents = {name: yaml.safe_load(text) for name, text in like.items() if name != "README.md"}
    for number, text in enumerate(texts):
        intent = json.loads(text)
        judge.validate(intent)
        documents["scaling-patch.yaml"]["metadata"]["name"] = intent["target"]
        documents["scaling-patch.yaml"]["spec"]["replicas"] = intent["replicas"]
        place = out / f"{intent['target']}-{number}"
        (place / "component").mkdir(parents=True)
        for name, document in documents.items():
            (place / name).write_text(yaml.dump(document, Dumper=dumper))
        (place / "README.md").write_bytes(like["README.md"])


def built(out: Path, _: Sequence[bytes]) -> None:
    """kubectl reads what patchgen wrote: one process for each package."""
    for package in sorted(out.iterdir()):
        subprocess.run([KUBECTL, "kustomize", package], check=True, capture_output=True)


class Ground:
    """Folders that nobody has used, all removed at the end."""

    def __init__(self, folder: Path) -> None:
        self.spread = _spread(folder)
        self._folder = folder

    def fresh(self) -> Path:
        """A new folder."""
        return Path(tempfile.mkdtemp(dir=self._folder))


def _spread(folder: Path) -> bool:
    """Ask for a part of the disk of its own for each folder inside (as `chattr +T`)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(descriptor, _GET_FLAGS, flags, True)
        flags[0] |= _TOP_OF_TREE
        fcntl.ioctl(descriptor, _SET_FLAGS, flags)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def turn(way: Way, out: Path, texts: Sequence[bytes]) -> Turn:
    gc.collect()
    began, (cpu, queued) = time.perf_counter(), _times()
    way(out, texts)
    took = time.perf_counter() - began
    now = _times()
    return Turn(took / len(texts), (now[0] - cpu) / len(texts), (now[1] - queued) / len(texts))


def _times() -> tuple[float, float]:
    """Seconds of CPU of this process and its ended children; seconds this thread was kept waiting
    for a core (0 where the system does not tell)."""
    own, ended = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    try:
        return cpu, int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return cpu, 0.0


def rates(ground: Ground, count: int, rounds: int) -> None:
    """Every way once in each round, so that a noisy minute meets all of them."""
    peer = "peer: jsonschema + PyYAML, plain writes"
    ways: dict[str, tuple[Way, int]] = {
        "generate, process, groups of 256": (generate("process", 256), count),
        "generate, power, groups of 256": (generate("power", 256), count),
        "generate, process, one by one": (generate("process", 1), count // 4),
        "generate, power, one by one": (generate("power", 1), count // 20),
    }
    if find_spec("jsonschema") is not None:
        ways[peer] = (plainly, count // 4)
    texts = [text_of(number) for number in range(count)]
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    for _ in range(rounds):
        os.sync()  # what others have written before is not ours to wait for
        for name, (way, number) in ways.items():
            turns[name].append(turn(way, ground.fresh(), texts[:number]))
    for name, own in turns.items():
        show(name, own, turns.get(peer, []) if name != peer else [])
    used(ground, texts, rounds)
    kustomize(ground, texts, rounds)


def used(ground: Ground, texts: Sequence[bytes], rounds: int) -> None:
    """Where as many packages were removed just before."""
    own = []
    for _ in range(min(rounds, 3)):
        out, way = ground.fresh(), generate("process", 256)
        way(out, texts)
        for package in out.iterdir():
            shutil.rmtree(package)
        own.append(turn(way, out, texts))
    show("generate, process, on used ground", own, [])


def kustomize(ground: Ground, texts: Sequence[bytes], rounds: int) -> None:
    if not KUBECTL:
        print("peer: kubectl is not installed")
        return
    out, few = ground.fresh(), texts[:10]
    generate("process", 256)(out, few)
    show("peer: kubectl kustomize", [turn(built, out, few) for _ in range(rounds)], [])


def show(name: str, own: Sequence[Turn], peer: Sequence[Turn]) -> None:
    found = sorted(1 / one.wall for one in own)
    quarter = len(found) // 4
    middle, alone, cpu, queued = (
        statistics.median(values) for values in zip(*map(_parts, own), strict=True)
    )
    disk = statistics.median(max(0.0, one.alone - one.cpu) for one in own)
    ratio = ""
    if peer:
        times = statistics.median(b.wall / a.wall for a, b in zip(own, peer, strict=True))
        ratio = f" {times:.1f} × peer"
    print(
        f"{name:<40}{middle:>7,.0f}/s {alone:>6,.0f}/s {cpu:>7,.0f} {queued:>7,.0f} "
        f"{disk * 1e6:>7,.0f} µs  {found[0]:,.0f} | "
        f"{found[quarter]:,.0f}–{found[-1 - quarter]:,.0f} | {found[-1]:,.0f}{ratio}"
        f"{_searched(own)}"
    )


def _searched(own: Sequence[Turn]) -> str:
    """How many rounds met freed inodes, and the rate of the others."""
    least = min(one.cpu for one in own)
    free = [1 / one.wall for one in own if one.cpu <= 2 * least]
    if len(free) == len(own):
        return ""
    met = len(own) - len(free)
    return f"; {met} on freed ground, the others {statistics.median(free):,.0f}/s"


def _parts(one: Turn) -> tuple[float, float, float, float]:
    return 1 / one.wall, 1 / one.alone, one.cpu * 1e6, one.queued * 1e6


def latencies(ground: Ground, count: int, rounds: int) -> None:
    """One durable package after the other; the best round is what this disk can, the others what
    its other users leave of it."""
    told = []
    for _ in range(rounds):
        writer = FolderWriter(ground.fresh(), Uuid7(SystemClock()))
        took = []
        for number in range(count):
            package = render(require(text_of(number)))
            began = time.perf_counter()
            writer.place([package])
            took.append(time.perf_counter() - began)
        took.sort()
        told.append((took[int(count * 0.99)] * 1e3, took[count // 2] * 1e3))
    told.sort()
    late, middle = told[len(told) // 2]
    print(
        f"{'one durable package':<40} p50 {middle:.2f} ms, p99 {late:.2f} ms (median of {rounds} "
        f"rounds of {count}; p99 of the best {told[0][0]:.2f}, of the worst {told[-1][0]:.2f}; ≤ 5)"
    )


class Peak:
    """A process's memory in MB, read where its own peak is kept: rusage counts its parent's."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self.peak = 0.0
        self.now = 0.0

    def look(self) -> None:
        try:
            lines = self._status.read_text().splitlines()
        except OSError:
            return
        for line in lines:
            if line.startswith("VmHWM"):
                self.peak = int(line.split()[1]) / 1024
            elif line.startswith("VmRSS"):
                self.now = int(line.split()[1]) / 1024


def progress(stream: IO[bytes]) -> Iterator[int]:
    """How many intents the progress bar says are done, each time it is drawn."""
    shown = b""
    while piece := os.read(stream.fileno(), 4096):
        shown = (shown + piece).rpartition(b"\r")[2]
        word = shown.partition(b" intents:")[0]
        if word.isdigit():
            yield int(word)


def batch(ground: Ground, count: int) -> None:
    """Killed in the middle, run again to its end, run once more: all there, whole, once."""
    folder = ground.fresh()
    source, out = folder / "in.jsonl", folder / "out"
    out.mkdir()
    with source.open("wb") as file:
        for number in range(count):
            file.write(text_of(number) + b"\n")
    words = [PATCHGEN, "batch", str(source), "-output", str(out), "--progress", "--format", "json"]
    for name, until in (
        ("killed in the middle", count // 2),
        ("run again", 0),
        ("all there", 0),
    ):
        began = time.perf_counter()
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            if process.stderr is None or process.stdout is None:
                raise SystemExit("no pipes")
            memory, tenth = Peak(process.pid), 0.0
            done = 0
            for done in progress(process.stderr):
                memory.look()
                if not tenth and done >= count // 10:
                    tenth = memory.peak
                if until and done >= until:
                    process.kill()
                    break
            told = process.stdout.read()
        took = time.perf_counter() - began
        counts = json.loads(told)["counts"] if told else f"{done:,} told"
        print(
            f"{f'batch of {count:,}, {name}':<40} {took:.1f} s, {counts}, "
            f"peak {memory.peak:.0f} MB (at a tenth {tenth:.0f}; ≤ 150)"
        )
    check(out, count)


def check(out: Path, count: int) -> None:
    torn = 0
    for number in range(count):
        package = render(require(text_of(number)))
        torn += bool(difference(out / package.name, package.files))
    there = len(list(out.iterdir()))
    print(
        f"{'':<40} {there:,} folders of {count:,} intents, {torn} differ from what they should be"
    )


def journal(folder: str) -> str:
    """Whether an ext4 has a journal: without one it searches, see above."""
    device = Path(folder).stat().st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    try:
        task = Path("/sys/fs/ext4", block.resolve().name, "journal_task").read_text().strip()
    except OSError:
        return ""
    return ", without a journal" if task == "<none>" else ", with a journal"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small round: it says little")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where packages go")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=100_000, help="intents in it; 0: none")
    given = parser.parse_args()
    rounds = 1 if given.quick else given.rounds
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        ground = Ground(Path(scratch))
        print(machine(given.folder) + journal(given.folder))
        print("each round on its own part" if ground.spread else "all rounds on one part")
        print(
            f"{'':<40}{'median':>9} {'free core':>9} {'CPU':>6} {'core':>7} {'disk':>7}     "
            f"least | middle half | most of {rounds} rounds"
        )
        rates(ground, 60 if given.quick else 2_000, rounds)
        latencies(ground, 20 if given.quick else 300, rounds)
        if given.batch and not given.quick:
            batch(ground, given.batch)


if __name__ == "__main__":
    main()
