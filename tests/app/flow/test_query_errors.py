"""What is wrong with a query in a step, read on the execution and in the log of a real server."""

from typing import Any

import pytest
from tests.app.flow.conftest import Serve
from tests.app.flow.live import Live
from tests.app.flow.scripted import BASE

QUERIES = {
    "LexerError": ("select name from Item where name = @", "unexpected character '@'"),
    "ParserError": ("select 123 from Item", "expected identifier, got '123'"),
    "SemanticError": ("select name from Thing", "unknown entity 'Thing'"),
    "CompilerError": ("select colour from Item", "unknown field 'colour' on entity 'Item'"),
    "ExecutionError": (
        "update Item set basket = '00000000-0000-7000-8000-00000000000a'",
        "FOREIGN KEY constraint failed",
    ),
}
CUT_OFF = ("select name from Item where", "unexpected end of input")
MISMATCH = (
    "select name from Item where amount = 'x'",
    "type mismatch for field 'amount': expected int, got string",
)


def workflow(name: str, query: str) -> str:
    return f'workflow {name} {{ steps {{ ask {{ query: "{query}" }} }} }}\n'


async def failed(live: Live, name: str) -> dict[str, Any]:
    ended = await live.ended(await live.begin(name))
    assert ended["status"] == "failed"
    return ended


@pytest.mark.seed("C12", "C13", "C14")
async def test_each_kind_of_query_error_ends_its_execution_and_is_read_in_api_and_log(
    serve: Serve,
) -> None:
    texts = {f"w_{kind.lower()}": query for kind, (query, _) in QUERIES.items()}
    texts |= {"w_cut": CUT_OFF[0], "w_mismatch": MISMATCH[0]}
    row = """
    endpoint POST /baskets {
      auth: public
      do { let made = create Basket { items: [n in body.names: { name: n.name, amount: 1 }] }
        return made }
      body { names: list({ name: string }), required }
    }
    """
    live = await serve(
        BASE + row + "".join(workflow(*each) for each in texts.items()),
        PAYMENTS_URL="http://127.0.0.1:1",
    )
    status, said = await live.ask("POST", "/baskets", {"names": [{"name": "a"}]})
    assert status == 200, said

    for kind, (_, message) in QUERIES.items():
        ended = await failed(live, f"w_{kind.lower()}")
        assert kind in ended["error"]
        assert message in ended["error"]
        (attempt,) = ended["steps"][0]["attempts"]
        assert (attempt["outcome"], message in attempt["error"]) == ("failed", True)
        lines = [line for line in live.log().splitlines() if ended["id"] in line]
        assert any(kind in line and message in line for line in lines)
    assert CUT_OFF[1] in (await failed(live, "w_cut"))["error"]
    assert MISMATCH[1] in (await failed(live, "w_mismatch"))["error"]
