"""One request of a client: sent, repeated where that is safe, and turned into an answer or a Fault.

What enters is a `Call`; what leaves is an `Answer` below 400, a `Refused` (the queue said no) or a
Fault that names the address. A call is repeated when it certainly was not carried out (never sent,
or refused for its rate), or when carrying it out twice is the same as once (`safe`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from backstay.core.backoff import Backoff
from backstay.core.clock import Clock, Dice
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault
from backstay.core.http import Answer, Client, Limits
from backstay.core.http_errors import CallFailed, TotalTimeoutError
from backstay.queue.errors import (
    DRAINING,
    SERVER_REFUSED,
    SERVER_REFUSED_AUTH,
    SERVER_SILENT,
    SERVER_UNREACHABLE,
)

Role = Literal["producer", "worker", "admin"]

PREFIX = "/v1/codeq"
_UNAUTHORIZED, _TOO_MANY = 401, 429
_GATEWAY_TROUBLE = frozenset({500, 502, 503, 504})
_LONGEST_PAUSE = 60.0
_BODY = 64 * 1_048_576  # a page of 200 tasks with payloads of a few hundred kilobytes


class Refused(Fault):
    """The queue answered, and said no. `code` is its own error code ("" from a foreign server);
    `retry_after` is seconds, 0 where the answer named none."""

    def __init__(
        self,
        address: str,
        status: int,
        code: str,
        body: str,
        fix: str = "",
        retry_after: float = 0.0,
    ) -> None:
        auth = status == 401 or (status == 403 and code != "QUEUE002")
        super().__init__(
            SERVER_REFUSED_AUTH if auth else SERVER_REFUSED,
            address=address,
            status=status,
            code=code,
            body=body,
            advice=fix or "see the answer",
        )
        self.status = status
        self.code = code
        self.reason = body
        self.retry_after = retry_after

    @property
    def lease_over(self) -> bool:
        """Whether the task is no longer ours to work on."""
        return self.code in ("QUEUE001", "QUEUE002", "QUEUE003", "QUEUE004")

    @property
    def final(self) -> bool:
        """Whether asking again would be answered the same."""
        return self.status < 500 and self.status not in (408, _TOO_MANY)


class Call(msgspec.Struct, frozen=True):
    """`wait` is how long the queue may take before it answers, in seconds; `safe` says that twice
    is the same as once."""

    method: str
    path: str
    role: Role
    body: bytes = b""
    wait: float = 0.0
    safe: bool = False


class Http(Protocol):
    """What carries requests: `core.http.Client`, or a test's stand-in for it."""

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109 - `core.http.Client`'s signature
    ) -> Answer:
        """The whole answer, or a `CallFailed`."""
        ...

    async def close(self) -> None:
        """Idempotent."""
        ...


Token = str | Callable[[], str]
"""A bearer token, or what gives the present one: asked at the start and after each 401."""


class Tokens:
    """Bearer tokens. A role without one of its own uses the producer's, then any."""

    def __init__(self, producer: Token = "", worker: Token = "", admin: Token = "") -> None:
        self._given: Mapping[Role, Token] = {
            "producer": producer,
            "worker": worker,
            "admin": admin,
        }
        self._known: dict[Role, str] = {}

    def of(self, role: Role) -> str:
        return next(filter(None, map(self._one, (role, *self._given))), "")

    def renew(self, role: Role) -> bool:
        """Ask for the tokens again; whether that of `role` is another one now."""
        before = self.of(role)
        self._known.clear()
        return self.of(role) != before

    def _one(self, role: Role) -> str:
        known = self._known.get(role)
        if known is None:
            given = self._given[role]
            known = self._known[role] = given if isinstance(given, str) else given()
        return known


class Manner(msgspec.Struct, frozen=True):
    """`timeout` seconds for everything but waiting, which comes on top; `retries` repetitions of
    what may be repeated; `connections` at once, more requests than that wait for one."""

    timeout: float = 30.0
    retries: int = 3
    connections: int = 100
    backoff: Backoff = Backoff(base=0.2, cap=5.0)


class Transport:
    """Belongs to one event loop."""

    def __init__(
        self,
        address: str,
        tokens: Tokens,
        manner: Manner,
        clock: Clock,
        dice: Dice,
        http: Http | None = None,
    ) -> None:
        self.address = address.rstrip("/")
        self._tokens = tokens
        self._manner = manner
        self._clock = clock
        self._dice = dice
        unix = self.address.startswith("unix:")
        self._base = "http://localhost" if unix else self.address
        self._http = http or Client(
            clock,
            EgressRules(allow=("loopback", "private")),
            Limits(body=_BODY, connections=manner.connections),
            unix=Path(self.address.removeprefix("unix:")) if unix else None,
        )

    def now(self) -> float:
        """Monotonic seconds, for waits that span several calls."""
        return self._clock.tick()

    async def send(self, call: Call, request_id: str = "") -> Answer:
        """An answer below 400. Raises Refused, QUEUE040 or QUEUE041."""
        tries = 0
        while True:
            tries += 1
            try:
                return await self._once(call, request_id)
            except Refused as refused:
                if refused.status == _UNAUTHORIZED and self._tokens.renew(call.role):
                    continue
                if tries > self._manner.retries or not _again(call, refused):
                    raise
                pause = refused.retry_after
            except _Unanswered as lost:
                if tries > self._manner.retries or (lost.sent and not call.safe):
                    raise lost.fault from lost.__cause__
                pause = 0.0
            own = self._manner.backoff.delay(tries, self._dice)
            await self._clock.sleep(self._clock.tick() + max(own, pause))

    async def close(self) -> None:
        """Idempotent."""
        await self._http.close()

    async def _once(self, call: Call, request_id: str) -> Answer:
        headers = {"Content-Type": "application/json"} if call.body else {}
        token = self._tokens.of(call.role)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if request_id:
            headers["X-Request-Id"] = request_id
        seconds = self._manner.timeout + call.wait
        url = f"{self._base}{PREFIX}{call.path}"
        try:
            answer = await self._http.request(call.method, url, headers, call.body, seconds)
        except TotalTimeoutError as late:
            silent = Fault(SERVER_SILENT, address=self.address, seconds=seconds)
            raise _Unanswered(silent, sent=late.sent) from late
        except CallFailed as failed:
            away = Fault(SERVER_UNREACHABLE, address=self.address, reason=failed.reason)
            raise _Unanswered(away, sent=failed.sent) from failed
        if answer.status >= 400:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: Answer) -> Refused:
        try:
            problem = msgspec.json.decode(answer.body, type=_Problem)
        except msgspec.MsgspecError:
            problem = _Problem()
        text = problem.error or answer.body[:300].decode(errors="replace")
        pause = answer.headers.get("retry-after", "")
        seconds = float(pause) if pause.isdecimal() else 0.0
        return Refused(
            self.address, answer.status, problem.code, text, problem.fix, retry_after=seconds
        )


class _Unanswered(Exception):  # noqa: N818 - never leaves this file
    def __init__(self, fault: Fault, *, sent: bool) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.sent = sent


class _Problem(msgspec.Struct):
    error: str = ""
    code: str = ""
    fix: str = ""


def _again(call: Call, refused: Refused) -> bool:
    """A rate limit and a drain refuse before anything was done."""
    if refused.retry_after > _LONGEST_PAUSE:
        return False
    if refused.status == _TOO_MANY or refused.code == DRAINING.code:
        return True
    return call.safe and refused.status in _GATEWAY_TROUBLE
