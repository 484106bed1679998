"""What patchgen counts."""

from collections.abc import Sequence

from backstay.core.metrics import Registry
from backstay.core.system import Metric

METRICS: Sequence[Metric] = (
    Metric("patchgen_intents_total", "counter", "Intents judged", ("result",)),
    Metric("patchgen_packages_total", "counter", "Packages asked for", ("result",)),
    Metric(
        "patchgen_stage_seconds",
        "histogram",
        "Seconds of one stage",
        ("stage",),
        (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0),
    ),
)


class PatchgenMetrics:
    """The numbers of one process."""

    def __init__(self, registry: Registry) -> None:
        registry.declare(METRICS)
        self._intents = registry.counter("patchgen_intents_total")
        self._packages = registry.counter("patchgen_packages_total")
        self._seconds = registry.histogram("patchgen_stage_seconds")

    def judged(self, *, valid: bool) -> None:
        self._intents.inc("valid" if valid else "invalid")

    def placed(self, result: str) -> None:
        """`written`, `unchanged`, `planned`, or the code of a fault."""
        self._packages.inc(result)

    def took(self, stage: str, seconds: float) -> None:
        self._seconds.observe(stage, value=seconds)
