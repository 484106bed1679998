"""A stand-in for a system: `python fake_system.py NAME DATA [HOW]`. It owns a file as a real one
does, keeps to the child contract, and says what happens to it."""

import asyncio
import sys
from pathlib import Path

import msgspec

from backstay.core.errors import Fault
from backstay.core.lock import Lock
from backstay.core.process import run_process
from backstay.core.process_errors import INTERNAL
from backstay.core.process_settings import ProcessSettings
from backstay.core.settings import Loaded

NAME, DATA = sys.argv[1], sys.argv[2]
HOW = sys.argv[3] if len(sys.argv) > 3 else "well"
USAGE = msgspec.structs.replace(INTERNAL, code="TEST002", message="line 3 is wrong", exit=2)


class Part:
    name = "part"

    def __init__(self) -> None:
        self._file = Lock(Path(DATA) / f"{NAME}.db")

    async def start(self) -> None:
        if HOW == "usage":
            raise Fault(USAGE)
        if HOW == "crash":
            print("about to crash", flush=True)
            raise SystemExit(3)
        self._file.acquire()

    def ready(self) -> bool:
        return True

    async def drain(self, seconds: float) -> None:
        print(f"{NAME} drains", flush=True)
        if HOW == "stuck":
            await asyncio.sleep(3600)

    async def stop(self) -> None:
        print(f"{NAME} stopped", flush=True)
        self._file.release()


async def build(process: object) -> list[Part]:
    return [Part()]


raise SystemExit(run_process(NAME, Loaded(ProcessSettings(data=Path(DATA)), ()), build))
