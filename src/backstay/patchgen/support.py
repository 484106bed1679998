"""Support: three levels, four priorities, and the one file that level 3 asks for (P64–P66)."""

import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from backstay.core.redact import redactor
from backstay.patchgen.diagnose import diagnose, versions

LEVELS: Mapping[str, tuple[str, ...]] = {
    "Level 1: self-service": (
        "run patchgen diagnose",
        "look the message up: patchgen errors TEXT",
        "follow the guide: backstay doctor, or docs/reference/patchgen.md",
    ),
    "Level 2: community": (
        "search the issues of the project, then open one",
        "include the output of patchgen diagnose and the intent, without secrets",
    ),
    "Level 3: professional": (
        "collect everything: patchgen support bundle FILE.tar.gz",
        "send it to {contact} with the impact, the priority and the steps that reproduce it",
    ),
}

PRIORITIES: Mapping[str, str] = {
    "P1 (Critical)": "Production down, no workaround",
    "P2 (High)": "Production impacted, workaround exists",
    "P3 (Medium)": "Non-production issue",
    "P4 (Low)": "Questions or enhancements",
}

SECURITY = (
    "Security issues: report them in private to {security}, never in a public issue.",
    "Encrypt the report if you can. Say what can be done with it, how, and since which version.",
    "Please publish nothing before there is a fix.",
)

LOGS = ("kubectl", "logs", "-n", "nephoran-system", "deployment/nephoran-operator", "--tail=5000")
_PATIENCE = 15.0


class Contact(msgspec.Struct, frozen=True):
    """Who is asked; set by PATCHGEN_SUPPORT_CONTACT and PATCHGEN_SECURITY_CONTACT."""

    support: str = "the person who runs this installation (PATCHGEN_SUPPORT_CONTACT)"
    security: str = "the person who runs this installation (PATCHGEN_SECURITY_CONTACT)"

    @classmethod
    def of(cls, env: Mapping[str, str]) -> "Contact":
        """From the environment; what is not set keeps its hint."""
        return cls(
            env.get("PATCHGEN_SUPPORT_CONTACT") or cls().support,
            env.get("PATCHGEN_SECURITY_CONTACT") or cls().security,
        )


def support_text(contact: Contact) -> str:
    """Levels, priorities and the way to report a security issue."""
    words = {"contact": contact.support, "security": contact.security}
    parts = []
    for level, steps in LEVELS.items():
        parts.append(level)
        parts += [f"  {number}. {step.format(**words)}" for number, step in enumerate(steps, 1)]
    parts.append("Priorities")
    parts += [f"  {name}: {says}" for name, says in PRIORITIES.items()]
    parts += [line.format(**words) for line in SECURITY]
    return "\n".join(parts) + "\n"


def collect(output: str, contact: Contact) -> Mapping[str, str]:
    """The files of a bundle by name: report, logs of the operator where it can be reached, system
    and versions, and the text above. Secrets are masked."""
    files = {
        "diagnostic-report.txt": "\n".join(diagnose(output).lines) + "\n",
        "operator.log": _run(LOGS),
        "system.txt": _run(("uname", "-a")) + "\n".join(versions()) + "\n",
        "SUPPORT.txt": support_text(contact),
    }
    return {name: redactor().redact(text) for name, text in files.items()}


def write_bundle(path: Path, files: Mapping[str, str]) -> None:
    """A compressed archive, readable by its owner only. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with (
        os.fdopen(descriptor, "wb") as out,
        tarfile.open(fileobj=out, mode="w:gz") as archive,
    ):
        for name, text in files.items():
            raw = text.encode()
            entry = tarfile.TarInfo(f"patchgen-support/{name}")
            entry.size, entry.mode = len(raw), 0o600
            archive.addfile(entry, io.BytesIO(raw))


def _run(command: tuple[str, ...]) -> str:
    """What a command prints; why it printed nothing, when it did not run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as failed:
        return f"{' '.join(command)}: not available: {failed}\n"
    if done.returncode:
        return f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}\n"
    return done.stdout
