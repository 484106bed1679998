"""`backstay config show`: every setting in force, secrets masked, and where each came from."""

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from backstay.cli.face import Group, data_option, emit_json, output_option
from backstay.core.errors import Exit

Rows = list[dict[str, Any]]


@click.group("config", cls=Group)
def command() -> None:
    """Settings: flag beats environment beats file beats default."""


@command.command("show")
@data_option
@click.option("--config", metavar="FILE.yaml", help="What `up` would be given, if nothing runs.")
@output_option
def show(data: str, config: str | None, output: str) -> int:
    """From the running processes where there are any, else as they would be resolved now."""
    from backstay.up.owner import owner

    if owner(Path(data)) is not None:
        found = asyncio.run(_running(Path(data)))
    else:
        found = _resolved(Path(data), Path(config) if config else None)
    if output == "json":
        emit_json(found)
    else:
        click.echo(_text(found))
    return Exit.OK


async def _running(data: Path) -> dict[str, Rows]:
    from backstay.core.control import ControlSilent, ask
    from backstay.up.ask import ask_supervisor, supervisor_state

    found: dict[str, Rows] = {"up": await ask_supervisor(data, "/settings")}
    for name, process in (await supervisor_state(data)).processes.items():
        if process.control:
            try:
                found[name] = await ask(Path(process.control), "/settings", 2.0)
            except ControlSilent:
                continue
    return found


def _resolved(data: Path, config: Path | None) -> dict[str, Rows]:
    import tempfile

    from backstay.core.settings import Given, load
    from backstay.systems import SYSTEMS, resolve
    from backstay.up.config import resolve as resolve_up
    from backstay.up.config import sections, shown

    with tempfile.TemporaryDirectory() as scratch:
        own = resolve_up({"--data": str(data)}, os.environ, config, Path(scratch))
        found = {"up": shown(own)}
        files = sections(config, Path(scratch)) if config else {}
        for name in SYSTEMS:
            try:
                spec = resolve(name).settings
            except ModuleNotFoundError:
                continue
            given = Given(flags={"--data": str(data)}, env=os.environ, file=files.get(name))
            found[name] = shown(load(spec, given))
    return found


def _text(found: dict[str, Rows]) -> str:
    rows = [
        (f"{system}.{row['name']}", _shown(row["value"]), row["source"], row["where"])
        for system, settings in found.items()
        for row in settings
    ]
    table = [("setting", "value", "from", "where"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    return "\n".join(
        "  ".join(
            [*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[3]]
        ).rstrip()
        for row in table
    )


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value in (None, "") else str(value)
