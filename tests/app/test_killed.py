"""kill -9 between a request and its answer: the client repeats, and the order is there once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
from tests.app.test_requests import ADA, MUG

SCRIPT = Path(__file__).parent / "run_server.py"
ORDER = {"customer": ADA, "lines": [{"product": MUG, "quantity": 1}]}
SEED = (
    {"entity": "Customer", "values": {"id": ADA, "name": "Ada", "email": "ada@example.org"}},
    {
        "entity": "Product",
        "values": {"id": MUG, "sku": "M", "name": "Mug", "price": "1", "stock": 9},
    },
)
Client = aiohttp.ClientSession


class Victim:
    """The server process and a client of its socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        (self.folder / "ready").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(self.folder)], stdout=subprocess.DEVNULL
        )
        async with asyncio.timeout(20):
            while not (self.folder / "ready").exists():
                assert self.process.poll() is None
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def client(self) -> Client:
        return Client(connector=aiohttp.UnixConnector(str(self.folder / "app.sock"), limit=40))


async def post(client: Client, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named["content-type"] = "application/json"
    async with client.post(f"http://app/api/v1{path}", data=body, headers=named) as answer:
        return answer.status, await answer.read()


async def test_a_repeated_key_after_a_kill_gives_the_first_answer_or_makes_the_order_once(
    tmp_path: Path,
) -> None:
    victim = Victim(tmp_path)
    body = json.dumps(ORDER).encode()
    keys = [f"order-{number}" for number in range(200)]
    first: dict[str, bytes] = {}

    async def order(client: Client, key: str) -> None:
        with suppress(aiohttp.ClientError):
            status, answer = await post(client, "/orders", body, idempotency_key=key)
            assert status == 201
            first[key] = answer

    await victim.start()
    try:
        async with victim.client() as client:
            seed = b"\n".join(json.dumps(line).encode() for line in SEED)
            assert (await post(client, "/admin/seed", seed, x_seed_id="s"))[0] == 200
            asking = [asyncio.create_task(order(client, key)) for key in keys]
            async with asyncio.timeout(20):
                while len(first) < 40:
                    await asyncio.sleep(0.001)
            victim.kill()
            await asyncio.gather(*asking)
        answered = dict(first)
        await victim.start()
        async with victim.client() as client:
            await asyncio.gather(*(order(client, key) for key in keys))
            async with client.get("http://app/api/v1/admin/entities") as found:
                counts = {each["entity"]: each["rows"] for each in (await found.json())["data"]}
    finally:
        victim.kill()
    assert 40 <= len(answered) < len(keys), "the kill has to come in the middle"
    assert set(first) == set(keys)
    assert all(first[key] == answer for key, answer in answered.items())
    assert (counts["Order"], counts["OrderLine"]) == (len(keys), len(keys))
