"""Requests made of what a server says of itself, right ones and wrong ones."""

from collections.abc import Callable, Sequence
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import CheckContext, GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance

Change = Callable[[Any], None]


def no_failure(context: CheckContext, response: Any, case: Any) -> None:
    """No 5xx, whatever is sent, and every refusal has a code."""
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        assert response.json()["code"], response.text


HARMLESS = (no_failure, content_type_conformance)


def send(
    base: str,
    share: tuple[int, int],
    examples: int,
    checks: Sequence[Any] = HARMLESS,
    change: Change = lambda case: None,
) -> None:
    """So many requests of each kind to the operations that `base`/openapi.json describes, the same
    each time. `share`: every how-many-eth of them, from which on: (0, 1) is all. `change` may mend
    a request before it is sent."""
    part, parts = share
    served = schemathesis.openapi.from_url(f"{base}/openapi.json")
    operations = [found.ok() for found in served.get_all_operations()]
    for operation in operations[part::parts]:
        _try(operation, GenerationMode.POSITIVE, examples, checks, change)
        if operation.body or operation.query:
            _try(operation, GenerationMode.NEGATIVE, examples, checks, change)


def _try(
    operation: Any, mode: GenerationMode, examples: int, checks: Sequence[Any], change: Change
) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def probe(case: Any) -> None:
        change(case)
        case.call_and_validate(checks=list(checks))

    probe()
