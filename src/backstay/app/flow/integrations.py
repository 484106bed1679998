"""Calls of HTTP services: one pool, one breaker and one set of readings for each integration.

What an answer means is decided here once: 2xx is done; a 4xx is the target's own refusal, final
and without effect, except 408 and 429; 5xx, a timeout or a connection lost after sending leave
the effect unknown. The step's policy is the only owner of retries (decision 15).
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from statistics import median
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec

from backstay.app.flow.errors import BASE_URL_MISSING
from backstay.app.flow.metrics import FlowMetrics
from backstay.app.flow.model import Outcome
from backstay.app.flow.turn import Claim
from backstay.core.breaker import Breaker, BreakerSettings
from backstay.core.clock import Clock
from backstay.core.duration import format_duration
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault, Plain
from backstay.core.health import Check, Finding
from backstay.core.http import Answer, Client
from backstay.core.http_errors import CallFailed, EgressError
from backstay.core.redact import redactor
from backstay.lang.program import Constant, Env, Expr, Integration, Operation, Program

_READINGS = 200
_TEXT = 300
_CHECK_EVERY = 5.0


class Integrations:
    """All targets by the name of their integration. `allow` are egress rules of the settings;
    `breakers` is the process's table, shown on its control socket."""

    def __init__(
        self,
        clock: Clock,
        metrics: FlowMetrics,
        breakers: dict[str, Breaker],
        env: Mapping[str, str | None],
        allow: tuple[str, ...] = (),
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._breakers = breakers
        self._env = env
        self._allow = allow
        self._targets: dict[str, Target] = {}
        self.timeouts: dict[str, float] = {}
        metrics.read_breakers(lambda: {b.target: b.state for b in breakers.values()})

    def add(self, program: Program) -> None:
        """Take the integrations of the program being served: addresses are replaced, operations
        added to, since pinned executions may still need old ones."""
        for declared in program.integrations:
            name = f"integration:{declared.name}"
            if name not in self._breakers:
                rule = declared.breaker
                settings = BreakerSettings(rule.threshold, rule.open_seconds, rule.probes)
                self._breakers[name] = Breaker(name, self._clock, settings)
            known = self._targets.get(declared.name)
            if known is None:
                known = self._targets[declared.name] = Target(
                    declared.name, self._clock, self._metrics, self._breakers[name]
                )
            known.configure(declared, self._env, self._allow)
            self.timeouts[declared.name] = declared.timeout

    def add_missing(self, program: Program) -> None:
        """Take what only an old program declares, for the executions pinned to it."""
        for declared in program.integrations:
            known = self._targets.get(declared.name)
            if known is None:
                self.add(msgspec.structs.replace(program, integrations=(declared,)))
            else:
                known.learn(declared.operations)

    async def call(self, claim: Claim) -> Outcome:
        """Make a leased call. Never raises but for cancellation."""
        integration, _, operation = claim.target.partition(".")
        target = self._targets.get(integration)
        if target is None:
            return Outcome("failed", error=f"integration {integration} is not declared any more")
        try:
            return await target.call(operation, claim.payload, claim.key, claim.timeout)
        except Exception as trouble:  # noqa: BLE001 - whatever it was, the call may have left
            return Outcome("unknown", error=f"{type(trouble).__name__}: {trouble}")

    def checks(self) -> list[Check]:
        """One non-critical health check for each integration (C17)."""
        return [
            Check(f"integration:{name}", False, 1.0, _CHECK_EVERY, target.check)
            for name, target in self._targets.items()
        ]

    def readings(self) -> dict[str, Plain]:
        """What the doctor asks for, under the names that the breakers have."""
        return {target.breaker_name: target.readings() for target in self._targets.values()}

    async def close(self) -> None:
        """Close all pools."""
        for target in self._targets.values():
            await target.close()


class Target:
    """One integration's service."""

    def __init__(self, name: str, clock: Clock, metrics: FlowMetrics, breaker: Breaker) -> None:
        self.name = name
        self._clock = clock
        self._metrics = metrics
        self._breaker = breaker
        self._operations: dict[str, Operation] = {}
        self._base = ""
        self._token = ""
        self._variable = ""
        self._client = Client(clock, EgressRules())
        self._retired: list[Client] = []
        self._declared: Integration | None = None
        self._last_error = ""
        self._latencies: deque[float] = deque(maxlen=_READINGS)
        self._timeouts: deque[float] = deque(maxlen=_READINGS)

    @property
    def breaker_name(self) -> str:
        return self._breaker.target

    def configure(
        self, declared: Integration, env: Mapping[str, str | None], allow: tuple[str, ...]
    ) -> None:
        """Take address, credentials and operations."""
        self._operations.update({operation.name: operation for operation in declared.operations})
        if declared == self._declared:
            return  # the same again keeps its connections
        self._declared = declared
        rules = egress_of(declared.base_url, env, allow)
        self._retired.append(self._client)  # calls may be under way on it
        self._client = Client(self._clock, rules)
        self._base = text_of(declared.base_url, env).rstrip("/")
        self._token = text_of(declared.token, env) if declared.token is not None else ""
        keep_secret(self._base, self._token)
        self._variable = declared.base_url.name if isinstance(declared.base_url, Env) else ""

    def learn(self, operations: tuple[Operation, ...]) -> None:
        """Operations of an old program, where the served one has none of that name."""
        for operation in operations:
            self._operations.setdefault(operation.name, operation)

    async def call(self, operation: str, payload: str, key: str, seconds: float) -> Outcome:
        """One attempt within `seconds`, under the idempotency key `key`."""
        try:
            ticket = self._breaker.admit()
        except Fault as refused:
            self._metrics.called(self.name, operation, "rejected", 0.0)
            after = refused.values.get("retry_after", 0)
            wait = float(after) if isinstance(after, int | float) else 0.0
            error = f"{refused.message}: {self.name}"
            return Outcome("failed", error=error, retry_after=wait, refused=True)
        began = self._clock.tick()
        settled = False
        try:
            outcome, trouble = await self._attempt(operation, payload, key, seconds)
            settled = True
        finally:
            if not settled:
                self._breaker.abandon(ticket)
        # The other side may say our credentials back to us; what it says is stored and shown.
        outcome = msgspec.structs.replace(outcome, error=redactor().redact(outcome.error))
        if trouble:
            self._last_error = trouble
            self._breaker.fail(ticket, outcome.error)
        else:
            self._breaker.succeed(ticket)
        took = self._clock.tick() - began
        self._latencies.append(took)
        self._metrics.called(self.name, operation, outcome.kind, took)
        return outcome

    async def check(self) -> Finding:
        """Degraded while the breaker is not closed."""
        view = self._breaker.view()
        if view.state == "closed":
            return Finding("pass", facts=view.plain())
        return Finding("warn", facts=view.plain(), error=f"circuit breaker is {view.state}")

    def readings(self) -> dict[str, Plain]:
        """Breaker, last error class, timeouts of the last minute, median latency in seconds."""
        since = self._clock.tick() - 60.0
        return {
            "breaker": self._breaker.state,
            "base_url": self._base,
            "last_error": self._last_error,
            "timeouts_last_minute": sum(tick >= since for tick in self._timeouts),
            "p50_seconds": round(median(self._latencies), 6) if self._latencies else None,
            "calls": len(self._latencies),
        }

    async def close(self) -> None:
        for client in (self._client, *self._retired):
            await client.close()

    async def _attempt(
        self, operation: str, payload: str, key: str, seconds: float
    ) -> tuple[Outcome, str]:
        """The outcome, and the class of trouble that the breaker has to hear of ("" for none)."""
        if not self._base:
            missing = Fault(
                BASE_URL_MISSING, integration=self.name, variable=self._variable or "base_url"
            )
            return Outcome("failed", error=missing.message), "no_address"
        declared = self._operations.get(operation)
        if declared is None:
            return Outcome("failed", error=f"{self.name} has no operation {operation}"), ""
        try:
            answer = await self._bounded(declared, payload, key, seconds)
        except TimeoutError:
            self._timeouts.append(self._clock.tick())
            text = f"{self.name}.{operation} did not answer within {format_duration(seconds)}"
            return Outcome("unknown", error=text), "timeout"
        except CallFailed as failure:
            text = f"{self.name}.{operation}: {failure.message}: {failure.reason}"
            if failure.sent:
                return Outcome("unknown", error=text), failure.kind
            final = isinstance(failure, EgressError)
            return Outcome("failed", error=text, final=final), failure.kind
        return judge(f"{self.name}.{operation}", answer)

    async def _bounded(
        self, operation: Operation, payload: str, key: str, seconds: float
    ) -> Answer:
        """The answer, or TimeoutError by our clock: tests and the attempt's timeout own it."""
        url, body = _address(self._base, operation, msgspec.json.decode(payload))
        headers = {"Idempotency-Key": key, "Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        sending = asyncio.ensure_future(
            self._client.request(operation.method, url, headers, body, seconds + 1.0)
        )
        alarm = asyncio.ensure_future(self._clock.sleep(self._clock.tick() + seconds))
        try:
            await asyncio.wait({sending, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                return sending.result()
            raise TimeoutError
        finally:
            alarm.cancel()
            sending.cancel()


def judge(name: str, answer: Answer) -> tuple[Outcome, str]:
    """What a complete answer means, and its class of trouble for the breaker."""
    status = answer.status
    if 200 <= status < 300:
        return Outcome("done", output=_output(answer.body)), ""
    text = answer.body[:_TEXT].decode("utf-8", "replace").strip()
    error = f"{name} answered {status}" + (f": {text}" if text else "")
    wait = _seconds(answer.headers.get("retry-after", ""))
    if status == 429:
        return Outcome("failed", error=error, retry_after=wait), "http_429"
    if status == 408 or status >= 500:
        return Outcome("unknown", error=error, retry_after=wait), f"http_{status}"
    return Outcome("failed", error=error, final=True), ""


def _output(body: bytes) -> str:
    if not body.strip():
        return "null"
    try:
        msgspec.json.decode(body)
        return body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.encode(body.decode("utf-8", "replace")).decode()


def _seconds(text: str) -> float:
    """Retry-After in seconds; its date form is rare and gives 0."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0.0


def egress_of(base: Expr, env: Mapping[str, str | None], allow: tuple[str, ...]) -> EgressRules:
    """What may be connected to: an address that the operator set in the environment may be a near
    one, one that stands in the program has to be public."""
    near = isinstance(base, Env) and env.get(base.name) not in (None, base.default)
    return EgressRules((*allow, "loopback", "private") if near else allow)


def keep_secret(base: str, token: str) -> None:
    """Credentials of an integration are known to whatever hides secrets."""
    known = redactor()
    known.learn(token)
    with suppress(ValueError):
        parts = urlsplit(base)
        if parts.password:
            known.learn(unquote(parts.password))
            # As Basic authentication sends it: the pair, encoded as one.
            known.learn(unquote(f"{parts.username}:{parts.password}"))


def text_of(expr: Expr, env: Mapping[str, str | None]) -> str:
    if isinstance(expr, Env):
        return env.get(expr.name) or expr.default or ""
    return str(expr.value) if isinstance(expr, Constant) and expr.value is not None else ""


def _address(base: str, operation: Operation, args: dict[str, Any]) -> tuple[str, bytes]:
    """The URL with its `{arg}` holes filled, and the body of what is left (a GET's query)."""
    path, rest = operation.path, dict(args)
    for name, value in args.items():
        hole = "{" + name + "}"
        if hole in path:
            path = path.replace(hole, quote(_plain(value), safe=""))
            del rest[name]
    if operation.method == "GET":
        query = urlencode({name: _plain(v) for name, v in rest.items() if v is not None})
        return f"{base}{path}" + (f"?{query}" if query else ""), b""
    return f"{base}{path}", msgspec.json.encode(rest)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
