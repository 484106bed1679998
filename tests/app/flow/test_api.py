"""Workflows, executions and jobs over a real server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.app.flow.payments import DECLINE, HANG_DONE
from tests.app.flow.stage import Stage

from backstay.app.flow.api import routes
from backstay.core.asgi import METRICS, App
from backstay.core.clock import SystemClock, Uuid7
from backstay.core.context import ANONYMOUS, PRINCIPAL_HEADER, Principal, encode_principal
from backstay.core.egress import EgressRules
from backstay.core.http import Client
from backstay.core.metrics import Registry, RequestMeter
from backstay.core.server import HttpServer, Listen
from backstay.core.trust import Trust


class Face:
    """The routes on a Unix socket, as behind the gateway."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        clock = SystemClock()
        meter = RequestMeter(Registry(METRICS, clock))
        app = App("app", routes(stage.flow), Trust.socket(), clock, Uuid7(clock), meter)
        socket = folder / "app.sock"
        self.server = HttpServer(app, Listen.parse(f"unix:{socket}"))
        self.client = Client(clock, EgressRules(), unix=socket)

    async def ask(
        self, method: str, path: str, who: Principal | None = None
    ) -> tuple[int, dict[str, Any]]:
        headers = {PRINCIPAL_HEADER: encode_principal(who)} if who else {}
        answer = await self.client.request(method, f"http://app/api/v1{path}", headers)
        return answer.status, msgspec.json.decode(answer.body)


@pytest.fixture
async def face(stage: Stage, tmp_path: Path) -> AsyncIterator[Face]:
    made = Face(stage, tmp_path)
    await made.server.start()
    yield made
    await made.client.close()
    await made.server.drain(1.0)
    await made.server.stop()


async def test_workflows_are_listed_with_what_became_of_them(stage: Stage, face: Face) -> None:
    await stage.order(await stage.product())
    await stage.ends()

    status, body = await face.ask("GET", "/workflows")
    assert status == 200
    assert [row["id"] for row in body["data"]] == ["fulfil_order", "refund_order"]
    assert body["data"][0]["status"] == "active"
    assert body["data"][0]["executions"] == {"completed": 1}
    assert body["pagination"]["total"] == 2


async def test_executions_are_paged_and_filtered_newest_first(stage: Stage, face: Face) -> None:
    product = await stage.product(stock=3)
    ids = []
    for _ in range(5):
        ids.append((await stage.order(product))[1])
        await stage.clock.advance(1.0)
    await stage.ends()

    _, page = await face.ask("GET", "/executions?limit=2&page=2")
    assert [row["id"] for row in page["data"]] == [ids[2], ids[1]]
    assert page["pagination"] == {
        "limit": 2,
        "page": 2,
        "total": 5,
        "has_next": True,
        "next_cursor": None,
    }
    _, failed = await face.ask("GET", "/executions?status=failed&workflow_id=fulfil_order")
    assert {row["id"] for row in failed["data"]} == {ids[3], ids[4]}
    assert "is out of stock" in failed["data"][0]["error"]
    for query in ("status=odd", "limit=0", "limit=101", "page=x", "colour=red"):
        status, problem = await face.ask("GET", f"/executions?{query}")
        assert (status, problem["code"]) == (400, "APP208")


async def test_an_execution_shows_its_steps_and_every_attempt(stage: Stage, face: Face) -> None:
    stage.payments.faults.append(HANG_DONE)
    order, execution = await stage.order(await stage.product())
    await stage.ends()

    status, body = await face.ask("GET", f"/executions/{execution}")
    assert status == 200
    assert (body["status"], body["input"]) == ("completed", {"order": order})
    steps = {step["name"]: step for step in body["steps"]}
    assert list(steps) == ["reserve", "charge", "paid", "pack", "notify"]
    tries = steps["charge"]["attempts"]
    assert [(a["attempt"], a["outcome"]) for a in tries] == [(1, "unknown"), (2, "done")]
    assert "did not answer within 2s" in tries[0]["error"]
    assert steps["charge"]["idempotency_key"] == f"{execution}/charge"
    assert steps["pack"]["output"] == {"parcel": f"P-{order}"}
    assert (await face.ask("GET", "/executions/nope"))[0] == 404


async def test_a_failing_execution_ends_failed_and_its_error_can_be_read(
    stage: Stage, face: Face
) -> None:
    _, execution = await stage.order(await stage.product(stock=0), 1)
    await stage.ends()
    _, body = await face.ask("GET", f"/executions/{execution}")
    assert body["status"] == "failed"
    assert "is out of stock" in body["error"]


async def test_a_compensated_execution_can_be_run_again_under_new_keys(
    stage: Stage, face: Face
) -> None:
    stage.payments.faults.extend(["lost"] * 4)
    product = await stage.product(stock=5)
    order, execution = await stage.order(product)
    assert await stage.ends() == "compensated"

    status, body = await face.ask("POST", f"/executions/{execution}/retry")
    assert (status, body["status"], body["run"]) == (202, "running", 2)
    assert await stage.ends() == "completed"
    assert stage.payments.captured() == [order]
    assert stage.one("SELECT stock FROM products") == 4
    assert stage.payments.requests[-1][1] == f"{execution}/charge/run-2"
    _, body = await face.ask("GET", f"/executions/{execution}")
    assert {a["outcome"] for a in body["earlier_runs"]} >= {"done"}


async def test_a_completed_execution_can_be_compensated_newest_first(
    stage: Stage, face: Face
) -> None:
    product = await stage.product(stock=5)
    _, execution = await stage.order(product, 2)
    assert await stage.ends() == "completed"

    status, _ = await face.ask("POST", f"/executions/{execution}/compensate")
    assert status == 202
    assert await stage.ends() == "compensated"
    assert stage.payments.captured() == []
    assert stage.one("SELECT stock FROM products") == 5
    _, body = await face.ask("GET", f"/executions/{execution}")
    assert [step["name"] for step in body["compensations"]] == ["charge", "reserve", "on_fail"]


async def test_orders_that_do_not_fit_the_state_are_refused_with_the_reason(
    stage: Stage, face: Face
) -> None:
    _, execution = await stage.order(await stage.product())
    await stage.ends()
    for order, reason in (("retry", "nothing to run again"), ("cancel", "it has completed")):
        status, problem = await face.ask("POST", f"/executions/{execution}/{order}")
        assert (status, problem["code"]) == (409, "APP203")
        assert reason in problem["detail"]
    for order in ("retry", "cancel", "compensate"):
        status, problem = await face.ask("POST", f"/executions/nope/{order}")
        assert (status, problem["code"]) == (404, "APP202")


async def test_a_cancelled_execution_waits_for_its_call_and_is_undone(
    stage: Stage, face: Face
) -> None:
    stage.payments.faults.append(HANG_DONE)
    product = await stage.product(stock=5)
    order, execution = await stage.order(product)
    await stage.quiet()

    status, body = await face.ask("POST", f"/executions/{execution}/cancel")
    assert (status, body["status"]) == (202, "compensating")
    assert len(stage.payments.requests) == 1
    assert await stage.ends() == "cancelled"
    assert [path for path, _, _ in stage.payments.requests] == ["/charges", "/refunds"]
    assert stage.payments.captured() == []
    assert stage.one("SELECT stock FROM products") == 5
    assert stage.one("SELECT status FROM orders WHERE id = ?", order) == "cancelled"


async def test_without_the_admin_scope_nothing_is_changed_or_read(stage: Stage, face: Face) -> None:
    stage.payments.faults.append(DECLINE)
    _, execution = await stage.order(await stage.product())
    await stage.ends()
    guarded = [
        ("GET", "/executions"),
        ("GET", f"/executions/{execution}"),
        ("POST", f"/executions/{execution}/retry"),
        ("POST", f"/executions/{execution}/cancel"),
        ("POST", f"/executions/{execution}/compensate"),
        ("POST", "/jobs/nightly_sales/run"),
        ("POST", "/jobs/nightly_sales/pause"),
        ("POST", "/jobs/nightly_sales/resume"),
        ("GET", "/admin/jobs"),
        ("POST", "/admin/jobs/purge"),
        ("DELETE", "/admin/jobs/x"),
    ]
    user = Principal("user", sub="u1")
    for method, path in guarded:
        assert (await face.ask(method, path, ANONYMOUS))[0] == 401
        assert (await face.ask(method, path, user))[0] == 403
    admin = Principal("user", sub="u2", scopes=frozenset({"admin"}))
    assert (await face.ask("POST", f"/executions/{execution}/retry", admin))[0] == 202
    assert (await face.ask("GET", "/workflows", ANONYMOUS))[0] == 200


async def test_a_job_can_be_run_by_hand(stage: Stage, face: Face) -> None:
    await stage.quiet()
    status, body = await face.ask("POST", "/jobs/nightly_sales/run")
    assert (status, body["status"]) == (202, "pending")
    await stage.quiet()
    assert stage.one("SELECT status FROM job_runs WHERE id = ?", body["id"]) == "done"
    assert stage.one("SELECT count(*) FROM daily_sales") == 1
    assert (await face.ask("POST", "/jobs/nope/run"))[0] == 404
    _, jobs = await face.ask("GET", "/jobs")
    assert jobs["data"][0]["name"] == "nightly_sales"
    assert jobs["data"][0]["next_run_at"] > jobs["data"][0]["last_run_at"]


async def test_job_runs_are_listed_cancelled_and_purged(stage: Stage, face: Face) -> None:
    await stage.quiet()
    _, pending = await face.ask("GET", "/admin/jobs?status=pending")
    (run,) = pending["data"]

    assert (await face.ask("DELETE", f"/admin/jobs/{run['id']}"))[0] == 200
    stage.clock.advance_now(26 * 3600)
    await stage.quiet()
    assert stage.one("SELECT count(*) FROM daily_sales") == 0
    status, problem = await face.ask("DELETE", f"/admin/jobs/{run['id']}")
    assert (status, problem["code"]) == (409, "APP207")
    assert (await face.ask("DELETE", "/admin/jobs/nope"))[0] == 404

    await stage.database.write(
        lambda conn: conn.execute(
            "UPDATE job_runs SET status = 'failed' WHERE id = ?", (run["id"],)
        ).fetchall()
    )
    status, purged = await face.ask("POST", "/admin/jobs/purge?status=failed&older_than=1000h")
    assert (status, purged["purged"]) == (200, 0)
    stage.clock.advance_now(48 * 3600)
    status, purged = await face.ask("POST", "/admin/jobs/purge?status=failed")
    assert (status, purged["purged"], purged["older_than"]) == (200, 1, "24h0m0s")
    status, problem = await face.ask("POST", "/admin/jobs/purge?status=pending")
    assert (status, problem["code"]) == (501, "APP211")
    assert (await face.ask("POST", "/admin/jobs/purge?older_than=soon"))[0] == 400
