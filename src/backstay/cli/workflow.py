"""`codeai workflow` and `codeai job`: executions and job runs from the command line, through the
server.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from backstay.cli import face
from backstay.core.errors import Exit

C = TypeVar("C", bound=Callable[..., Any])
DEFAULT_BASE_URL = "http://localhost:8080"


class Given(msgspec.Struct, frozen=True):
    """Where the server is, and how to print."""

    base_url: str
    token: str
    output: str


def given_options(command: C) -> C:
    """`--base-url`, `--token` and `--output` as three parameters."""
    for option in (
        face.output_option,
        click.option("--token", envvar="CODEAI_TOKEN", metavar="JWT", default=""),
        click.option(
            "--base-url", envvar="CODEAI_BASE_URL", default=DEFAULT_BASE_URL, show_default=True
        ),
    ):
        command = option(command)
    return command


@click.group(cls=face.Group)
def workflow() -> None:
    """Look at executions; cancel, retry and compensate them."""


@workflow.command("list")
@given_options
def list_workflows(base_url: str, token: str, output: str) -> int:
    """The workflows and how many executions are in each status."""
    given = Given(base_url, token, output)
    body = _ask(given, "GET", "/workflows", limit=100)

    def row(item: dict[str, Any]) -> list[str]:
        counts = ", ".join(f"{count} {status}" for status, count in item["executions"].items())
        return [item["id"], item["status"], str(item["steps"]), counts]

    return _list(given, body, ("WORKFLOW", "STATUS", "STEPS", "EXECUTIONS"), row)


@workflow.command("executions")
@click.option("--status", default="", help="pending, running, completed, failed, …")
@click.option("--workflow", "name", default="", help="Only those of this workflow.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--page", type=click.IntRange(1), default=1)
@given_options
def executions(
    status: str, name: str, limit: int, page: int, base_url: str, token: str, output: str
) -> int:
    """Executions, the newest first."""
    given = Given(base_url, token, output)
    body = _ask(
        given, "GET", "/executions", status=status, workflow_id=name, limit=limit, page=page
    )

    def row(item: dict[str, Any]) -> list[str]:
        return [item["id"], item["workflow_id"], item["status"], item["created_at"], item["error"]]

    return _list(given, body, ("EXECUTION", "WORKFLOW", "STATUS", "CREATED", "ERROR"), row)


@workflow.command("show")
@click.argument("execution")
@given_options
def show(execution: str, base_url: str, token: str, output: str) -> int:
    """One execution with its steps and every attempt."""
    given = Given(base_url, token, output)
    return _shown(given, _ask(given, "GET", f"/executions/{execution}"))


def _order(name: str, says: str) -> click.Command:
    @click.argument("execution")
    @given_options
    def order(execution: str, base_url: str, token: str, output: str) -> int:
        given = Given(base_url, token, output)
        return _shown(given, _ask(given, "POST", f"/executions/{execution}/{name}"))

    return click.command(name, help=says)(order)


for _name, _says in (
    ("cancel", "End a running execution; what it did is undone."),
    ("retry", "Run a failed execution again."),
    ("compensate", "Undo a completed execution, or finish an undoing that was given up."),
):
    workflow.add_command(_order(_name, _says))


@click.group(cls=face.Group)
def job() -> None:
    """Look at jobs, run them, cancel and purge their runs."""


@job.command("list")
@given_options
def list_jobs(base_url: str, token: str, output: str) -> int:
    """The jobs, when they ran and when they run next."""
    given = Given(base_url, token, output)
    body = _ask(given, "GET", "/jobs", limit=100)

    def row(item: dict[str, Any]) -> list[str]:
        last, upcoming = item["last_run_at"] or "-", item["next_run_at"] or "-"
        return [item["name"], item["status"], item["schedule"], item["timezone"], last, upcoming]

    heads = ("JOB", "STATUS", "SCHEDULE", "TIMEZONE", "LAST RUN", "NEXT RUN")
    return _list(given, body, heads, row)


@job.command("runs")
@click.option("--status", default="", help="pending, done, failed, missed or cancelled")
@click.option("--job", "name", default="", help="Only those of this job.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@given_options
def runs(status: str, name: str, limit: int, base_url: str, token: str, output: str) -> int:
    """Runs of jobs, the latest first."""
    given = Given(base_url, token, output)
    body = _ask(given, "GET", "/admin/jobs", status=status, job=name, limit=limit)

    def row(item: dict[str, Any]) -> list[str]:
        return [item["id"], item["job"], item["status"], item["fire_at"], item["error"]]

    return _list(given, body, ("RUN", "JOB", "STATUS", "AT", "ERROR"), row)


@job.command("run")
@click.argument("name")
@given_options
def run_job(name: str, base_url: str, token: str, output: str) -> int:
    """Run a job now."""
    given = Given(base_url, token, output)
    return _said(given, _ask(given, "POST", f"/jobs/{name}/run"), "{job}: run {id} is {status}")


@job.command("cancel")
@click.argument("run")
@given_options
def cancel_run(run: str, base_url: str, token: str, output: str) -> int:
    """A run that has not begun never will."""
    given = Given(base_url, token, output)
    return _said(given, _ask(given, "DELETE", f"/admin/jobs/{run}"), "run {id} is {status}")


@job.command("purge")
@click.option("--status", default="failed", show_default=True)
@click.option("--older-than", default="", metavar="DURATION", help="[24h]")
@given_options
def purge(status: str, older_than: str, base_url: str, token: str, output: str) -> int:
    """Remove old runs; prints how many."""
    given = Given(base_url, token, output)
    body = _ask(given, "POST", "/admin/jobs/purge", status=status, older_than=older_than)
    return _said(given, body, "purged {purged} {status} runs older than {older_than}")


def _ask(given: Given, method: str, path: str, **query: str | int) -> dict[str, Any]:
    from backstay.app.flow.client import FlowClient
    from backstay.core.clock import SystemClock

    async def asked() -> dict[str, Any]:
        client = FlowClient(SystemClock(), given.base_url, given.token)
        try:
            return await client.ask(method, path, **query)
        finally:
            await client.close()

    return asyncio.run(asked())


def _list(
    given: Given,
    body: dict[str, Any],
    heads: Sequence[str],
    row: Callable[[dict[str, Any]], list[str]],
) -> int:
    if given.output == "json":
        face.emit_json(body)
        return Exit.OK
    rows = [list(heads), *(row(item) for item in body["data"])]
    widths = [max(len(line[column]) for line in rows) for column in range(len(heads))]
    for line in rows:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    page = body["pagination"]
    if page["has_next"]:
        click.echo(f"page {page['page']}; there are {page['total']} in all")
    return Exit.OK


def _shown(given: Given, body: dict[str, Any]) -> int:
    if given.output == "json":
        face.emit_json(body)
        return Exit.OK
    click.echo(f"{body['id']}  {body['workflow_id']}  {body['status']}")
    if body["error"]:
        click.echo(f"  error: {body['error']}")
    for title, steps in (("steps", body["steps"]), ("compensations", body["compensations"])):
        if steps:
            click.echo(f"{title}:")
        for step in steps:
            doubt = " (outcome was unknown)" if step["unknown"] else ""
            click.echo(f"  {step['name']:<20} {step['kind']:<5} {step['state']}{doubt}")
            for tried in step["attempts"]:
                if tried["error"]:
                    click.echo(f"    {tried['attempt']}. {tried['outcome']}: {tried['error']}")
    return Exit.OK


def _said(given: Given, body: dict[str, Any], text: str) -> int:
    if given.output == "json":
        face.emit_json(body)
    else:
        click.echo(text.format_map(body))
    return Exit.OK
