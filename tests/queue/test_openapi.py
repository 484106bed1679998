"""The served OpenAPI document: valid by an independent judge, complete, and true of what is served."""

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import CheckContext
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.queue.support import Server
from tests.sending import send

EXAMPLES = 12
"""Good ones, and as many bad ones, of each operation in `make test`; the same each time."""
MANY = 300
PARTS = 4


@pytest.fixture(scope="session")
def document(server: Server) -> Any:
    answer = server.get("/openapi.json", prefix="")
    assert answer.status == 200
    return answer.json


def hurry(case: Any) -> None:
    """Nobody waits for what nobody sends."""
    for place in (case.body, case.query):
        if isinstance(place, dict) and place.get("waitSeconds"):
            place["waitSeconds"] = 0.01


def no_failure(context: CheckContext, response: Any, case: Any) -> None:
    """No 500, whatever is sent; 501 only with the name of what is not served."""
    if response.status_code == 501:
        assert response.json()["code"] == "QUEUE017"
    else:
        assert response.status_code < 500, response.text


CHECKS = (
    no_failure,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


def test_the_document_is_valid_by_an_independent_validator(document: Any):
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_the_document_names_every_route_of_the_table_and_no_other(server: Server, document: Any):
    for path, operations in document["paths"].items():
        probe = path.replace("{id}", "x").replace("{name}", "x").replace("{command}", "x")
        allowed = server.call("TRACE", probe, prefix="")
        # The face itself names what a path takes; HEAD comes with GET.
        named = set(allowed.headers["allow"].lower().replace(" ", "").split(",")) - {"head"}
        assert (allowed.status, named) == (405, set(operations)), path


def test_each_operation_says_what_it_needs_and_gives(document: Any):
    names = []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            names.append(operation["operationId"])
            assert operation["summary"]
            assert "default" in operation["responses"]
            public = path in ("/healthz", "/metrics", "/openapi.json")
            assert ("security" in operation) is not public
    assert len(names) == len(set(names))
    assert "409" not in document["paths"]["/v1/codeq/tasks"]["post"]["responses"]


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_is_sent_is_answered_as_the_document_says(server: Server, part: int):
    send(server.base_url, (part, PARTS), EXAMPLES, CHECKS, hurry)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_else_is_sent_is_answered_as_the_document_says(server: Server, part: int):
    send(server.base_url, (part, PARTS), MANY, CHECKS, hurry)
