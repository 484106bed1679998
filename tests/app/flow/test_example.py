"""examples/orders/app.cai, checked by the real checker, in a real process, against the example's
own payment provider."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backstay.core import control
from backstay.core.clock import SystemClock
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault
from backstay.core.http import Client

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[2] / "examples" / "orders"
CUSTOMER, PRODUCT = "00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000b"
SEED = [
    {"entity": "Customer", "values": {"id": CUSTOMER, "name": "Ada", "email": "a@b.example"}},
    {
        "entity": "Product",
        "values": {"id": PRODUCT, "sku": "A", "name": "A", "price": "9.99", "stock": 50},
    },
]


class Example:
    """The app's process and the payment provider's."""

    def __init__(self, folder: Path, payments: str) -> None:
        self.folder = folder
        self.payments = payments
        self.child: asyncio.subprocess.Process | None = None
        self._app = Client(SystemClock(), EgressRules(), unix=folder / "app.sock")
        self._money = Client(SystemClock(), EgressRules(("loopback",)))

    async def start(self) -> None:
        with (self.folder / "app.log").open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                sys.executable,
                str(HERE / "served.py"),
                str(self.folder),
                env={**os.environ, "PAYMENTS_URL": self.payments},
                stdout=log,
                stderr=log,
            )
        await self.eventually(self._answers)

    async def kill(self) -> None:
        if self.child is not None and self.child.returncode is None:
            self.child.kill()
            await self.child.wait()

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        raw = b"" if body is None else msgspec.json.encode(body)
        return await self._send(method, path, raw, {"Content-Type": "application/json"})

    async def seed(self) -> None:
        raw = b"\n".join(msgspec.json.encode(line) for line in SEED)
        status, said = await self._send(
            "POST", "/admin/seed", raw, {"X-Seed-Id": "one", "Content-Type": "application/json"}
        )
        assert status == 200, said

    async def order(self, quantity: int = 1) -> str:
        lines = [{"product": PRODUCT, "quantity": quantity}]
        status, body = await self.ask("POST", "/orders", {"customer": CUSTOMER, "lines": lines})
        assert status == 201, body
        return str(body["id"])

    async def statuses(self) -> dict[str, str]:
        _, body = await self.ask("GET", "/orders?limit=100")
        return {row["id"]: row["status"] for row in body["data"]}

    async def money(self) -> dict[str, Any]:
        answer = await self._money.request("GET", f"{self.payments}/totals")
        totals: dict[str, Any] = json.loads(answer.body)
        return totals

    async def look(self, route: str) -> Any:
        return await control.ask(self.folder / "run" / "app.ctl", route)

    async def execution(self, order: str) -> dict[str, Any]:
        """The execution that fulfils this order, once it has ended."""
        found: dict[str, Any] = {}

        async def ended() -> bool:
            _, body = await self.ask("GET", "/executions?limit=100")
            found.update(next(row for row in body["data"] if row["input"] == {"order": order}))
            return found["status"] not in ("pending", "running", "compensating")

        await self.eventually(ended)
        return found

    async def eventually(self, done: Any, seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds):
            while not await done():
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self.kill()
        await self._app.close()
        await self._money.close()

    async def _answers(self) -> bool:
        assert self.child is not None
        log = (self.folder / "app.log").read_text()
        assert self.child.returncode is None, log
        with contextlib.suppress(Fault):
            return (await self.ask("GET", "/workflows"))[0] == 200
        return False

    async def _send(
        self, method: str, path: str, raw: bytes, headers: dict[str, str]
    ) -> tuple[int, Any]:
        answer = await self._app.request(method, f"http://app/api/v1{path}", headers, raw)
        return answer.status, msgspec.json.decode(answer.body)


@pytest.fixture
async def example(tmp_path: Path) -> AsyncIterator[Example]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    provider = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLE / "payments.py"),
        "--port",
        str(port),
        "--ledger",
        str(tmp_path / "payments.db"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    made = Example(tmp_path, f"http://127.0.0.1:{port}")
    await made.start()
    yield made
    await made.close()
    provider.kill()
    await provider.wait()


async def test_orders_go_through_the_whole_app_and_survive_its_death(example: Example) -> None:
    await example.seed()
    orders = [await example.order() for _ in range(5)]
    await example.kill()
    await example.start()
    orders += [await example.order() for _ in range(5)]

    async def fulfilled() -> bool:
        statuses = await example.statuses()
        return all(statuses[order] == "fulfilled" for order in orders)

    await example.eventually(fulfilled)
    assert (await example.money())["net"] == "99.90"
    _, product = await example.ask("GET", f"/products/{PRODUCT}")
    assert product["stock"] == 40
    _, executions = await example.ask("GET", "/executions?status=completed&limit=100")
    assert executions["pagination"]["total"] == 10

    checks = (await example.look("/checks"))["checks"]
    assert checks["integration:Payments"]["status"] == "healthy"
    assert (await example.look("/breakers"))[0]["target"] == "integration:Payments"
    facts = await example.look("/probe/app.integrations")
    assert facts["integrations"]["integration:Payments"]["breaker"] == "closed"
    assert (await example.look("/probe/app.outside"))["commands"] == []
    assert (await example.look("/probe/app.steps"))["steps"] == []


@pytest.mark.seed("C12", "C26")
async def test_workflows_are_listed_and_a_failure_can_be_read_in_the_api_and_the_log(
    example: Example,
) -> None:
    await example.seed()
    failed = await example.execution(await example.order(quantity=60))
    assert failed["status"] == "failed"
    assert f"product {PRODUCT} is out of stock" in failed["error"]

    async def logged() -> bool:
        lines = (example.folder / "app.log").read_text().splitlines()
        return any(failed["id"] in line and "is out of stock" in line for line in lines)

    await example.eventually(logged)
    _, workflows = await example.ask("GET", "/workflows")
    (fulfil, refund) = workflows["data"]
    assert (fulfil["id"], fulfil["executions"]) == ("fulfil_order", {"failed": 1})
    assert (refund["id"], refund["status"]) == ("refund_order", "active")


@pytest.mark.seed("C27")
async def test_a_person_compensates_and_retries_executions(example: Example) -> None:
    await example.seed()
    execution = (await example.execution(order := await example.order(quantity=5)))["id"]

    assert (await example.ask("POST", f"/executions/{execution}/compensate"))[0] == 202
    assert (await example.execution(order))["status"] == "compensated"
    assert (await example.money())["net"] == "0.00"
    _, shown = await example.ask("GET", f"/executions/{execution}")
    assert [step["name"] for step in shown["compensations"]] == ["charge", "reserve", "on_fail"]

    assert (await example.ask("POST", f"/executions/{execution}/retry"))[0] == 202
    assert (await example.execution(order))["status"] == "completed"
    assert (await example.money())["net"] == "49.95"
    status, problem = await example.ask("POST", f"/executions/{execution}/retry")
    assert (status, "nothing to run again" in problem["detail"]) == (409, True)
    for command in ("retry", "compensate", "cancel"):
        assert (await example.ask("POST", f"/executions/nope/{command}"))[0] == 404


@pytest.mark.seed("C28")
async def test_job_runs_are_listed_cancelled_and_purged(example: Example) -> None:
    _, pending = await example.ask("GET", "/admin/jobs?status=pending")
    (run,) = pending["data"]
    assert run["job"] == "nightly_sales"

    assert (await example.ask("DELETE", f"/admin/jobs/{run['id']}"))[0] == 200
    _, cancelled = await example.ask("GET", "/admin/jobs?status=cancelled")
    assert [row["id"] for row in cancelled["data"]] == [run["id"]]
    await example.kill()
    await example.start()
    _, pending = await example.ask("GET", "/admin/jobs?status=pending")
    assert [row for row in pending["data"] if row["fire_at"] == run["fire_at"]] == []

    status, purged = await example.ask("POST", "/admin/jobs/purge?status=failed&older_than=24h")
    assert (status, purged["purged"]) == (200, 0)
    status, purged = await example.ask("POST", "/admin/jobs/purge?status=failed")
    assert (status, purged["older_than"]) == (200, "24h0m0s")
