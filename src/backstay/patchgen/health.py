"""Whether patchgen can do its work: the seed's health object and its readiness probe (P58–P63)."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from backstay.core.errors import Fault
from backstay.core.health import Check, Finding
from backstay.core.metrics_process import resident_bytes
from backstay.patchgen.library import PatchPackage, Validator
from backstay.patchgen.model import Intent
from backstay.patchgen.paths import ensure_directory, require_space

_FIXED = b'{"intent_type":"scaling","target":"test-app","namespace":"default","replicas":3}'
_PROBE = Intent(intent_type="scaling", target="readiness-test", namespace="default", replicas=1)
HIGH_MEMORY = "High memory usage"


class HealthStatus(msgspec.Struct, frozen=True):
    """The object of the seed. `errors` says why a check is false."""

    healthy: bool = msgspec.field(name="Healthy")
    checks: Mapping[str, bool] = msgspec.field(name="Checks")
    warning: str = msgspec.field(name="Warning")
    errors: Mapping[str, str] = msgspec.field(name="Errors")


class Health:
    """The checks of one process. `output` is its folder, "" for the temporary one."""

    def __init__(self, output: str, memory_limit: int) -> None:
        self._output = output
        self._memory_limit = memory_limit

    def look(self) -> HealthStatus:
        """All checks, now. It writes one small file and removes it."""
        errors: dict[str, str] = {}
        for name, check in (("validator", self._validator), ("filesystem", self._filesystem)):
            try:
                check()
            except Fault as fault:
                errors[name] = fault.message
            except OSError as failed:
                errors[name] = f"{failed.filename}: {failed.strerror}"
        memory = resident_bytes() <= self._memory_limit
        checks = {name: name not in errors for name in ("validator", "filesystem")}
        return HealthStatus(
            healthy=not errors,
            checks={**checks, "memory": memory},
            warning="" if memory else HIGH_MEMORY,
            errors=errors,
        )

    def checks(self) -> list[Check]:
        """The same for the health board of the process."""

        def ask(name: str) -> Check:
            async def run() -> Finding:
                found = await asyncio.to_thread(self.look)
                if found.checks[name]:
                    return Finding("pass")
                if name == "memory":
                    return Finding("warn", error=found.warning)
                return Finding("fail", error=found.errors[name])

            return Check(name, critical=name != "memory", deadline=3.0, every=10.0, run=run)

        return [ask(name) for name in ("validator", "filesystem", "memory")]

    async def memory(self) -> dict[str, int]:
        """What the doctor asks: bytes held, and how many are too many."""
        return {"resident": resident_bytes(), "limit": self._memory_limit}

    def _validator(self) -> None:
        Validator().validate(_FIXED)

    def _filesystem(self) -> None:
        folder = self._output or tempfile.gettempdir()
        require_space(folder)
        descriptor, path = tempfile.mkstemp(prefix=".patchgen-health-", dir=folder)
        try:
            os.write(descriptor, b"patchgen")
        finally:
            os.close(descriptor)
            Path(path).unlink()


def probe_package() -> None:
    """Generate a real package in a folder of its own and remove it, whatever happens (P62, P63)."""
    ensure_directory(tempfile.gettempdir())
    folder = tempfile.mkdtemp(prefix="patchgen-ready-")
    try:
        PatchPackage(_PROBE, folder, durability="process").generate()
    finally:
        shutil.rmtree(folder)
