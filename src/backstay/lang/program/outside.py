"""The world outside: integrations, events, who hears of them."""

from typing import Literal

from backstay.lang.program.rules import Rate, Retry, Settings
from backstay.lang.program.statements import Act
from backstay.lang.program.values import Expr, Field, Frozen, Type


class Operation(Frozen, frozen=True):
    """`path` may hold `{arg}` holes; other args form the JSON body (or the query of a GET)."""

    name: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    settings: tuple[tuple[str, Settings], ...] = ()
    returns: Type | None = None
    retry: Retry | None = None


class BreakerRule(Frozen, frozen=True):
    """`window` bounds the time in which the failures count; 0 counts those in a row."""

    threshold: int = 5
    open_seconds: float = 60.0
    probes: int = 3
    window: float = 0.0


class Integration(Frozen, frozen=True):
    """An HTTP service. `base_url` and `token` may be `Env`. `retry` holds outside workflows."""

    name: str
    base_url: Expr
    operations: tuple[Operation, ...]
    token: Expr | None = None
    timeout: float = 30.0
    breaker: BreakerRule = BreakerRule()
    retry: Retry = Retry()
    type: str = "rest"
    auth: Settings | None = None
    headers: tuple[tuple[str, Expr], ...] = ()
    rate_limit: Rate | None = None
    settings: tuple[tuple[str, Settings], ...] = ()


class Event(Frozen, frozen=True):
    """`publish` says where it goes besides the program itself; `when` bounds when it is sent."""

    name: str
    payload: tuple[Field, ...]
    publish: tuple[Act, ...] = ()
    when: Expr | None = None
    description: str = ""


class Handler(Frozen, frozen=True):
    """`on EVENT do ACTION TARGET [async]`."""

    event: str
    action: str
    target: str
    asynchronous: bool = False


WEBHOOK_RETRY = Retry(8, "exponential", 1.0, 300.0)
"""What a webhook without a retry of its own gets: about nine minutes of trying."""


class Webhook(Frozen, frozen=True):
    """Where an event is sent to. Calls are signed with `secret` where there is one."""

    name: str
    event: str
    url: Expr
    method: str = "POST"
    headers: tuple[tuple[str, Expr], ...] = ()
    retry: Retry = WEBHOOK_RETRY
    secret: Expr | None = None


class Incoming(Frozen, frozen=True):
    """A webhook that is received: what `scheme` signs with `secret` becomes the event `event`."""

    name: str
    event: str
    scheme: Literal["backstay", "github", "standard", "stripe"]
    secret: Expr
