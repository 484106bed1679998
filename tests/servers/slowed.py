"""A program whose system calls take their time: strace holds each of them up before it is made."""

import shutil
from pathlib import Path

from tests.servers.require import absent


def held_up(trace: Path, call: str, seconds: float) -> tuple[str, ...]:
    """Words to put before a command: each `call` (several with commas) of it and of its threads
    begins `seconds` late. `trace` takes the tracer's notes.

    The command stays the child of who starts it (`-D`), the tracer is a grandchild that ends with
    it: were it the other way round, killing the tracer would leave the command running.
    """
    if shutil.which("strace") is None:
        absent("strace", "apt-get install strace")
    late = f"inject={call}:delay_enter={int(seconds * 1e6)}"
    return ("strace", "-D", "-f", "-o", str(trace), "-e", f"trace={call}", "-e", late)
