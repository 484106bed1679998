"""What workflows, integrations and jobs count. Fed after commits, so what is counted happened."""

from collections.abc import Callable, Mapping

import structlog

from backstay.app.flow.turn import Ended, Notes
from backstay.core.metrics import Registry
from backstay.core.system import Metric

_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0)
_BREAKER_VALUES = {"closed": 0, "half-open": 1, "open": 2}

METRICS = (
    Metric(
        "workflow_executions_total",
        "counter",
        "Executions that ended, by their last status",
        ("workflow", "status"),
    ),
    Metric(
        "workflow_step_duration_seconds",
        "histogram",
        "Time of one attempt of a step",
        ("workflow", "step", "phase", "outcome"),
        _SECONDS,
    ),
    Metric(
        "integration_calls_total",
        "counter",
        "Calls of an integration by outcome: done, failed, unknown or rejected by the breaker",
        ("integration", "operation", "outcome"),
    ),
    Metric(
        "integration_call_duration_seconds",
        "histogram",
        "Time of one call of an integration",
        ("integration",),
        _SECONDS,
    ),
    Metric(
        "circuit_breaker_state",
        "gauge",
        "0 closed, 1 half-open, 2 open",
        ("target",),
    ),
    Metric(
        "event_deliveries_total",
        "counter",
        "Tries to bring an event to a webhook or an integration, by outcome",
        ("target", "outcome"),
    ),
    Metric("job_runs_total", "counter", "Runs of a job by status", ("job", "status")),
)
"""The declarations; `FlowMetrics` makes them live."""

_log = structlog.get_logger("app.flow")


class FlowMetrics:
    """All series of this room in the registry of the process."""

    def __init__(self, registry: Registry) -> None:
        registry.declare(METRICS)
        self._executions = registry.counter("workflow_executions_total")
        self._steps = registry.histogram("workflow_step_duration_seconds")
        self._calls = registry.counter("integration_calls_total")
        self._call_seconds = registry.histogram("integration_call_duration_seconds")
        self._jobs = registry.counter("job_runs_total")
        self._deliveries = registry.counter("event_deliveries_total")
        self._breakers = registry.gauge("circuit_breaker_state")

    def note(self, notes: Notes) -> None:
        """Count and log what a committed turn brought to an end."""
        for end in notes.ended:
            self._executions.inc(end.workflow, end.status)
            if end.status == "compensation_failed":
                _log.error("a compensation was given up; a person is needed", **_about(end))
            elif end.status == "completed":
                _log.info("execution ended", **_about(end))
            else:
                _log.warning("execution ended", **_about(end))
        for job, status in notes.jobs:
            self.job_ran(job, status)
        for tried in notes.attempted:
            self._steps.observe(
                tried.workflow, tried.step, tried.phase, tried.outcome, value=tried.took
            )
            if tried.outcome != "done":
                _log.warning(
                    "step attempt did not succeed",
                    workflow=tried.workflow,
                    execution=tried.execution,
                    step=tried.step,
                    phase=tried.phase,
                    attempt=tried.attempt,
                    outcome=tried.outcome,
                    error=tried.error,
                )

    def called(self, integration: str, operation: str, outcome: str, took: float) -> None:
        """One call of an integration has ended; `took` is seconds."""
        self._calls.inc(integration, operation, outcome)
        if outcome != "rejected":
            self._call_seconds.observe(integration, value=took)

    def read_breakers(self, states: Callable[[], Mapping[str, str]]) -> None:
        """Ask `states` at each scrape: half-open begins by time, when nobody tells."""
        self._breakers.read(
            lambda: {(name,): _BREAKER_VALUES[state] for name, state in states().items()}
        )

    def delivered(self, target: str, outcome: str) -> None:
        """One try of a delivery has ended."""
        self._deliveries.inc(target, outcome)

    def job_ran(self, job: str, status: str) -> None:
        self._jobs.inc(job, status)


def _about(end: Ended) -> dict[str, str | float]:
    return {
        "workflow": end.workflow,
        "execution": end.execution,
        "status": end.status,
        "error": end.error,
        "duration": round(end.took * 1000, 3),
    }
