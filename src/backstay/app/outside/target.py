"""One integration's service: one pool, one breaker, one rate and one set of readings."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

import msgspec

from backstay.app.cache.store import Cache
from backstay.app.flow.errors import BASE_URL_MISSING
from backstay.app.flow.metrics import FlowMetrics
from backstay.app.flow.model import Outcome
from backstay.app.outside.answers import judge
from backstay.app.outside.body_signature import with_signature
from backstay.app.outside.credentials import Credentials, Fixed, Refused, credentials_of
from backstay.app.outside.instead import Instead, instead_of
from backstay.app.outside.limits import RateLimit
from backstay.app.outside.requests import leads_elsewhere, outgoing
from backstay.app.outside.returned import Expect
from backstay.app.outside.values import (
    Environment,
    egress_of,
    headers_of,
    keep_secret,
    key_header,
    seconds_of,
    text_of,
)
from backstay.core.breaker import Breaker
from backstay.core.clock import Clock
from backstay.core.duration import format_duration
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault, Plain
from backstay.core.health import Finding
from backstay.core.http import Answer, Client
from backstay.core.http_errors import CallFailed, EgressError
from backstay.core.redact import redactor
from backstay.core.tracing import OFF, Tracer
from backstay.lang.program import Env, Integration, Operation

_READINGS = 200
_PATIENCE = 5.0
"""Seconds that a call waits for its turn under a rate limit; the lease of a step allows for it."""


class Tools(msgspec.Struct, frozen=True):
    """What all integrations of a process share besides clock and metrics."""

    tracer: Tracer = OFF
    cache: Cache | None = None


class Target:
    """Calls of one integration. `configure` before the first."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        metrics: FlowMetrics,
        breaker: Breaker,
        tools: Tools | None = None,
    ) -> None:
        self.name = name
        self._clock = clock
        self._metrics = metrics
        self._breaker = breaker
        self._tools = tools or Tools()
        self._operations: dict[str, Operation] = {}
        self._base = ""
        self._variable = ""
        self._client = Client(clock, EgressRules())
        self._retired: list[Client] = []
        self._declared: Integration | None = None
        self._credentials: Credentials = Fixed({})
        self._limit: RateLimit | None = None
        self._env: Environment = {}
        self._expected: Mapping[str, Expect] = {}
        self._last_error = ""
        self._latencies: deque[float] = deque(maxlen=_READINGS)
        self._timeouts: deque[float] = deque(maxlen=_READINGS)
        self._open: dict[object, float] = {}

    @property
    def breaker_name(self) -> str:
        return self._breaker.target

    def configure(self, declared: Integration, env: Environment, allow: tuple[str, ...]) -> None:
        """Take address, credentials and operations. Raises APP005 for settings that could never
        work."""
        self._operations.update({operation.name: operation for operation in declared.operations})
        self._env = dict(env)
        if declared == self._declared:
            return  # the same again keeps its connections
        self._declared = declared
        self._retired.append(self._client)  # calls may be under way on it
        rules = egress_of(declared.base_url, env, allow)
        self._client = Client(self._clock, rules, tracer=self._tools.tracer)
        self._base = text_of(declared.base_url, env).rstrip("/")
        keep_secret(self._base)
        credentials = credentials_of(declared, env, self._client, self._clock)
        self._credentials = with_signature(credentials, declared, env, self._clock)
        rate = declared.rate_limit
        self._limit = RateLimit(rate, self._clock) if rate is not None else None
        self._variable = declared.base_url.name if isinstance(declared.base_url, Env) else ""

    def expect(self, expected: Mapping[str, Expect]) -> None:
        """What answers of operations have to be, by their names."""
        self._expected = expected

    def learn(self, operations: tuple[Operation, ...]) -> None:
        """Operations of an old program, where the served one has none of that name."""
        for operation in operations:
            self._operations.setdefault(operation.name, operation)

    async def call(self, operation: str, payload: str, key: str, seconds: float) -> Outcome:
        """One attempt within `seconds`, under the idempotency key `key`."""
        declared = self._operations.get(operation)
        if declared is None:
            return Outcome("failed", error=f"{self.name} has no operation {operation}")
        elsewhere = leads_elsewhere(declared, msgspec.json.decode(payload))
        if elsewhere:
            error = f"{self.name}.{operation}: the value of {elsewhere} cannot stand in its path"
            return Outcome("failed", error=error, final=True)
        kept = self._kept(declared, payload)
        found = await kept.look() if kept is not None else None
        if found is not None:
            self._metrics.called(self.name, operation, "cached", 0.0)
            return Outcome("done", output=found)
        outcome = await self._admitted(declared, payload, key, seconds)
        if outcome.refused:
            instead = instead_of(self._declared, declared)
            return outcome if instead is None else given_instead(outcome, instead)
        if kept is not None and outcome.kind == "done":
            await kept.put(outcome.output)
        return outcome

    async def check(self) -> Finding:
        """Degraded while the breaker is not closed."""
        view = self._breaker.view()
        if view.state == "closed":
            return Finding("pass", facts=view.plain())
        return Finding("warn", facts=view.plain(), error=f"circuit breaker is {view.state}")

    def readings(self) -> dict[str, Plain]:
        """Breaker, last error class, timeouts of the last minute, median latency in seconds; calls
        under way, and for how long the oldest has been that."""
        tick = self._clock.tick()
        since = tick - 60.0
        return {
            "breaker": self._breaker.state,
            "base_url": self._base,
            "last_error": self._last_error,
            "timeouts_last_minute": sum(tick >= since for tick in self._timeouts),
            "p50_seconds": round(median(self._latencies), 6) if self._latencies else None,
            "calls": len(self._latencies),
            "under_way": len(self._open),
            "oldest_seconds": round(tick - min(self._open.values(), default=tick), 3),
        }

    async def close(self) -> None:
        for client in (self._client, *self._retired):
            await client.close()

    # --- one attempt ---

    async def _admitted(
        self, operation: Operation, payload: str, key: str, seconds: float
    ) -> Outcome:
        """Past the breaker and the rate limit, and what became of it told to both."""
        try:
            ticket = self._breaker.admit()
        except Fault as refused:
            after = refused.values.get("retry_after", 0)
            wait = float(after) if isinstance(after, int | float) else 0.0
            return self._refused(operation, f"{refused.message}: {self.name}", wait)
        call = object()
        began = self._open[call] = self._clock.tick()
        settled = False
        try:
            wait = self._limit.take(min(seconds, _PATIENCE)) if self._limit is not None else 0.0
            if wait > min(seconds, _PATIENCE):
                return self._refused(operation, f"rate limit of {self.name} is used up", wait)
            if wait:
                await self._clock.sleep(began + wait)
            outcome, trouble = await self._attempt(operation, payload, key, seconds)
            settled = True
        finally:
            del self._open[call]
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
        self._metrics.called(self.name, operation.name, outcome.kind, took)
        return outcome

    def _refused(self, operation: Operation, error: str, wait: float) -> Outcome:
        self._metrics.called(self.name, operation.name, "rejected", 0.0)
        return Outcome("failed", error=error, retry_after=wait, refused=True)

    async def _attempt(
        self, operation: Operation, payload: str, key: str, seconds: float
    ) -> tuple[Outcome, str]:
        """The outcome, and the class of trouble that the breaker has to hear of ("" for none)."""
        if not self._base:
            missing = Fault(
                BASE_URL_MISSING, integration=self.name, variable=self._variable or "base_url"
            )
            return Outcome("failed", error=missing.message), "no_address"
        name = f"{self.name}.{operation.name}"
        try:
            answer = await self._bounded(operation, payload, key, seconds)
        except TimeoutError:
            self._timeouts.append(self._clock.tick())
            text = f"{name} did not answer within {format_duration(seconds)}"
            return Outcome("unknown", error=text), "timeout"
        except Refused as refused:
            return Outcome("failed", error=f"{name}: {refused}"), "no_credentials"
        except CallFailed as failure:
            text = f"{name}: {failure.message}: {failure.reason}"
            if failure.sent:
                return Outcome("unknown", error=text), failure.kind
            final = isinstance(failure, EgressError)
            return Outcome("failed", error=text, final=final), failure.kind
        outcome, trouble = judge(name, answer, self._clock.now())
        expect = self._expected.get(operation.name) if outcome.kind == "done" else None
        wrong = expect(outcome.output) if expect is not None else ""
        if wrong:
            error = f"{name} answered {answer.status}, but not what it returns: {wrong}"
            return Outcome("unknown", error=error), "unfit_answer"
        return outcome, trouble

    async def _bounded(
        self, operation: Operation, payload: str, key: str, seconds: float
    ) -> Answer:
        """The answer, or TimeoutError by our clock: tests and the attempt's timeout own it."""
        sending = asyncio.ensure_future(self._send(operation, payload, key, seconds + 1.0))
        alarm = asyncio.ensure_future(self._clock.sleep(self._clock.tick() + seconds))
        try:
            await asyncio.wait({sending, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                return sending.result()
            raise TimeoutError
        finally:
            alarm.cancel()
            sending.cancel()

    async def _send(self, operation: Operation, payload: str, key: str, seconds: float) -> Answer:
        args: dict[str, Any] = msgspec.json.decode(payload)
        more = headers_of(self._declared, operation, self._env) if self._declared else {}
        keyed = {key_header(self._declared, operation): key}
        request = outgoing(self._base, operation, args, {**more, **keyed})
        answer = await self._sent(request, seconds)
        # Nothing was done by a call that was not let in; new credentials may be.
        if answer.status == 401 and self._credentials.renew():
            return await self._sent(request, seconds)
        return answer

    async def _sent(self, request: Any, seconds: float) -> Answer:
        signed = await self._credentials.sign(request, seconds)
        return await self._client.request(
            signed.method, signed.url, signed.headers, signed.body, seconds
        )

    # --- kept answers ---

    def _kept(self, operation: Operation, payload: str) -> "_Kept | None":
        cache, declared = self._tools.cache, self._declared
        if cache is None or declared is None or operation.method != "GET":
            return None
        where = f"integration {self.name}: cache of {operation.name}"
        settings = dict(operation.settings).get("cache")
        usual = dict(declared.settings).get("default_cache_ttl")
        seconds = seconds_of(settings if settings is not None else usual, where)
        if seconds is None:
            return None
        raw = msgspec.json.encode((self._base, operation.path, payload))
        digest = hashlib.sha256(raw).hexdigest()
        return _Kept(cache, f"call:{self.name}.{operation.name}:{digest}", seconds)


class _Kept:
    """The answer of one call in the cache, for its time and whatever is written."""

    def __init__(self, cache: Cache, key: str, seconds: float) -> None:
        self._cache, self._key, self._seconds = cache, key, seconds
        self._stamp = ""

    async def look(self) -> str | None:
        found = await self._cache.look(self._key, ())
        self._stamp = found.stamp
        return found.value.decode() if found.value is not None else None

    async def put(self, output: str) -> None:
        if self._stamp:
            await self._cache.put(self._key, self._stamp, output.encode(), self._seconds)


def given_instead(outcome: Outcome, instead: Instead) -> Outcome:
    """What a call that was not made gives by its `fallback`."""
    if instead.error:
        return Outcome("failed", error=f"{instead.error} ({outcome.error})", final=True)
    return Outcome("done", output="null")
