"""`config { cors { origins: ["https://shop.example"] } }`: which pages of other sites may ask.

Without it none may: no answer names an origin. It stands outside of everything else, as a browser
asks first (OPTIONS) without credentials, and as a refusal has to reach the page, too.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from backstay.app.errors import UNFIT
from backstay.core.asgi import App, Scope, Send
from backstay.core.bodies import Receive
from backstay.core.errors import Fault
from backstay.lang.program import Constant, Expr, Listed, Program, Settings

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_HEADERS = ("authorization", "content-type", "idempotency-key", "if-match", "if-none-match")
_OWN_HEADERS = ("x-api-key", "x-request-id")
_EXPOSED = b"etag, x-request-id, idempotency-replayed, retry-after, x-cache"
_AGE = 600.0
_KNOWN = ("origins", "methods", "headers", "credentials", "max_age")
_Headers = list[tuple[bytes, bytes]]


class Cors(msgspec.Struct, frozen=True):
    """`origins` as browsers spell them, or `*` alone; `max_age` in seconds."""

    origins: frozenset[str]
    methods: tuple[str, ...] = _METHODS
    headers: tuple[str, ...] = (*_HEADERS, *_OWN_HEADERS)
    credentials: bool = False
    max_age: float = _AGE

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may read answers."""
        return bool(origin) and (origin in self.origins or "*" in self.origins)


def cors_of(program: Program, origins: Sequence[str]) -> Cors | None:
    """The rule of the program; `origins` of the settings replace the program's. None without any.

    Raises APP005 for what a browser would not take, or would take for more than was meant.
    """
    given = dict(program.settings).get("cors", Settings("", ()))
    values = dict(given.values)
    unknown = sorted(values.keys() - _KNOWN)
    if unknown:
        raise _unfit(f"'{unknown[0]}' is nothing that it knows", f"it knows {', '.join(_KNOWN)}")
    named = tuple(origins) or _texts(values, "origins", ())
    if not named:
        return None
    for origin in named:
        _expect_origin(origin)
    made = Cors(
        frozenset(named),
        _texts(values, "methods", _METHODS),
        tuple(name.lower() for name in _texts(values, "headers", _read_by(program))),
        credentials=_plain(values.get("credentials")) is True,
        max_age=_seconds(values.get("max_age")),
    )
    if made.credentials and "*" in made.origins:
        raise _unfit("credentials with any origin", 'name the origins instead of "*"')
    return made


class CorsApp(App):
    """The app, for pages of other sites as `cors` allows them."""

    cors: Cors | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = self.cors
        origin = _origin(scope) if rule is not None and scope["type"] == "http" else ""
        if rule is None or not rule.allows(origin):
            await super().__call__(scope, receive, send)
            return
        asked = dict(scope["headers"])
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in asked:
            await _preflight(send, rule, origin)
            return

        async def sent(message: Scope) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_allowed(rule, origin)]
            await send(message)

        # It was judged here: the guard of loopback addresses knows its own origin alone.
        kept = [each for each in scope["headers"] if each[0] != b"origin"]
        await super().__call__({**scope, "headers": kept}, receive, sent)


async def _preflight(send: Send, rule: Cors, origin: str) -> None:
    headers = [
        *_allowed(rule, origin),
        (b"access-control-allow-methods", ", ".join(rule.methods).encode()),
        (b"access-control-allow-headers", ", ".join(rule.headers).encode()),
        (b"access-control-max-age", str(int(rule.max_age)).encode()),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _allowed(rule: Cors, origin: str) -> _Headers:
    any_origin = "*" in rule.origins
    headers: _Headers = [
        (b"access-control-allow-origin", b"*" if any_origin else origin.encode("latin-1")),
        (b"access-control-expose-headers", _EXPOSED),
    ]
    if not any_origin:
        headers.append((b"vary", b"origin"))
    if rule.credentials:
        headers.append((b"access-control-allow-credentials", b"true"))
    return headers


def _origin(scope: Scope) -> str:
    return next(
        (value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), ""
    )


def _read_by(program: Program) -> tuple[str, ...]:
    """The headers that some endpoint reads."""
    found = dict.fromkeys((*_HEADERS, *_OWN_HEADERS))
    for endpoint in program.endpoints:
        names = [field.name.lower().replace("_", "-") for field in endpoint.header_fields]
        found |= dict.fromkeys((endpoint.repeats.header, *names))
    return tuple(found)


def _expect_origin(text: str) -> None:
    parts = urlsplit(text)
    plain = f"{parts.scheme}://{parts.netloc}"
    if text != "*" and (parts.scheme not in ("http", "https") or text != plain.lower()):
        raise _unfit(f"{text!r} is no origin", 'write "https://host" or "https://host:port"')


def _texts(values: dict[str, Expr], name: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    if name not in values:
        return usual
    given = values[name]
    items = given.items if isinstance(given, Listed) else (given,)
    found = tuple(_plain(each) for each in items)
    if not all(isinstance(each, str) for each in found):
        raise _unfit(f"{name} is no list of texts", f'write {name}: ["…"]')
    return tuple(str(each) for each in found)


def _seconds(given: Expr | None) -> float:
    value = _AGE if given is None else _plain(given)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise _unfit("max_age is no time", "write max_age: 10m")
    return float(value)


def _plain(expr: Expr | None) -> object:
    return expr.value if isinstance(expr, Constant) else None


def _unfit(problem: str, instead: str) -> Fault:
    return Fault(UNFIT, where="config: cors", problem=problem, instead=instead)
