"""Calls of integrations: breaker, egress, what an answer means, and what people can see of it."""

import msgspec
import pytest
from tests.app import programs as p
from tests.app.flow.conftest import Open
from tests.app.flow.payments import BROKEN, DECLINE, HANG, Payments
from tests.app.flow.programs import call, tries, with_workflow, workflow
from tests.app.flow.stage import Stage

from backstay.app.outside.answers import judge
from backstay.app.outside.requests import address
from backstay.core.http import Answer
from backstay.lang.program import Env, Operation, Program, Retry, Step

PAY = Step("pay", call(), retry=tries(1), compensate=call("refund"))


def program(step: Step = PAY, **changes: object) -> Program:
    made = with_workflow(workflow(step))
    integration = msgspec.structs.replace(made.integrations[0], **changes)
    return msgspec.structs.replace(made, integrations=(integration,))


async def test_an_open_breaker_fails_tries_without_touching_the_target(open_stage: Open) -> None:
    patient = Step("pay", call(), retry=Retry(20, "fixed", 1.0, 1.0))
    stage = await open_stage(program=program(patient))
    stage.payments.always = BROKEN
    execution = await stage.start("small", name="a")
    await stage.until(lambda: stage.breakers["integration:Payments"].state == "open")
    contacted = len(stage.payments.requests)
    assert contacted == 5
    stage.payments.always = "ok"

    assert await stage.ends(execution) == "completed"
    outcomes = [outcome for (outcome,) in stage.all("SELECT outcome FROM attempts")]
    assert outcomes == ["unknown"] * 5 + ["refused"]
    calls = stage.registry.counter("integration_calls_total")
    assert calls.value("Payments", "charge", "rejected") == 1
    assert len(stage.payments.requests) == contacted + 1


async def test_an_open_breaker_uses_up_no_try_of_a_step_that_has_some(open_stage: Open) -> None:
    step = Step("pay", call(), retry=Retry(6, "fixed", 1.0, 1.0))
    stage = await open_stage(program=program(step))
    stage.payments.always = BROKEN
    others = [await stage.start("small", name=f"n{number}") for number in range(5)]
    await stage.until(lambda: stage.breakers["integration:Payments"].state == "open")
    # Each of them has called once: of six tries, none may go by while the breaker is open.
    rejected = stage.registry.counter("integration_calls_total")
    await stage.until(lambda: rejected.value("Payments", "charge", "rejected") >= 5 * 3)
    stage.payments.always = "ok"
    assert {await stage.ends(each) for each in others} == {"completed"}


async def test_refusals_of_the_target_do_not_open_the_breaker(open_stage: Open) -> None:
    stage = await open_stage(program=program())
    stage.payments.always = DECLINE
    for number in range(8):
        await stage.start("small", name=f"n{number}")
    await stage.ends()
    assert stage.breakers["integration:Payments"].state == "closed"
    assert {status for _, status, _ in stage.executions()} == {"failed"}


async def test_health_metrics_and_probe_show_an_open_breaker_and_timeouts(
    open_stage: Open,
) -> None:
    stage = await open_stage(program=program(Step("pay", call(), retry=tries(6))))
    stage.payments.always = HANG
    await stage.start("small", name="a")
    await stage.until(lambda: stage.breakers["integration:Payments"].state == "open")

    check = stage.flow.checks[-1]
    finding = await check.run()
    assert (check.critical, finding.outcome) == (False, "warn")
    assert "open" in finding.error
    shown = stage.registry.render().decode()
    assert 'circuit_breaker_state{target="integration:Payments"} 2' in shown
    facts = (await stage.flow.probes["app.integrations"]())["integrations"]["integration:Payments"]  # type: ignore[index]
    assert facts["breaker"] == "open"
    assert facts["last_error"] == "timeout"
    assert facts["timeouts_last_minute"] == 5
    assert facts["p50_seconds"] == 2.0


async def test_a_target_that_nobody_listens_for_is_a_known_failure(
    open_stage: Open, payments: Payments
) -> None:
    payments.url = "http://127.0.0.1:1"
    stage = await open_stage(program=program())
    execution = await stage.start("small", name="a")

    assert await stage.ends(execution) == "failed"
    assert stage.steps(execution) == {"pay": "failed"}
    assert "does not accept connections" in str(stage.one("SELECT error FROM executions"))


async def test_a_near_address_that_stands_in_the_program_is_refused(
    open_stage: Open, payments: Payments
) -> None:
    stage = await open_stage(program=program(base_url=p.text(payments.url)))
    execution = await stage.start("small", name="a")

    assert await stage.ends(execution) == "failed"
    assert "not allowed" in str(stage.one("SELECT error FROM executions"))
    assert not payments.requests


async def test_an_address_that_is_not_set_is_named(open_stage: Open) -> None:
    stage = await open_stage(program=program(base_url=Env("NOT_SET_URL", None, p.STRING)))
    execution = await stage.start("small", name="a")

    assert await stage.ends(execution) == "failed"
    assert "NOT_SET_URL is not set" in str(stage.one("SELECT error FROM executions"))


@pytest.mark.parametrize(
    ("status", "kind", "final", "trouble"),
    [
        (200, "done", False, ""),
        (204, "done", False, ""),
        (302, "failed", True, ""),
        (400, "failed", True, ""),
        (402, "failed", True, ""),
        (409, "failed", True, ""),
        (408, "unknown", False, "http_408"),
        (429, "failed", False, "http_429"),
        (500, "unknown", False, "http_500"),
        (503, "unknown", False, "http_503"),
    ],
)
def test_what_an_answer_means(status: int, kind: str, final: bool, trouble: str) -> None:
    outcome, said = judge("Payments.charge", Answer(status, {"retry-after": "7"}, b"", 0.1), 0.0)
    assert (outcome.kind, outcome.final, said) == (kind, final, trouble)
    assert outcome.retry_after == (7.0 if status in (408, 429, 500, 503) else 0.0)


def test_holes_of_a_path_are_filled_and_cannot_leave_it() -> None:
    post = Operation("x", "POST", "/orders/{id}/pay")
    url, body = address("http://host", post, {"id": "../a b", "amount": "1.50"})
    assert url == "http://host/orders/..%2Fa%20b/pay"
    assert msgspec.json.decode(body) == {"amount": "1.50"}
    get = Operation("x", "GET", "/orders")
    assert address("http://host", get, {"q": "a&b", "n": 2, "no": None}) == (
        "http://host/orders?q=a%26b&n=2",
        b"",
    )


async def test_steps_and_outside_calls_can_be_probed(stage: Stage) -> None:
    stage.carrier.down = True
    await stage.order(await stage.product())
    await stage.quiet()
    await stage.clock.advance(30.0)

    steps = (await stage.flow.probes["app.steps"]())["steps"]
    assert steps == [
        {
            "workflow": "fulfil_order",
            "step": "pack",
            "phase": "forward",
            "pending": 0,
            "running": 0,
            "waiting": 1,
            "oldest": 30.0,
            "last_error": "",
        }
    ]
    commands = (await stage.flow.probes["app.outside"]())["commands"]
    assert commands == [
        {"command": "PACK_ORDER", "waiting": 1, "unsent": 1, "oldest": 30.0, "most_sends": 0}
    ]
