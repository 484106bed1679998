"""`codeai query`: the query language against the database of an app, which is only read."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from backstay.cli.codeai_lang import checked_program, table
from backstay.cli.codeai_rows import dialect_of, rows_of
from backstay.cli.face import emit_json
from backstay.core.errors import Exit, Fault
from backstay.lang.columns import Dialect
from backstay.lang.program import Program
from backstay.lang.query.compile import Compiled
from backstay.lang.query.compile import compile as compile_query
from backstay.lang.query.errors import NO_DATABASE, READ_ONLY, QueryError
from backstay.lang.query.slots import Slot


@click.command("query")
@click.argument("path", metavar="FILE|FOLDER")
@click.argument("text", metavar="QUERY")
@click.option(
    "--database",
    "-d",
    envvar="DATABASE_URL",
    metavar="APP.DB|postgres://…",
    default="",
    show_envvar=True,
    help="The app's database; only read.  [default: app.db of the data folder here]",
)
@click.option("--entity", default="", help="Where filters alone (status:open) look.")
@click.option("--param", "-p", "given", multiple=True, metavar="NAME=VALUE", help="For @NAME.")
@click.option("--explain", is_flag=True, help="Show the SQL and its values; run nothing.")
@click.option(
    "--dialect",
    type=click.Choice(["sqlite", "postgres"]),
    help="Whose SQL --explain shows.  [default: that of the database]",
)
@click.option("--output", "-o", type=click.Choice(["table", "json"]), default="table")
def query(
    path: str,
    text: str,
    database: str,
    entity: str,
    given: Sequence[str],
    explain: bool,
    dialect: Dialect | None,
    output: str,
) -> int:
    """Ask a program's database: select name, stock from Product where stock < 10 order by stock.

    Exit code 0: answered, 1: the query has a mistake or the database refused it, 2: there is no
    such database, 3 and 4: its server lets nobody in, does not answer.
    """
    from backstay.core.clock import SystemClock

    program = checked_program([path])
    if program is None:
        return Exit.NEGATIVE
    database = database or _usual_database()
    now = SystemClock().now()
    try:
        if explain:
            made = compile_query(program, text, dialect or dialect_of(database), entity)
            _explain(made, made.bind(_parameters(given), now) if given else None, output)
            return Exit.OK
        made, found = answered(program, text, entity, _parameters(given), database, now)
        _show(made, found, output)
    except QueryError as bad:
        click.echo(bad.said, err=True)
        fix = f"did you mean '{bad.meant}'?" if bad.meant else bad.fix
        click.echo(f"  fix: {fix}", err=True)
        return Exit.NEGATIVE
    return Exit.OK


def _usual_database() -> str:
    """Where `codeai server` and `backstay up`, started here, keep rows; "" where neither was."""
    file = Path(os.environ.get("BACKSTAY_DATA") or ".backstay") / "app.db"
    return str(file) if file.is_file() else ""


def answered(
    program: Program,
    text: str,
    entity: str,
    given: Mapping[str, object],
    database: str,
    now: float,
) -> tuple[Compiled, list[Sequence[Any]]]:
    """The query as it was compiled, and its rows as the database gave them. Raises QueryError,
    and faults of a database that cannot be asked."""
    made = compile_query(program, text, dialect_of(database), entity)
    values = made.bind(given, now)
    if made.writes:
        raise Fault(READ_ONLY)
    if not database:
        raise Fault(NO_DATABASE, path="")
    return made, rows_of(made, database, values)


def _parameters(given: Sequence[str]) -> Mapping[str, object]:
    """`n=5` is a number, `name=Ada` a text; what looks like JSON is JSON."""
    import msgspec

    found: dict[str, object] = {}
    for each in given:
        name, sign, text = each.partition("=")
        if not sign:
            raise click.UsageError(f"--param wants NAME=VALUE, got {each}")
        try:
            found[name] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            found[name] = text
    return found


def _explain(made: Compiled, values: Sequence[object] | None, output: str) -> None:
    shown = values if values is not None else [_slot(each) for each in made.slots]
    if output == "json":
        emit_json({"sql": made.sql, "parameters": [str(each) for each in shown]})
        return
    click.echo(made.sql)
    for number, value in enumerate(shown, 1):
        click.echo(f"  {number}: {value!r}")


def _slot(each: Slot) -> object:
    if each.form == "now":
        return "now()"
    return f"@{each.parameter}" if each.parameter else each.value


def _show(made: Compiled, found: Sequence[Sequence[Any]], output: str) -> None:
    if output == "json":
        emit_json([made.row(row) for row in found])
        return
    names = [each.name for each in made.outputs]
    table(names, [[_cell(each) for each in made.cells(row)] for row in found], err=False)


def _cell(value: object) -> str:
    return "" if value is None else str(value)
