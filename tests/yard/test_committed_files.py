"""Nothing in the repository ties it to a package index or to somebody's machine."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Put together here, so that this file does not hold what it looks for.
DOT = re.escape(".")
HOSTS = [
    DOT.join(("pypi", "org")),
    DOT.join(("python" + "hosted", "org")),
    DOT.join(("registry", "npmjs", "org")),
    DOT.join(("registry", "yarnpkg", "com")),
    DOT.join(("proxy", "golang", "org")),
    DOT.join(("crates", "io")),
    DOT.join(("deb", "debian", "org")),
]
OPTIONS = [r"--(extra-)?index[-]url", r"--find[-]links", r"(PIP|UV)(_EXTRA)?_INDEX[_]URL"]
# As they are written: an endpoint may well be called /users.
FOLDERS = [
    rf"(?-i:(?<![\w.}}]){re.escape('/' + name)}/\w)" for name in ("work", "root", "home", "Users")
]
FORBIDDEN = re.compile("|".join([*HOSTS, *OPTIONS, *FOLDERS]), re.IGNORECASE)


def committed() -> list[Path]:
    """Tracked files; in an unpacked archive, which has no git, this cannot be told."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("git is absent")
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def findings(text: str) -> list[str]:
    return [match.group() for match in FORBIDDEN.finditer(text)]


def test_no_committed_file_names_an_index_or_a_machines_path() -> None:
    found = {
        str(file.relative_to(ROOT)): hits
        for file in committed()
        if file.is_file() and (hits := findings(file.read_text(encoding="utf-8", errors="replace")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "https://" + "files.python" + "hosted.org/packages/x.whl",
        "pip install --index" + "-url https://mirror/simple x",
        "open('" + "/" + "work/secret.txt')",
        "cd " + "/" + "home/somebody/project",
    ],
)
def test_it_would_be_found(text: str) -> None:
    assert findings(text)


@pytest.mark.parametrize("text", ["GET /v1/homes", "src/work/x", "user /home", "{data}/root/x"])
def test_what_only_looks_alike_is_let_through(text: str) -> None:
    assert not findings(text)


def test_lock_files_pin_every_package_by_hash() -> None:
    for file in sorted((ROOT / "requirements").glob("*.txt")):
        blocks = re.findall(r"^[a-z0-9].*(?:\n    .*)*", file.read_text(), re.MULTILINE)
        assert blocks, file.name
        assert all("==" in block and "--hash=sha256:" in block for block in blocks), file.name


def test_lock_files_agree_with_each_other() -> None:
    pins: dict[str, set[str]] = {}
    for file in sorted((ROOT / "requirements").glob("*.txt")):
        for name, version in re.findall(
            r"^([a-z0-9._-]+)==([^ ;\\]+)", file.read_text(), re.MULTILINE
        ):
            pins.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}
