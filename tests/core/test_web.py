"""The outermost wrapper over a real server on a real socket."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest

from backstay.core.asgi import App
from backstay.core.bodies import BODY_SECONDS
from backstay.core.clock import SystemClock, Uuid7
from backstay.core.context import LOCAL, Principal
from backstay.core.errors import Fault
from backstay.core.server import HEAD_SECONDS, HttpServer, Listen
from backstay.core.web import Endpoint, Later, Request, Response, decode_json, json_response
from backstay.core.web_errors import DRAINING


class Order(msgspec.Struct, forbid_unknown_fields=True):
    sku: str
    quantity: int


ORDER = msgspec.json.Decoder(Order)


class Everybody:
    async def judge(self, peer: str, method: str, headers: Mapping[str, str]) -> Principal:
        return Principal("user", sub="u1") if headers.get("x-as") == "user" else LOCAL


class Answered:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.seen.append((method, route, status))


class Face:
    """The app under test, and how a test talks to it."""

    def __init__(
        self, path: Path, body_seconds: float = BODY_SECONDS, head_seconds: float = HEAD_SECONDS
    ) -> None:
        self.meter = Answered()
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()
        clock = SystemClock()
        endpoints = [
            Endpoint("GET", "/things/{id}", self.thing),
            Endpoint("GET", "/things/all", self.everything),
            Endpoint("POST", "/orders", self.order, max_body=100),
            Endpoint("GET", "/admin", self.everything, scope="admin"),
            Endpoint("GET", "/broken", self.broken),
            Endpoint("GET", "/busy", self.busy),
            Endpoint("GET", "/wait", self.wait, kind="long"),
        ]
        app = App(
            "face",
            endpoints,
            Everybody(),
            clock,
            Uuid7(clock),
            self.meter,
            body_seconds=body_seconds,
        )
        self.server = HttpServer(app, Listen(path=path), head_seconds=head_seconds)
        self.path = path

    async def thing(self, request: Request) -> Response:
        return json_response({"id": request.params["id"], "q": request.query})

    async def everything(self, request: Request) -> Response:
        return json_response({"all": True})

    async def order(self, request: Request) -> Response:
        return json_response(decode_json(request, ORDER), 201)

    async def broken(self, request: Request) -> Response:
        raise RuntimeError("secret detail")

    async def busy(self, request: Request) -> Response:
        raise Fault(DRAINING, service="x", retry_after=7)

    async def wait(self, request: Request) -> Later:
        return Later(self._waiting)

    async def _waiting(self) -> Response:
        self.entered.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return Response()

    async def ask(
        self, method: str, target: str, body: bytes = b"", headers: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        raw = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        head_text, _, answer = raw.partition(b"\r\n\r\n")
        lines = head_text.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), fields, answer


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    made = Face(tmp_path / "f.sock")
    await made.server.start()
    yield made
    await made.server.stop()


async def test_an_exact_path_wins_over_one_with_a_hole(face: Face) -> None:
    assert json.loads((await face.ask("GET", "/things/all"))[2]) == {"all": True}
    status, _, body = await face.ask("GET", "/things/7?q=a&q=b%20c")
    assert (status, json.loads(body)) == (200, {"id": "7", "q": {"q": ["a", "b c"]}})
    assert ("GET", "/things/{id}", 200) in face.meter.seen


async def test_an_unknown_route_is_a_404_that_names_the_nearest(face: Face) -> None:
    status, fields, body = await face.ask("GET", "/ordrs")
    answer = json.loads(body)
    assert status == 404
    assert fields["content-type"] == "application/problem+json"
    assert answer["code"] == "CORE101"
    assert answer["error"] == answer["detail"]
    assert "/orders" in answer["fix"]


async def test_a_wrong_method_is_a_405_with_allow(face: Face) -> None:
    status, fields, _ = await face.ask("DELETE", "/things/7")
    assert (status, fields["allow"]) == (405, "get, head")


async def test_head_answers_without_a_body(face: Face) -> None:
    status, fields, body = await face.ask("HEAD", "/things/all")
    assert (status, body, fields["content-length"]) == (200, b"", "12")


async def test_a_given_request_id_comes_back_and_a_missing_one_is_made(face: Face) -> None:
    _, fields, _ = await face.ask("GET", "/things/all", headers="X-Request-ID: trace-123\r\n")
    assert fields["x-request-id"] == "trace-123"
    _, fields, body = await face.ask("GET", "/nowhere")
    assert json.loads(body)["instance"].endswith(fields["x-request-id"])


async def test_a_request_id_that_could_break_a_log_line_is_replaced(face: Face) -> None:
    _, fields, _ = await face.ask("GET", "/things/all", headers=f"X-Request-ID: {'x' * 500}\r\n")
    assert len(fields["x-request-id"]) == 36


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"sku":"a","quantity":2}', 201, None),
        (b'{"sku":"a"', 400, "CORE104"),
        (b"\xff\xfe", 400, "CORE104"),
        (b'{"sku":"a","quantity":"2"}', 400, "CORE105"),
        (b'{"sku":"a"}', 400, "CORE105"),
        (b'{"sku":"a","quantity":2,"extra":1}', 400, "CORE105"),
        (b" " * 101, 413, "CORE103"),
    ],
)
async def test_each_bad_body_has_its_code(
    face: Face, body: bytes, status: int, code: str | None
) -> None:
    got, _, answer = await face.ask("POST", "/orders", body)
    assert (got, json.loads(answer).get("code")) == (status, code)


async def test_a_chunked_body_over_the_limit_is_refused_too(face: Face) -> None:
    reader, writer = await asyncio.open_unix_connection(str(face.path))
    chunk = b"40\r\n" + b"x" * 64 + b"\r\n"
    writer.write(
        b"POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk * 2
        + b"0\r\n\r\n"
    )
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


HEAD = b"POST /orders HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b'Content-Length: 90\r\n\r\n{"sku"',
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ],
)
async def test_a_body_that_ends_early_is_the_senders_mistake(face: Face, sent: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(face.path))
    writer.write(sent)
    writer.write_eof()
    raw = await asyncio.wait_for(reader.read(), 5)
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert json.loads(raw.partition(b"\r\n\r\n")[2])["code"] == "CORE112"
    assert [status for *_, status in face.meter.seen] == [400]
    writer.close()


async def test_a_body_that_drips_in_gives_its_connection_back(tmp_path: Path) -> None:
    """Bodies without a deadline held every connection a face has; then nobody was answered."""
    face = Face(tmp_path / "f.sock", body_seconds=0.4)
    await face.server.start()
    try:
        dripping = [await asyncio.open_unix_connection(str(face.path)) for _ in range(50)]
        for _, writer in dripping:
            writer.write(HEAD + b"Content-Length: 90\r\n\r\n{")
        for reader, writer in dripping:
            raw = await asyncio.wait_for(reader.read(), 30)
            assert raw.startswith(b"HTTP/1.1 408 ")
            assert json.loads(raw.partition(b"\r\n\r\n")[2])["code"] == "CORE113"
            writer.close()
        assert (await face.ask("GET", "/things/1"))[0] == 200
    finally:
        await face.server.stop()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nX: ",
        b"GET /things/1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0",
    ],
)
async def test_a_client_that_says_nothing_more_gives_its_connection_back(
    tmp_path: Path, sent: bytes
) -> None:
    """Silent connections were never closed; as many as a face takes, and nobody was answered."""
    face = Face(tmp_path / "f.sock", head_seconds=0.3)
    await face.server.start()
    try:
        silent = [await asyncio.open_unix_connection(str(face.path)) for _ in range(20)]
        for _, writer in silent:
            writer.write(sent)
        for reader, writer in silent:
            await asyncio.wait_for(reader.read(), 10)
            writer.close()
    finally:
        await face.server.stop()


async def test_http_2_is_not_spoken(face: Face) -> None:
    reader, writer = await asyncio.open_unix_connection(str(face.path))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    raw = await asyncio.wait_for(reader.read(), 5)
    assert not raw or raw.startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_another_media_type_is_refused(face: Face) -> None:
    status, _, body = await face.ask(
        "POST", "/orders", b"<a/>", "Content-Type: application/xml\r\n"
    )
    assert (status, json.loads(body)["code"]) == (415, "CORE109")


async def test_a_missing_scope_is_a_403_that_names_it(face: Face) -> None:
    status, _, body = await face.ask("GET", "/admin", headers="X-As: user\r\n")
    assert status == 403
    assert "admin" in json.loads(body)["error"]
    assert (await face.ask("GET", "/admin"))[0] == 200


async def test_an_internal_failure_shows_no_detail(face: Face) -> None:
    status, _, body = await face.ask("GET", "/broken")
    assert (status, json.loads(body)["code"]) == (500, "CORE100")
    assert b"secret" not in body
    assert b"Traceback" not in body


async def test_retry_after_of_a_fault_becomes_a_header(face: Face) -> None:
    status, fields, _ = await face.ask("GET", "/busy")
    assert (status, fields["retry-after"]) == (503, "7")


async def test_a_waiting_handler_ends_when_its_client_leaves(face: Face) -> None:
    _, writer = await asyncio.open_unix_connection(str(face.path))
    writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(face.entered.wait(), 5)
    writer.close()
    await asyncio.wait_for(face.cancelled.wait(), 5)


async def test_the_socket_is_for_its_owner_only(face: Face) -> None:
    assert face.path.stat().st_mode & 0o777 == 0o600


async def test_a_taken_port_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        clock = SystemClock()
        app = App("face", [], Everybody(), clock, Uuid7(clock), Answered())
        taken = rf"cannot listen on 127.0.0.1:{port}: it is taken by .* \(pid {os.getpid()}\)"
        with pytest.raises(Fault, match=taken):
            await HttpServer(app, Listen(port=port)).start()


@pytest.mark.parametrize(
    "text", ["", "8080", "unix:relative.sock", "host:99999", "unix:/" + "x" * 110]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Fault, match="is not an address"):
        Listen.parse(text)


def test_two_endpoints_on_one_route_are_a_mistake_of_ours() -> None:
    async def handler(request: Request) -> Response:
        return Response()

    clock = SystemClock()
    with pytest.raises(ValueError, match="two endpoints"):
        App(
            "face",
            [Endpoint("GET", "/a/{x}", handler), Endpoint("GET", "/a/{y}", handler)],
            Everybody(),
            clock,
            Uuid7(clock),
            Answered(),
        )
