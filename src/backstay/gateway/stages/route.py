"""Which route and which upstream: the longest prefix by whole path segments."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from backstay.core.errors import Fault
from backstay.gateway.errors import BODY_TOO_LARGE, NO_ROUTE
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

    def stage(exchange: Exchange) -> None:
        if claim(exchange):
            return
        path = exchange.path
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


def limit_body(exchange: Exchange) -> None:
    """An announced body over the route's limit is refused before anybody is asked (413)."""
    route = exchange.route
    if route is not None and exchange.length > route.max_body > 0:
        raise Fault(BODY_TOO_LARGE, limit=route.max_body, prefix=route.prefix)
