"""What the gateway can be told, and the table of upstreams (format: docs/decisions/0004)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from backstay.core.breaker import BreakerSettings
from backstay.core.errors import Fault
from backstay.core.process_settings import ProcessSettings
from backstay.core.server import Listen
from backstay.core.settings import Option, Secret
from backstay.core.system import Auth, RouteKind
from backstay.gateway.errors import BAD_UPSTREAMS


class RouteSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A path prefix with its body limit in bytes (0: the gateway's own). A segment of
    the prefix may be `{name}`, which any text fits."""

    prefix: str
    kind: RouteKind = "unary"
    auth: Auth = "public"
    max_body: int = 0


class Upstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One system behind the gateway. `control` is its control socket, "" when it has none;
    an `optional` one whose control socket does not exist was not started, which is no failure.
    `switch_on` is for one that is off unless it is wanted: what to do to have it, for people who
    ask for it (GATE028)."""

    name: str
    address: str
    control: str = ""
    critical: bool = False
    optional: bool = False
    switch_on: str = ""
    routes: tuple[RouteSpec, ...] = ()

    @property
    def where(self) -> Listen:
        """The address, parsed. Raises CORE110."""
        return Listen.parse(self.address)


class GatewaySettings(ProcessSettings, frozen=True):
    """Seconds are floats inside and Go-style durations where a person writes them."""

    listen: Annotated[
        str, Option("address to serve on", ("GATEWAY_LISTEN",), "listen", "--listen")
    ] = "127.0.0.1:8080"
    jwt_secret: Annotated[
        Secret, Option("secret of tokens; none means loopback only", ("JWT_SECRET",), "jwt_secret")
    ] = Secret("")
    jwt_issuer: Annotated[str, Option("`iss` of tokens", ("JWT_ISSUER",), "jwt_issuer")] = (
        "backstay"
    )
    jwt_audience: Annotated[str, Option("`aud` of tokens", ("JWT_AUDIENCE",), "jwt_audience")] = (
        "backstay"
    )
    jwt_jwks_url: Annotated[
        str,
        Option("address of the issuer's public keys", ("JWT_JWKS_URL",), "jwt_jwks_url"),
        msgspec.Meta(pattern=r"^(https?://\S+)?$"),
    ] = ""
    hosts: Annotated[
        tuple[str, ...], Option("Host names beside loopback's", ("GATEWAY_HOSTS",), "hosts")
    ] = ()
    upstreams: Annotated[
        str, Option("upstream table: JSON, or a file with it", ("GATEWAY_UPSTREAMS",), "upstreams")
    ] = ""
    pool_size: Annotated[
        int, Option("connections to one upstream", ("GATEWAY_POOL_SIZE",), "pool_size")
    ] = 128
    pool_wait: Annotated[
        float,
        Option(
            "longest wait for a free connection", ("GATEWAY_POOL_WAIT",), "pool_wait", duration=True
        ),
    ] = 1.0
    connect_timeout: Annotated[
        float,
        Option(
            "to connect to an upstream",
            ("GATEWAY_CONNECT_TIMEOUT",),
            "connect_timeout",
            duration=True,
        ),
    ] = 2.0
    unary_timeout: Annotated[
        float,
        Option(
            "whole request on a unary route",
            ("GATEWAY_UNARY_TIMEOUT",),
            "unary_timeout",
            duration=True,
        ),
    ] = 30.0
    idle_timeout: Annotated[
        float,
        Option(
            "silence on a long or stream route",
            ("GATEWAY_IDLE_TIMEOUT",),
            "idle_timeout",
            duration=True,
        ),
    ] = 300.0
    header_timeout: Annotated[
        float,
        Option(
            "for a request's head to arrive",
            ("GATEWAY_HEADER_TIMEOUT",),
            "header_timeout",
            duration=True,
        ),
    ] = 10.0
    keep_alive_timeout: Annotated[
        float,
        Option(
            "between two requests",
            ("GATEWAY_KEEP_ALIVE_TIMEOUT",),
            "keep_alive_timeout",
            duration=True,
        ),
    ] = 60.0
    max_header_bytes: Annotated[
        int, Option("size of a head", ("GATEWAY_MAX_HEADER_BYTES",), "max_header_bytes")
    ] = 65_536
    max_headers: Annotated[
        int, Option("number of headers", ("GATEWAY_MAX_HEADERS",), "max_headers")
    ] = 128
    max_body: Annotated[
        int, Option("bytes of a request's body", ("GATEWAY_MAX_BODY",), "max_body")
    ] = 16 * 1_048_576
    max_connections: Annotated[
        int, Option("client connections", ("GATEWAY_MAX_CONNECTIONS",), "max_connections")
    ] = 2048
    rate_limit: Annotated[
        float,
        Option("requests a second of one caller, 0: off", ("GATEWAY_RATE_LIMIT",), "rate_limit"),
    ] = 0.0
    rate_burst: Annotated[
        int, Option("requests at once of one caller", ("GATEWAY_RATE_BURST",), "rate_burst")
    ] = 100
    breaker_failures: Annotated[
        int,
        Option("failures in a row that open", ("GATEWAY_BREAKER_FAILURES",), "breaker_failures"),
    ] = 5
    breaker_open: Annotated[
        float,
        Option(
            "until an open one is probed", ("GATEWAY_BREAKER_OPEN",), "breaker_open", duration=True
        ),
    ] = 60.0
    breaker_probes: Annotated[
        int, Option("probes of a half-open one", ("GATEWAY_BREAKER_PROBES",), "breaker_probes")
    ] = 3
    drain_delay: Annotated[
        float,
        Option(
            "not ready before connections are refused",
            ("GATEWAY_DRAIN_DELAY",),
            "drain_delay",
            duration=True,
        ),
    ] = 0.0

    @property
    def breaker(self) -> BreakerSettings:
        return BreakerSettings(self.breaker_failures, self.breaker_open, self.breaker_probes)


DEFAULT_ROUTES: Sequence[tuple[str, Sequence[RouteSpec]]] = (
    (
        "queue",
        (
            RouteSpec("/v1/codeq"),
            RouteSpec("/v1/codeq/tasks/claim", "long"),
            RouteSpec("/v1/codeq/tasks/{id}/result", "long"),
            RouteSpec("/v1/codeq/replies", "long"),
        ),
    ),
    # Seed data is imported whole; the app bounds it at the same size.
    ("app", (RouteSpec("/api/v1"), RouteSpec("/api/v1/admin", max_body=64 * 1_048_576))),
    ("patchgen", (RouteSpec("/intent"),)),
)
_SWITCH_ON = {"patchgen": "set PATCHGEN_OUTPUT_DIR to the folder for packages, and start again"}


def default_upstreams(runtime: Path) -> tuple[Upstream, ...]:
    """The systems of one machine by their sockets in the runtime folder."""
    return tuple(
        Upstream(
            name=name,
            address=f"unix:{runtime / name}.sock",
            control=f"{runtime / name}.ctl",
            optional=True,
            switch_on=_SWITCH_ON.get(name, ""),
            routes=tuple(routes),
        )
        for name, routes in DEFAULT_ROUTES
    )


def read_upstreams(text: str, runtime: Path) -> tuple[Upstream, ...]:
    """The upstream table from JSON, a file with JSON, or (empty) the default. Raises GATE002."""
    given = text.strip()
    if not given:
        return default_upstreams(runtime)
    try:
        raw = given.encode() if given.startswith("[") else Path(given).read_bytes()
        table = msgspec.json.decode(raw, type=tuple[Upstream, ...])
    except OSError as bad:
        reason = f"{given} cannot be read: {bad.strerror}"
        raise Fault(BAD_UPSTREAMS, reason=reason) from bad
    except msgspec.MsgspecError as bad:
        raise Fault(BAD_UPSTREAMS, reason=str(bad)) from bad
    _refuse_nonsense(table)
    return table


def _refuse_nonsense(table: Sequence[Upstream]) -> None:
    prefixes: dict[str, str] = {}
    names: set[str] = set()
    for upstream in table:
        if not upstream.name or upstream.name in names:
            raise Fault(
                BAD_UPSTREAMS, reason=f"the name {upstream.name!r} is empty or stands twice"
            )
        names.add(upstream.name)
        _ = upstream.where
        for route in upstream.routes:
            prefix = route.prefix
            if not prefix.startswith("/") or (prefix != "/" and prefix.endswith("/")):
                reason = f"the prefix {prefix!r} must begin with / and not end with one"
                raise Fault(BAD_UPSTREAMS, reason=reason)
            other = prefixes.setdefault(prefix, upstream.name)
            if other != upstream.name:
                reason = f"the prefix {prefix!r} belongs to {other} and to {upstream.name}"
                raise Fault(BAD_UPSTREAMS, reason=reason)
