"""The autoscalers among given manifests, held beside an intent: who else sets its count.

Of an intent alone nobody can tell. Where a person has the manifests at hand, a package that will be
fought is told before it is made.
"""

from pathlib import Path

import msgspec

from backstay.patchgen import krm
from backstay.patchgen.errors.intent import AUTOSCALED
from backstay.patchgen.model import Diagnosis, Intent, Report
from backstay.patchgen.places import Notes, node_of


class Autoscalers:
    """Those of a manifest file, or of all below a folder; read once. Raises PATCH083 for what
    cannot be read."""

    def __init__(self, base: Path) -> None:
        self._manifests = krm.read_objects(base)

    def beside(self, report: Report) -> Report:
        """The report with a warning for each one that owns the intent's count; in strict mode it
        refuses the intent."""
        found = self._found(report.intent, report.strict) if report.intent else ()
        if not found:
            return report
        if report.strict:
            return msgspec.structs.replace(report, intent=None, errors=found)
        return msgspec.structs.replace(report, warnings=(*report.warnings, *found))

    def _found(self, intent: Intent, strict: bool) -> tuple[Diagnosis, ...]:
        # No place: what is to be changed stands in the manifests, not in the intent.
        notes = Notes("", strict=strict, made=True)
        for file, one in self._manifests:
            for name in krm.autoscalers([one], intent):
                who = f"HorizontalPodAutoscaler {name} ({file})"
                notes.warn(AUTOSCALED, node_of(name, ""), target=intent.target, who=who)
        return (*notes.errors, *notes.warnings)
