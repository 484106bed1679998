"""`codeai workflow` and `codeai job`: executions and job runs from the command line, through the
server.
"""

from typing import Any

import click
import msgspec

from backstay.cli import face
from backstay.cli.flow_face import Given, ask, given_options, json_option, say, show_list
from backstay.core.errors import Exit


@click.group(cls=face.Group)
def workflow() -> None:
    """Start workflows; look at executions and steer them."""


@workflow.command("list")
@given_options
def list_workflows(base_url: str, token: str, output: str) -> int:
    """The workflows and how many executions are in each status."""
    given = Given(base_url, token, output)
    body = ask(given, "GET", "/workflows", limit=100)

    def row(item: dict[str, Any]) -> list[str]:
        counts = ", ".join(f"{count} {status}" for status, count in item["executions"].items())
        return [item["id"], item["status"], str(item["steps"]), counts]

    return show_list(given, body, ("WORKFLOW", "STATUS", "STEPS", "EXECUTIONS"), row)


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
    body = ask(given, "GET", "/executions", status=status, workflow_id=name, limit=limit, page=page)

    def row(item: dict[str, Any]) -> list[str]:
        return [item["id"], item["workflow_id"], item["status"], item["created_at"], item["error"]]

    return show_list(given, body, ("EXECUTION", "WORKFLOW", "STATUS", "CREATED", "ERROR"), row)


@workflow.command("show")
@click.argument("execution")
@given_options
def show(execution: str, base_url: str, token: str, output: str) -> int:
    """One execution with its steps and every attempt."""
    given = Given(base_url, token, output)
    return _shown(given, ask(given, "GET", f"/executions/{execution}"))


def _order(name: str, says: str) -> click.Command:
    @click.argument("execution")
    @given_options
    def order(execution: str, base_url: str, token: str, output: str) -> int:
        given = Given(base_url, token, output)
        return _shown(given, ask(given, "POST", f"/executions/{execution}/{name}"))

    return click.command(name, help=says)(order)


for _name, _says in (
    ("cancel", "End a running execution; what it did is undone."),
    ("retry", "Run a failed execution again."),
    ("compensate", "Undo a completed execution, or finish an undoing that was given up."),
):
    workflow.add_command(_order(_name, _says))


@workflow.command("run")
@click.argument("name")
@click.option("--input", "-i", "text", default="{}", metavar="JSON", help="The workflow's input.")
@click.option("--dry-run", is_flag=True, help="Say what it would do; keep and send nothing.")
@given_options
def run(name: str, text: str, dry_run: bool, base_url: str, token: str, output: str) -> int:
    """Start a workflow.

    Exit code 1 for a dry run that would fail.
    """
    given = Given(base_url, token, output)
    body = json_option(text, "the input")
    if dry_run:
        return _rehearsed(given, ask(given, "POST", f"/workflows/{name}/dry-run", body))
    made = ask(given, "POST", f"/workflows/{name}/start", body)
    return say(given, made, "{workflow_id}: execution {id} is {status}")


@workflow.command("signal")
@click.argument("execution")
@click.argument("name")
@click.argument("value", default="null")
@given_options
def signal(execution: str, name: str, value: str, base_url: str, token: str, output: str) -> int:
    """Bring a signal to an execution that waits for it, or will; VALUE is JSON."""
    given = Given(base_url, token, output)
    body = json_option(value, "the value")
    answer = ask(given, "POST", f"/executions/{execution}/signals/{name}", body)
    return say(given, answer, "{id}: signal {signal} was brought")


@workflow.command("history")
@click.argument("execution")
@given_options
def history(execution: str, base_url: str, token: str, output: str) -> int:
    """What happened to an execution, as one line of time."""
    given = Given(base_url, token, output)
    body = ask(given, "GET", f"/executions/{execution}/history")
    if given.output == "json":
        face.emit_json(body)
        return Exit.OK
    face.tell(f"{body['id']}  {body['workflow_id']}  {body['status']}")
    for moment in body["data"]:
        face.tell("  " + _moment(moment))
    return Exit.OK


@workflow.command("migrate")
@click.argument("execution")
@click.option("--to", default="", metavar="HASH", help="[the program being served]")
@given_options
def migrate(execution: str, to: str, base_url: str, token: str, output: str) -> int:
    """Let a running execution go on by another program, whose steps so far are the same."""
    given = Given(base_url, token, output)
    answer = ask(given, "POST", f"/executions/{execution}/migrate", to=to)
    return say(given, answer, "{id}: goes on by the program {program}")


@click.group(cls=face.Group)
def job() -> None:
    """Look at jobs, run them, cancel and purge their runs."""


@job.command("list")
@given_options
def list_jobs(base_url: str, token: str, output: str) -> int:
    """The jobs, when they ran and when they run next."""
    given = Given(base_url, token, output)
    body = ask(given, "GET", "/jobs", limit=100)

    def row(item: dict[str, Any]) -> list[str]:
        last, upcoming = item["last_run_at"] or "-", item["next_run_at"] or "-"
        return [item["name"], item["status"], item["schedule"], item["timezone"], last, upcoming]

    heads = ("JOB", "STATUS", "SCHEDULE", "TIMEZONE", "LAST RUN", "NEXT RUN")
    return show_list(given, body, heads, row)


@job.command("runs")
@click.option("--status", default="", help="pending, done, failed, missed or cancelled")
@click.option("--job", "name", default="", help="Only those of this job.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@given_options
def runs(status: str, name: str, limit: int, base_url: str, token: str, output: str) -> int:
    """Runs of jobs, the latest first."""
    given = Given(base_url, token, output)
    body = ask(given, "GET", "/admin/jobs", status=status, job=name, limit=limit)

    def row(item: dict[str, Any]) -> list[str]:
        return [item["id"], item["job"], item["status"], item["fire_at"], item["error"]]

    return show_list(given, body, ("RUN", "JOB", "STATUS", "AT", "ERROR"), row)


@job.command("run")
@click.argument("name")
@given_options
def run_job(name: str, base_url: str, token: str, output: str) -> int:
    """Run a job now."""
    given = Given(base_url, token, output)
    return say(given, ask(given, "POST", f"/jobs/{name}/run"), "{job}: run {id} is {status}")


@job.command("pause")
@click.argument("name")
@given_options
def pause_job(name: str, base_url: str, token: str, output: str) -> int:
    """Let the times of a job pass without a run."""
    given = Given(base_url, token, output)
    return say(given, ask(given, "POST", f"/jobs/{name}/pause"), "{name} is {status}")


@job.command("resume")
@click.argument("name")
@given_options
def resume_job(name: str, base_url: str, token: str, output: str) -> int:
    """Let a paused job run again, from now on."""
    given = Given(base_url, token, output)
    return say(given, ask(given, "POST", f"/jobs/{name}/resume"), "{name} is {status}")


@job.command("cancel")
@click.argument("run")
@given_options
def cancel_run(run: str, base_url: str, token: str, output: str) -> int:
    """A run that has not begun never will."""
    given = Given(base_url, token, output)
    return say(given, ask(given, "DELETE", f"/admin/jobs/{run}"), "run {id} is {status}")


@job.command("purge")
@click.option("--status", default="failed", show_default=True)
@click.option("--older-than", default="", metavar="DURATION", help="[24h]")
@given_options
def purge(status: str, older_than: str, base_url: str, token: str, output: str) -> int:
    """Remove old runs; prints how many."""
    given = Given(base_url, token, output)
    body = ask(given, "POST", "/admin/jobs/purge", status=status, older_than=older_than)
    return say(given, body, "purged {purged} {status} runs older than {older_than}")


def _shown(given: Given, body: dict[str, Any]) -> int:
    if given.output == "json":
        face.emit_json(body)
        return Exit.OK
    face.tell(f"{body['id']}  {body['workflow_id']}  {body['status']}")
    if body["error"]:
        face.tell(f"  error: {body['error']}")
    for title, steps in (("steps", body["steps"]), ("compensations", body["compensations"])):
        if steps:
            face.tell(f"{title}:")
        for step in steps:
            doubt = " (outcome was unknown)" if step["unknown"] else ""
            name = step["name"] + (f"[{step['item']}]" if "item" in step else "")
            face.tell(f"  {name:<20} {step['kind']:<5} {step['state']}{doubt}")
            for tried in step["attempts"]:
                if tried["error"]:
                    face.tell(f"    {tried['attempt']}. {tried['outcome']}: {tried['error']}")
    return Exit.OK


def _moment(moment: dict[str, Any]) -> str:
    name = moment.get("name", "") + (f"[{moment['item']}]" if "item" in moment else "")
    said = [moment["at"], moment["what"].ljust(12), name.ljust(20)]
    if "outcome" in moment:
        said.append(f"{moment['attempt']}. {moment['outcome']}")
    if "value" in moment:
        said.append(msgspec.json.encode(moment["value"]).decode())
    return "  ".join([*said, moment.get("error", "")]).rstrip()


def _rehearsed(given: Given, report: dict[str, Any]) -> int:
    code = Exit.NEGATIVE if report["ends"] == "failed" else Exit.OK
    if given.output == "json":
        face.emit_json(report)
        return code
    for step in report["steps"]:
        name = step["step"] + (f"[{step['item']}]" if "item" in step else "")
        shown = [step[what] for what in ("payload", "output", "begins") if what in step]
        said = [msgspec.json.encode(each).decode() for each in shown]
        face.tell("  ".join([name.ljust(20), step["does"], *said]))
        if step.get("error"):
            face.tell(f"  fails: {step['error']}")
    for undone in report["compensations"]:
        face.tell(f"  undone: {undone['step']}: {undone['does']}")
    face.tell(f"would end: {report['ends']}")
    return code
