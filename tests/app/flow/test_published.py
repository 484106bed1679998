"""`publish_to` places that Backstay has no wire to: tasks for the worker of that command, in the
commit of the event."""

import json

import pytest
from tests.app.flow.carrier import Carrier
from tests.app.flow.conftest import Open
from tests.app.flow.scripted import program
from tests.app.flow.stage import Stage

from backstay.app.flow.compiling import compile_program
from backstay.app.ports import OutsideCall, OutsideResult
from backstay.app.unsupported import problems
from backstay.core.errors import Fault

FLOW = """
event sold {
  payload { what: string, required, count: int, required }
  publish_to: [kafka("orders"), slack("#shop", what), slack("#all")]
  trigger: when count > 1
}
workflow sell {
  input { what: string, required, count: int, required }
  steps {
    tell { emit: sold { what: what, count: count } }
    end { check: what != "nothing" else "nothing is sold" }
  }
}
workflow broken {
  steps { tell { do { emit sold { what: "x", count: 2 } fail "no" } } }
}
"""


class Told:
    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, object]]] = []

    def __call__(self, call: OutsideCall) -> OutsideResult:
        self.got.append((call.command, json.loads(call.payload)))
        return OutsideResult(call.key, ok=True, output="1")


async def opened(open_stage: Open) -> tuple[Stage, Told]:
    told, made = Told(), program(FLOW)
    assert problems(made) == []
    return await open_stage(program=made, carrier=Carrier(told)), told


async def test_each_place_is_a_task_with_its_arguments_and_the_event(open_stage: Open) -> None:
    stage, told = await opened(open_stage)
    await stage.start("sell", what="tent", count=2)
    assert await stage.ends() == "completed"
    await stage.quiet()
    (key, at) = stage.all("SELECT id, created_at FROM events")[0]
    assert isinstance(at, float)
    assert sorted((command, said["args"]) for command, said in told.got) == [
        ("kafka", ["orders"]),
        ("slack", ["#all"]),
        ("slack", ["#shop", "tent"]),
    ]
    for _, said in told.got:
        assert (said["id"], said["event"]) == (key, "sold")
        assert said["payload"] == {"what": "tent", "count": 2}
    deliveries = stage.all("SELECT target, state FROM backstay_deliveries ORDER BY target")
    assert deliveries == [("task:kafka", "done"), ("task:slack", "done"), ("task:slack:2", "done")]
    assert stage.all("SELECT key FROM outbox") == []


async def test_an_event_whose_condition_does_not_hold_goes_nowhere(open_stage: Open) -> None:
    stage, told = await opened(open_stage)
    await stage.start("sell", what="tent", count=1)
    assert await stage.ends() == "completed"
    await stage.quiet()
    assert told.got == []


async def test_an_event_of_a_transaction_that_is_taken_back_is_told_to_nobody(
    open_stage: Open,
) -> None:
    stage, told = await opened(open_stage)
    await stage.start("broken")
    assert await stage.ends() == "failed"
    await stage.quiet()
    assert (told.got, stage.all("SELECT key FROM outbox")) == ([], [])


async def test_what_the_queue_lost_comes_again_and_a_replay_is_another_task(
    open_stage: Open,
) -> None:
    stage, told = await opened(open_stage)
    assert isinstance(stage.carrier, Carrier)
    stage.carrier.lose = 3
    await stage.start("sell", what="tent", count=2)
    await stage.until(lambda: len(told.got) == 3, seconds=600)
    assert len(set(stage.carrier.sent)) == 3

    key = str(stage.one("SELECT id FROM events"))
    assert await stage.flow.replay(key, "task:kafka") == ["task:kafka"]
    await stage.until(lambda: len(told.got) == 4, seconds=60)
    assert told.got[3][0] == "kafka"


@pytest.mark.parametrize("place", ["rollback", 'reject("x")', "told", "log_info(what)"])
def test_what_is_no_place_is_refused_at_the_load(place: str) -> None:
    text = FLOW.replace('kafka("orders")', place) + "workflow told { steps { s { do { } } } }"
    with pytest.raises(Fault, match="is no place to publish to"):
        compile_program(program(text))
