"""One-step workflows in DBOS, as its documentation shows them: started, and waited for."""

import asyncio
import os

from dbos import DBOS
from flow_load import measured

DBOS(
    config={
        "name": "bench",
        "system_database_url": os.environ["DATABASE_URL"],
        "log_level": "ERROR",
        "run_admin_server": False,
    }
)


@DBOS.step()
async def write(number: int) -> int:
    return number


@DBOS.workflow()
async def one(number: int) -> int:
    return await write(number)


async def started(number: int) -> None:
    handle = await DBOS.start_workflow_async(one, number)
    await handle.get_result()


async def called(number: int) -> None:
    # The workflow is run where it is called.
    await one(number)


DBOS.launch()
asyncio.run(measured(called if os.environ.get("CALLED") else started))
DBOS.destroy()
