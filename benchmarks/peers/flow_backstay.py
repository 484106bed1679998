"""One-step workflows in Backstay's engine: started durably, run, and known to have ended."""

import asyncio
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / "src"), str(Path(__file__).parent)]

from flow_load import measured  # noqa: E402

from backstay.app.flow.engine import Flow  # noqa: E402
from backstay.app.flow.recall import recalled  # noqa: E402
from backstay.app.flow.turn import Notes  # noqa: E402
from backstay.app.store.aim import aim  # noqa: E402
from backstay.app.store.schema import runtime_schema  # noqa: E402
from backstay.app.store.service import Store  # noqa: E402
from backstay.app.store.sqlite import SqliteDatabase  # noqa: E402
from backstay.core.clock import SystemClock, SystemDice, Uuid7  # noqa: E402
from backstay.core.log_settings import LogSettings  # noqa: E402
from backstay.core.logs import configure  # noqa: E402
from backstay.core.metrics import Registry  # noqa: E402
from backstay.core.service import run  # noqa: E402
from backstay.lang.api import check_text  # noqa: E402

PROGRAM = """
entity Mark { id: uuid, primary, auto, number: int, required }
workflow one {
  input { number: int, required }
  steps { write { do { create Mark { number: number } } } }
}
"""


async def main() -> None:
    configure(LogSettings(log_level="warn"), "bench")
    found, mistakes = check_text("bench.cai", PROGRAM)
    if found is None:
        raise SystemExit(str(mistakes))
    clock, dice = SystemClock(), SystemDice()
    ids = Uuid7(clock)
    # Durable as the server is: an answer survives a power cut.
    database = SqliteDatabase(Path(os.environ["FOLDER"]) / "app.db", runtime_schema(), "power")
    program = aim(found, database.dialect)
    flow = Flow(
        database=database,
        clock=clock,
        ids=ids,
        dice=dice,
        registry=Registry((), clock),
        breakers={},
        env={},
        load=recalled(database),
    )
    ended: dict[str, asyncio.Future[None]] = {}
    early: set[str] = set()

    def note(notes: Notes) -> None:
        for each in notes.ended:
            waiting = ended.pop(each.execution, None)
            if waiting is None:
                early.add(each.execution)
            else:
                waiting.set_result(None)

    counted = flow.metrics.note
    flow.metrics.note = lambda notes: (counted(notes), note(notes))[0]  # type: ignore[method-assign]

    async def one(number: int) -> None:
        id_ = await flow.begin_by_hand("one", b'{"number": %d}' % number)
        if id_ in early:
            early.discard(id_)
            return
        ended[id_] = asyncio.get_running_loop().create_future()
        await ended[id_]

    async def opened() -> None:
        await flow.serve(program)

    stopping = asyncio.Event()
    store = Store(database, program, clock, ids, {}, [opened], migrate=True)
    served = asyncio.create_task(run([store, flow, *flow.loops], clock, stopping))
    while not flow.ready():
        await asyncio.sleep(0.01)
    await measured(one)
    stopping.set()
    await served


asyncio.run(main())
