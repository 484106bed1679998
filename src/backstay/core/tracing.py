"""Which request caused what, across processes: spans with W3C trace context.

Off unless configured, and then this module is all there is: no library is imported, a span is one
small object that hands its parent's context on. `core.tracing_otel` is the other half.
"""

from types import TracebackType
from typing import Annotated, Literal, Protocol, Self
from urllib.parse import urlsplit

import msgspec

from backstay.core.errors import Fault
from backstay.core.log_settings import LogSettings
from backstay.core.settings import Option
from backstay.core.tracing_errors import BAD_ENDPOINT, NOT_INSTALLED

SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
Attribute = str | int | float | bool

_DEFAULT_ENDPOINT = "http://localhost:4318"
_GRPC_PORT = 4317
_PATH = "/v1/traces"


class TracingSettings(LogSettings, frozen=True):
    """Names are codeQ's, and OpenTelemetry's own."""

    tracing_enabled: Annotated[
        bool | None,
        Option(
            "send traces; unset: when an endpoint is given", ("TRACING_ENABLED",), "tracingEnabled"
        ),
    ] = None
    tracing_service_name: Annotated[
        str,
        Option(
            "name of this process in traces; unset: the system's",
            ("TRACING_SERVICE_NAME", "OTEL_SERVICE_NAME"),
            "tracingServiceName",
        ),
    ] = ""
    tracing_otlp_endpoint: Annotated[
        str,
        Option(
            "collector that takes OTLP over HTTP: HOST:PORT or an address",
            ("TRACING_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
            "tracingOtlpEndpoint",
        ),
    ] = ""
    tracing_otlp_insecure: Annotated[
        bool,
        Option(
            "HOST:PORT is spoken to without TLS",
            ("TRACING_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"),
            "tracingOtlpInsecure",
        ),
    ] = False
    tracing_sample_ratio: Annotated[
        float,
        Option(
            "share of new traces that are kept, 0 to 1",
            ("TRACING_SAMPLE_RATIO",),
            "tracingSampleRatio",
        ),
        msgspec.Meta(ge=0, le=1),
    ] = 1.0


class Span(Protocol):
    """A piece of work with a beginning and an end; `with` ends it, and an exception marks it."""

    traceparent: str
    """What children and callees get as their parent (W3C); "" without any trace."""

    def set(self, **attributes: Attribute) -> None:
        """Say more about it."""
        ...

    def fail(self, reason: str) -> None:
        """It did not work."""
        ...

    def end(self) -> None:
        """It is over. Idempotent."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Tracer(Protocol):
    """Begins spans. `on` lets hot paths skip even the call."""

    on: bool

    def span(
        self, name: str, parent: str = "", kind: SpanKind = "internal", **attributes: Attribute
    ) -> Span:
        """A span that has begun. `parent` is a traceparent, "" begins a trace."""
        ...


class NoSpan:
    """Nothing is noted; the parent's context goes on to whom it may concern."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    def set(self, **attributes: Attribute) -> None:
        """Nothing."""

    def fail(self, reason: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class NoTracer:
    """Tracing that is off."""

    on = False

    def span(
        self,
        name: str,  # noqa: ARG002 - a Tracer's signature
        parent: str = "",
        kind: SpanKind = "internal",  # noqa: ARG002
        **attributes: Attribute,  # noqa: ARG002
    ) -> Span:
        return NoSpan(parent)


OFF = NoTracer()


def make_tracer(settings: TracingSettings, name: str) -> Tracer:
    """The tracer of a process. Raises CORE070 without the packages, CORE071 for an address that
    cannot be one."""
    wanted = settings.tracing_enabled
    if wanted is None:
        wanted = bool(settings.tracing_otlp_endpoint)
    if not wanted:
        return OFF
    endpoint = traces_address(settings.tracing_otlp_endpoint, settings.tracing_otlp_insecure)
    try:
        from backstay.core.tracing_otel import OtelTracer
    except ModuleNotFoundError as absent:
        raise Fault(NOT_INSTALLED, missing=absent.name or "opentelemetry") from absent
    service = settings.tracing_service_name or name
    return OtelTracer(service, endpoint, settings.tracing_sample_ratio)


def traces_address(endpoint: str, insecure: bool) -> str:
    """Where spans are posted: `HOST:PORT`, or an address as OTEL_EXPORTER_OTLP_ENDPOINT has it.

    Raises CORE071, also for the port of OTLP over gRPC, which is not spoken here.
    """
    given = endpoint.strip() or _DEFAULT_ENDPOINT
    if "://" not in given:
        given = f"{'http' if insecure else 'https'}://{given}"
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError as bad:
        raise Fault(BAD_ENDPOINT, endpoint=endpoint, reason=str(bad)) from bad
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Fault(BAD_ENDPOINT, endpoint=endpoint, reason="expected http://… or https://…")
    if port == _GRPC_PORT:
        reason = "4317 is the port of OTLP over gRPC; over HTTP it is usually 4318"
        raise Fault(BAD_ENDPOINT, endpoint=endpoint, reason=reason)
    base = given.rstrip("/")
    return base if base.endswith(_PATH) else f"{base}{_PATH}"
