"""What can be done with intents and packages, without a face: one function per use case."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from backstay.core.clock import Clock, Ids
from backstay.core.errors import Fault
from backstay.patchgen.errors import InvalidIntent, OutputDenied
from backstay.patchgen.errors import disk as errors
from backstay.patchgen.model import Intent, Placed, Report
from backstay.patchgen.paths import ensure_directory, fallback, is_folder, require_space
from backstay.patchgen.render import render
from backstay.patchgen.stage import Abandon
from backstay.patchgen.trace import Stages
from backstay.patchgen.validate import validate
from backstay.patchgen.write import Durability, FolderWriter


class Log(Protocol):
    """What is asked of a logger; structlog's fits."""

    def debug(self, event: str, /, **values: object) -> object:
        """One line, if such lines are on."""
        ...


class Quiet:
    """A log that nobody reads."""

    def debug(self, event: str, /, **values: object) -> None:
        """Nothing."""


class Job(msgspec.Struct, frozen=True):
    """How packages are to be made. `home` is where a fallback folder may be; "" forbids it."""

    output: str
    strict: bool = False
    durability: Durability = "power"
    dry_run: bool = False
    home: str = ""


class Made(msgspec.Struct, frozen=True):
    """One intent that became a package. `instead_of` names the folder that was closed (P25)."""

    intent: Intent
    placed: Placed
    report: Report
    instead_of: str = ""


class Maker:
    """Intents to packages; every face goes through it. `beside` adds to a report what is known from
    elsewhere."""

    def __init__(
        self,
        job: Job,
        clock: Clock,
        ids: Ids,
        *,
        log: Log | None = None,
        say: Callable[[str], None] | None = None,
        abandon: Abandon | None = None,
        beside: Callable[[Report], Report] | None = None,
    ) -> None:
        self.job = job
        self.stages = Stages(clock, say)
        self._ids = ids
        self._log = log or Quiet()
        self._abandon = abandon
        self._beside = beside

    def make(self, data: bytes) -> Made:
        """Validate and generate. Raises `InvalidIntent` and what the writer raises."""
        report = self.judge(data)
        if report.intent is None:
            raise InvalidIntent(report)
        placed, instead = self._place(report.intent)
        return Made(report.intent, placed, report, instead)

    def judge(self, data: bytes) -> Report:
        """Validate only."""
        with self.stages.stage("validation"):
            report = validate(data, strict=self.job.strict)
            if self._beside is not None:
                report = self._beside(report)
        self._log.debug(
            "intent judged",
            valid=report.intent is not None,
            shape=report.shape,
            size=report.size,
            errors=[one.code for one in report.errors],
        )
        return report

    def _place(self, intent: Intent) -> tuple[Placed, str]:
        try:
            return self._generate(intent, self.job.output), ""
        except OutputDenied as denied:
            other = fallback(self.job.home)
            if other is None:
                raise
            self._log.debug("output is closed", path=self.job.output, error=denied.message)
            folder = ensure_directory(other)
            return self._generate(intent, str(folder)), self.job.output

    def _generate(self, intent: Intent, output: str) -> Placed:
        with self.stages.stage("package generation"):
            package = render(intent)
            writer = FolderWriter(
                output,
                self._ids,
                durability=self.job.durability,
                dry_run=self.job.dry_run,
                abandon=self._abandon,
            )
            if not self.job.dry_run and is_folder(output):
                require_space(output)
            [placed] = writer.place([package])
        if isinstance(placed, Fault):
            raise placed
        self._log.debug("package placed", path=placed.path, state=placed.state)
        return placed


def summary(intent: Intent) -> str:
    """One line about what an intent wants."""
    place = f"{intent.target_kind} {intent.namespace}/{intent.target}"
    return f"{intent.intent_type} {place} to {intent.replicas}"


def output_of(given: str, env: Mapping[str, str]) -> str:
    """The output folder as it was typed or set. Raises PATCH074 when there is none."""
    folder = given or env.get("PATCHGEN_OUTPUT_DIR", "")
    if not folder:
        raise Fault(errors.NO_OUTPUT)
    return folder
