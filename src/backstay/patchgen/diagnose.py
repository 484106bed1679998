"""The diagnostic report (P1–P7): is this installation able to do its work here?

It runs by itself, asks for nothing, and leaves nothing behind.
"""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import msgspec

from backstay import __version__
from backstay.core.errors import Fault
from backstay.patchgen import paths
from backstay.patchgen.library import PatchPackage, Validator
from backstay.patchgen.model import Intent

OPENS = "=== Patchgen Diagnostic Report ==="
CLOSES = "=== End Diagnostic Report ==="

_FIXED = b'{"intent_type": "scaling", "target": "test-app", "namespace": "default", "replicas": 3}'
TOOLS = ("kubectl", "kpt", "kustomize")


class Report(msgspec.Struct):
    """The report's lines, and whether every check passed."""

    lines: list[str] = []
    well: bool = True

    def say(self, line: str = "") -> None:
        self.lines.append(line)

    def check(self, good: str, bad: str, run: Callable[[], object]) -> bool:
        """One check: a tick and `good`, or a cross, `bad` and the cause."""
        try:
            run()
        except (Fault, OSError, ValueError, metadata.PackageNotFoundError) as failed:
            self.well = False
            self.say(f"✗ {bad}: {failed.message if isinstance(failed, Fault) else failed}")
            return False
        self.say(f"✓ {good}")
        return True


def diagnose(output: str = "", make_validator: Callable[[], Validator] = Validator) -> Report:
    """Every check in the order of the seed; with `output`, that folder's rights, too."""
    report = Report()
    report.say(OPENS)
    report.say()
    _system(report)
    _modules(report)
    _validator(report, make_validator)
    _filesystem(report)
    if output:
        _folder(report, output)
    report.say()
    report.say(CLOSES)
    return report


def path_lines(path: str) -> list[str]:
    """Who may do what along a path (P24)."""
    steps = paths.walk(path)
    told = [f"user: {paths.whoami()} (uid {os.geteuid()}, gid {os.getegid()})"]
    for step in steps:
        mark = "✗" if step.problem else "✓"
        why = f"  {step.problem}" if step.problem else ""
        told.append(f"{mark} {step.mode:<10} {step.owner:<10} {step.group:<10} {step.path}{why}")
    return told


def _system(report: Report) -> None:
    report.say(f"Python Version: {platform.python_version()}")
    report.say(f"OS/Arch: {platform.system().lower()}/{platform.machine()}")
    report.say(f"NumCPU: {os.cpu_count()}")
    report.say()


def _modules(report: Report) -> None:
    report.say("Module Check:")
    report.check(
        f"backstay {__version__} found ({Path(__file__).parent})",
        "backstay not found",
        lambda: metadata.version("backstay"),
    )
    for name in TOOLS:
        found = shutil.which(name)
        report.say(f"- {name}: {found or 'not installed (optional)'}")


def _validator(report: Report, make: Callable[[], Validator]) -> None:
    report.say()
    report.say("Validator Check:")
    made: list[Validator] = []
    report.check(
        "Validator created successfully",
        "Validator creation failed",
        lambda: made.append(make()),
    )
    if made:
        report.check("Validation successful", "Validation failed", lambda: made[0].validate(_FIXED))


def _filesystem(report: Report) -> None:
    report.say()
    report.say("File System Check:")
    with _scratch(report) as folder:
        if folder is None:
            return
        package: list[PatchPackage] = []

        def generate() -> None:
            intent = Intent(intent_type="scaling", target="test", namespace="default", replicas=1)
            package.append(PatchPackage(intent, folder))
            package[0].generate()

        if report.check("Package generation successful", "Package generation failed", generate):
            report.say(f"  Package path: {package[0].path}")
        report.say(f"  Free: {shutil.disk_usage(folder).free // (1024 * 1024)} MiB")


@contextmanager
def _scratch(report: Report) -> Iterator[Path | None]:
    """`<tmp>/patchgen-test-<pid>`, gone afterwards whatever happens (P6)."""
    folder = Path(tempfile.gettempdir()) / f"patchgen-test-{os.getpid()}"
    try:
        made = report.check(
            "Directory creation successful",
            "Cannot create directory",
            lambda: folder.mkdir(mode=0o755, parents=True, exist_ok=True),
        )
        yield folder if made else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder(report: Report, output: str) -> None:
    report.say()
    report.say(f"Output Directory Check: {output}")
    for line in path_lines(output):
        report.say(line)
    if any(step.problem for step in paths.walk(output)):
        report.well = False
        home = paths.fallback(os.environ.get("HOME", ""))
        report.say(
            f"  fix: {'mkdir -p ' + output if not paths.is_folder(output) else 'chown or chmod it'}"
            + (f", or use {home}" if home else "")
        )
        return
    free = "enough space", "not enough space"
    report.check(*free, lambda: paths.require_space(output))


def versions() -> list[str]:
    """What a support request needs to know of the system."""
    return [
        f"system: {platform.platform()}",
        f"python: {sys.version.split()[0]} ({sys.implementation.name})",
        f"backstay: {__version__}",
    ]
