"""The client tells failures apart, is bounded, and does not connect where it must not."""

import asyncio
import gzip
import socket
import ssl
import subprocess

import pytest

from backstay.core import http_errors as failed
from backstay.core.clock import SystemClock
from backstay.core.context import LOCAL, RequestContext
from backstay.core.egress import EgressRules
from backstay.core.http import Client, Limits
from backstay.up.ports import free_port

HERE = EgressRules(allow=("loopback",))


class Server:
    """A real server whose answers are bytes: `answer(head, body)` gives them, None closes."""

    def __init__(self):
        self.requests = []
        self.connections = 0
        self.transports = []

    async def start(self, answer, tls=None):
        self.answer = answer
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def serve(self, reader, writer):
        self.connections += 1
        self.transports.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                self.requests.append((lines[0], fields, body))
                answer = self.answer(lines[0])
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def reply(body=b"ok", status="200 OK", **headers):
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


@pytest.fixture
async def server():
    server = Server()
    yield server
    if hasattr(server, "server"):
        server.server.close()


@pytest.fixture
async def client():
    client = Client(SystemClock(), HERE, Limits(connect=0.3, body=1000))
    yield client
    await client.close()
    await client.close()


async def test_a_body_of_unsaid_kind_is_not_called_something(server, client):
    await server.start(lambda _: reply())
    await client.request("POST", server.url, body=b"{}")
    _, fields, body = server.requests[0]
    assert body == b"{}"
    assert "content-type" not in fields


@pytest.fixture(name="free_port")
def a_free_port():
    return free_port()


async def test_an_answer_has_status_headers_and_body_whatever_the_status(server, client):
    await server.start(lambda _: reply(b"no", "404 Not Found", X_Odd="yes"))
    answer = await client.request("POST", f"{server.url}/a?b=1", {"X-In": "1"}, b"data")
    assert (answer.status, answer.body, answer.headers["x-odd"]) == (404, b"no", "yes")
    line, fields, body = server.requests[0]
    assert (line, body, fields["x-in"]) == ("POST /a?b=1 HTTP/1.1", b"data", "1")
    assert 0 < answer.took < 5


async def test_connections_are_reused(server, client):
    await server.start(lambda _: reply())
    for _ in range(5):
        await client.request("GET", server.url)
    assert server.connections == 1


async def test_request_id_and_trace_are_passed_on_and_cookies_are_not_kept(server, client):
    await server.start(lambda _: reply(Set_Cookie="session=1"))
    ctx = RequestContext("trace-123", LOCAL, traceparent="00-aa-bb-01")
    await client.request("GET", server.url, ctx=ctx)
    await client.request("GET", server.url)
    assert server.requests[0][1]["x-request-id"] == "trace-123"
    assert server.requests[0][1]["traceparent"] == "00-aa-bb-01"
    assert "cookie" not in server.requests[1][1]


async def test_who_needs_the_status_only_waits_for_no_body_however_long_it_claims_to_be(
    server, client
):
    await server.start(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\nsome")
    answer = await client.request("POST", server.url, body=b"x", timeout=5.0, unread=True)
    assert (answer.status, answer.body) == (200, b"")
    await server.start(lambda _: reply(b"short"))
    before = server.connections
    for _ in range(3):
        await client.request("POST", server.url, unread=True)
    assert server.connections == before + 1, "a short answer leaves the connection for the next"


async def failure(client, url, method="GET", **how):
    with pytest.raises(failed.CallFailed) as caught:
        await client.request(method, url, **how)
    return caught.value


async def test_a_closed_port_is_refused_and_was_never_sent(client, free_port):
    found = await failure(client, f"http://127.0.0.1:{free_port}/")
    assert isinstance(found, failed.RefusedError)
    assert found.reason == "ECONNREFUSED: Connection refused"
    assert not found.sent
    assert f"127.0.0.1:{free_port} does not accept connections" in found.message


async def test_an_unknown_name_is_a_dns_failure(client):
    found = await failure(client, "http://does-not-exist.invalid/")
    assert isinstance(found, failed.DnsError)
    assert "Cannot connect" not in found.reason  # the resolver's own words
    assert not found.sent


async def test_a_server_that_never_answers_is_a_timeout_of_unknown_outcome(server, client):
    await server.start(lambda _: b"")
    found = await failure(client, server.url, "POST", body=b"x", timeout=0.2)
    assert isinstance(found, failed.TotalTimeoutError)
    assert found.sent
    assert "0.2 s" in found.cause


async def test_a_connection_that_is_never_accepted_is_a_connect_timeout(client):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = []
        try:
            for _ in range(4):  # the backlog takes one or two; further ones hang
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(address)
                fillers.append(filler)
            found = await failure(client, f"http://127.0.0.1:{address[1]}/", timeout=3)
        finally:
            for filler in fillers:
                filler.close()
    assert isinstance(found, failed.ConnectTimeoutError)
    assert not found.sent


async def test_a_closed_connection_is_a_reset_of_unknown_outcome(server, client):
    await server.start(lambda _: None)
    found = await failure(client, server.url, "POST", body=b"x")
    assert isinstance(found, failed.ResetError)
    assert found.sent
    assert len(server.requests) == 1, "a request that may have arrived is not repeated"


async def test_an_answer_cut_off_is_a_reset(server, client):
    await server.start(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    async def cut():
        while not server.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        for transport in server.transports:
            transport.close()

    cutting = asyncio.create_task(cut())
    found = await failure(client, server.url)
    await cutting
    assert isinstance(found, failed.ResetError)


async def test_what_is_no_http_is_a_protocol_failure(server, client):
    await server.start(lambda _: b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
    assert isinstance(await failure(client, server.url), failed.ProtocolError)


@pytest.mark.parametrize(
    "url", ["ftp://x/", "nonsense", "http://", "http://[bad/", "http://h:99999/"]
)
async def test_what_is_no_address_is_a_protocol_failure(client, url):
    assert isinstance(await failure(client, url), failed.ProtocolError)


async def test_an_untrusted_certificate_is_a_tls_failure(server, client, tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(cert)),
        ],
        capture_output=True,
    )
    assert made.returncode == 0, made.stderr
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    await server.start(lambda _: reply(), tls)
    found = await failure(client, server.url)
    assert isinstance(found, failed.TlsError)
    assert not found.sent
    assert not server.requests


@pytest.mark.parametrize("body", [b"x" * 1001, gzip.compress(b"\0" * 1_000_000)])
async def test_a_large_answer_is_cut_off_also_when_it_arrives_small(server, client, body):
    encoding = {"Content_Encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {}
    await server.start(lambda _: reply(body, **encoding))
    found = await failure(client, server.url)
    assert isinstance(found, (failed.TooLargeError, failed.ResetError))
    if not encoding:
        assert isinstance(found, failed.TooLargeError)


async def test_a_redirect_is_an_answer_unless_asked_to_follow(server, client):
    await server.start(
        lambda line: reply() if "/b" in line else reply(b"", "302 Found", Location="/b")
    )
    assert (await client.request("GET", f"{server.url}/a")).status == 302
    assert (await client.request("GET", f"{server.url}/a", redirects=3)).body == b"ok"
    server.answer = lambda _: reply(b"", "302 Found", Location="/a")
    assert (await client.request("GET", server.url, redirects=3)).status == 302


async def test_a_redirect_elsewhere_carries_no_credentials_and_is_judged_anew(server, client):
    other = await Server().start(lambda _: reply())
    await server.start(lambda _: reply(b"", "307 Temporary Redirect", Location=other.url))
    await client.request("GET", server.url, {"Authorization": "Bearer x"}, redirects=1)
    assert "authorization" not in other.requests[0][1]
    other.server.close()
    server.answer = lambda _: reply(b"", "302 Found", Location="http://169.254.169.254/latest")
    assert isinstance(await failure(client, server.url, redirects=1), failed.EgressError)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "１２７.0.0.1", "2130706433"]
)
async def test_loopback_in_any_spelling_is_refused_unless_allowed(server, host):
    await server.start(lambda _: reply())
    client = Client(SystemClock(), EgressRules())
    found = await failure(client, f"http://{host}:{server.port}/")
    await client.close()
    assert isinstance(found, (failed.EgressError, failed.ProtocolError))
    assert not found.sent
    assert server.connections == 0


@pytest.mark.parametrize(
    ("allow", "address", "permitted"),
    [
        ((), "1.1.1.1", True),
        ((), "2606:4700::1111", True),
        ((), "10.0.0.1", False),
        ((), "169.254.169.254", False),
        ((), "100.100.100.200", False),
        ((), "0.0.0.0", False),
        ((), "224.0.0.1", False),
        ((), "fe80::1%eth0", False),
        ((), "fd00:ec2::254", False),
        ((), "64:ff9b::7f00:1", False),
        ((), "2002:7f00:1::", False),
        ((), "nonsense", False),
        (("private",), "10.0.0.1", True),
        (("private",), "fd12::1", True),
        (("private",), "127.0.0.1", False),
        (("private",), "169.254.169.254", False),
        (("private",), "fd00:ec2::254", False),
        (("10.1.0.0/16",), "10.1.2.3", True),
        (("10.1.0.0/16",), "10.2.2.3", False),
        (("loopback",), "127.9.9.9", True),
        (("169.254.169.254",), "169.254.169.254", True),
    ],
)
def test_egress_rules(allow, address, permitted):
    assert EgressRules(allow=allow).permit(address) is permitted


async def test_a_unix_socket_takes_the_place_of_the_address(tmp_path):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b"here"))
        await writer.drain()
        writer.close()

    path = tmp_path / "x.sock"
    server = await asyncio.start_unix_server(serve, str(path))
    client = Client(SystemClock(), EgressRules(), unix=path)
    assert (await client.request("GET", "http://app/health")).body == b"here"
    await client.close()
    server.close()
