"""`codeai explain` and `codeai openapi`, over every program there is."""

import json
from pathlib import Path

import jsonschema_rs
import openapi_spec_validator
import pytest
from tests.lang.test_commands import PROGRAM, codeai
from tests.lang.tools.test_tree_schema import PROGRAMS


def test_explain_names_tables_routes_workflows_and_jobs() -> None:
    done = codeai("explain", str(PROGRAM))
    assert (done.returncode, done.stderr) == (0, b"")
    said = "\n".join(" ".join(line.split()) for line in done.stdout.decode().split("\n"))
    for line in (
        "table products of Product",
        "stock int required, min 0",
        "POST /api/v1/orders/{id}/refund roles staff updates Order, starts refund_order",
        "GET /api/v1/products public lists Product",
        "+- charge: calls Payments.charge (4 tries; within 2s; undone by: calls Payments.refund)",
        "+- pack: task PACK_ORDER (3 tries; within 10m0s)",
        "nightly_sales 15 2 * * * Europe/Berlin creates DailySales",
    ):
        assert f"\n{line}" in said, line


HEARD = """
entity Note {
  id: uuid, primary, auto
  text: string
  at: timestamp
  index: [text, at]
  index: [at] unique
  soft_delete
}
event note_made {
  payload { text: string }
  publish_to: [webhook("books")]
  trigger: when text != ""
}
webhook books { event "note_made", url: "https://books.example", secret: env("S") }
on "note_made" do workflow "copy"
workflow copy { trigger: note_made, steps { a { do { create Note { text: event.text } } } }
  on_fail { delete Note where text == event.text } }
job tidy {
  schedule: every 1h
  steps {
    first { task: TIDY { } }
    parallel { second { do { delete Note where text == "" } } third { task: MORE { } } }
  }
}
"""


def test_explain_says_who_hears_of_an_event_and_what_a_job_does() -> None:
    done = codeai("explain", "-", stdin=HEARD.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    said = "\n".join(" ".join(line.split()) for line in done.stdout.decode().split("\n"))
    for line in (
        "index on text, at",
        "unique index on at",
        "deleted rows stay, marked in deleted_at",
        "note_made text: string workflow copy, webhook books on a condition",
        "books note_made POST signed",
        "on failure: deletes Note",
        "tidy every 1h0m0s UTC 2 steps",
        "steps of job tidy",
        "+- first: task TIDY",
        "| +- second: deletes Note",
    ):
        assert f"\n{line}\n" in said, line


def test_mermaid_has_each_step_once_and_arrows_between_them() -> None:
    said = codeai("explain", "--mermaid", str(PROGRAM)).stdout.decode()
    chart = said.split("%% ")[1]
    assert chart.startswith("fulfil_order\nflowchart TD\n")
    for name in ("reserve", "charge", "paid", "pack", "notify"):
        assert chart.count(f'["{name}: ') == 1
    assert "  s0 --> s1\n" in chart
    assert "  s1 -.-> s1u\n" in chart
    assert "  s4 --> finish" in chart


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_every_program_has_a_document_that_others_accept(path: Path) -> None:
    done = codeai("openapi", str(path))
    assert (done.returncode, done.stderr) == (0, b"") or b"warning" in done.stderr
    document = json.loads(done.stdout)
    openapi_spec_validator.OpenAPIV31SpecValidator(document).validate()
    assert codeai("explain", str(path)).returncode == 0


def test_the_schemas_judge_bodies_as_the_server_does() -> None:
    document = json.loads(codeai("openapi", str(PROGRAM)).stdout)
    post = document["paths"]["/api/v1/orders"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema_rs.validator_for(schema)
    key = "00000000-0000-7000-8000-000000000001"
    line = {"product": key, "quantity": 2}
    assert validator.is_valid({"customer": key, "lines": [line]})
    for wrong in (
        {"customer": key, "lines": []},
        {"customer": key},
        {"customer": key, "lines": [{**line, "quantity": 0}]},
        {"customer": key, "lines": [line], "more": 1},
    ):
        assert not validator.is_valid(wrong), wrong
    assert post["security"] == []
    assert document["paths"]["/api/v1/customers"]["get"]["x-roles"] == ["staff"]
    price = document["components"]["schemas"]["Product"]["properties"]["price"]
    assert jsonschema_rs.validator_for(price).is_valid("9.50")
    assert not jsonschema_rs.validator_for(price).is_valid(9.5)


def test_a_program_with_mistakes_is_not_explained() -> None:
    for command in ("explain", "openapi"):
        done = codeai(command, "-", stdin=b"entity A { id: uuuid }")
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"LANG039" in done.stderr
