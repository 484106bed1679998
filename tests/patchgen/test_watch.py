"""`patchgen watch` as a process: whole files only, once each, by however many watchers."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.patchgen.support import BIN, PATIENCE, SEED, patchgen, text_of, writer
from tests.servers.running import until

from backstay.patchgen.model import Placed
from backstay.patchgen.render import render
from backstay.patchgen.validate import require

QUICK = ("--period", "50ms", "--settle", "50ms", "--durability", "process")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    inbox.mkdir()
    out.mkdir()
    return inbox, out


@contextmanager
def watching(inbox: Path, out: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    with (inbox.parent / "watch.log").open("ab") as log:
        process = subprocess.Popen(
            [BIN / "patchgen", "watch", inbox, "-output", out, *QUICK, *words],
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def drop(inbox: Path, name: str, content: bytes) -> None:
    """As a careful sender does: written aside, then named."""
    aside = inbox / f".{name}"
    aside.write_bytes(content)
    aside.rename(inbox / name)


def statuses(inbox: Path) -> list[dict[str, str]]:
    return [json.loads(path.read_text()) for path in sorted((inbox / "status").glob("*.status"))]


def test_good_ones_are_processed_and_bad_ones_failed_with_reasons(
    folders: tuple[Path, Path],
) -> None:
    inbox, out = folders
    drop(inbox, "intent-1.json", text_of())
    drop(inbox, "intent-2.json", text_of(replicas=101, target="A"))
    drop(inbox, "intent-3.json", text_of())
    (inbox / "notes.txt").write_text("not an intent")
    (inbox / "link.json").symlink_to("/etc/passwd")
    os.mkfifo(inbox / "pipe.json")
    done = patchgen("watch", str(inbox), "-output", str(out), "--once", *QUICK)
    assert done.returncode == 1, done.stderr
    assert names(inbox / "processed") == ["intent-1.json", "intent-3.json"]
    assert names(inbox / "failed") == ["intent-2.json", "intent-2.json.error.log"]
    why = (inbox / "failed" / "intent-2.json.error.log").read_text()
    assert "replicas out of range: 101" in why
    assert "Invalid target name: A" in why
    assert len(names(out)) == 1
    states = {one["intent_file"]: one["status"] for one in statuses(inbox)}
    assert states["intent-1.json"] == "success"
    assert states["intent-2.json"] == "failed"
    assert states["intent-3.json"] == "duplicate"
    assert {"notes.txt", "link.json", "pipe.json"} <= set(names(inbox))
    assert patchgen("watch", str(inbox), "-output", str(out), "--once", *QUICK).returncode == 0


def told(inbox: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (inbox.parent / "watch.log").read_text().splitlines()]


def judged(inbox: Path) -> dict[str, tuple[str, str]]:
    lines = [line for line in told(inbox) if line["msg"] == "intent judged"]
    found = {line["file"]: (line["status"], line["detail"]) for line in lines}
    assert len(found) == len(lines), "each is told of once"
    return found


def test_a_dry_run_judges_and_reports_and_moves_nothing(folders: tuple[Path, Path]) -> None:
    inbox, out = folders
    [placed] = writer(out).place([render(require(text_of(target="there")))])
    assert isinstance(placed, Placed)
    (out / ".patchgen-left").mkdir()
    drop(inbox, "new.json", text_of())
    drop(inbox, "there.json", text_of(target="there"))
    drop(inbox, "bad.json", text_of(replicas=101, target="A"))
    before = sorted(os.listdir(inbox)), sorted(os.listdir(out))  # noqa: PTH208
    done = patchgen("watch", str(inbox), "-output", str(out), "--once", "--dry-run", *QUICK)
    assert done.returncode == 1, done.stderr
    assert before == (sorted(os.listdir(inbox)), sorted(os.listdir(out)))  # noqa: PTH208
    (inbox / "bad.json").unlink()
    done = patchgen("watch", str(inbox), "-output", str(out), "--once", "--dry-run", *QUICK)
    assert done.returncode == 0, done.stderr
    with watching(inbox, out, "--dry-run") as process:
        until(lambda: len(judged(inbox)) == 2, "both are judged")
        drop(inbox, "bad.json", text_of(replicas=101, target="A"))
        until(lambda: len(judged(inbox)) == 3, "so is the one that came later")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    found = judged(inbox)
    assert found["new.json"] == ("success", f"package {render(require(text_of())).name} planned")
    assert found["there.json"] == ("duplicate", f"package {placed.name} unchanged")
    assert found["bad.json"][0] == "failed"
    assert "replicas out of range: 101" in found["bad.json"][1]
    assert before == (sorted(os.listdir(inbox)), sorted(os.listdir(out)))  # noqa: PTH208


def test_a_write_in_progress_is_never_read(folders: tuple[Path, Path]) -> None:
    inbox, out = folders
    text = text_of()
    with watching(inbox, out):
        with (inbox / "slow.json").open("wb", buffering=0) as slow:
            for place in range(0, len(text), 8):
                slow.write(text[place : place + 8])
                drop(inbox, f"between-{place:03}.json", text_of(replicas=place % 101))
                until(
                    lambda place=place: (inbox / "processed" / f"between-{place:03}.json").exists(),
                    "the other one is processed",
                )
                assert (inbox / "slow.json").exists()
        until((inbox / "processed" / "slow.json").exists, "the slow one is processed")
    assert names(inbox / "failed") == []
    assert {one["status"] for one in statuses(inbox)} <= {"success", "duplicate"}


def test_a_file_name_that_comes_again_with_other_content_is_kept(
    folders: tuple[Path, Path],
) -> None:
    inbox, out = folders
    with watching(inbox, out):
        for count in (1, 2, 1):
            drop(inbox, "intent.json", text_of(replicas=count))
            until(lambda: not (inbox / "intent.json").exists(), "it is taken")
    kept = [
        json.loads((inbox / "processed" / name).read_text())["replicas"]
        for name in names(inbox / "processed")
    ]
    assert sorted(kept) == [1, 2]
    assert len(names(out)) == 2


def test_several_watchers_on_one_folder_do_nothing_twice(folders: tuple[Path, Path]) -> None:
    inbox, out = folders
    with watching(inbox, out), watching(inbox, out), watching(inbox, out):
        for number in range(60):
            drop(inbox, f"intent-{number:02}.json", text_of(target=f"app-{number}"))
        until(lambda: len([*inbox.glob("processed/*")]) == 60, "all are processed", PATIENCE)
    ended = [line["file"] for line in told(inbox) if line["msg"] == "intent ended"]
    assert sorted(ended) == [f"intent-{number:02}.json" for number in range(60)]
    assert {one["status"] for one in statuses(inbox)} == {"success"}
    assert len(names(out)) == 60


def test_kill_9_at_any_moment_loses_and_doubles_nothing(folders: tuple[Path, Path]) -> None:
    inbox, out = folders
    for number in range(40):
        drop(inbox, f"intent-{number:02}.json", text_of(target=f"app-{number}"))
    for kill in range(20):
        with watching(inbox, out) as process:
            until(
                lambda kill=kill: len(names(out)) > kill or len(names(inbox)) <= 3,
                "one more is made",
            )
            process.kill()
            process.wait()
    done = patchgen("watch", str(inbox), "-output", str(out), "--once", *QUICK)
    assert done.returncode == 0, done.stderr
    assert len(names(inbox / "processed")) == 40
    assert len(names(out)) == 40
    assert [name for name in os.listdir(out) if name.startswith(".")] == []  # noqa: PTH208
    verified = patchgen("verify", *(str(out / name) for name in names(out)))
    assert verified.returncode == 0, verified.stderr


def test_sigterm_ends_the_one_at_work_and_exits_0(folders: tuple[Path, Path]) -> None:
    inbox, out = folders
    for number in range(30):
        drop(inbox, f"intent-{number:02}.json", text_of(target=f"app-{number}"))
    with watching(inbox, out) as process:
        until(lambda: len(names(out)) > 2, "some are made")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    made = len(names(out))
    assert len(names(inbox / "processed")) == made
    assert len([name for name in names(inbox) if name.startswith("intent-")]) == 30 - made


def test_what_is_not_the_intents_fault_leaves_it_where_it_is(folders: tuple[Path, Path]) -> None:
    inbox, out = folders
    out.rmdir()
    drop(inbox, "intent.json", text_of())
    log = inbox.parent / "watch.log"
    out.write_text("")  # no folder
    with watching(inbox, inbox.parent / "later") as process:
        until(lambda: "cannot write packages" in log.read_text(), "it is told")
        assert (inbox / "intent.json").exists()
        (inbox.parent / "later").mkdir()
        until((inbox / "processed" / "intent.json").exists, "it is made after all")
        assert process.poll() is None
    assert "PATCH060" in log.read_text()


def test_a_folder_that_is_not_there_is_exit_code_2(tmp_path: Path) -> None:
    done = patchgen("watch", str(tmp_path / "none"), "-output", str(tmp_path))
    assert done.returncode == 2
    assert "PATCH101" in done.stderr
    assert (
        patchgen("watch", str(tmp_path), "-output", str(tmp_path), "--period", "soon").returncode
        == 2
    )


def test_a_cut_off_text_is_believed_only_after_a_while(folders: tuple[Path, Path]) -> None:
    inbox, out = folders
    half = json.dumps(SEED)[:30]
    with watching(inbox, out):
        (inbox / "intent.json").write_text(half)
        drop(inbox, "other.json", text_of(target="other"))
        until((inbox / "processed" / "other.json").exists, "the other one is taken")
        (inbox / "intent.json").write_text(json.dumps(SEED))
        until((inbox / "processed" / "intent.json").exists, "so is this one")
    assert names(inbox / "failed") == []
