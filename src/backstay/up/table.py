"""The one table of `backstay up` and `status`: what runs, where, and what to try next.

Plain text wherever it is not a terminal; rich is imported only to draw on one.
"""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from backstay.up.logs import Terminal
from backstay.up.plan import Plan
from backstay.up.state import State

_OPEN_GET = re.compile(r"^[ \t]*endpoint[ \t]+GET[ \t]+(/[\w/-]*)[ \t]*\{([^}]*)\}", re.MULTILINE)
_EXAMPLES = 2
_COLOUR = {"ready": "green", "starting": "yellow", "restarting": "yellow", "gave_up": "red"}
_HEAD = ("process", "state", "address", "pid")


def show(state: State, plan: Plan, terminal: Terminal) -> None:
    """Print the table of a start on the terminal."""
    lines = [
        *_table(state, plan.data, colours=terminal.colours),
        "try next, in another terminal:",
        *(f"  {line}" for line in examples(state, plan.app_file, plan.tries, data_hint(plan.data))),
        "",
        "Ctrl-C drains and ends it.",
        "",
    ]
    terminal.show("\n".join(lines))


def behind(state: State, data: Path, app_file: Path | None, tries: Sequence[str]) -> str:
    """The same for a start that leaves the terminal free."""
    hint = data_hint(data)
    lines = [
        *_table(state, data, colours=False),
        "try next:",
        *(f"  {line}" for line in examples(state, app_file, tries, hint)),
        f"  backstay logs -f{hint}",
        f"  backstay down{hint}",
        "",
    ]
    return "\n".join(lines)


def _table(state: State, data: Path, *, colours: bool) -> list[str]:
    return [
        "",
        f"Backstay on {state.base_url}   data: {data}",
        "",
        draw(state, colours=colours),
        "",
        *_warnings(state, data),
    ]


def draw(state: State, *, colours: bool) -> str:
    """The processes, one a line; then those that ended, how, and how often they came back."""
    rows = [
        (name, process.state, process.address or "-", str(process.pid or "-"))
        for name, process in state.processes.items()
    ]
    text = _rich(rows) if colours else _plain(rows)
    troubles = [
        f"  {name} last ended at {process.last_exit.at[:19]}Z: {process.last_exit.reason}"
        + (f"; restarts: {process.restarts}" if process.restarts else "")
        for name, process in state.processes.items()
        if process.last_exit
    ]
    return "\n".join([text, *troubles])


def examples(state: State, app_file: Path | None, tries: Sequence[str], hint: str) -> list[str]:
    """Commands that work as they stand, in this order. `tries` are those of `backstay.yaml`; a
    program that has none gets its public lists."""
    found = [*_activation(), *_filled(tries, state.base_url, hint)]
    if "gateway" in state.processes and not tries:
        found.append(f"curl -s {state.base_url}/health")
        if app_file and "app" in state.processes:
            found += [
                f"curl -s '{state.base_url}/api/v1{path}?limit=3'" for path in _paths(app_file)
            ]
        elif "queue" in state.processes:
            found += _queue_round(state.base_url)
    return [*found, f"backstay status{hint}", f"backstay doctor{hint}"]


def data_hint(data: Path) -> str:
    """` --data DIR` where it is not the folder that commands use by themselves."""
    try:
        shown = data.relative_to(Path.cwd())
    except (ValueError, OSError):
        return f" --data {data}"
    return "" if str(shown) == ".backstay" else f" --data {shown}"


def _warnings(state: State, data: Path) -> list[str]:
    found = []
    if not os.environ.get("JWT_SECRET"):
        token = f"backstay token --role ROLE{data_hint(data)}"
        found += [
            "NO AUTHENTICATION: JWT_SECRET is not set, so whoever is on this machine may use the",
            "queue, the admin routes and all that is public. What asks for a role still wants one:",
            f"  {token}",
            "",
        ]
    down = [name for name, process in state.processes.items() if process.state != "ready"]
    if down:
        found += [f"NOT READY: {', '.join(down)}; read why: backstay logs {down[0]}", ""]
    return found


def _activation() -> list[str]:
    """Nothing where `backstay` on the PATH is this one, else what puts it there."""
    own = Path(sys.prefix, "bin")
    there = shutil.which("backstay")
    if (there and Path(there).parent.resolve() == own.resolve()) or not (
        own / "activate"
    ).is_file():
        return []
    try:
        return [f". {(own / 'activate').relative_to(Path.cwd())}"]
    except (ValueError, OSError):
        return [f". {own / 'activate'}"]


def _filled(tries: Sequence[str], base_url: str, hint: str) -> list[str]:
    return [line.replace("{url}", base_url).replace("{data}", hint) for line in tries]


def _queue_round(base_url: str) -> list[str]:
    """A task there and back: one that nobody serves is a fault to the doctor."""
    body = """'{"command":"HELLO","payload":{"to":"you"}}'"""
    return [
        f"curl -s {base_url}/v1/codeq/tasks -H 'Content-Type: application/json' -d {body}",
        f"codeq --base-url {base_url} worker start --events HELLO --ack complete",
    ]


def _paths(app_file: Path) -> list[str]:
    try:
        text = app_file.read_text(errors="replace")
    except OSError:
        return []
    # Only examples for a person: the program itself is read by the app.
    found = [path for path, body in _OPEN_GET.findall(text) if "auth: public" in body]
    return found[:_EXAMPLES]


def _plain(rows: Sequence[tuple[str, ...]]) -> str:
    table = [_HEAD, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    return "\n".join(
        "  "
        + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def _rich(rows: Sequence[tuple[str, ...]]) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in _HEAD:
        table.add_column(title, no_wrap=True)
    for name, state, address, pid in rows:
        colour = _COLOUR.get(state, "white")
        table.add_row(name, f"[{colour}]{state}[/]", address, pid)
    console = Console(force_terminal=True, width=160)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")
