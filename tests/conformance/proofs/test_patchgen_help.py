"""Statements of patchgen's list about help: the report, migration, errors, recovery, support."""

import json
import os
import re
import stat
import sys
import tarfile
from pathlib import Path

import pytest
from tests.conformance.proofs.intents import SEED, intent, packages, patchgen, python, refused
from tests.conformance.proofs.support import shell


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
