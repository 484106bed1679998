"""What the queue sends to other people's servers: one signed POST, judged by its status alone.

No redirect is followed (it could lead inside), no more than the status is read, and an address is
connected to only when the egress rules allow it, however its name resolves at that moment.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Literal

import msgspec

from backstay.core.breaker import Breaker
from backstay.core.clock import Clock
from backstay.core.egress import EgressRules
from backstay.core.http import Client, Limits
from backstay.core.http_errors import CallFailed, EgressError
from backstay.core.settings import Secret
from backstay.core.tracing import OFF, Tracer
from backstay.queue.lanes import Ended, Tried
from backstay.queue.webhooks import DELIVERY, SIGNATURE, TIMESTAMP, sign

_CONNECT = 5.0
_CONNECTIONS = 100
_PATIENCE = 2.0
_GOOD = range(200, 300)
_WORTH_WAITING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


Kind = Literal["task_result", "queue_ready"]


class Sent(msgspec.Struct, frozen=True):
    """`never` is a call that is not allowed: trying it again would change nothing."""

    how: Literal["taken", "refused", "never"]
    host: Tried
    error: str = ""


class Outgoing:
    """A Service. `seconds` is the time a receiver has; `secret` empty: calls are not signed.
    `breakers` are those of the process, one per host that is called."""

    name = "outgoing"

    def __init__(
        self,
        clock: Clock,
        egress: EgressRules,
        secret: Secret,
        seconds: float,
        breakers: MutableMapping[str, Breaker],
        tracer: Tracer = OFF,
    ) -> None:
        self.seconds = seconds
        self.breakers = breakers
        self._tracer = tracer
        self._clock = clock
        self._secret = secret
        self._callers: list[Callable[[float], Awaitable[None]]] = []
        limits = Limits(connect=min(_CONNECT, seconds), connections=_CONNECTIONS)
        self._client = Client(clock, egress, limits)

    async def start(self) -> None:
        """Connections are opened when they are needed."""

    def ready(self) -> bool:
        return True

    def used_by(self, drain: Callable[[float], Awaitable[None]]) -> None:
        """Whoever calls through this is drained with it: `drain(seconds)`."""
        self._callers.append(drain)

    async def drain(self, seconds: float) -> None:
        """A receiver that hangs does not keep the process: its call is made again later."""
        seconds = min(seconds, _PATIENCE)
        until = self._clock.tick() + seconds
        for drain in self._callers:
            await drain(max(0.0, until - self._clock.tick()))

    async def stop(self) -> None:
        await self.drain(0.0)
        await self._client.close()

    async def post(self, kind: Kind, url: str, id: str, body: bytes, trace: str = "") -> Sent:
        """Never raises for what the receiver does. `trace` is the traceparent of whoever caused
        the call."""
        with self._tracer.span(f"codeq.webhook.{kind}", trace, "client") as span:
            sent = await self._post(url, id, body, span.traceparent)
            if sent.error:
                span.fail(sent.error)
            return sent

    async def _post(self, url: str, id: str, body: bytes, trace: str) -> Sent:
        timestamp = str(int(self._clock.now()))
        headers = {"Content-Type": "application/json", TIMESTAMP: timestamp, DELIVERY: id}
        if secret := self._secret.reveal():
            headers[SIGNATURE] = sign(secret, timestamp, body)
        if trace:
            headers["traceparent"] = trace
        try:
            answer = await self._client.request(
                "POST", url, headers, body, timeout=self.seconds, unread=True
            )
        except EgressError as refused:
            return Sent("never", Tried("unknown"), _said(refused))
        except CallFailed as failed:
            return Sent("refused", Tried("broken", _said(failed)), _said(failed))
        if answer.status in _GOOD:
            return Sent("taken", Tried("works"))
        error = f"it answered {answer.status}"
        return Sent("refused", Tried(_of(answer.status), error), error)


def _said(failed: CallFailed) -> str:
    return f"{failed.entry.code}: {failed.message} ({failed.reason})"


def _of(status: int) -> Ended:
    """A host that says no is alive (decision 12)."""
    if status in _WORTH_WAITING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "broken"
    return "works"
