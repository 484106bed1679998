"""`codeai explain` and `codeai openapi`: what a program makes, for people and for tools."""

from collections.abc import Sequence

import click

from backstay.cli.codeai_lang import checked_program, table
from backstay.cli.face import emit_json
from backstay.core.errors import Exit


@click.command("explain")
@click.argument("paths", metavar="FILE|FOLDER|-", nargs=-1, required=True)
@click.option("--mermaid", is_flag=True, help="Only the workflows, as Mermaid flowcharts.")
def explain(paths: Sequence[str], mermaid: bool) -> int:
    """Say what a program makes: tables, routes, workflows, events, jobs.

    Exit code 0: said, 1: the program has mistakes.
    """
    from backstay.lang import explain as made

    program = checked_program(paths)
    if program is None:
        return Exit.NEGATIVE
    if mermaid:
        for workflow in program.workflows:
            click.echo(f"%% {workflow.name}\n{made.mermaid(workflow)}")
        return Exit.OK
    for entity in program.entities:
        _part(f"table {entity.table} of {entity.name}", made.columns(entity))
        for fact in made.facts(entity):
            click.echo(f"  {fact}")
    _part("routes", made.routes(program))
    for workflow in program.workflows:
        _lines(f"workflow {workflow.name}", made.diagram(workflow))
    _part("events", made.events(program))
    _part("webhooks", made.webhooks(program))
    _part("jobs", made.jobs(program))
    for job in program.jobs:
        if job.steps:
            _lines(f"steps of job {job.name}", made.job_diagram(job))
    return Exit.OK


def _lines(title: str, lines: Sequence[str]) -> None:
    click.echo(f"\n{title}")
    for line in lines:
        click.echo(f"  {line}")


def _part(title: str, what: tuple[tuple[str, ...], list[tuple[str, ...]]]) -> None:
    head, rows = what
    if rows:
        click.echo(f"\n{title}")
        table([f"  {head[0]}", *head[1:]], [(f"  {row[0]}", *row[1:]) for row in rows], err=False)


@click.command("openapi")
@click.argument("paths", metavar="FILE|FOLDER|-", nargs=-1, required=True)
def openapi(paths: Sequence[str]) -> int:
    """Print the OpenAPI 3.1 document of a program's endpoints as JSON.

    Exit code 0: printed, 1: the program has mistakes.
    """
    from backstay.lang.openapi import document

    program = checked_program(paths)
    if program is None:
        return Exit.NEGATIVE
    emit_json(document(program))
    return Exit.OK
