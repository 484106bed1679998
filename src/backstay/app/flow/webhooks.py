"""Webhooks of a program: an event sent to an address, signed, judged by the answer's status.

A redirect is not followed and an answer's body is not read. Any 2xx ends it; 410 says that nobody
wants it any more; everything else is worth another try.
"""

from collections.abc import Mapping
from http import HTTPStatus

from backstay.app.flow.errors import BASE_URL_MISSING
from backstay.app.flow.model import Outcome
from backstay.app.outside.answers import retry_after
from backstay.app.outside.values import egress_of, keep_secret, text_of
from backstay.core.breaker import Breaker, BreakerSettings
from backstay.core.clock import Clock
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault
from backstay.core.http import Client, Limits
from backstay.core.http_errors import CallFailed, EgressError
from backstay.core.signing import sign
from backstay.lang.program import Env, Program, Webhook

TIMESTAMP = "X-Backstay-Timestamp"
SIGNATURE = "X-Backstay-Signature"
DELIVERY = "X-Backstay-Delivery"
"""The same for every try of one delivery: whoever has seen it may answer 200 and do nothing."""

EVENT = "X-Backstay-Event"
SECONDS = 15.0
"""The time that a receiver has."""

_GOOD = range(200, 300)
_SLOW_DOWN = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class Webhooks:
    """The webhooks of the program being served. `breakers` is the process's table."""

    def __init__(
        self,
        clock: Clock,
        breakers: dict[str, Breaker],
        env: Mapping[str, str | None],
        allow: tuple[str, ...] = (),
    ) -> None:
        self._clock = clock
        self._breakers = breakers
        self._env = env
        self._allow = allow
        self._hooks: dict[str, Hook] = {}
        self._retired: list[Hook] = []

    def serve(self, program: Program) -> None:
        """From now on these are called; a webhook that stayed the same keeps its connections."""
        for declared in program.webhooks:
            known = self._hooks.get(declared.name)
            if known is not None and known.declared == declared:
                continue
            if known is not None:
                self._retired.append(known)  # a call may be under way on it
            name = f"webhook:{declared.name}"
            breaker = self._breakers.get(name) or Breaker(name, self._clock, BreakerSettings())
            self._breakers[name] = breaker
            rules = egress_of(declared.url, self._env, self._allow)
            self._hooks[declared.name] = Hook(declared, self._clock, breaker, self._env, rules)
        for name in self._hooks.keys() - {each.name for each in program.webhooks}:
            self._retired.append(self._hooks.pop(name))

    def get(self, name: str) -> "Hook | None":
        """The webhook, None when the program being served does not declare it."""
        return self._hooks.get(name)

    async def close(self) -> None:
        for hook in (*self._hooks.values(), *self._retired):
            await hook.close()


class Hook:
    """One webhook."""

    def __init__(
        self,
        declared: Webhook,
        clock: Clock,
        breaker: Breaker,
        env: Mapping[str, str | None],
        rules: EgressRules,
    ) -> None:
        self.declared = declared
        self._clock = clock
        self._breaker = breaker
        self._url = text_of(declared.url, env)
        self._secret = text_of(declared.secret, env) if declared.secret is not None else ""
        self._headers = {name: text_of(value, env) for name, value in declared.headers}
        keep_secret(self._url, self._secret)
        self._client = Client(clock, rules, Limits(connect=5.0, connections=32))

    async def send(self, event: str, delivery: str, body: bytes) -> Outcome:
        """One try. Never raises but for cancellation."""
        if not self._url:
            declared = self.declared.url
            variable = declared.name if isinstance(declared, Env) else "url"
            missing = Fault(BASE_URL_MISSING, integration=self.declared.name, variable=variable)
            return Outcome("failed", error=missing.message)
        try:
            ticket = self._breaker.admit()
        except Fault as refused:
            after = refused.values.get("retry_after", 0)
            wait = float(after) if isinstance(after, int | float) else 0.0
            return Outcome("failed", error=refused.message, retry_after=wait, refused=True)
        settled = False
        try:
            outcome = await self._post(event, delivery, body)
            settled = True
        finally:
            if not settled:
                self._breaker.abandon(ticket)
        if outcome.kind == "unknown":
            self._breaker.fail(ticket, outcome.error)
        else:
            self._breaker.succeed(ticket)
        return outcome

    async def _post(self, event: str, delivery: str, body: bytes) -> Outcome:
        timestamp = str(int(self._clock.now()))
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            TIMESTAMP: timestamp,
            DELIVERY: delivery,
            EVENT: event,
        }
        if self._secret:
            headers[SIGNATURE] = sign(self._secret, timestamp, body)
        try:
            answer = await self._client.request(
                self.declared.method, self._url, headers, body, timeout=SECONDS, unread=True
            )
        except EgressError as refused:
            return Outcome("failed", error=f"{refused.message}: {refused.reason}", final=True)
        except CallFailed as failed:
            return Outcome("unknown", error=f"{failed.message}: {failed.reason}")
        after = retry_after(answer.headers.get("retry-after", ""), self._clock.now())
        return _judged(answer.status, after)

    async def close(self) -> None:
        await self._client.close()


def _judged(status: int, wait: float) -> Outcome:
    if status in _GOOD:
        return Outcome("done")
    error = f"it answered {status}"
    if status in _SLOW_DOWN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Outcome("unknown", error=error, retry_after=wait)
    return Outcome("failed", error=error, retry_after=wait, final=status == HTTPStatus.GONE)
