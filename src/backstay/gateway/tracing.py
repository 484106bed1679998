"""A span for each request that has a route; what goes to the upstream is its child."""

from backstay.core.tracing import Attribute, Tracer
from backstay.gateway.exchange import Exchange, Stage

_HEADER = b"traceparent"
_SERVER_ERROR = 500


def begin(tracer: Tracer) -> Stage:
    """A Stage for behind the routing. The client's own context is replaced by the span's."""

    def stage(exchange: Exchange) -> None:
        about: dict[str, Attribute] = {
            "http.request.method": exchange.method,
            "http.route": exchange.prefix,
            "url.path": exchange.path,
            "backstay.request_id": exchange.request_id,
        }
        parent = exchange.fields.get("traceparent", "")
        name = f"HTTP {exchange.method} {exchange.prefix}"
        exchange.span = span = tracer.span(name, parent, "server", **about)
        others = [pair for pair in exchange.headers if pair[0].lower() != _HEADER]
        exchange.headers = (*others, (_HEADER, span.traceparent.encode()))

    return stage


def end(exchange: Exchange) -> None:
    """An Observer: says how it went."""
    span = exchange.span
    if span is None:
        return
    about: dict[str, Attribute] = {"http.response.status_code": exchange.status}
    if exchange.code:
        about["error.type"] = exchange.code
    if exchange.upstream is not None:
        about["backstay.upstream"] = exchange.upstream.name
    span.set(**about)
    if exchange.status >= _SERVER_ERROR:
        span.fail(exchange.cause.says if exchange.cause else exchange.code)
    span.end()
