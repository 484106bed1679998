"""Statements of patchgen's list against the installed commands on a real file system."""

import functools
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.proofs.support import BIN, PATIENCE, clean_env, shell

PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SEED = '{"intent_type":"scaling","target":"test","namespace":"default","replicas":3}'
Done = subprocess.CompletedProcess[str]


def env(**more: str) -> dict[str, str]:
    kept = {name: text for name, text in clean_env().items() if not name.startswith("PATCHGEN_")}
    return {**kept, **more}


def patchgen(*words: str, text: str | bytes = "", **more: str) -> Done:
    """The installed command; `text` is its standard input."""
    return _run((str(BIN / "patchgen"), *words), text, env(**more))


def patchgen_as(user: int, group: int, *words: str, text: str = "", **more: str) -> Done:
    """The command as somebody else. Everything is imported before: an interpreter may live where
    only root can read."""
    code = (
        "import email.parser, importlib.metadata, os, pkgutil, sys, tarfile, yaml\n"
        "import backstay.cli, backstay.patchgen\n"
        "for package in (backstay.patchgen, backstay.cli):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if 'patchgen' in found.name: importlib.import_module(found.name)\n"
        "os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[1]))\n"
        "sys.argv[1:3] = []\n"
        "from backstay.cli.patchgen import main; main()\n"
    )
    command = (sys.executable, "-c", code, str(user), str(group), *words)
    return _run(command, text, {"PATH": os.environ["PATH"], **more})


def _run(command: tuple[str, ...], text: str | bytes, given: dict[str, str]) -> Done:
    raw = text if isinstance(text, bytes) else text.encode()
    done = subprocess.run(
        command, input=raw, capture_output=True, env=given, timeout=PATIENCE, check=False
    )
    return Done(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def python(code: str, *words: str, **more: str) -> Done:
    """A program of a library user."""
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=env(**more),
        timeout=PATIENCE, check=False,
    )  # fmt: skip


def intent(**fields: object) -> str:
    return json.dumps({**json.loads(SEED), **fields})


def without(name: str) -> str:
    return json.dumps({key: value for key, value in json.loads(SEED).items() if key != name})


def refused(text: str | bytes) -> str:
    done = patchgen("validate", text=text)
    assert done.returncode == 1, done.stdout
    return done.stderr


def accepted(text: str) -> str:
    done = patchgen("validate", text=text)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "intent.json"
    path.write_text(SEED)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def packages(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


# --- diagnostics -------------------------------------------------------------------------------


@pytest.mark.seed("P1", "P2", "P3", "P4", "P5", "P6", "P7")
def test_the_report_tells_the_truth_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    to = tmp_path / "diagnostic-report.txt"
    done = shell(f"patchgen diagnose > {to}", TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    lines = to.read_text().splitlines()
    assert lines[0] == "=== Patchgen Diagnostic Report ==="
    assert lines[-1] == "=== End Diagnostic Report ==="
    version = ".".join(map(str, sys.version_info[:3]))
    assert f"Python Version: {version}" in lines
    system, machine = os.uname().sysname.lower(), os.uname().machine
    assert f"OS/Arch: {system}/{machine}" in lines
    assert f"NumCPU: {os.cpu_count()}" in lines
    assert any(line.startswith("✓ backstay") and line.find("found") > 0 for line in lines)
    assert "✓ Validator created successfully" in lines
    assert "✓ Validation successful" in lines
    assert "✓ Directory creation successful" in lines
    assert "✓ Package generation successful" in lines
    made = next(line for line in lines if line.startswith("  Package path: "))
    assert re.search(rf"{tmp_path}/patchgen-test-\d+/test-scaling-patch-[0-9a-f]{{10}}$", made)
    assert [path.name for path in tmp_path.iterdir()] == ["diagnostic-report.txt"]


@pytest.mark.seed("P3", "P4", "P5", "P6", "P7")
def test_each_check_that_fails_has_a_cross_and_its_cause(tmp_path: Path) -> None:
    broken = (
        "import importlib.metadata as m\n"
        "from backstay.patchgen.diagnose import diagnose\n"
        "def absent(name): raise m.PackageNotFoundError(name)\n"
        "m.version = absent\n"
        "def none(): raise ValueError('no schema')\n"
        "class Deaf:\n"
        "    def validate(self, data): raise ValueError('never heard of it')\n"
        "print(*diagnose(make_validator=none).lines, *diagnose(make_validator=Deaf).lines, sep='\\n')\n"
    )
    told = python(broken).stdout
    assert "✗ backstay not found: " in told
    assert "✓ backstay" not in told
    assert "✗ Validator creation failed: no schema" in told
    assert "✗ Validation failed: never heard of it" in told

    # The scratch folder is there and takes nothing: generation fails, and it is removed all the same.
    steps = (
        "import backstay.patchgen.diagnose as d\n"
        "import os\n"
        "os.umask(0o022)\n"
        "class Broken:\n"
        "    path = 'x'\n"
        "    def __init__(self, intent, folder): print(oct(folder.stat().st_mode), folder.name == f'patchgen-test-{os.getpid()}')\n"
        "    def generate(self): raise OSError('disk on fire')\n"
        "d.PatchPackage = Broken\n"
        "print(*d.diagnose().lines, sep='\\n')\n"
    )
    told = python(steps, TMPDIR=str(tmp_path)).stdout
    assert told.startswith("0o40755 True\n")
    assert "✗ Package generation failed: disk on fire" in told
    assert "Package path:" not in told
    assert list(tmp_path.iterdir()) == []

    # There is no place for it: the step after it is skipped.
    (tmp_path / "file").write_text("")
    inside = "import tempfile; tempfile.tempdir = '{}'; from backstay.patchgen import diagnose as d; print(*d.diagnose().lines, sep='\\n')"
    told = python(inside.format(tmp_path / "file")).stdout
    assert "✗ Cannot create directory: " in told
    assert "Package generation" not in told


# --- migration ---------------------------------------------------------------------------------


@pytest.mark.seed("P8")
def test_uses_of_the_old_name_are_found_and_renamed_once(tmp_path: Path) -> None:
    code = tmp_path / "main.go"
    code.write_text('import "github.com/nephoran/internal/patch"\nimport "x/internal/patchgen"\n')
    found = patchgen("migrate", str(tmp_path))
    assert found.returncode == 1
    assert f"{code}:1" in found.stdout
    assert "internal/patch is internal/patchgen now" in found.stderr
    assert patchgen("migrate", str(tmp_path), "--write").returncode == 0
    once = code.read_text()
    assert once == 'import "github.com/nephoran/internal/patchgen"\nimport "x/internal/patchgen"\n'
    assert "0 renamed" in patchgen("migrate", str(tmp_path), "--write").stderr
    assert code.read_text() == once


@pytest.mark.seed("P9")
def test_an_old_generator_where_a_package_belongs_is_a_clear_type_error(out: Path) -> None:
    code = (
        "import sys\n"
        "from backstay.patchgen.library import NewPatchPackage, as_package\n"
        "from backstay.patchgen.model import Intent\n"
        "class Generator: pass\n"
        "i = Intent(intent_type='scaling', target='a', namespace='b', replicas=1)\n"
        "as_package(NewPatchPackage(i, sys.argv[1])).Generate()\n"
        "try: as_package(Generator())\n"
        "except TypeError as e: print(e)\n"
    )
    done = python(code, str(out))
    assert "cannot use __main__.Generator as PatchPackage" in done.stdout, done.stderr
    assert len(packages(out)) == 1


@pytest.mark.seed("P10")
def test_what_was_not_validated_becomes_no_package(out: Path) -> None:
    code = (
        "import sys\n"
        "from backstay.patchgen.library import PatchPackage\n"
        "class Loose: intent_type, target, namespace, replicas = 'scaling', 'a', 'b', 1\n"
        "for given in (b'{}', '{}', {'target': 'a'}, None, Loose()):\n"
        "    try: PatchPackage(given, sys.argv[1])\n"
        "    except Exception as e: print(type(e).__name__, e)\n"
    )
    told = python(code, str(out)).stdout.splitlines()
    assert told == ["NotValidated PATCH068: validation required but not performed"] * 5
    assert packages(out) == []


@pytest.mark.seed("P11")
def test_the_path_is_known_before_and_after(out: Path) -> None:
    code = (
        "import sys\n"
        "from backstay.patchgen.library import NewValidator, NewPatchPackage\n"
        "p = NewPatchPackage(NewValidator().ValidateIntent(sys.argv[2]), sys.argv[1])\n"
        "print(p.GetPackagePath()); p.Generate(); print(p.GetPackagePath())\n"
    )
    before, after = python(code, str(out), SEED).stdout.splitlines()
    assert before == after == str(packages(out)[0])


# --- validation --------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["target", "namespace"])
@pytest.mark.parametrize(
    "name", ["A", "a_b", "-a", "a-", "a.b", "", "a b", "tšst", "аpp", "ａpp", "a\n"]
)
@pytest.mark.seed("P12")
def test_names_are_ascii_and_match_the_pattern(field: str, name: str) -> None:
    told = refused(intent(**{field: name}))
    assert told.startswith("schema validation failed")
    assert PATTERN in told


@pytest.mark.seed("P13")
def test_every_bad_field_is_named_with_its_value() -> None:
    told = refused(intent(target="MyApp_v2", namespace="n" * 70, replicas=101))
    assert "Invalid target name: MyApp_v2" in told
    assert "Namespace too long: 70 chars (max 63)" in told
    assert "Replicas out of range: 101 (must be 0-100)" in told


@pytest.mark.seed("P14")
def test_the_seeds_bad_and_good_name() -> None:
    assert "Invalid target name: MyApp_v2" in refused(intent(target="MyApp_v2"))
    accepted(intent(target="myapp-v2"))


@pytest.mark.parametrize("field", ["intent_type", "namespace"])
@pytest.mark.seed("P15")
def test_a_missing_field_is_named(field: str) -> None:
    assert f"missing required field: {field}" in refused(without(field))


@pytest.mark.seed("P16")
def test_scaling_is_the_only_type() -> None:
    assert "Invalid intent type: scale\n" in refused(intent(intent_type="scale"))
    accepted(intent(intent_type="scaling"))


@pytest.mark.seed("P17")
def test_replicas_from_0_to_100_and_whole() -> None:
    for good in (0, 1, 99, 100):
        accepted(intent(replicas=good))
    for bad in (-1, 101, 1.5, 2**70, "3", None, True, [3]):
        told = refused(intent(replicas=bad))
        assert told.startswith("schema validation failed: replicas "), told


@pytest.mark.parametrize("text", ["", "   ", "{", SEED[:20], SEED[:-1], '{"a', "[1,"])
@pytest.mark.seed("P18")
def test_broken_json_says_so_and_a_cut_off_text_says_that(text: str) -> None:
    told = refused(text)
    assert told.startswith("invalid JSON: unexpected end of JSON input\n")
    assert refused("{]").startswith("invalid JSON: ")


@pytest.mark.seed("P19")
def test_the_caret_stands_under_the_reported_byte() -> None:
    good = '{"intent_type":"scaling","target":"caf\\u00e9","namespace":"default"'
    for text in (good + ' "replicas":3}', '{"é":1 "b":2}', "@", good + ",}" + " " * 30):
        told = refused(text).splitlines()
        position = next(line for line in told if "JSON error at position" in line)
        offset = int(re.findall(r"\d+", position)[0])
        raw = text.encode()
        place = next(index for index, line in enumerate(told) if "Context: ..." in line)
        context, caret = told[place], told[place + 1]
        assert context[caret.index("^")] == raw[offset : offset + 1].decode()
        window = context.partition("Context: ...")[2].removesuffix("...")
        before = context.index("Context: ...") + len("Context: ...")
        assert len(window[: caret.index("^") - before].encode()) <= 20
        assert len(window[caret.index("^") - before :].encode()) <= 20
        assert window in text


@pytest.mark.seed("P20")
def test_a_missing_and_a_trailing_comma_are_called_that() -> None:
    missing = refused('{\n    "intent_type": "scaling"\n    "target": "app"\n}')
    assert "Missing comma" in missing
    assert "line 3, column 5" in missing
    trailing = refused('{\n    "intent_type": "scaling",\n    "target": "app",\n}')
    assert "Trailing comma" in trailing
    assert "Trailing comma" in refused("[1, 2, ]")


# --- file system -------------------------------------------------------------------------------


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
    return _run((*inside, *words), text, {"PATH": os.environ["PATH"]})


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


# --- security ----------------------------------------------------------------------------------


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


@pytest.mark.seed("P31")
def test_a_bad_name_at_generation_time(out: Path) -> None:
    code = (
        "import sys, msgspec\n"
        "from backstay.patchgen.library import PatchPackage\n"
        "from backstay.patchgen.model import Intent\n"
        "made = lambda name: Intent(intent_type='scaling', target=name, namespace='b', replicas=1)\n"
        "good = made('good')\n"
        "msgspec.structs.force_setattr(good, 'target', '../x')\n"
        "for try_ in (lambda: PatchPackage(good, sys.argv[1]), lambda: made('My_App')):\n"
        "    try: try_()\n"
        "    except Exception as e: print(e.message)\n"
    )
    expected = "validation failed: target does not match required pattern"
    assert python(code, str(out)).stdout.splitlines() == [expected] * 2


@pytest.mark.seed("P32")
def test_the_sanitizer_always_gives_a_valid_name() -> None:
    code = (
        "import json, sys\n"
        "from backstay.patchgen.names import sanitize_name\n"
        "print(json.dumps([sanitize_name(n) for n in json.loads(sys.argv[1])]))\n"
    )
    names = ["MyApp_v2", "--a--", "", "___", "a" * 252 + "_" + "b" * 9, "é", "x" * 300]
    told = json.loads(python(code, json.dumps(names)).stdout)
    assert told[:4] == ["myapp-v2", "a", "unnamed", "unnamed"]
    assert told[4:] == ["a" * 252, "unnamed", "x" * 253]
    assert all(re.fullmatch(PATTERN, name) for name in told)


# --- performance -------------------------------------------------------------------------------


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


# --- debugging ---------------------------------------------------------------------------------


@pytest.mark.seed("P44", "P67")
def test_debug_lines_carry_an_iso_timestamp(out: Path, file: Path) -> None:
    words = ("generate", "-intent", str(file), "-output", str(out))
    assert "timestamp" not in patchgen(*words).stderr
    done = patchgen(*words, PATCHGEN_DEBUG="true")
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])
        assert line["level"] == "debug"


# --- the error table ---------------------------------------------------------------------------

TABLE = [
    ("P47", "schema validation failed", "Invalid JSON structure", "Check schema requirements", "[]"),
    ("P48", "invalid JSON", "Malformed JSON", "Validate JSON syntax", "{"),
    ("P49", "path traversal detected", "Security violation", "Use clean paths", None),
    ("P50", "output directory does not exist", "Missing directory", "Create directory first", None),
    ("P51", "permission denied", "Insufficient privileges", "Check file permissions", None),
    ("P52", "intent_type must be 'scaling'", "Wrong intent type", 'Use "scaling" only', intent(intent_type="x")),
    ("P53", "replicas out of range", "Invalid replica count", "Use 0-100 range", intent(replicas=101)),
    ("P54", "target does not match pattern", "Invalid K8s name", "Use lowercase alphanumeric", intent(target="A")),
    ("P55", "namespace too long", "Exceeds 63 chars", "Shorten namespace name", intent(namespace="n" * 64)),
    ("P56", "failed to marshal", "Serialization error", "Check data types", None),
]  # fmt: skip
OTHER_FORMS = {
    "P49": "path traversal attempt detected: contains '..'",
    "P50": "output directory /var/lib/patches does not exist",
    "P51": "failed to create package directory: permission denied",
    "P54": "validation failed: target does not match required pattern",
}


@pytest.mark.parametrize(
    ("message", "cause", "solution", "sample"),
    [pytest.param(*row[1:], marks=pytest.mark.seed(row[0]), id=row[0]) for row in TABLE],
)
def test_the_table_can_be_asked(
    message: str, cause: str, solution: str, sample: str | None
) -> None:
    ask = "import sys; from backstay.patchgen.table import search; r = search(sys.argv[1])[0]; print(r.message, r.cause, r.solution, sep='|')"
    number = next(row[0] for row in TABLE if row[1] == message)
    for text in filter(None, (message, OTHER_FORMS.get(number))):
        done = patchgen("errors", text)
        assert done.returncode == 0
        shown = done.stdout.splitlines()
        assert shown[0] == message
        assert shown[1].endswith(cause)
        assert shown[2].endswith(solution)
        assert python(ask, text).stdout.strip() == f"{message}|{cause}|{solution}"
    if sample is not None:
        assert message in refused(sample)
    assert patchgen("errors").stdout.count("solution:") == 10
    assert patchgen("errors", "a message of somebody else").returncode == 1


@pytest.mark.seed("P56")
def test_what_cannot_be_written_as_json_fails_to_marshal() -> None:
    code = (
        "from backstay.patchgen.krm import dump\n"
        "try: dump({'a': object()})\n"
        "except Exception as e: print(e.message)\n"
    )
    done = python(code)
    assert done.stdout.startswith("failed to marshal object: "), done.stderr


@pytest.mark.seed("P57")
def test_recovery_goes_by_class_never_by_text(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from backstay.patchgen.library import PatchPackage, Validator\n"
        "from backstay.patchgen.recovery import generate_with_recovery, recover\n"
        "from backstay.patchgen.errors import OutputDenied, WriteFailed, InvalidIntent\n"
        "from backstay.patchgen.validate import validate\n"
        "class Log:\n"
        "    def debug(self, event, **v): print('log', event, v.get('pointer', ''))\n"
        "home, out = sys.argv[1:3]\n"
        "i = Validator().validate(sys.argv[3])\n"
        "print(generate_with_recovery(PatchPackage(i, out), home, Log()).path)\n"
        "print(recover(OutputDenied(reason='no', path=out, user='u', remedy=''), out, home, Log()))\n"
        "for e in (InvalidIntent(validate(b'{}')), WriteFailed(reason='permission denied', path=out, remedy=''),\n"
        "          RuntimeError('permission denied: it does not exist, validation failed')):\n"
        "    try: recover(e, out, home, Log())\n"
        "    except Exception as e: print(e.message)\n"
    )
    home, out = tmp_path / "home", tmp_path / "not-yet"
    home.mkdir()
    told = python(code, str(home), str(out), SEED).stdout.splitlines()
    assert Path(told[1]).parent == out
    assert str(home / ".nephoran" / "patches") in told
    assert [line for line in told if line.startswith("log validation failed")] == [
        f"log validation failed /{name}"
        for name in ("intent_type", "target", "namespace", "replicas")
    ]
    assert told[-2] == "unrecoverable error: failed to write file: permission denied"
    assert told[-1].startswith("unrecoverable error: permission denied: it does not exist")


# --- support and reference ---------------------------------------------------------------------


@pytest.mark.seed("P64", "P65", "P66")
def test_support_is_told_and_bundled(tmp_path: Path) -> None:
    contacts = {
        "PATCHGEN_SUPPORT_CONTACT": "help@example.org",
        "PATCHGEN_SECURITY_CONTACT": "sec@example.org",
    }
    told = patchgen("support", **contacts).stdout
    for words in (
        "Level 1",
        "Level 2",
        "Level 3",
        "help@example.org",
        "sec@example.org",
        "in private",
    ):
        assert words in told
    for line in (
        "P1 (Critical): Production down, no workaround",
        "P2 (High): Production impacted, workaround exists",
        "P3 (Medium): Non-production issue",
        "P4 (Low): Questions or enhancements",
    ):
        assert line in told
    bundle = tmp_path / "bundle.tar.gz"
    done = patchgen("support", "bundle", str(bundle), **contacts)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    with tarfile.open(bundle) as archive:
        texts = {
            Path(name).name: archive.extractfile(name).read().decode()  # type: ignore[union-attr]
            for name in archive.getnames()
        }
    assert "=== Patchgen Diagnostic Report ===" in texts["diagnostic-report.txt"]
    assert os.uname().release in texts["system.txt"]
    assert f"python: {sys.version.split()[0]}" in texts["system.txt"]
    # No cluster here: it says what it tried, and below one is played.
    tried = "kubectl logs -n nephoran-system deployment/nephoran-operator"
    assert texts["operator.log"].startswith(tried)
    assert "Production down" in texts["SUPPORT.txt"]
    assert patchgen("support", "bundle", str(bundle)).returncode == 1  # never written over


@pytest.mark.seed("P64")
def test_the_bundle_has_the_operators_log_where_it_can_be_reached(tmp_path: Path) -> None:
    """A kubectl that reaches a cluster is played: what it is asked, it answers."""
    kubectl, bundle = tmp_path / "bin" / "kubectl", tmp_path / "bundle.tar.gz"
    kubectl.parent.mkdir()
    kubectl.write_text('#!/bin/sh\necho "asked: $*"; echo token=Bearer eyJhbGciOi.eyJzdWIi.c2ln\n')
    kubectl.chmod(0o755)
    path = f"{kubectl.parent}:{os.environ['PATH']}"
    assert patchgen("support", "bundle", str(bundle), PATH=path).returncode == 0
    with tarfile.open(bundle) as archive:
        log = archive.extractfile("patchgen-support/operator.log").read().decode()  # type: ignore[union-attr]
    assert "asked: logs -n nephoran-system deployment/nephoran-operator" in log
    assert "eyJhbGciOi" not in log


@pytest.mark.seed("P69")
def test_validation_is_bounded(tmp_path: Path) -> None:
    assert patchgen("validate", text=SEED, PATCHGEN_VALIDATION_TIMEOUT="30s").returncode == 0
    bad = patchgen("validate", text=SEED, PATCHGEN_VALIDATION_TIMEOUT="30 apples")
    assert bad.returncode == 2
    assert "PATCHGEN_VALIDATION_TIMEOUT" in bad.stderr
    # Input that never ends is not waited for.
    with subprocess.Popen(
        [BIN / "patchgen", "validate"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        env=env(PATCHGEN_VALIDATION_TIMEOUT="300ms"),
    ) as late:  # fmt: skip
        assert late.stderr is not None
        assert b"validation took longer than 300ms" in late.stderr.read()
    assert late.returncode == 1


@pytest.mark.seed("P70")
def test_strict_mode_refuses_what_else_is_a_warning() -> None:
    for field, value, code in (
        ("colour", "blue", "PATCH040"),
        ("reason", "r" * 513, "PATCH046"),
        ("source", "a stranger", "PATCH047"),
        ("target", "t" * 64, "PATCH043"),
    ):
        text = intent(**{field: value})
        accepted(text)
        for done in (
            patchgen("validate", text=text, PATCHGEN_STRICT_MODE="true"),
            patchgen("validate", "--strict", text=text),
        ):
            assert done.returncode == 1
            assert code in done.stderr
            assert "(strict mode)" in done.stderr
    assert patchgen("validate", text=SEED, PATCHGEN_STRICT_MODE="true").returncode == 0


@pytest.mark.seed("P71")
def test_validate_reads_standard_input() -> None:
    line = f"echo '{SEED}' | patchgen validate"
    done = shell(line)
    assert (done.returncode, done.stderr) == (0, "")
    assert "valid" in done.stdout
    bad = shell('echo \'{"intent_type":"scale"}\' | patchgen validate')
    assert bad.returncode == 1
    assert bad.stdout == ""
    assert "intent_type must be 'scaling'" in bad.stderr


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


@pytest.mark.seed("P74")
def test_the_three_patterns_match_whole_strings() -> None:
    code = (
        "import json, sys\n"
        "from backstay.patchgen import names as n\n"
        "asks = (n.is_kubernetes_name, n.is_correlation_id, n.is_semantic_version)\n"
        "print(json.dumps([[ask(t) for t in ts] for ask, ts in zip(asks, json.loads(sys.argv[1]))]))\n"
    )
    good = (["a", "a-b", "0"], ["A-b_9"], ["1.2.3", "v1.2.3-rc1"])
    bad = (["a\n", "-a", "A"], ["a b", "a\n", "é", ""], ["1.2", "1.2.3\n", "1.2.3-", "٣.2.1"])
    assert json.loads(python(code, json.dumps(good)).stdout) == [[True] * len(one) for one in good]
    assert json.loads(python(code, json.dumps(bad)).stdout) == [[False] * len(one) for one in bad]
    refused(intent(correlation_id="a b"))
    accepted(intent(correlation_id="A-b_9"))


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


def test_the_command_starts_without_what_it_does_not_need() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['patchgen', 'validate', '-']\n"
        "from backstay.cli.patchgen import command\n"
        "command.main(standalone_mode=False)\n"
        "print(sorted(m for m in ('yaml', 'structlog', 'rich', 'aiohttp', 'granian', 'uvloop', 'rapidfuzz') if m in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=SEED, capture_output=True, text=True, env=env(),
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
