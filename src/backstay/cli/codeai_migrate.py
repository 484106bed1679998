"""`codeai migrate`: the tables of a program, brought to what it says."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstay.cli.face import emit_json
from backstay.core.errors import Exit, Plain

if TYPE_CHECKING:
    from backstay.app.migrating import Plan

_RISKS = {
    "safe": "safe: touches nothing stored",
    "confirm": "needs --yes: may not fit what is stored, and is then taken back whole",
    "loss": "needs --yes: LOSES DATA",
}


@click.command("migrate")
@click.argument("file", default=".", metavar="[FILE.cai|FOLDER]", type=click.Path(path_type=Path))
@click.option("--data", metavar="DIR", help="The data folder.  [default: .backstay]")
@click.option(
    "--config",
    metavar="FILE.yaml",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings; the environment beats them.",
)
@click.option("--apply", "apply_", is_flag=True, help="Do what is safe.")
@click.option("--yes", is_flag=True, help="With --apply: also what may lose something.")
@click.option("--rollback", is_flag=True, help="Take the last migration back.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
def migrate(
    file: Path,
    data: str | None,
    config: Path | None,
    apply_: bool,
    yes: bool,
    rollback: bool,
    output: str,
) -> int:
    """Show what separates the stored tables from the program; with --apply, change them.

    The database is that of `codeai server`: DATABASE_URL, or app.db in the data folder. Exit code 1
    says that something is left to do.
    """
    import asyncio

    from backstay.app.settings import AppSettings
    from backstay.core.settings import Given, load
    from backstay.up.app_migrate import migrator

    flags: dict[str, Plain] = {"--data": data}
    loaded = load(AppSettings, Given(flags=flags, env=os.environ, file=config))

    async def taken_back() -> list[str]:
        async with migrator(file, loaded.settings, os.environ) as open_:
            return await open_.roll_back()

    async def brought() -> "Plan":
        async with migrator(file, loaded.settings, os.environ) as open_:
            return await open_.apply(everything=yes) if apply_ else await open_.plan()

    if rollback:
        statements = asyncio.run(taken_back())
        if output == "json":
            emit_json({"rolled_back": statements})
        else:
            click.echo("taken back:\n" + "\n".join(f"  {each};" for each in statements))
        return Exit.OK
    plan = asyncio.run(brought())
    if output == "json":
        emit_json(plan)
    else:
        _show(plan)
    return Exit.OK if plan.applied or not plan.changes else Exit.NEGATIVE


def _show(plan: "Plan") -> None:
    if not plan.changes:
        click.echo(f"{plan.where}: nothing to do")
        return
    for change in plan.changes:
        click.echo(f"{change.says}  [{_RISKS[change.risk]}]")
        for statement in change.statements:
            click.echo(f"  {statement};")
    if plan.applied:
        click.echo(f"done in {plan.where}" + (f"; before: {plan.copy}" if plan.copy else ""))
        return
    unsafe = any(change.risk != "safe" for change in plan.changes)
    click.echo(f"to do it: codeai migrate --apply{' --yes' if unsafe else ''}")
