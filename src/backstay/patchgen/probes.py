"""What the running process tells the doctor about its output folder."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

from backstay.patchgen.paths import SPACE_FLOOR, inodes_left, is_folder, walk, whoami


async def output_facts(output: str) -> dict[str, Any]:
    """The folder as this process sees it; reads only."""
    return await asyncio.to_thread(look_at_output, output)


def look_at_output(output: str) -> dict[str, Any]:
    """`reading` is `writable`, `missing`, `not-a-folder`, `closed`, `read-only-disk`, `full`
    or `no-inodes`."""
    folder = Path(output)
    facts: dict[str, Any] = {"path": output, "user": whoami(), "free_bytes": -1, "stopped_at": ""}
    if not is_folder(folder):
        stopped = next((step for step in walk(folder) if step.problem), None)
        facts["stopped_at"] = stopped.path if stopped else ""
        missing = stopped is not None and stopped.kind == "missing"
        facts["reading"] = "missing" if missing else "not-a-folder"
        if stopped is not None and stopped.problem.startswith(("may not", "permission")):
            facts["reading"] = "closed"
        return facts
    facts["free_bytes"] = shutil.disk_usage(folder).free
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        facts["reading"] = "read-only-disk"
    elif not os.access(folder, os.W_OK | os.X_OK):
        facts["reading"] = "closed"
    elif facts["free_bytes"] < SPACE_FLOOR:
        facts["reading"] = "full"
    elif inodes_left(folder) == 0:
        facts["reading"] = "no-inodes"
    else:
        facts["reading"] = "writable"
    return facts
