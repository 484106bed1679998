"""`codeai query`: the query language against a database file of the app, which is only read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from backstay.cli.codeai_lang import checked_program, table
from backstay.cli.face import emit_json
from backstay.core.errors import Exit, Fault
from backstay.lang.query.compile import Compiled
from backstay.lang.query.compile import compile as compile_query
from backstay.lang.query.errors import EXECUTION, NO_DATABASE, READ_ONLY, QueryError
from backstay.lang.query.slots import Slot
from backstay.lang.query.values import SqlValue


@click.command("query")
@click.argument("path", metavar="FILE|FOLDER")
@click.argument("text", metavar="QUERY")
@click.option("--database", "-d", metavar="APP.DB", help="The app's database file; only read.")
@click.option("--entity", default="", help="Where filters alone (status:open) look.")
@click.option("--param", "-p", "given", multiple=True, metavar="NAME=VALUE", help="For @NAME.")
@click.option("--explain", is_flag=True, help="Show the SQL and its values; run nothing.")
@click.option(
    "--dialect",
    type=click.Choice(["sqlite", "postgres"]),
    default="sqlite",
    help="Whose SQL --explain shows.",
)
@click.option("--output", "-o", type=click.Choice(["table", "json"]), default="table")
def query(
    path: str,
    text: str,
    database: str | None,
    entity: str,
    given: Sequence[str],
    explain: bool,
    dialect: str,
    output: str,
) -> int:
    """Ask a program's database: select name, stock from Product where stock < 10 order by stock.

    Exit code 0: answered, 1: the query has a mistake or the database refused it.
    """
    from backstay.core.clock import SystemClock

    program = checked_program([path])
    if program is None:
        return Exit.NEGATIVE
    now = SystemClock().now()
    try:
        made = compile_query(
            program, text, "postgres" if dialect == "postgres" else "sqlite", entity
        )
        values = made.bind(_parameters(given), now) if given or not explain else None
        if explain:
            _explain(made, values, output)
            return Exit.OK
        if made.writes:
            raise Fault(READ_ONLY)
        here = compile_query(program, text, "sqlite", entity)
        found = _run(here, database, here.bind(_parameters(given), now))
    except QueryError as bad:
        click.echo(bad.said, err=True)
        click.echo(f"  fix: {bad.fix}", err=True)
        return Exit.NEGATIVE
    if output == "json":
        emit_json([here.row(row) for row in found])
    else:
        names = [each.name for each in here.outputs]
        table(names, [[_cell(each) for each in here.cells(row)] for row in found], err=False)
    return Exit.OK


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


def _run(
    made: Compiled, database: str | None, values: Sequence[SqlValue]
) -> list[tuple[SqlValue, ...]]:
    import apsw

    if database is None or not Path(database).is_file():
        raise Fault(NO_DATABASE, path=database or "")
    try:
        conn = apsw.Connection(database, flags=apsw.SQLITE_OPEN_READONLY)
        return list(conn.execute(made.sql, values))
    except apsw.Error as bad:
        raise QueryError(EXECUTION, reason=str(bad)) from bad


def _cell(value: object) -> str:
    return "" if value is None else str(value)
