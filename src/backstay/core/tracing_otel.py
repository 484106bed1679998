"""Spans by OpenTelemetry's SDK, sent as OTLP over HTTP. Imported only when tracing is on.

A span is handed to a queue of 2,048 and a thread sends them on: a collector that is slow or away
costs spans (the SDK logs it), never time.
"""

import asyncio
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span as OtelApiSpan
from opentelemetry.trace import SpanKind as OtelKind
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from backstay import __version__
from backstay.core.errors import Fault
from backstay.core.tracing import Attribute, Span, SpanKind

_log = structlog.get_logger("core.tracing")

_QUEUE, _BATCH = 2048, 512
_EVERY_MILLIS = 2000.0
_SEND_SECONDS = 5.0
_LAST_SECONDS = 2.0
_SERVER_ERROR = 500

_KINDS: Mapping[SpanKind, OtelKind] = {
    "internal": OtelKind.INTERNAL,
    "server": OtelKind.SERVER,
    "client": OtelKind.CLIENT,
    "producer": OtelKind.PRODUCER,
    "consumer": OtelKind.CONSUMER,
}


class OtelSpan:
    """One span of the SDK."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: OtelApiSpan) -> None:
        self._span = span
        context = span.get_span_context()
        flags = int(context.trace_flags)
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"

    def set(self, **attributes: Attribute) -> None:
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, reason))

    def end(self) -> None:
        # A second end would be a warning in the log.
        if self._span.is_recording():
            self._span.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(failure, Fault):
            self.set(**{"error.type": failure.entry.code})
            if failure.entry.status >= _SERVER_ERROR:
                self.fail(failure.message)
        elif failure is not None and kind is not None:
            self.set(**{"error.type": kind.__name__})
            # Its text may hold what must not leave; the log, which is redacted, has it.
            self.fail(kind.__name__)
        self.end()


class OtelTracer:
    """A Service, too: its stop sends what is left, for two seconds at most."""

    name = "tracing"
    on = True

    def __init__(self, service: str, endpoint: str, ratio: float) -> None:
        self.endpoint = endpoint
        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_SEND_SECONDS)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource.create({"service.name": service, "service.version": __version__}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=_QUEUE,
                max_export_batch_size=_BATCH,
                schedule_delay_millis=_EVERY_MILLIS,
            )
        )
        self._tracer = self._provider.get_tracer("backstay", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def span(
        self, name: str, parent: str = "", kind: SpanKind = "internal", **attributes: Attribute
    ) -> Span:
        # A context of its own each time: what happens to be current in this thread is no parent.
        context = Context()
        if parent:
            context = self._propagator.extract({"traceparent": parent}, context)
        return OtelSpan(
            self._tracer.start_span(name, context=context, kind=_KINDS[kind], attributes=attributes)
        )

    async def start(self) -> None:
        _log.info("traces are sent", endpoint=self.endpoint)

    def ready(self) -> bool:
        return True

    async def drain(self, seconds: float) -> None:
        """What is still answered while draining is traced, too."""

    async def stop(self) -> None:
        """Send what is left. The SDK would wait for a collector that is away much longer."""
        last = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        last.start()
        await asyncio.to_thread(last.join, _LAST_SECONDS)
        if last.is_alive():
            _log.warning("last traces not sent", endpoint=self.endpoint, waited=_LAST_SECONDS)
