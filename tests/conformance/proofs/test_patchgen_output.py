"""Statements of patchgen's list about packages on a real file system, by the installed command."""

import functools
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.proofs.intents import (
    SEED,
    Done,
    env,
    intent,
    packages,
    patchgen,
    patchgen_as,
    python,
    run,
)
from tests.conformance.proofs.support import BIN, PATIENCE


@pytest.mark.seed("P21")
def test_a_missing_folder_is_not_made(tmp_path: Path, file: Path) -> None:
    missing = tmp_path / "nobody" / "made-this"
    done = patchgen("generate", "-intent", str(file), "-output", str(missing))
    assert done.returncode == 1
    assert f"output directory {missing} does not exist" in done.stderr
    assert not missing.parent.exists()


@pytest.mark.seed("P22")
def test_folders_are_ensured(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from backstay.patchgen.paths import ensure_directory\n"
        "os.umask(0o022)\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(ensure_directory(path))\n"
        "    except Exception as e: print(e)\n"
    )
    (tmp_path / "file").write_text("")
    there, deep, taken = tmp_path, tmp_path / "a" / "b" / "c", tmp_path / "file"
    closed = taken / "below"
    told = python(code, *map(str, (there, deep, taken, closed))).stdout
    assert told.splitlines()[:2] == [str(there), str(deep)]
    assert f"{taken} exists but is not a directory" in told
    assert "failed to create directory: not a directory" in told
    assert deep.is_dir()
    assert stat.S_IMODE(deep.stat().st_mode) == stat.S_IMODE(deep.parent.stat().st_mode) == 0o755
    # What was made and cannot be looked at: another process takes its rights in between.
    between = (
        "import os, pathlib, sys\n"
        "from backstay.patchgen import paths\n"
        "made = pathlib.Path.mkdir\n"
        "def mkdir(self, **k): made(self, **k); self.rmdir()\n"
        "pathlib.Path.mkdir = mkdir\n"
        "try: paths.ensure_directory(sys.argv[1])\n"
        "except Exception as e: print(e)\n"
    )
    told = python(between, str(tmp_path / "gone")).stdout
    assert "directory created but not accessible: no such file or directory" in told


@pytest.fixture
def open_house() -> Iterator[Path]:
    """A folder that `nobody` can reach; pytest closes its own, and again with each session."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


NAMESPACE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
ROOT = os.geteuid() == 0


@pytest.mark.seed("P23", "P24", "P25")
def test_a_closed_folder_is_refused_explained_and_gone_around(open_house: Path) -> None:
    """To root nothing is closed: then somebody else looks."""
    closed, home = open_house / "closed", open_house / "home"
    closed.mkdir(mode=0o555)
    home.mkdir()
    who = pwd.getpwnam("nobody") if ROOT else pwd.getpwuid(os.geteuid())
    as_somebody = functools.partial(patchgen, HOME=str(home))
    if ROOT:
        shutil.chown(home, who.pw_name)
        as_somebody = functools.partial(patchgen_as, who.pw_uid, who.pw_gid, HOME=str(home))
    words = ("generate", "-intent", "-", "-output", str(closed))
    done = as_somebody(*words, text=SEED)
    assert done.returncode == 1
    assert "failed to create package directory: permission denied" in done.stderr
    assert "~/.nephoran/patches" in done.stderr
    assert packages(closed) == []

    told = as_somebody("diagnose", str(closed)).stdout
    assert re.search(rf"user: {who.pw_name} \(uid {who.pw_uid}, gid \d+\)", told)
    for folder in (Path("/"), *reversed(closed.parents), closed):
        mode = stat.filemode(folder.lstat().st_mode)
        assert re.search(
            rf"{re.escape(mode)} +{folder.owner()} +{folder.group()} +{folder}\b", told
        )
    assert "may not be written by this user" in told

    used = as_somebody(*words, "--fallback", text=SEED)
    assert used.returncode == 0, used.stderr
    assert str(home / ".nephoran" / "patches") in used.stderr
    assert Path(used.stdout.strip()).parent == home / ".nephoran" / "patches"
    assert len(packages(home / ".nephoran" / "patches")) == 1


def as_a_number(*words: str, text: str = "") -> Done:
    """The command as user 54321 of group 54322, who has no passwd entry and no home: root becomes
    that user, anybody else in a namespace of users."""
    if ROOT:
        return patchgen_as(54321, 54322, *words, text=text)
    inside = ("unshare", "--user", "--map-user=54321", "--map-group=54322", str(BIN / "patchgen"))
    return run((*inside, *words), text, {"PATH": os.environ["PATH"]})


@pytest.mark.seed("P26")
def test_any_number_may_be_the_user(open_house: Path) -> None:
    out = open_house / "mounted"
    out.mkdir()
    if ROOT:
        os.chown(out, 54321, 54322)
    told = as_a_number("diagnose", str(out))
    assert "user: 54321 (uid 54321, gid 54322)" in told.stdout, told.stderr
    done = as_a_number("generate", "-intent", "-", "-output", str(out), text=SEED)
    assert done.returncode == 0, done.stderr
    made, mine = Path(done.stdout.strip()).stat(), out.stat()
    assert (made.st_uid, made.st_gid) == (mine.st_uid, mine.st_gid)


@pytest.mark.seed("P27", "P28")
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    intents = tmp_path / "in.jsonl"
    intents.write_text(SEED + "\n")
    # Room for the check of free space, and inodes for less than a package: the writes fail.
    script = (
        f"mount -t tmpfs -o size=4m,nr_inodes=5 tmpfs {disk} && cd / && "
        f"patchgen generate -intent {intents} -output {disk}; echo code $?; ls -A {disk}; "
        f"umount {disk} && mount -t tmpfs -o size=512k tmpfs {disk} && "
        f"patchgen generate -intent {intents} -output {disk}; echo code $?; ls -A {disk}"
    )
    done = subprocess.run(
        [*NAMESPACE, "bash", "-c", script], capture_output=True, text=True, env=env(),
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert "failed to write file: no space left on device" in done.stderr, done.stderr
    assert re.search(r"insufficient disk space: \d+ bytes available, need 1048576", done.stderr)
    assert done.stdout.split() == ["code", "1", "code", "1"]


@pytest.mark.seed("P29")
def test_two_dots_as_a_component_are_refused(out: Path, file: Path) -> None:
    for path in (f"{out}/../out", "..", "../x", f"{out}/.."):
        done = patchgen("generate", "-intent", str(file), "-output", path)
        assert done.returncode == 1
        assert "path traversal attempt detected: contains '..'" in done.stderr
    fine = out.parent / "a..b"
    fine.mkdir()
    assert patchgen("generate", "-intent", str(file), "-output", str(fine)).returncode == 0


@pytest.mark.seed("P30")
def test_a_path_stays_below_its_base(tmp_path: Path) -> None:
    base, evil = tmp_path / "base", tmp_path / "base-evil"
    base.mkdir()
    evil.mkdir()
    (base / "link").symlink_to(evil)
    code = (
        "import sys\n"
        "from backstay.patchgen.paths import sanitize_path\n"
        "for path in sys.argv[2:]:\n"
        "    try: print(sanitize_path(sys.argv[1], path))\n"
        "    except Exception as e: print(e)\n"
    )
    told = python(
        code, str(base), "a/b", "/etc/passwd", "a/../b", "../base-evil/x", "..", "link/x"
    ).stdout.splitlines()
    assert told[:3] == [str(base / "a/b"), str(base / "passwd"), str(base / "b")]
    assert told[3:] == ["PATCH065: path escapes base directory"] * 3


@pytest.mark.seed("P33", "P36", "P45")
def test_time_and_memory_can_be_shown(out: Path, file: Path) -> None:
    words = ("generate", "-intent", str(file), "-output", str(out))
    done = patchgen(*words, "--timing", "--memory", "--trace")
    for name in ("Total time:", "  Validation:", "  Generation:"):
        assert re.search(rf"^{name} [\d.]+(ns|µs|ms|s)$", done.stderr, re.MULTILINE)
    for name in ("Alloc = ", "TotalAlloc = ", "Sys = "):
        assert re.search(rf"^{name}\d+ MB$", done.stderr, re.MULTILINE)
    assert int(re.findall(r"^Sys = (\d+)", done.stderr, re.MULTILINE)[0]) > 5
    assert re.search(r"^NumGC = \d+$", done.stderr, re.MULTILINE)
    moment = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z\]"
    for stage in ("validation", "package generation"):
        begun = rf"^{moment} Starting {stage}$"
        assert re.search(begun, done.stderr, re.MULTILINE)
        ended = rf"^{moment} Completed {stage} \(took [\d.]+(ns|µs|ms|s)\)$"
        assert re.search(ended, done.stderr, re.MULTILINE)
    assert "Possible causes" not in done.stderr


@pytest.mark.seed("P33")
def test_a_slow_disk_is_called_by_its_name(tmp_path: Path, out: Path, file: Path) -> None:
    if shutil.which("strace") is None:
        from tests.servers.require import absent

        absent("strace", "apt-get install strace")
    done = subprocess.run(
        ["strace", "-f", "-o", tmp_path / "trace", "-e", "trace=fsync",
         "-e", "inject=fsync:delay_enter=600000:when=1..2",
         BIN / "patchgen", "generate", "-intent", file, "-output", out, "--timing"],
        capture_output=True, text=True, env=env(), timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in (
        "Possible causes:",
        "- Slow disk I/O",
        "- Network-mounted filesystem",
        "- Antivirus scanning",
    ):
        assert line in done.stderr.splitlines()


@pytest.mark.seed("P34", "P68")
def test_the_output_folder_is_a_setting_and_the_flag_beats_it(tmp_path: Path, file: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    words = ("generate", "-intent", str(file))
    assert patchgen(*words, PATCHGEN_OUTPUT_DIR=str(one)).returncode == 0
    assert patchgen(*words, "-output", str(other), PATCHGEN_OUTPUT_DIR="/nowhere").returncode == 0
    assert len(packages(one)) == len(packages(other)) == 1
    absent = patchgen(*words, PATCHGEN_OUTPUT_DIR=str(tmp_path / "absent"))
    assert f"output directory {tmp_path / 'absent'} does not exist" in absent.stderr
    assert not (tmp_path / "absent").exists()
    assert patchgen(*words).returncode == 2


@pytest.mark.seed("P35")
def test_a_batch_is_parallel_bounded_complete_and_distinct(tmp_path: Path, out: Path) -> None:
    lines = [
        intent(target="same", replicas=count, reason=f"n{n}")
        for n in range(40)
        for count in range(50)
    ]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join([*lines, "{broken", lines[0]]) + "\n")
    done = patchgen(
        "batch", str(source), "-output", str(out), "--memory", "--durability", "process"
    )
    assert done.returncode == 1
    assert "2002 intents: 2000 written, 1 unchanged, 1 failed" in done.stdout
    assert "in.jsonl:2001: invalid JSON" in done.stderr
    assert len(packages(out)) == 2000
    assert patchgen("verify", *map(str, packages(out)[:50])).returncode == 0
    assert int(re.findall(r"Sys = (\d+) MB", done.stderr)[0]) < 150


@pytest.mark.seed("P37")
def test_a_batch_collects_garbage_after_each_100_items(tmp_path: Path, out: Path) -> None:
    """The collector's own runs are switched off, so that those of the batch can be counted."""
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(intent(reason=f"n{n}") for n in range(750)) + "\n")
    code = (
        "import gc, sys\n"
        "from backstay.cli.patchgen import command\n"
        "import backstay.cli.patchgen_batch\n"
        "runs = []\n"
        "gc.disable()\n"
        "gc.callbacks.append(lambda phase, told: runs.append(told['generation']) if phase == 'start' else None)\n"
        "command.main(sys.argv[1:], standalone_mode=False)\n"
        "print(runs.count(2), len(runs))\n"
    )
    words = ("batch", str(source), "-output", str(out), "--durability", "process")
    done = python(code, *words)
    assert done.stdout.splitlines()[-1] == "7 7", done.stdout + done.stderr
    assert len(packages(out)) == 750


@pytest.mark.seed("P35")
def test_no_more_generations_at_once_than_cpus() -> None:
    code = (
        "import os, threading\n"
        "from backstay.patchgen.batch import Item, run\n"
        "from backstay.patchgen.model import Placed\n"
        "now, most, lock, both = 0, 0, threading.Lock(), threading.Event()\n"
        "class Slow:\n"
        "    def place(self, packages):\n"
        "        global now, most\n"
        "        with lock: now += 1; most = max(most, now)\n"
        "        if most >= cpus: both.set()\n"
        "        both.wait(5)\n"
        "        with lock: now -= 1\n"
        "        return [Placed(p.name, p.name, 'written', p.intent_hash) for p in packages]\n"
        "cpus = len(os.sched_getaffinity(0))\n"
        'text = \'{"intent_type":"scaling","target":"a","namespace":"b","replicas":%d}\'\n'
        "items = [Item(str(n), (text % n).encode()) for n in range(64)]\n"
        "tally = run(items, Slow(), lambda o, t: None, group=1, workers=99)\n"
        "print(most == cpus, tally.written)\n"
    )
    done = python(code)
    assert done.stdout.split() == ["True", "64"], done.stderr


@pytest.mark.seed("P72")
def test_generate_takes_one_dash_or_two(tmp_path: Path, out: Path, file: Path) -> None:
    for dash in ("-", "--"):
        done = patchgen("generate", f"{dash}intent", str(file), f"{dash}output", str(out))
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(packages(out)[0])
    missing = patchgen("generate", "-intent", str(tmp_path / "none.json"), "-output", str(out))
    assert missing.returncode == 2
    assert "failed to read intent file" in missing.stderr


@pytest.mark.seed("P73")
def test_tests_benchmark_and_coverage_have_commands(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "reference" / "patchgen.md").read_text()
    for command in (
        "pytest tests/patchgen",
        "benchmarks/patchgen.py",
        "--cov=backstay.patchgen",
    ):
        assert command in page
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/patchgen", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=root, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env=env(BACKSTAY_RESULTS=str(tmp_path / "r1")),
    )  # fmt: skip
    assert collected.returncode == 0, collected.stdout
    covered = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/patchgen/test_render.py", "-k", "clock",
         "--cov=backstay.patchgen", "-p", "no:cacheprovider"],
        cwd=root, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env=env(BACKSTAY_RESULTS=str(tmp_path / "r2"), COVERAGE_FILE=str(tmp_path / "c")),
    )  # fmt: skip
    assert re.search(r"^TOTAL +\d+ +\d+ +\d+%$", covered.stdout, re.MULTILINE), covered.stdout
    quick = subprocess.run(
        [sys.executable, "benchmarks/patchgen.py", "--quick"], cwd=root, capture_output=True,
        text=True, timeout=PATIENCE, check=False, env=env(),
    )  # fmt: skip
    assert quick.returncode == 0, quick.stderr
    assert re.search(r"validate.*µs.*allocations", quick.stdout)


@pytest.mark.seed("P75")
def test_a_dry_run_writes_nothing(out: Path, file: Path) -> None:
    words = ("-output", str(out), "--dry-run")
    done = patchgen("generate", "-intent", str(file), *words)
    assert done.returncode == 0
    assert "nothing was written" in done.stderr
    planned = Path(done.stdout.strip())
    batch = patchgen("batch", str(file), *words)
    assert "1 planned" in batch.stdout
    assert packages(out) == []
    assert patchgen("diagnose", str(out)).returncode == 0
    assert patchgen("generate", "-intent", str(file), "-output", str(out)).returncode == 0
    assert packages(out) == [planned]
