"""How tracing can be set up wrongly. A collector that is away is no error: it is logged."""

from backstay.core.errors import ErrorEntry, Exit

NOT_INSTALLED = ErrorEntry(
    code="CORE070",
    message="tracing is configured and its packages are not installed ({missing})",
    cause="traces need OpenTelemetry, which only those install who collect them",
    fix="pip install 'backstay[otel]', or unset TRACING_ENABLED and OTEL_EXPORTER_OTLP_ENDPOINT",
    exit=Exit.USAGE,
)
BAD_ENDPOINT = ErrorEntry(
    code="CORE071",
    message="{endpoint} cannot take traces",
    cause="{reason}",
    fix="name a collector's OTLP address over HTTP, e.g. http://localhost:4318",
    exit=Exit.USAGE,
)
