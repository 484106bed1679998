"""The orders example in a process of its own, so that it can be killed: `run_server.py FOLDER`."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.app import programs as p
from tests.app.serving import served


async def main(folder: Path) -> None:
    async with served(p.checked_orders(), folder, durability="power"):
        (folder / "ready").touch()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
