"""What small programs left behind: their marks, the outputs of steps, why an execution failed."""

import json

from tests.app.flow.stage import Stage

from backstay.app.plan.statements import compile_block
from backstay.app.store.session import Session
from backstay.lang.program import Constant, Create, ScalarType

TEXT, INT = ScalarType("string"), ScalarType("int")


def marks(stage: Stage) -> list[str]:
    """The marks of the program, in the order in which they were made."""
    return [str(text) for (text,) in stage.all("SELECT text FROM marks ORDER BY at, id")]


def output(stage: Stage, execution: str, step: str) -> object:
    """What a finished step gave."""
    sql = "SELECT output FROM steps WHERE execution = ? AND name = ? AND item = -1"
    return json.loads(str(stage.one(sql, execution, step)))


def error(stage: Stage, execution: str) -> str:
    """Why the execution failed, in its own words."""
    return str(stage.one("SELECT error FROM executions WHERE id = ?", execution))


async def basket(stage: Stage, count: int) -> str:
    """A basket of items named n0, n1, …"""

    def make(conn: Session) -> str:
        unit, scope = stage.unit(conn), dict[str, object]()
        compile_block(stage.program, (Create("Basket", (), "made"),))(unit, scope)
        made = str(scope["made"]["id"])  # type: ignore[index]
        for number in range(count):
            values = (
                ("basket", Constant(made, ScalarType("uuid"))),
                ("name", Constant(f"n{number}", TEXT)),
                ("amount", Constant(number, INT)),
            )
            compile_block(stage.program, (Create("Item", values),))(unit, {})
        return made

    return await stage.database.write(make)
