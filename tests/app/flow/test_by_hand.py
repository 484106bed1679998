"""What a person does over the API and on the command line of a real server: start, dry run, signal,
history, migrate, events; and what is left of histories after their time."""

import asyncio
import json
import socket
import sys
from typing import Any

import msgspec
import pytest
from tests.app.flow.conftest import Open, Serve
from tests.app.flow.live import Live
from tests.app.flow.payments import Payments
from tests.app.flow.scripted import BASE, mark, program

from backstay.app.flow.plans import RECENT
from backstay.app.flow.sweeper import HISTORY_KEEP
from backstay.core.errors import Fault
from backstay.lang.program import Program

SHOP = (
    BASE
    + f"""
event paid {{ payload {{ order: string, required, amount: int, required }} }}

workflow other {{ steps {{ one {{ do {{ {mark("other")} }} }} }} }}

workflow buy {{
  input {{ order: string, required, amount: int, default(3), min(1) }}
  signals {{ go: bool }}
  steps {{
    note {{ do {{ {mark("noted")} start other {{ }} }} compensate {{ do {{ {mark("un-noted")} }} }} }}
    pay {{
      call: Payments.charge {{ order: order, amount: amount }}
      compensate {{ call: Payments.refund {{ order: order }} }}
      on_success: emit(paid)
    }}
    gift {{ when: amount > 100 call: Payments.charge {{ order: "gift" }} }}
    rows {{ query: "select text from Mark" as: found }}
    each {{ for_each: found task: PACK {{ text: item.text }} }}
    wait {{ signal: go timeout: 1h }}
    end {{ do {{ {mark("ended")} }} }}
  }}
}}
"""
)


async def test_a_workflow_is_started_with_an_input_that_is_checked(
    serve: Serve, payments: Payments
) -> None:
    live = await serve(SHOP, PAYMENTS_URL=payments.url)
    for body, code, status in (
        ({"order": 5}, "APP011", 422),
        ({"amount": 0, "order": "x"}, "APP011", 422),
        ({"order": "x", "colour": "red"}, "APP011", 422),
        ({}, "APP011", 422),
    ):
        found, problem = await live.ask("POST", "/workflows/buy/start", body)
        assert (found, problem["code"]) == (status, code), problem
    found, problem = await live.ask("POST", "/workflows/sell/start", {})
    assert (found, problem["code"]) == (404, "APP201")
    assert (await live.get("/executions"))["data"] == []

    execution = await live.begin("buy", order="a")
    shown = await live.get(f"/executions/{execution}")
    assert shown["input"] == {"order": "a", "amount": 3}


async def test_a_dry_run_says_what_would_happen_and_leaves_nothing(
    serve: Serve, payments: Payments
) -> None:
    live = await serve(SHOP, PAYMENTS_URL=payments.url)
    status, report = await live.ask("POST", "/workflows/buy/dry-run", {"order": "a", "amount": 7})
    assert status == 200, report
    assert (report["ends"], report["error"]) == ("completed", "")
    steps = {step["step"]: step for step in report["steps"]}
    assert steps["note"]["begins"] == [{"start": "other"}]
    assert steps["pay"]["does"] == "call Payments.charge"
    assert steps["pay"]["payload"] == {"order": "a", "amount": 7}
    assert steps["pay"]["compensation"] == "call Payments.refund"
    assert steps["gift"]["does"].startswith("skipped")
    assert steps["rows"]["output"] == [{"text": "noted"}]
    assert (steps["each"]["item"], steps["each"]["payload"]) == (0, {"text": "noted"})
    assert steps["wait"]["does"] == "signal go"
    assert payments.requests == []
    for table in ("marks", "executions", "steps", "events", "outbox"):
        assert live.rows(f"SELECT count(*) FROM {table}") == [(0,)]


async def test_a_dry_run_of_what_would_fail_says_where_and_what_would_be_undone(
    serve: Serve, payments: Payments
) -> None:
    text = SHOP.replace("wait { signal: go timeout: 1h }", 'wait { do { fail "no, {order}" } }')
    live = await serve(text, PAYMENTS_URL=payments.url)
    _, report = await live.ask("POST", "/workflows/buy/dry-run", {"order": "a"})
    assert (report["ends"], report["error"]) == ("failed", "no, a")
    assert [each["step"] for each in report["compensations"]] == ["pay", "note"]


async def test_the_history_is_one_line_of_time(serve: Serve, payments: Payments) -> None:
    payments.faults.append("lost")
    text = SHOP.replace(
        "on_success: emit(paid)", "on_success: emit(paid) retry: 2 times with fixed_delay(10ms)"
    )
    live = await serve(text, PAYMENTS_URL=payments.url)
    execution = await live.begin("buy", order="a")
    assert (await live.ask("POST", f"/executions/{execution}/signals/go", True))[0] == 202
    assert (await live.ended(execution))["status"] == "completed"

    line = (await live.get(f"/executions/{execution}/history"))["data"]
    told = [(each["what"], each.get("name"), each.get("outcome")) for each in line]
    assert told[0] == ("created", None, None)
    assert ("step", "pay", "unknown") in told
    assert ("step", "pay", "done") in told
    assert ("event", "paid", None) in told
    assert ("signal", "go", None) in told
    assert told[-1][0] == "completed"
    assert [each["at"] for each in line] == sorted(each["at"] for each in line)
    assert (await live.ask("GET", "/executions/nope/history"))[0] == 404


async def test_an_execution_is_moved_to_a_program_with_the_same_beginning(
    open_stage: Open,
) -> None:
    def version(*steps: str) -> str:
        return "workflow w { signals { go: bool } steps { " + " ".join(steps) + " } }"

    first, wait = f"one {{ do {{ {mark('one')} }} }}", "wait { signal: go timeout: 1h }"
    old = program(version(first, wait, f"two {{ do {{ {mark('old')} }} }}"))
    new = program(version(first, wait, f"two {{ do {{ {mark('new')} }} }}"))
    other = program(version(wait, first))
    stage = await open_stage(program=old)
    moved, stays = await stage.start("w"), await stage.start("w")
    await stage.quiet()
    for each in (other, new):
        stage.program = each
        await stage.flow.serve(each)

    with pytest.raises(Fault) as caught:
        await stage.flow.migrate(moved, other.hash)
    assert caught.value.entry.code == "APP219"
    assert "step one" in caught.value.message
    assert await stage.flow.migrate(moved, "") == new.hash
    for execution in (moved, stays):
        await stage.flow.signal(execution, "go", True)
    await stage.ends()
    marks = stage.all("SELECT text FROM marks ORDER BY text")
    assert marks == [("new",), ("old",), ("one",), ("one",)]
    with pytest.raises(Fault):
        await stage.flow.migrate(moved, old.hash)


async def test_programs_that_no_execution_needs_leave_the_memory_and_are_recalled_when_asked_for(
    open_stage: Open,
) -> None:
    def version(name: str) -> Program:
        wait, last = "wait { signal: go timeout: 1h }", f"last {{ do {{ {mark(name)} }} }}"
        return program(f"workflow w {{ signals {{ go: bool }} steps {{ {wait} {last} }} }}")

    first, *others = (version(f"v{number}") for number in range(RECENT + 3))
    stage = await open_stage(program=first)
    moved, stays = await stage.start("w"), await stage.start("w")
    await stage.quiet()
    for each in others:
        await stage.flow.serve(each)

    # Where it would be recalled from does not have it.
    with pytest.raises(Fault) as caught:
        await stage.flow.migrate(moved, others[0].hash)
    assert caught.value.entry.code == "APP219"
    stage.program = others[0]
    assert await stage.flow.migrate(moved, others[0].hash) == others[0].hash
    for execution in (moved, stays):
        await stage.flow.signal(execution, "go", True)
    await stage.ends()
    assert stage.all("SELECT text FROM marks ORDER BY text") == [("v0",), ("v1",)]


async def test_histories_are_pruned_after_their_time_and_what_needs_a_person_stays(
    open_stage: Open,
) -> None:
    stage = await open_stage(
        program=program(
            f"""
            event told {{ payload {{ n: int, required }} }}
            workflow w {{ steps {{ one {{ do {{ {mark("one")} emit told {{ n: 1 }} }} }} }} }}
            workflow waits {{ signals {{ go: bool }} timeout: 9000h
              steps {{ one {{ signal: go timeout: 9000h }} }} }}
            job j {{ schedule: every 24h, action: start(w) }}
            """
        )
    )
    old, living = await stage.start("w"), await stage.start("waits")
    await stage.ends(old)
    await stage.clock.advance(HISTORY_KEEP / 2)
    young = await stage.start("w")
    await stage.ends(young)
    for _ in range(4):
        await stage.clock.advance(HISTORY_KEEP / 6)
        await stage.quiet()

    kept = {str(key) for key, _, _ in stage.executions()}
    assert old not in kept
    assert {young, living} <= kept
    assert stage.one("SELECT count(*) FROM steps WHERE execution = ?", old) == 0
    now = stage.clock.now()
    assert float(str(stage.one("SELECT min(created_at) FROM events"))) > now - HISTORY_KEEP
    oldest = "SELECT min(fire_at) FROM job_runs WHERE status = 'done'"
    assert float(str(stage.one(oldest))) > now - HISTORY_KEEP - 2 * 86400.0


class Typed(msgspec.Struct):
    code: int
    out: str
    err: str


async def typed(live: Live, *words: str) -> Typed:
    """A command as a person types it, against the server of `live`."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "backstay.cli.codeai",
        *words,
        "--base-url",
        live.env["BASE_URL"],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    return Typed(child.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


async def test_the_command_line_starts_shows_signals_and_replays(
    serve: Serve, payments: Payments, address: str
) -> None:
    env = {"PAYMENTS_URL": payments.url, "SERVED_AT": address, "BASE_URL": f"http://{address}"}
    live = await serve(SHOP, **env)
    dry = await typed(live, "workflow", "run", "buy", "--dry-run", "--input", '{"order": "a"}')
    assert (dry.code, "would end: completed" in dry.out) == (0, True), dry.err
    assert 'call Payments.charge  {"order":"a","amount":3}' in dry.out
    assert payments.requests == []

    begun = await typed(live, "workflow", "run", "buy", "-i", '{"order": "a"}', "--output", "json")
    execution: str = json.loads(begun.out)["id"]
    assert (await typed(live, "workflow", "signal", execution, "go", "true")).code == 0
    assert (await live.ended(execution))["status"] == "completed"

    line = await typed(live, "workflow", "history", execution)
    assert line.code == 0
    said = [words for words in (text.split() for text in line.out.splitlines()) if words]
    assert any("step" in words and "pay" in words and "done" in words for words in said)
    assert any("event" in words and "paid" in words for words in said)

    emitted = await typed(live, "event", "emit", "paid", '{"order": "b", "amount": 1}')
    assert emitted.code == 0, emitted.err
    listed = await typed(live, "event", "list", "--event", "paid", "--output", "json")
    events: list[dict[str, Any]] = json.loads(listed.out)["data"]
    assert len(events) == 2
    shown = await typed(live, "event", "show", events[0]["id"])
    assert "paid" in shown.out
    replayed = await typed(live, "event", "replay", events[0]["id"])
    assert (replayed.code, "nothing outside" in replayed.out) == (0, True)
    moved = await typed(live, "workflow", "migrate", execution)
    assert (moved.code, "it has ended" in moved.err) == (1, True)
    wrong = await typed(live, "workflow", "run", "buy", "--input", "not json")
    assert wrong.code == 2
