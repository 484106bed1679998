"""Compensations of every kind of work: what undoes a step besides statements and calls."""

import json

import pytest
from tests.app.flow.carrier import Carrier
from tests.app.flow.conftest import Open
from tests.app.flow.looking import basket, marks
from tests.app.flow.scripted import mark, program

from backstay.app.ports import OutsideCall, OutsideResult
from backstay.app.unsupported import problems
from backstay.lang.api import check_text

BY_QUERY = f"""
workflow w {{
  input {{ basket: ref(Basket), required }}
  steps {{
    raise {{
      query: "update Item set amount = 100 where basket = @basket"
      compensate {{ query: "update Item set amount = 1 where basket = @basket and amount = 100" }}
    }}
    more {{ do {{ {mark("more")} }} compensate {{ query: delete Mark where text = 'more' }} }}
    bad {{ check: 1 > 2 else "no" }}
  }}
}}
"""


async def test_a_query_undoes_what_a_query_did(open_stage: Open) -> None:
    made = program(BY_QUERY)
    assert problems(made) == []
    stage = await open_stage(program=made)
    ours, other = await basket(stage, 3), await basket(stage, 2)
    execution = await stage.start("w", basket=ours)
    assert await stage.ends(execution) == "compensated"
    assert stage.steps(execution, "compensate") == {"raise": "done", "more": "done"}
    assert marks(stage) == []
    amounts = "SELECT amount FROM items WHERE basket = ? ORDER BY name"
    assert [n for (n,) in stage.all(amounts, ours)] == [1, 1, 1]
    assert [n for (n,) in stage.all(amounts, other)] == [0, 1], "rows of nobody's concern"


async def test_an_activity_that_undoes_is_told_what_the_step_was_told(open_stage: Open) -> None:
    told: list[tuple[str, object]] = []

    def worker(call: OutsideCall) -> OutsideResult:
        told.append((call.command, json.loads(call.payload)))
        return OutsideResult(call.key, ok=True, output='{"id":7}')

    made = program(
        """
        workflow w {
          input { name: string, required }
          steps {
            book {
              activity "book_room"
              input { who: "workflow.input.name", kind: "suite" }
              compensate { activity: "cancel_room" }
            }
            bad { check: 1 > 2 else "no" }
          }
        }
        """
    )
    assert problems(made) == []
    stage = await open_stage(program=made, carrier=Carrier(worker))
    execution = await stage.start("w", name="Ada")
    assert await stage.ends(execution) == "compensated"
    given = {"who": "Ada", "kind": "suite"}
    assert told == [("book_room", given), ("cancel_room", given)]


@pytest.mark.parametrize("query", ["select name from Item", "count(Item)"])
def test_a_query_that_only_reads_undoes_nothing_and_is_a_mistake(query: str) -> None:
    text = f"workflow w {{ steps {{ s {{ do {{ }} compensate {{ query: {query} }} }} }} }}"
    _, found = check_text(
        "a.cai", "entity Item { id: uuid, primary, auto\n name: string }\n" + text
    )
    assert "a query that only reads undoes nothing" in [each.message for each in found]


def test_what_a_changing_query_did_may_well_be_undone() -> None:
    text = """entity Item { id: uuid, primary, auto
  n: int }
workflow w { steps { s {
  query: "update Item set n = 1"
  compensate { query: "update Item set n = 0" }
} } }
"""
    _, found = check_text("a.cai", text)
    assert [each.message for each in found] == []
