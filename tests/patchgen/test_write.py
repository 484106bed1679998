"""The writer on a real file system: whole or not at all, never over anything, and never through a link."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from stat import S_IMODE

import pytest
from tests.patchgen.support import files_of, intent, names_in, text_of, writer

from backstay.core.errors import Fault
from backstay.patchgen.errors import Conflict, OutputMissing
from backstay.patchgen.model import Placed
from backstay.patchgen.render import FILES, render

PACKAGE = render(intent())


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
