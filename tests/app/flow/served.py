"""A program as `codeai server` serves it, with a queue in a file instead of codeq.

Usage: python served.py FOLDER [FILE.cai]; without a file the orders example. The HTTP face is on
FOLDER/app.sock, or at SERVED_AT; the control socket in FOLDER/run.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.app.flow.killable import FileQueue

from backstay.app.settings import AppSettings
from backstay.app.system import build
from backstay.app.unsupported import problems
from backstay.core.process import Process, run_process
from backstay.core.service import Loop, Service
from backstay.core.settings import Loaded
from backstay.lang.api import check_files

APP = Path(__file__).parents[3] / "examples" / "orders" / "app.cai"


def main(folder: Path, file: Path) -> int:
    program, found = check_files([(file.name, file.read_text())])
    if program is None:
        raise SystemExit(str(found))

    async def built(process: Process[AppSettings]) -> Sequence[Service | Loop]:
        return await build(process, program, FileQueue(folder / "queue.db"))

    refused = problems(program)
    if refused:
        raise SystemExit("\n".join(map(str, refused)))
    at = os.environ.get("SERVED_AT", "")
    settings = AppSettings(data=folder, listen=at or f"unix:{folder}/app.sock")
    (folder / "run").mkdir(exist_ok=True)
    return run_process("app", Loaded(settings, ()), built, runtime=folder / "run")


if __name__ == "__main__":
    given = [Path(each) for each in sys.argv[1:]]
    sys.exit(main(given[0], given[1] if len(given) > 1 else APP))
