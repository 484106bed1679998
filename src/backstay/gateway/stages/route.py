"""Which route and which upstream: the longest prefix by whole path segments."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from backstay.core.errors import Fault
from backstay.gateway.errors import BODY_TOO_LARGE, NO_ROUTE, SWITCHED_OFF
from backstay.gateway.exchange import Exchange, Stage
from backstay.gateway.settings import RouteSpec, Upstream

Table = Mapping[str, tuple[RouteSpec, Upstream]]


def table_of(upstreams: Sequence[Upstream], max_body: int) -> Table:
    """Every prefix with its route and upstream; a route without a body limit gets `max_body`."""
    return {
        route.prefix: (
            msgspec.structs.replace(route, max_body=route.max_body or max_body),
            upstream,
        )
        for upstream in upstreams
        for route in upstream.routes
    }


def match(table: Table, claim: Callable[[Exchange], bool], own: Sequence[str]) -> Stage:
    """Sets route and upstream. What `claim` takes is the gateway's `own`. Raises GATE009 (404)."""
    known = ", ".join(sorted({*table, *own}))
    root = table.get("/")
    holed = _holed(table)

    def stage(exchange: Exchange) -> None:
        if claim(exchange):
            return
        path = exchange.path
        for head, segments, entry in holed:
            if path.startswith(head) and _fits(segments, path):
                exchange.route, exchange.upstream = entry
                return
        at = len(path)
        while at > 0:
            found = table.get(path[:at])
            if found is not None:
                exchange.route, exchange.upstream = found
                return
            at = path.rfind("/", 0, at)
        if root is None:
            raise Fault(NO_ROUTE, path=path[:200], prefixes=known)
        exchange.route, exchange.upstream = root

    return stage


def _holed(table: Table) -> list[tuple[str, Sequence[str], tuple[RouteSpec, Upstream]]]:
    """Prefixes with a `{name}` segment, most segments first. They stand before the literal ones:
    whoever writes one means something more exact than what lies above it."""
    found = [
        (prefix[: prefix.index("{")], prefix.split("/"), entry)
        for prefix, entry in table.items()
        if "{" in prefix
    ]
    return sorted(found, key=lambda row: -len(row[1]))


def _fits(segments: Sequence[str], path: str) -> bool:
    given = path.split("/", len(segments))
    if len(given) < len(segments):
        return False
    pairs = zip(segments, given, strict=False)
    return all(have if want.startswith("{") else want == have for want, have in pairs)


def refuse_switched_off(never_there: Callable[[str], bool]) -> Stage:
    """Says how to have a system that nobody asked for, instead of failing to reach it: that would
    look like an outage, and open its breaker. Raises GATE028 (404)."""

    def stage(exchange: Exchange) -> None:
        upstream = exchange.upstream
        if upstream is not None and upstream.switch_on and never_there(upstream.name):
            raise Fault(
                SWITCHED_OFF,
                upstream=upstream.name,
                path=exchange.path[:200],
                switch_on=upstream.switch_on,
            )

    return stage


def limit_body(exchange: Exchange) -> None:
    """An announced body over the route's limit is refused before anybody is asked (413)."""
    route = exchange.route
    if route is not None and exchange.length > route.max_body > 0:
        raise Fault(BODY_TOO_LARGE, limit=route.max_body, prefix=route.prefix)
