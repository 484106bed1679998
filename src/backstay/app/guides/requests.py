"""Endpoints are slow: which, and what their time goes into."""

from collections.abc import Mapping
from typing import Any

from backstay.app.guides.inside import all_late, may_show
from backstay.core.errors import Plain
from backstay.core.guide import LATE, Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import listener, look_inside, seen
from backstay.core.room import busy_share

_REQUESTS = "app.requests"
_SLOW = 1.0
"""Seconds, the seed's: a request that takes longer is worth a look."""
_SEVERAL = 10
_FEW = 3
_STANDING = 2.0
_SHARE = 0.4
_SPENT = ("statements", "waits", "computing", "bodies")
_OCCUPIED = 0.5
_BUSY = 0.85
_LATE = 0.1


async def _look_at_requests(target: Target) -> Evidence:
    found = await look_inside(_REQUESTS, target, "app", "/probe/app.requests")
    if isinstance(found, Evidence):
        return await _of_silence(target, found)
    facts: dict[str, Plain] = {"url": target.base_url, "data": str(target.data)}
    facts |= {name: found.get(name) for name in ("seconds", *_SPENT, "busy")}
    for each in found.get("requests") or ():
        if each["where"] != "body" and int(each["count"]) >= _FEW and each["oldest"] >= _STANDING:
            where = {"connection": "connections", "statement": "statements"}.get(each["where"])
            reading = _spent(found) if where is None or _occupied(found) else where
            return seen(_REQUESTS, reading, "fail", found, **facts, **each)
    for each in found.get("routes") or ():
        if each["p95_over"] >= _SLOW and int(each["count"]) >= _SEVERAL:
            return seen(_REQUESTS, _spent(found), "fail", found, **facts, **each)
    return seen(_REQUESTS, "quick", "pass", found, **facts)


async def _of_silence(target: Target, found: Evidence) -> Evidence:
    """Who is too late to answer and takes all of a processor computes without a pause."""
    pid = listener(target, "app") if found.reading == LATE else 0
    busy = round(await busy_share(pid), 2) if pid else 0.0
    if busy < _BUSY:
        return found
    facts: dict[str, Plain] = {"pid": pid, "busy": busy}
    facts |= {"url": target.base_url, "data": str(target.data)}
    return seen(_REQUESTS, "computes", "fail", **facts)


def _spent(found: Mapping[str, Any]) -> str:
    """What most of the time of requests went into, as far as it is known."""
    if _occupied(found):
        return "busy"
    total = float(found.get("total") or 0) or 1.0
    for reading, spent in (
        ("statements", "statements"),
        ("connections", "waits"),
        ("senders", "bodies"),
    ):
        if float(found.get(spent) or 0) >= _SHARE * total:
            return reading
    return "busy" if _busy(found) else "elsewhere"


def _occupied(found: Mapping[str, Any]) -> bool:
    """What computes, on the loop or in the writer's turn, keeps all others waiting as well."""
    return float(found.get("computing") or 0) >= _OCCUPIED * float(found.get("seconds") or 1)


def _busy(found: Mapping[str, Any]) -> bool:
    return float(found.get("busy") or 0) >= _BUSY or float(found.get("late") or 0) >= _LATE


REQUESTS = Probe(
    _REQUESTS,
    "which endpoints are slow, and what their time goes into",
    "inside",
    ("quick", "senders", "connections", "statements", "busy", "computes", "elsewhere"),
    _look_at_requests,
    deadline=1.5,
)
_ROUTE = (
    "{method} {route} is slow[[: of {count} requests in {seconds} s one in twenty took longer than"
    " {p95_over} s]][[: the oldest waits for {oldest} s]]"
)


def _cause(reading: str, says: str, *fixes: str) -> Cause:
    expects: dict[str, Mapping[str, float]] = {_REQUESTS: {reading: 0.95}}
    expects |= may_show(tasks={"requests": 0.14})
    if reading in ("busy", "statements"):
        # In a file there is one writer, and who computes in its turn keeps the others waiting.
        expects |= may_show(database={"waits": 0.2})
    return Cause(f"endpoint-{reading}", f"{_ROUTE}; {says}", 0.05, expects, fixes)


APP_SLOW = Guide(
    id="app-slow",
    title="Endpoints of the app are slow",
    seed="codeai: High Latency Endpoints",
    symptoms=(
        Symptom("text", r"slow|latency|take\w* (too )?long|timed? ?out", "slowness"),
        Symptom("metric", "http_request_duration_seconds>1", "slow requests"),
    ),
    probes=(REQUESTS,),
    causes=(
        _cause(
            "statements",
            "its time goes into statements ({statements} s of them)",
            "statements",
            "stacks",
        ),
        _cause(
            "connections",
            "its time goes into waiting for its turn at the database ({waits} s)",
            "connections",
            "statements",
        ),
        _cause(
            "senders", "its time goes into waiting for the bodies that clients send", "see-clients"
        ),
        _cause(
            "busy",
            "its time goes into computing[[ ({computing} s)]][[, {busy} of a processor]]",
            "profile",
            "replicas",
        ),
        Cause(
            "app-computes",
            "the app (pid {pid}) computes without a pause ({busy} of a processor) and answers"
            " nothing meanwhile",
            0.05,
            {_REQUESTS: {"computes": 0.97}, **all_late(_REQUESTS, 0.9)},
            ("restart", "profile"),
        ),
        _cause("elsewhere", "neither statements nor computing account for it", "stacks", "profile"),
    ),
    fixes=(
        Fix(
            "statements",
            "See which statements are slow",
            "curl -s {url}/api/v1/admin/slow-queries",
            "none",
        ),
        Fix(
            "connections",
            "If the statements are as fast as they can be: allow more connections",
            "export DATABASE_MAX_CONNECTIONS=50",
            "restart",
        ),
        Fix(
            "see-clients",
            "See how they are connected; nothing is wrong with the app",
            "ss -tni state established | head -50",
            "none",
        ),
        Fix(
            "profile",
            "See what it computes",
            "curl -s '{url}/debug/pprof/profile?seconds=10' > cpu.pb.gz"
            " && go tool pprof -top cpu.pb.gz",
            "none",
        ),
        Fix(
            "replicas",
            "On PostgreSQL: more of the same program on one database share the work",
            "codeai server FILE.cai --port 8082",
            "none",
        ),
        Fix(
            "restart",
            "Start it anew; accepted work stays",
            "backstay restart app --data {data}",
            "restart",
        ),
        Fix(
            "stacks",
            "See what the requests wait for",
            "curl -s '{url}/debug/pprof/goroutine?debug=1'",
            "none",
        ),
    ),
    escalation="a trace shows one request whole: X-Debug: true, or OTEL_EXPORTER_OTLP_ENDPOINT",
)
