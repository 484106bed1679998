"""Tracing is nothing while it is off; on, it tells a real collector what caused what, and a
collector that is away costs nobody anything."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.proofs.support import BIN, PATIENCE, Serving, Target, clean_env
from tests.e2e.stack import free_port, until
from tests.servers.rotel import Rotel

from backstay.core.clock import SystemClock
from backstay.core.context import ANONYMOUS, RequestContext
from backstay.core.egress import EgressRules
from backstay.core.errors import ErrorEntry, Fault
from backstay.core.http import Client
from backstay.core.tracing import OFF, TracingSettings, make_tracer, traces_address
from backstay.core.tracing_otel import OtelTracer

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
AWAY = ErrorEntry(code="TEST001", message="the store is away", cause="", fix="", status=503)
REFUSED = ErrorEntry(code="TEST002", message="no such thing", cause="", fix="", status=404)


def trace_of(span: Any) -> str:
    return str(span.traceparent[3:35])


# --- off -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"tracing_enabled": False},
        {"tracing_enabled": False, "tracing_otlp_endpoint": "http://127.0.0.1:1"},
    ],
)
def test_it_is_off_unless_configured(given: dict[str, Any]) -> None:
    assert make_tracer(TracingSettings(**given), "queue") is OFF


def test_off_it_hands_on_what_came_in_and_notes_nothing() -> None:
    with OFF.span("work", PARENT, rows=3) as span:
        span.set(more=1)
        span.fail("no")
    span.end()
    assert span.traceparent == PARENT
    assert OFF.span("work").traceparent == ""


def test_off_no_library_of_it_is_imported() -> None:
    program = (
        "import sys, asyncio\n"
        "import backstay.queue.system, backstay.app.system, backstay.gateway.system\n"
        "from backstay.core.tracing import TracingSettings, make_tracer\n"
        "make_tracer(TracingSettings(), 'x').span('work').end()\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'requests'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# --- configured wrongly --------------------------------------------------------------------------


def test_configured_and_not_installed_is_said_with_what_to_type(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from backstay.cli.codeq_server import main; main()"
    )
    env = clean_env(TRACING_ENABLED="true", BACKSTAY_RUNTIME=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program, "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        env=env,
    )
    assert done.returncode == 2
    assert "CORE070" in done.stderr
    assert "pip install 'backstay[otel]'" in done.stderr


@pytest.mark.parametrize(
    ("endpoint", "insecure", "address"),
    [
        ("", False, "http://localhost:4318/v1/traces"),
        ("collector:4318", True, "http://collector:4318/v1/traces"),
        ("collector:4318", False, "https://collector:4318/v1/traces"),
        ("http://c/otlp/", False, "http://c/otlp/v1/traces"),
        ("https://c:1/v1/traces", True, "https://c:1/v1/traces"),
    ],
)
def test_an_endpoint_is_written_in_several_ways(
    endpoint: str, insecure: bool, address: str
) -> None:
    assert traces_address(endpoint, insecure) == address


@pytest.mark.parametrize(
    "endpoint", ["localhost:4317", "http://c:4317", "ftp://c", "http://", "c:port", "http://[x"]
)
def test_an_endpoint_that_cannot_be_one_is_refused(endpoint: str) -> None:
    with pytest.raises(Fault, match="CORE071"):
        traces_address(endpoint, insecure=True)


# --- on ------------------------------------------------------------------------------------------


@pytest.mark.peer
async def test_spans_their_parents_and_their_failures_arrive(rotel: Rotel) -> None:
    tracer = OtelTracer("tests", f"{rotel.url}/v1/traces", 1.0)
    with tracer.span("whole", kind="consumer", rows=3) as whole:
        with tracer.span("part", whole.traceparent):
            pass
        for failure in (Fault(AWAY), Fault(REFUSED), ValueError("a secret")):
            with pytest.raises(type(failure)), tracer.span("failing", whole.traceparent):
                raise failure
    whole.end()
    await tracer.stop()
    spans = rotel.spans(trace_of(whole))
    by_name = {span["name"]: span for span in spans}
    assert len(spans) == 5
    assert (by_name["whole"]["kind"], by_name["whole"]["rows"]) == ("CONSUMER", "3")
    assert {span["parent"] for span in spans if span is not by_name["whole"]} == {
        by_name["whole"]["id"]
    }
    failing = {span["error.type"]: span["status"] for span in spans if span["name"] == "failing"}
    assert failing == {"TEST001": "ERROR", "TEST002": "UNSET", "ValueError": "ERROR"}
    assert "a secret" not in rotel.resources()


@pytest.mark.peer
async def test_a_call_is_a_span_and_tells_its_trace(rotel: Rotel) -> None:
    target = Target()
    tracer = OtelTracer("tests", f"{rotel.url}/v1/traces", 1.0)
    client = Client(SystemClock(), EgressRules(("loopback",)), tracer=tracer)
    with tracer.span("whole") as whole:
        ctx = RequestContext("r-1", ANONYMOUS, whole.traceparent)
        answer = await client.request("POST", f"{target.url}/x", ctx=ctx)
    assert answer.status == 200
    await client.close()
    await tracer.stop()
    target.close()
    (call,) = [span for span in rotel.spans(trace_of(whole)) if span["name"] == "HTTP POST"]
    assert (call["kind"], call["http.response.status_code"]) == ("CLIENT", "200")


async def test_a_ratio_of_none_keeps_none_but_those_that_a_caller_keeps() -> None:
    tracer = OtelTracer("tests", "http://127.0.0.1:1/v1/traces", 0.0)

    def kept(parent: str = "") -> bool:
        return bool(int(tracer.span("x", parent).traceparent[-2:], 16) & 1)

    assert not kept()
    assert kept(PARENT)
    assert tracer.span("x", PARENT).traceparent[3:35] == TRACE
    # What is no context is no parent.
    assert not kept("00-zz-yy-01")
    tracer._exporter.shutdown()


# --- a server ------------------------------------------------------------------------------------


def traced(folder: Path, endpoint: str, **env: str) -> Serving:
    serving = Serving(folder, str(BIN / "codeq-server"), health="/healthz")
    return serving.start(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **env)


@pytest.mark.peer
def test_each_request_is_a_span_by_its_route_in_the_callers_trace(
    tmp_path: Path, rotel: Rotel
) -> None:
    queue = traced(tmp_path / "q", rotel.url, OTEL_SERVICE_NAME="shop-queue")
    try:
        trace = os.urandom(16).hex()
        parent = f"00-{trace}-b7ad6b7169203331-01"
        made = queue.ask(
            "POST", "/v1/codeq/tasks", {"command": "A", "payload": "{}"}, traceparent=parent
        )
        assert made.status == 202
        path = f"/v1/codeq/tasks/{made.json['id']}"
        assert queue.ask("GET", path, traceparent=parent, X_Request_ID="t-1").status == 200
        assert queue.ask("GET", "/v1/codeq/tasks/none", traceparent=parent).status == 404
        assert queue.line_of("t-1")["trace_id"] == trace
        # What was not sent yet is sent before the end.
        assert queue.stop() == 0
    finally:
        queue.close()
    until(lambda: len(rotel.spans(trace)) == 3, PATIENCE, rotel.resources)
    made_span, got, missing = sorted(
        rotel.spans(trace), key=lambda span: span["name"], reverse=True
    )
    assert made_span["name"] == "HTTP POST /v1/codeq/tasks"
    assert (made_span["kind"], made_span["parent"]) == ("SERVER", "b7ad6b7169203331")
    assert {got["name"], missing["name"]} == {"HTTP GET /v1/codeq/tasks/{id}"}
    assert {got["http.response.status_code"], missing["http.response.status_code"]} == {
        "200",
        "404",
    }
    assert "service.name: Str(shop-queue)" in rotel.resources()


@pytest.mark.peer
def test_behind_the_gateway_a_request_is_its_child(tmp_path: Path, rotel: Rotel) -> None:
    queue = traced(tmp_path / "q", rotel.url)
    gateway = Serving(tmp_path / "g", str(BIN / "backstay"), "gateway", "serve")
    trace = os.urandom(16).hex()
    table = (
        f'[{{"name": "queue", "address": "127.0.0.1:{queue.port}",'
        ' "routes": [{"prefix": "/v1/codeq"}]}]'
    )
    try:
        gateway.start(GATEWAY_UPSTREAMS=table, OTEL_EXPORTER_OTLP_ENDPOINT=rotel.url)
        parent = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        # Passed on by a proxy over TCP, nobody is local any more: a refusal is traced, too.
        assert gateway.ask("GET", "/v1/codeq/tasks/none", **parent).status == 401
        assert (gateway.stop(), queue.stop()) == (0, 0)
    finally:
        gateway.close()
        queue.close()
    until(lambda: len(rotel.spans(trace)) == 2, PATIENCE, rotel.resources)
    spans = {span["name"]: span for span in rotel.spans(trace)}
    outer, inner = spans["HTTP GET /v1/codeq"], spans["HTTP GET /v1/codeq/tasks/{id}"]
    assert outer["parent"] == "b7ad6b7169203331"
    assert inner["parent"] == outer["id"]
    assert (outer["backstay.upstream"], outer["http.response.status_code"]) == ("queue", "401")


@pytest.mark.parametrize("how", ["nobody", "silent"])
def test_a_collector_that_is_away_is_a_line_in_the_log_and_no_more(
    tmp_path: Path, how: str
) -> None:
    target = Target()
    target.gate.clear()
    endpoint = target.url if how == "silent" else f"http://127.0.0.1:{free_port()}"
    queue = traced(tmp_path / "q", endpoint)
    try:
        for _ in range(80):
            assert queue.ask("GET", "/healthz").status == 200
        if how == "nobody":
            until(lambda: "traces" in _troubles(queue), PATIENCE, queue.out.read_text)
        assert queue.ask("GET", "/healthz").status == 200
        assert queue.stop(wait=15) == 0
        assert "last traces not sent" in queue.out.read_text() or how == "nobody"
    finally:
        queue.close()
        target.close()


def _troubles(queue: Serving) -> str:
    return " ".join(
        line["logger"] + " " + line["msg"]
        for line in queue.lines()
        if line["level"] in ("warn", "error")
    )
