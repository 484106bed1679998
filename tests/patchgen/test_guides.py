"""Every guide of patchgen finds the fault that was really made, from the words the user really saw."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conformance.proofs.support import Serving
from tests.patchgen.support import BIN, PATIENCE, patchgen, text_of
from tests.servers.slowed import held_up

from backstay.core.clock import SystemClock
from backstay.core.guide import Target
from backstay.doctor.examine import examine, probes_for
from backstay.doctor.judge import judge
from backstay.doctor.symptoms import named
from backstay.doctor.verdict import Verdict
from backstay.patchgen.guides import GUIDES, process
from backstay.patchgen.guides.message import READINGS, classify

NAMESPACE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))


def doctor(text: str, data: Path, runtime: Path | None = None) -> Verdict:
    """What the doctor makes of these words and of the processes behind `runtime`, by patchgen's
    guides alone: that nothing runs here is another guide's word."""
    target = Target(data, runtime or data / "run", "http://127.0.0.1:9", text=text)
    evidence = asyncio.run(examine(probes_for(GUIDES, GUIDES), target, SystemClock()))
    return judge(GUIDES, [*evidence, *named(GUIDES, text)])


def ours(verdict: Verdict) -> list[tuple[str, str]]:
    return [(one.guide, one.cause) for one in verdict.findings]


def refusal(text: bytes, tmp_path: Path) -> str:
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    done = subprocess.run(
        [BIN / "patchgen", "generate", "-intent", "-", "-output", out], input=text,
        capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    return done.stderr.decode()


@pytest.mark.parametrize(
    ("text", "guide", "cause"),
    [
        (b"", "intent-not-json", "json-cut-off"),
        (text_of()[:40], "intent-not-json", "json-cut-off"),
        (b'{"a": 1 "b": 2}', "intent-not-json", "json-missing-comma"),
        (b'{"a": 1,}', "intent-not-json", "json-trailing-comma"),
        (b"hello", "intent-not-json", "json-broken"),
        (text_of(target="MyApp_v2"), "intent-invalid", "bad-name"),
        (text_of(namespace=...), "intent-invalid", "missing-field"),
        (text_of(intent_type="scale"), "intent-invalid", "wrong-type"),
        (text_of(replicas=101), "intent-invalid", "replicas-out-of-range"),
        (text_of(replicas=1.5), "intent-invalid", "replicas-out-of-range"),
        (text_of(namespace="n" * 64), "intent-invalid", "namespace-too-long"),
        (text_of(reason=7), "intent-invalid", "schema"),
    ],
)
def test_an_intent_that_was_refused(tmp_path: Path, text: bytes, guide: str, cause: str) -> None:
    verdict = doctor(refusal(text, tmp_path), tmp_path / "data")
    assert ours(verdict) == [(guide, cause)]


def generate(out: Path | str, *wrap: str) -> str:
    done = subprocess.run(
        [*wrap, BIN / "patchgen", "generate", "-intent", "-", "-output", out], input=text_of(),
        capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    return done.stderr.decode()


def test_a_missing_folder_and_a_file_in_its_place(tmp_path: Path) -> None:
    missing = doctor(generate(tmp_path / "none"), tmp_path / "data")
    assert ours(missing) == [("output-missing", "output-missing")]
    assert missing.findings[0].fixes[0].command == f"mkdir -p {tmp_path / 'none'}"
    (tmp_path / "file").write_text("")
    taken = doctor(generate(tmp_path / "file"), tmp_path / "data")
    assert ours(taken) == [("output-missing", "output-is-a-file")]


def test_paths_that_climb_and_packages_that_changed(tmp_path: Path) -> None:
    climbing = doctor(generate(f"{tmp_path}/../x"), tmp_path / "data")
    assert ours(climbing) == [("path-traversal", "dots-in-path")]
    code = f"from backstay.patchgen.paths import sanitize_path as s\ntry: s('{tmp_path}', '../x')\nexcept Exception as e: print(e)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ours(doctor(said.stdout, tmp_path / "data")) == [("path-traversal", "path-escapes")]
    out = tmp_path / "out"
    out.mkdir()
    made = patchgen("generate", "-intent", "-", "-output", str(out), text=text_of().decode())
    (Path(made.stdout.strip()) / "Kptfile").write_text("changed")
    assert ours(doctor(generate(out), tmp_path / "data")) == [
        ("package-conflict", "package-changed")
    ]


@pytest.mark.parametrize(
    ("mount", "cause"),
    [
        (
            "mount -t tmpfs -o size=4m,nr_inodes=5 tmpfs {0} && dd if=/dev/zero of={0}/a bs=1k count=3500 2>/dev/null",
            "output-full",
        ),
        ("mount -t tmpfs -o size=600k tmpfs {0}", "output-full"),
        (
            "mount -t tmpfs -o size=40m,nr_inodes=5 tmpfs {0} && touch {0}/a {0}/b {0}/c {0}/d",
            "output-no-inodes",
        ),
        ("mount -t tmpfs -o ro tmpfs {0}", "output-read-only"),
    ],
)
def test_a_full_disk_and_a_read_only_one(tmp_path: Path, mount: str, cause: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    intent = tmp_path / "intent.json"
    intent.write_bytes(text_of())
    script = (
        f"{mount.format(disk)} && cd / && "
        f"said=$({BIN}/patchgen generate -intent {intent} -output {disk} 2>&1); "
        f'{BIN}/backstay doctor "$said" --data {tmp_path}/data --output json'
    )
    done = subprocess.run(
        [*NAMESPACE, "bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    causes = [one["cause"] for one in json.loads(done.stdout)["findings"]]
    assert cause in causes, done.stdout + done.stderr


def test_a_closed_folder() -> None:
    """As root nothing is closed: then somebody else looks, who has the modules loaded already."""
    # Not pytest's folder: that is closed to others.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        closed = Path(folder) / "closed"
        closed.mkdir(mode=0o555)
        closed_folder(closed)


def closed_folder(closed: Path) -> None:
    code = (
        "import os, sys, asyncio, backstay.systems as s, backstay.cli.patchgen_intents, grp\n"
        "from pathlib import Path\n"
        "from backstay.core.guide import Target\n"
        "from backstay.doctor.examine import examine, probes_for\n"
        "from backstay.doctor.judge import judge\n"
        "from backstay.doctor.symptoms import named\n"
        "from backstay.core.clock import SystemClock\n"
        "from backstay.patchgen.library import PatchPackage, Validator\n"
        "all_ = s.guides()\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: PatchPackage(Validator().validate(sys.argv[1]), sys.argv[2]).generate()\n"
        "except Exception as e: said = f'{e}\\n  why: {e.cause}'\n"
        "print(said)\n"
        "t = Target(data=Path('/nonexistent'), runtime=Path('/nonexistent'), base_url='http://127.0.0.1:9', text=said)\n"
        "own = [g for g in all_ if g.id == 'output-denied']\n"
        "seen = asyncio.run(examine(probes_for(own, all_), t, SystemClock()))\n"
        "print([f.cause for f in judge(own, [*seen, *named(own, said)]).findings])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, text_of(), closed], capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert "failed to create package directory: permission denied" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "['output-closed']"


@contextmanager
def served(folder: Path, *wrap: str, **env: str) -> Iterator[Serving]:
    (folder / "out").mkdir(exist_ok=True)
    serving = Serving(folder, *wrap, str(BIN / "patchgen"), "serve", health="/health")
    try:
        given = {"PATCHGEN_OUTPUT_DIR": str(folder / "out"), **env}
        yield serving.start(**given)
    finally:
        serving.close()


def supervised(serving: Serving) -> Path:
    """As `up` leaves it: a state file that says this process is kept."""
    state = {
        "pid": os.getpid(),
        "base_url": "http://127.0.0.1:9",
        "processes": {"patchgen": {"pid": serving.pid, "state": "ready"}},
    }
    (serving.runtime / "state.json").write_text(json.dumps(state))
    return serving.runtime


def test_a_slow_disk_is_found_inside_the_process(tmp_path: Path) -> None:
    with served(tmp_path, *held_up(tmp_path / "trace", "fsync", 0.3)) as serving:
        runtime = supervised(serving)
        assert ours(doctor("", tmp_path, runtime)) == []
        assert serving.ask("POST", "/intent", json.loads(text_of())).status == 200
        verdict = doctor("", tmp_path, runtime)
        assert ours(verdict) == [("generation-slow", "slow-disk")], verdict


def test_a_network_disk_is_told_from_a_slow_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is real and slow; that its folder is NFS is played, and so is only its type."""
    with served(tmp_path, *held_up(tmp_path / "trace", "fsync", 0.3)) as serving:
        runtime = supervised(serving)
        assert serving.ask("POST", "/intent", json.loads(text_of())).status == 200
        monkeypatch.setattr(process, "file_system_of", lambda _: "nfs4")
        verdict = doctor("", tmp_path, runtime)
        assert ours(verdict) == [("generation-slow", "network-disk")], verdict
        assert "is on a network file system (nfs4)" in verdict.findings[0].says


def test_the_type_of_a_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    script = (
        f"mount -t tmpfs tmpfs {tmp_path} && mkdir -p '{tmp_path}/a b/c' && "
        f"mount -t ramfs ramfs '{tmp_path}/a b' && mkdir '{tmp_path}/a b/c' && "
        f'{sys.executable} -c "from backstay.patchgen.guides.process import file_system_of as f; '
        f"print(f('{tmp_path}'), f('{tmp_path}/a b/c'), f('{tmp_path}/a bc'), f('/proc/self'))\""
    )
    done = subprocess.run(
        [*NAMESPACE, "bash", "-c", script], capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["tmpfs", "ramfs", "tmpfs", "proc"], done.stderr


def test_much_memory_and_an_output_folder_that_went_away(tmp_path: Path) -> None:
    with served(tmp_path, PATCHGEN_MEMORY_WARNING="1048576") as serving:
        runtime = supervised(serving)
        assert ours(doctor("", tmp_path, runtime)) == [("patchgen-memory", "memory-high")]
    with served(tmp_path) as serving:
        runtime = supervised(serving)
        assert ours(doctor("", tmp_path, runtime)) == []
        (tmp_path / "out").rmdir()
        assert ours(doctor("", tmp_path, runtime)) == [("output-missing", "output-missing")]


def test_a_process_that_was_killed(tmp_path: Path) -> None:
    with served(tmp_path) as serving:
        runtime = supervised(serving)
        serving.close()
        assert ours(doctor("", tmp_path, runtime)) == [("patchgen-dead", "patchgen-dead")]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("cannot find module providing package github.com/nephoran/internal/patch", "old-import"),
        ("cannot use generator (type *patch.Generator) as type *patchgen.PatchPackage", "old-type"),
        ("panic: validation required but not performed", "not-validated"),
        (
            "pkg.GetPackagePath undefined (type *PatchPackage has no field or method GetPackagePath)",
            "old-version",
        ),
    ],
)
def test_the_four_migration_troubles_of_the_seed(tmp_path: Path, text: str, cause: str) -> None:
    assert ours(doctor(text, tmp_path / "data")) == [("patchgen-migration", cause)]


def test_words_of_others_say_nothing_about_patchgen(tmp_path: Path) -> None:
    for text in ("", "permission denied", "timeout", "database is locked", "token has expired"):
        assert ours(doctor(text, tmp_path / "data")) == []
        assert classify(text)[0] == READINGS[0]
