"""`backstay up` with stand-ins: `python fake_up.py DATA PORT [NAME=HOW…]`, `=extra:COMMAND` for a
process that is none of ours. Everything below the plan is the real thing."""

import sys
from pathlib import Path

import click

from backstay.cli.face import main
from backstay.core.runtime import make_runtime
from backstay.up.logs import stdout_terminal
from backstay.up.owner import own
from backstay.up.plan import FIRST, LAST, LATE, MIDDLE, ChildSpec, Plan
from backstay.up.ports import demand_free
from backstay.up.supervisor import supervise
from backstay.up.table import show

FAKE = str(Path(__file__).with_name("fake_system.py"))
ORDER = {"gateway": FIRST, "app": MIDDLE, "queue": LAST}


def spec(word: str, data: Path, runtime: Path) -> ChildSpec:
    name, _, how = word.partition("=")
    if how.startswith("extra:"):
        return ChildSpec(name, (sys.executable, "-c", how.removeprefix("extra:")))
    if how.startswith("after-queue:"):
        run = (sys.executable, "-c", how.removeprefix("after-queue:"))
        return ChildSpec(name, run, after=("queue",))
    return ChildSpec(
        name=name,
        command=(sys.executable, FAKE, name, str(data), how or "well"),
        address=f"unix:{runtime / name}.sock",
        control=runtime / f"{name}.ctl",
        drain_order=ORDER.get(name, LATE),
    )


@click.command()
@click.argument("data")
@click.argument("port", type=int)
@click.argument("children", nargs=-1)
def command(data: str, port: int, children: tuple[str, ...]) -> int:
    folder = Path(data)
    demand_free("127.0.0.1", port, "the gateway")
    owned = own(folder)
    runtime = make_runtime(folder)
    specs = tuple(spec(word, folder, runtime) for word in children)
    terminal = stdout_terminal()
    try:
        return supervise(Plan(folder, runtime, "127.0.0.1", port, specs), terminal, show)
    finally:
        terminal.close()
        owned.release()


main(command, "fake-up")
