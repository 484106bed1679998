"""The series of the gateway. `path` is a route's prefix, never what a client made up."""

from collections.abc import Sequence

from backstay.core import asgi
from backstay.core.system import Metric

METRICS: Sequence[Metric] = (
    *asgi.METRICS,
    Metric("gateway_connections", "gauge", "Client connections that are open"),
    Metric("gateway_requests_in_flight", "gauge", "Requests that are being answered"),
    Metric("gateway_slow_requests_total", "counter", "Unary requests over 5 s (G7)", ("path",)),
    Metric(
        "gateway_upstream_failures_total",
        "counter",
        "Upstream calls that failed",
        ("upstream", "cause", "phase"),
    ),
    Metric(
        "gateway_upstream_first_byte_seconds",
        "histogram",
        "Seconds from a connection to the first byte of the answer, unary routes",
        ("upstream",),
    ),
    Metric("gateway_upstream_retries_total", "counter", "Requests sent again", ("upstream",)),
    Metric("gateway_pool_in_use", "gauge", "Connections with a request on them", ("upstream",)),
    Metric("gateway_pool_idle", "gauge", "Connections kept for the next request", ("upstream",)),
    Metric("gateway_pool_waiting", "gauge", "Requests that wait for a connection", ("upstream",)),
    Metric(
        "gateway_pool_size",
        "gauge",
        "Connections an upstream may have; NAME:waiting is for its long routes",
        ("upstream",),
    ),
    Metric("gateway_breaker_state", "gauge", "0 closed, 1 half-open, 2 open (G11)", ("upstream",)),
    Metric(
        "gateway_breaker_changes_total", "counter", "Changes of breaker state", ("upstream", "to")
    ),
    Metric("gateway_breaker_rejected", "gauge", "Requests not let through", ("upstream",)),
    Metric("gateway_rate_limited_total", "counter", "Requests refused with 429", ("path",)),
    Metric("gateway_build_info", "gauge", "Always 1", ("version",)),
)
