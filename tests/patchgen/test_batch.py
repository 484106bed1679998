"""`patchgen batch`: killed anywhere and run again, its packages are all there, whole, and once."""

import contextlib
import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.patchgen.support import BIN, PATIENCE, patchgen, text_of

from backstay.patchgen.batch import Item, run
from backstay.patchgen.look import difference
from backstay.patchgen.model import Package, Placed
from backstay.patchgen.render import render
from backstay.patchgen.validate import require

COUNT = 600
FLOOR = 100
"""Kills of a minute or more: about half of what two busy cores give."""


def intents(path: Path, count: int = COUNT) -> list[str]:
    """The names of the packages that belong to the written intents."""
    texts = [
        text_of(target=f"app-{n % 50}", replicas=n % 101, reason=f"n{n}") for n in range(count)
    ]
    path.write_bytes(b"\n".join(texts))
    return sorted(render(require(text)).name for text in texts)


def check(out: Path, expected: list[str]) -> None:
    assert sorted(os.listdir(out)) == expected  # noqa: PTH208
    for name in expected:
        intent = require_of(out / name)
        assert intent == name


def require_of(folder: Path) -> str:
    """The name that the folder's own content gives it."""
    from backstay.patchgen.packages import verify

    return verify(folder).name


def kill_once(words: list[str], after: float) -> bool:
    """Start, kill -9 after so many seconds; whether it was still at work."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        timer = threading.Timer(after, process.kill)
        timer.start()
        code = process.wait(PATIENCE)
        timer.cancel()
    return code == -9


def test_kill_9_at_20_moments_and_again_leaves_every_package_whole_and_once(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    out.mkdir()
    expected = intents(source)
    words = [
        str(BIN / "patchgen"),
        "batch",
        str(source),
        "-output",
        str(out),
        "--group",
        "8",
    ]
    process = [*words, "--durability", "process"]
    chance = random.Random(7)
    killed = 0
    for _ in range(200):
        before = len(os.listdir(out))  # noqa: PTH208
        # Ten of the kills hit the default durability, ten the other.
        killed += kill_once(process if killed % 2 else words, chance.uniform(0.08, 0.35))
        seen = [name for name in os.listdir(out) if not name.startswith(".")]  # noqa: PTH208
        # What has a name is whole at every moment, also right after the kill.
        for name in chance.sample(seen, min(5, len(seen))):
            assert require_of(out / name) == name
        if killed == 20:
            break
        if before == len(expected):
            for name in expected:
                shutil.rmtree(out / name)
    assert killed == 20
    done = patchgen(
        "batch", str(source), "-output", str(out), "--durability", "process", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["counts"]
    assert told["written"] + told["unchanged"] == COUNT
    check(out, expected)


class Nursery:
    """Forks commands out of a process that has imported everything: what is killed early is at its
    work, not at its start."""

    def __init__(self) -> None:
        code = (
            "import json, os, sys\n"
            "import backstay.cli.patchgen_batch\n"
            "from backstay.cli.patchgen import command\n"
            "silent = os.open(os.devnull, os.O_RDWR)\n"
            "for line in sys.stdin:\n"
            "    child = os.fork()\n"
            "    if not child:\n"
            "        for stream in (0, 1, 2): os.dup2(silent, stream)\n"
            "        command.main(json.loads(line))\n"
            "    print(child, flush=True)\n"
            "    print(os.waitpid(child, 0)[1], flush=True)\n"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdin
        assert self._process.stdout
        self._asked, self._told = self._process.stdin, self._process.stdout

    def kill_once(self, words: list[str], after: float) -> bool:
        """As above."""
        self._asked.write(json.dumps(words).encode() + b"\n")
        child = int(self._told.readline())
        ended = select.select([self._told], [], [], after)[0]
        if not ended:
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(int(self._told.readline())) == -signal.SIGKILL

    def close(self) -> None:
        self._asked.close()
        assert self._process.wait(PATIENCE) == 0
        self._told.close()


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    own = Nursery()
    yield own
    own.close()


@pytest.mark.slow
def test_hundreds_of_kills(
    tmp_path: Path,
    torture_seconds: float,
    chance: random.Random,
    nursery: Nursery,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ends = time.monotonic() + torture_seconds
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    out.mkdir()
    expected = intents(source, 3000)
    words = ["batch", str(source), "-output", str(out), "--group", "16"]
    kills = 0
    while time.monotonic() < ends:
        kills += nursery.kill_once(words, chance.uniform(0.01, 0.5))
        seen = [name for name in os.listdir(out) if not name.startswith(".")]  # noqa: PTH208
        for name in chance.sample(seen, min(20, len(seen))):
            assert require_of(out / name) == name
        gone = Path(tempfile.mkdtemp(dir=tmp_path))
        for name in chance.sample(seen, len(seen) // 3):
            (out / name).rename(gone / name)
    with capsys.disabled():
        print(f"\n{kills} kills in {torture_seconds:.0f} s")
    # A round takes about half a second at the most, and several beside other work.
    assert kills >= (FLOOR if torture_seconds >= 60 else 1)
    assert patchgen("batch", str(source), "-output", str(out)).returncode == 0
    check(out, expected)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read in /proc")
def test_memory_does_not_grow_with_the_batch(tmp_path: Path) -> None:
    peaks = []
    for count in (500, 5000):
        source, out = tmp_path / f"{count}.jsonl", tmp_path / f"out-{count}"
        out.mkdir()
        intents(source, count)
        script = (
            "import sys; from backstay.cli.patchgen import command\n"
            "command.main(sys.argv[1:], standalone_mode=False)\n"
            # Not getrusage: its peak counts that of the process that forked this one.
            "print(next(line.split()[1] for line in open('/proc/self/status') if 'VmHWM' in line))\n"
        )
        done = subprocess.run(
            [BIN / "python", "-c", script, "batch", source, "-output", out, "--dry-run"],
            capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
        assert f"{count} planned" in done.stdout
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    assert peaks[1] < 150
    assert peaks[1] < peaks[0] + 20


class Memory(NamedTuple):
    """MB of resident memory: after a tenth of the batch, and the most of all samples."""

    early: float
    most: float


def watched(words: list[str], count: int, *, kill_at: int = 0) -> tuple[Memory, str]:
    """Run a batch and read its memory whenever its progress bar is drawn; what it printed."""
    early, samples, shown = 0.0, [0.0], b""
    with subprocess.Popen(
        [*words, "--progress"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        status = Path(f"/proc/{process.pid}/status")
        while piece := os.read(process.stderr.fileno(), 4096):
            # Its own peak, as the kernel keeps it; empty once the process has ended.
            held = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
            samples += [int(line.split()[1]) / 1024 for line in held]
            shown = (shown + piece).rpartition(b"\r")[2]
            done = shown.partition(b" intents:")[0]
            if not done.isdigit():
                continue
            if not early and int(done) >= count // 10:
                early = max(samples)
            if kill_at and int(done) >= kill_at:
                process.kill()
                break
        told = process.stdout.read().decode()
    return Memory(early, max(samples)), told


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read in /proc")
def test_a_long_batch_is_flat_and_goes_on_where_a_kill_left_it(tmp_path: Path) -> None:
    count = 20_000
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    out.mkdir()
    texts = [text_of(target=f"app-{n}", replicas=n % 101) for n in range(count)]
    source.write_bytes(b"\n".join(texts))
    words = [str(BIN / "patchgen"), "batch", str(source), "-output", str(out)]
    words += ["--durability", "process", "--format", "json"]
    watched(words, count, kill_at=count // 2)
    half = len([name for name in os.listdir(out) if not name.startswith(".")])  # noqa: PTH208
    assert count // 2 <= half < count
    memory, told = watched(words, count)
    counts = json.loads(told)["counts"]
    assert (counts["unchanged"], counts["written"]) == (half, count - half)
    for text in texts:
        package = render(require(text))
        assert difference(out / package.name, package.files) == ""
    assert len(os.listdir(out)) == count  # noqa: PTH208
    assert 0 < memory.early <= memory.most < 150
    assert memory.most < memory.early + 25


def test_every_kind_of_input_and_every_failure_with_its_place(tmp_path: Path) -> None:
    out, folder = tmp_path / "out", tmp_path / "folder"
    out.mkdir()
    folder.mkdir()
    (folder / "b.json").write_bytes(text_of(target="from-folder"))
    (folder / ".hidden.json").write_text("{")
    (folder / "link.json").symlink_to("/etc/passwd")
    (tmp_path / "one.json").write_bytes(text_of(target="one"))
    lines = [text_of(target="line"), b"", b"{", b"x" * 1_100_000, text_of(target="last")]
    (tmp_path / "in.ndjson").write_bytes(b"\r\n".join(lines))
    given = [folder, tmp_path / "one.json", tmp_path / "in.ndjson", "-", tmp_path / "absent.json"]
    done = patchgen(
        "batch", *map(str, given), "-output", str(out), text=text_of(target="stdin").decode() + "\n"
    )
    assert done.returncode == 1
    targets = sorted(name.partition("-scaling")[0] for name in os.listdir(out))  # noqa: PTH208
    assert targets == ["from-folder", "last", "line", "one", "stdin"]
    assert "in.ndjson:3: invalid JSON: unexpected end" in done.stderr
    assert "in.ndjson:4: intent too large" in done.stderr
    assert "absent.json: error PATCH077" in done.stderr
    assert "8 intents: 5 written, 0 unchanged, 3 failed" in done.stdout


def test_a_progress_bar_is_for_terminals_and_for_who_asks(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    intents(source, 300)
    words = [str(BIN / "patchgen"), "batch", str(source), "-output", str(tmp_path), "--dry-run"]
    ours, theirs = os.openpty()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        # The terminal ends with an error when nobody has its other side any more.
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 4096):
                shown += piece
        os.close(ours)
    assert process.returncode == 0
    assert re.match(rb"\r1 intents: 0 written, 0 unchanged, 1 planned, 0 failed, \d+/s", shown)
    assert shown.endswith(b"\r\x1b[K")
    assert patchgen(*words[1:]).stderr == ""
    assert "1 intents: 0 written" in patchgen(*words[1:], "--progress").stderr


def test_a_disk_that_refuses_fails_each_of_them(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(text_of() + b"\n" + text_of(replicas=4))
    done = patchgen("batch", str(tmp_path / "in.jsonl"), "-output", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "PATCH060" in done.stderr


def test_large_intents_make_small_groups() -> None:
    """Intents of 1 MiB: a group ends by its bytes, so what waits for a slow disk stays small."""
    asked: list[int] = []

    class Slow:
        def place(self, packages: Sequence[Package]) -> Sequence[Placed]:
            asked.append(len(packages))
            return [
                Placed(one.name, Path(one.name), "written", one.intent_hash) for one in packages
            ]

    items = (Item(str(n), text_of(replicas=n).ljust(1_000_000)) for n in range(40))
    tally = run(items, Slow(), lambda _, __: None)
    assert tally.written == 40
    assert max(asked) <= 5
