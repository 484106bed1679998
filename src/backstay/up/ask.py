"""How commands find and ask a running supervisor."""

from pathlib import Path
from typing import Any

import msgspec

from backstay.core.control import ControlSilent, ask
from backstay.core.errors import Fault
from backstay.core.runtime import find_runtime
from backstay.up.errors import NOTHING_RUNS
from backstay.up.owner import owner
from backstay.up.state import State

_SECONDS = 3.0


async def supervisor_state(data: Path) -> State:
    """What runs on this data folder, from the supervisor itself. Raises UP004."""
    return msgspec.convert(await ask_supervisor(data, "/state"), State)


async def ask_supervisor(data: Path, route: str) -> Any:
    """Ask `up.ctl`. Raises UP004 when nothing runs there, CORE060 when it is there and silent."""
    try:
        return await ask(find_runtime(data) / "up.ctl", route, _SECONDS)
    except ControlSilent as silent:
        if owner(data) is not None:
            raise
        raise nothing_runs(data) from silent


def nothing_runs(data: Path) -> Fault:
    """UP004, with what is known of why."""
    reason = "no supervisor owns it" if data.is_dir() else "the folder does not exist"
    return Fault(NOTHING_RUNS, data=str(data), reason=reason)
