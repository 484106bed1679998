"""The writer on a real file system: whole or not at all, never over anything, and never through a link."""

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest
from tests.patchgen.support import intent, text_of, writer

from backstay.core.errors import Fault
from backstay.patchgen import flush, stage, write
from backstay.patchgen.errors import Conflict, OutputDenied, OutputMissing, WriteFailed
from backstay.patchgen.model import Placed
from backstay.patchgen.render import FILES, render
from backstay.patchgen.stage import Abandon
from backstay.patchgen.write import STAGE_PREFIX

PACKAGE = render(intent())


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_package_is_exactly_its_files_with_fixed_modes(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        [placed] = writer(tmp_path, durability="power").place([PACKAGE])
    finally:
        os.umask(before)
    assert isinstance(placed, Placed)
    assert placed.state == "written"
    assert files_of(placed.path) == PACKAGE.files
    assert sorted(PACKAGE.files) == sorted(FILES)
    modes = {S_IMODE(path.stat().st_mode) for path in placed.path.rglob("*") if path.is_file()}
    assert modes == {0o644}
    for folder in (placed.path, placed.path / "component"):
        assert S_IMODE(folder.stat().st_mode) == 0o755
    assert names_in(tmp_path) == [PACKAGE.name]


def test_again_is_unchanged_also_within_one_call(tmp_path: Path) -> None:
    states = [one.state for one in writer(tmp_path).place([PACKAGE, PACKAGE])]
    assert states == ["written", "unchanged"]
    inode = (tmp_path / PACKAGE.name).stat().st_ino
    assert [one.state for one in writer(tmp_path).place([PACKAGE])] == ["unchanged"]
    assert (tmp_path / PACKAGE.name).stat().st_ino == inode


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def change_a_byte(folder: Path) -> None:
    path = folder / "Kptfile"
    path.write_bytes(path.read_bytes() + b"#")


def add_a_file(folder: Path) -> None:
    (folder / "extra.yaml").write_text("kind: Secret\n")


def add_an_empty_folder(folder: Path) -> None:
    (folder / "extra").mkdir()


def grow_a_file(folder: Path) -> None:
    with (folder / "README.md").open("ab") as file:
        file.write(b" " * 2_000_000)


def remove_a_file(folder: Path) -> None:
    (folder / "README.md").unlink()


def link_a_file(folder: Path) -> None:
    (folder / "Kptfile").rename(folder.parent / "elsewhere")
    (folder / "Kptfile").symlink_to(folder.parent / "elsewhere")


def link_a_folder(folder: Path) -> None:
    (folder / "component").rename(folder.parent / "elsewhere")
    (folder / "component").symlink_to(folder.parent / "elsewhere")


def pipe_a_file(folder: Path) -> None:
    (folder / "Kptfile").unlink()
    os.mkfifo(folder / "Kptfile")


def empty_it(folder: Path) -> None:
    for name in FILES:
        (folder / name).unlink()
    (folder / "component").rmdir()


@pytest.mark.parametrize(
    "change",
    [
        change_a_byte,
        add_a_file,
        add_an_empty_folder,
        grow_a_file,
        remove_a_file,
        link_a_file,
        link_a_folder,
        pipe_a_file,
        empty_it,
    ],
)
def test_what_differs_is_a_conflict_and_stays_as_it_is(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    writer(tmp_path).place([PACKAGE])
    folder = tmp_path / PACKAGE.name
    change(folder)
    before = sorted(path.name for path in folder.rglob("*"))
    [refused] = writer(tmp_path).place([PACKAGE])
    assert isinstance(refused, Conflict)
    assert sorted(path.name for path in folder.rglob("*")) == before


@pytest.mark.parametrize("kind", ["file", "link-to-folder", "broken-link"])
def test_a_name_that_is_no_folder_is_a_conflict(tmp_path: Path, kind: str) -> None:
    place, aim = tmp_path / PACKAGE.name, tmp_path / "aim"
    aim.mkdir()
    if kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(aim if kind == "link-to-folder" else tmp_path / "nowhere")
    [refused] = writer(tmp_path).place([PACKAGE])
    assert isinstance(refused, Conflict)
    assert list(aim.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_one_conflict_does_not_keep_the_others_out(tmp_path: Path) -> None:
    packages = [render(intent(replicas=count)) for count in range(5)]
    (tmp_path / packages[2].name).write_text("mine")
    placed = writer(tmp_path, durability="power").place(packages)
    assert [isinstance(one, Conflict) for one in placed] == [False, False, True, False, False]
    assert all(
        (tmp_path / one.name / "Kptfile").is_file() for n, one in enumerate(packages) if n != 2
    )


def test_a_missing_folder_and_a_file_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(OutputMissing):
        writer(tmp_path / "none").place([PACKAGE])
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault, match="PATCH061"):
        writer(tmp_path / "file").place([PACKAGE])


def test_a_dry_run_writes_nothing_and_still_sees_conflicts(tmp_path: Path) -> None:
    dry = writer(tmp_path, dry_run=True)
    assert [one.state for one in dry.place([PACKAGE])] == ["planned"]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / PACKAGE.name).write_text("mine")
    assert isinstance(dry.place([PACKAGE])[0], Conflict)


CALLS = ("mkdir", "open", "write", "close", "fsync", "rename")


@pytest.mark.parametrize("durability", ["power", "process"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_whatever_call_fails_nothing_half_written_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, call: str, number: int
) -> None:
    """Every call of a kind, one after the other: the first fails, then the second, …"""
    for failing in range(40):
        folder = tmp_path / str(failing)
        folder.mkdir()
        with monkeypatch.context() as patch:
            count = _fail_at(patch, call, number, failing)
            try:
                [result] = writer(folder, durability=durability).place([PACKAGE])
            except Fault as fault:
                result = fault
        there = [name for name in names_in(folder) if not name.startswith(STAGE_PREFIX)]
        if isinstance(result, Fault):
            assert isinstance(result, WriteFailed | OutputDenied), result
            assert there == [] or files_of(folder / PACKAGE.name) == PACKAGE.files
        else:
            assert files_of(folder / PACKAGE.name) == PACKAGE.files
        writer(folder).sweep()
        assert [name for name in names_in(folder) if name.startswith(STAGE_PREFIX)] == []
        if count() <= failing:
            return
    pytest.fail("more calls than expected")


def _fail_at(patch: pytest.MonkeyPatch, call: str, number: int, failing: int) -> Callable[[], int]:
    """The call number `failing` of this kind fails; gives how many there were."""
    real, seen = getattr(os, call), 0

    def broken(*args: Any, **options: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == failing + 1:
            if call == "close":
                real(*args, **options)
            raise OSError(number, os.strerror(number))
        return real(*args, **options)

    patch.setattr(write.os, call, broken)
    return lambda: seen


def test_a_failing_sync_of_many_places_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(stage, "flush_file_system", fails)
    with pytest.raises(WriteFailed, match="input/output error"):
        writer(tmp_path, durability="power").place([render(intent(replicas=n)) for n in range(3)])
    assert list(tmp_path.iterdir()) == []


def test_without_syncfs_each_file_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "_SYNCFS", [None])
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(write.os, "fsync", lambda number: (synced.append(number), real(number))[1])
    writer(tmp_path, durability="power").place([render(intent(replicas=n)) for n in range(3)])
    # Five files and two folders of each, and the folder they are named in.
    assert len(synced) == 3 * 7 + 1


def test_the_names_appear_after_the_bytes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for call in ("fsync", "rename"):
        real = getattr(os, call)

        def noted(*args: Any, _real: Any = real, _call: str = call, **options: Any) -> Any:
            order.append(_call)
            return _real(*args, **options)

        monkeypatch.setattr(write.os, call, noted)
    writer(tmp_path, durability="power").place([PACKAGE])
    assert order == ["fsync"] * 7 + ["rename", "fsync"]


def test_the_living_are_not_swept(tmp_path: Path) -> None:
    living, dead = tmp_path / f"{STAGE_PREFIX}a", tmp_path / f"{STAGE_PREFIX}b"
    living.mkdir()
    (dead / "x" / "y").mkdir(parents=True)
    lock = os.open(living, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert writer(tmp_path).sweep() == 1
    assert living.is_dir()
    assert not dead.exists()
    os.close(lock)
    assert writer(tmp_path).sweep() == 1
    (tmp_path / f"{STAGE_PREFIX}c").symlink_to("/")
    assert writer(tmp_path).sweep() == 0


def test_a_single_package_leaves_nothing_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every freed inode makes ext4 slower for some minutes, and a server frees none."""
    removed: list[Any] = []
    for call in ("rmdir", "unlink"):
        monkeypatch.setattr(write.os, call, lambda *given, **_: removed.append(given))
    one = writer(tmp_path)
    states = [placed.state for n in range(3) for placed in one.place([render(intent(replicas=n))])]
    assert states == ["written"] * 3
    assert removed == []
    assert [name for name in names_in(tmp_path) if name.startswith(STAGE_PREFIX)] == []


@pytest.mark.parametrize("many", [1, 3])
@pytest.mark.parametrize("moment", ["mkdir", "open"])
def test_a_stage_that_was_swept_before_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, many: int
) -> None:
    """Another process that starts sweeps what nobody has locked, also what is one call old."""
    real, swept = getattr(os, moment), []

    def swept_after(path: Any, *args: Any, **options: Any) -> Any:
        result = real(path, *args, **options)
        if str(path).startswith(STAGE_PREFIX) and not swept:
            monkeypatch.setattr(write.os, moment, real)
            swept.append(writer(tmp_path).sweep())
        return result

    monkeypatch.setattr(write.os, moment, swept_after)
    placed = writer(tmp_path).place([render(intent(replicas=n)) for n in range(many)])
    assert swept == [1]
    assert [one.state for one in placed if isinstance(one, Placed)] == ["written"] * many
    assert len(names_in(tmp_path)) == many


def test_a_package_that_gets_its_name_is_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweeper that had the folder open before it was renamed finds it locked by nobody after."""
    real, swept = fcntl.flock, []

    def published_before(descriptor: int, how: int) -> None:
        if how & fcntl.LOCK_NB:
            (tmp_path / f"{STAGE_PREFIX}x").rename(tmp_path / "named")
        real(descriptor, how)

    monkeypatch.setattr(stage.fcntl, "flock", published_before)
    (tmp_path / f"{STAGE_PREFIX}x" / "component").mkdir(parents=True)
    swept.append(writer(tmp_path).sweep())
    assert swept == [0]
    assert names_in(tmp_path) == ["named"]


def test_an_output_link_that_is_turned_meanwhile_is_judged_by_the_folder_that_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other, link = tmp_path / "first", tmp_path / "other", tmp_path / "out"
    for folder in (first, other):
        folder.mkdir()
        writer(folder).place([PACKAGE])
    change_a_byte(other / PACKAGE.name)
    link.symlink_to(first)
    real = os.stat

    def turned(*args: Any, **options: Any) -> Any:
        if args[0] == PACKAGE.name:
            link.unlink()
            link.symlink_to(other)
        return real(*args, **options)

    monkeypatch.setattr(write.os, "stat", turned)
    assert [one.state for one in writer(link).place([PACKAGE])] == ["unchanged"]


def test_many_threads_make_the_same_and_different_packages_at_once(tmp_path: Path) -> None:
    packages = [render(intent(target="same", replicas=count)) for count in range(20)]
    results: list[Placed | Fault] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        own = writer(tmp_path)
        for package in packages:
            results.extend(own.place([package]))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 160
    assert not [one for one in results if isinstance(one, Fault)]
    assert [one.state for one in results if isinstance(one, Placed)].count("written") == 20
    for package in packages:
        assert files_of(tmp_path / package.name) == package.files
    assert len(names_in(tmp_path)) == 20


def test_what_was_given_up_does_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    abandon = Abandon()
    real = os.fsync

    def slow(number: int) -> None:
        abandon.give_up()
        real(number)

    monkeypatch.setattr(write.os, "fsync", slow)
    [refused] = writer(tmp_path, durability="power", abandon=abandon).place([PACKAGE])
    assert isinstance(refused, Fault)
    assert refused.entry.code == "PATCH070"
    assert list(tmp_path.iterdir()) == []


def test_the_output_folder_may_be_a_link_but_may_not_climb(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [one.state for one in writer(tmp_path / "link").place([PACKAGE])] == ["written"]
    with pytest.raises(Fault, match="PATCH064"):
        writer(Path(f"{tmp_path}/real/../real"))


def test_a_parent_that_may_not_be_entered_is_a_closed_folder_not_a_crash() -> None:
    """`Path.is_dir` raises there; for root it is another user who looks."""
    code = (
        "import os, sys\n"
        "from backstay.core.clock import SystemClock, Uuid7\n"
        "from backstay.patchgen.service import Job, Maker\n"
        "from backstay.patchgen.packages import read_package\n"
        "from backstay.patchgen.paths import ensure_directory, walk\n"
        "from backstay.patchgen.probes import look_at_output\n"
        "import grp\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "out, text = sys.argv[1], sys.argv[2].encode()\n"
        "clock = SystemClock()\n"
        "maker = Maker(Job(out), clock, Uuid7(clock))\n"
        "for try_ in (lambda: maker.make(text), lambda: ensure_directory(out), lambda: read_package(out)):\n"
        "    try: try_()\n"
        "    except Exception as e: print(e)\n"
        "print(look_at_output(out)['reading'], walk(out)[-1].problem)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        closed = Path(folder) / "closed"
        (closed / "out").mkdir(parents=True)
        Path(folder).chmod(0o755)
        closed.chmod(0o600)
        done = subprocess.run(
            [sys.executable, "-c", code, closed / "out", text_of()], capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        closed.chmod(0o700)
    assert done.stdout.splitlines() == [
        "PATCH062: failed to create package directory: permission denied",
        "PATCH072: failed to create directory: permission denied",
        f"PATCH080: {closed}/out is not a package of patchgen: it is not a folder",
        "closed permission denied",
    ], done.stderr
