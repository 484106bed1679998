"""Requests made of what a server says of itself, right ones and wrong ones."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import CheckContext, GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance
from tests.conformance.proofs.support import Serving


def no_failure(context: CheckContext, response: Any, case: Any) -> None:
    """No 5xx, whatever is sent, and every refusal has a code."""
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        assert response.json()["code"], response.text


def send(server: Serving, part: int, parts: int, examples: int) -> None:
    """So many requests of each kind to every operation that the server describes; `part` of
    `parts` of them."""
    served = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    operations = [found.ok() for found in served.get_all_operations()]
    for operation in operations[part::parts]:
        _try(operation.as_strategy(generation_mode=GenerationMode.POSITIVE), examples)
        if operation.body or operation.query:
            _try(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), examples)


def _try(cases: Any, examples: int) -> None:
    @given(case=cases)
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def probe(case: Any) -> None:
        case.call_and_validate(checks=[no_failure, content_type_conformance])

    probe()
