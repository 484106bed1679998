"""Calls go to public addresses, however an address that is not one is written."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from backstay.core.clock import SystemClock
from backstay.core.egress import EgressRules
from backstay.core.http import Client, Limits
from backstay.core.http_errors import CallFailed

NEAR = (
    *("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001"),
    *("0177.0.0.1", "0", "0.0.0.0", "[::]", "[::1]", "[::1%25lo]", "[::ffff:127.0.0.1]"),
    *("[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "127.0.0.1."),
    *("①②⑦.0.0.1", "127。0。0。1", "public.example@127.0.0.1", "%31%32%37.0.0.1"),
)
METADATA = (
    *("169.254.169.254", "2852039166", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]", "[fe80::1%25lo]"),
    *("100.100.100.200", "192.0.0.192"),
)


class Listener:
    """Counts who comes; `where` sends them on."""

    def __init__(self) -> None:
        self.came = 0
        self.where = ""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        await reader.readuntil(b"\r\n\r\n")
        moved = f"302 Found\r\nLocation: {self.where}" if self.where else "200 OK"
        writer.write(f"HTTP/1.1 {moved}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    found = Listener()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


async def ask(rules: EgressRules, url: str, redirects: int = 0) -> None:
    client = Client(SystemClock(), rules, Limits(connect=1.0))
    try:
        await client.request("GET", url, timeout=2.0, redirects=redirects)
    finally:
        await client.close()


@pytest.mark.parametrize("host", NEAR)
async def test_this_machine_is_not_called(listener: Listener, host: str):
    with pytest.raises(CallFailed):
        await ask(EgressRules(), f"http://{host}:{listener.port}/")
    assert listener.came == 0


@pytest.mark.parametrize("host", METADATA)
async def test_metadata_is_not_called_where_private_addresses_are_allowed(host: str):
    with pytest.raises(CallFailed):
        await ask(EgressRules(("loopback", "private")), f"http://{host}/")


@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]", "169.254.169.254", "10.0.0.1"])
async def test_a_redirect_is_judged_like_the_first_address(listener: Listener, host: str):
    listener.where = f"http://{host}:{listener.port}/"
    with pytest.raises(CallFailed):
        await ask(EgressRules(("127.0.0.1",)), f"http://127.0.0.1:{listener.port}/", redirects=3)
    assert listener.came == 1


@pytest.mark.parametrize("scheme", ["file:///etc/passwd", "gopher://127.0.0.1/", "//127.0.0.2/"])
async def test_a_redirect_to_another_kind_of_address_is_not_followed(
    listener: Listener, scheme: str
):
    listener.where = scheme
    with pytest.raises(CallFailed):
        await ask(EgressRules(("127.0.0.1",)), f"http://127.0.0.1:{listener.port}/", redirects=3)
    assert listener.came == 1
