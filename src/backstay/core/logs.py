"""Structured logs: one event, one line, the same keys everywhere (decision 13, seeds C17 to C21).

Systems say `structlog.get_logger("queue.api").info("task stored", id=…)`. What enters is a
constant message and values; what leaves is `ts level msg service logger …` as JSON or text, every
value redacted. `configure` is called once by a process; before it, structlog's defaults hold.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import structlog

from backstay.core.clock import Clock, SystemClock, rfc3339
from backstay.core.log_settings import Level, LogSettings
from backstay.core.log_sink import Sink, open_sink
from backstay.core.log_text import as_text
from backstay.core.redact import redactor
from backstay.core.visible import visible

Event = MutableMapping[str, Any]

_RANK = {"debug": 10, "info": 20, "warn": 30, "error": 40}
_RESERVED = frozenset({"ts", "level", "msg", "service", "logger", "event"})
_INTERNAL = ("structlog", "backstay.core.logs", "logging")

debug_request: ContextVar[bool] = ContextVar("debug_request", default=False)
"""True lets debug lines of the current request through, whatever the level (C21)."""


def configure(settings: LogSettings, service: str, clock: Clock | None = None) -> None:
    """Send all logs of this process, those of libraries too, where `settings` say.

    Raises Fault CORE002 when the output cannot be opened.
    """
    sink = open_sink(settings.log_output)
    pipeline = _Pipeline(settings, service, clock or SystemClock(), sink)
    structlog.configure(
        processors=[pipeline],
        wrapper_class=_wrapper(_RANK[settings.log_level]),
        logger_factory=lambda *names: _Named(sink, str(names[0]) if names else ""),
        cache_logger_on_first_use=False,
    )
    _configured.threshold = _RANK[settings.log_level]
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(_RANK[settings.log_level])


@contextmanager
def request_debug(*, on: bool) -> Iterator[None]:
    """Debug lines of what runs inside pass when `on`, also below the level in force."""
    token = debug_request.set(on)
    try:
        yield
    finally:
        debug_request.reset(token)


class _Named:
    """What structlog calls the wrapped logger: a sink that knows whose line it is."""

    def __init__(self, sink: Sink, name: str) -> None:
        self.sink = sink
        self.name = name

    def write(self, line: bytes) -> None:
        self.sink.write(line)

    def later(self, line: bytes) -> None:
        self.sink.later(line)


def debugs() -> bool:
    """Whether a debug line would be written now. For places that would log each of many things:
    asking once costs less than saying nothing a hundred times."""
    return _configured.threshold <= _RANK["debug"] or debug_request.get()


class _Configured:
    """What `configure` set last, for `debugs`; before it structlog's defaults hold."""

    threshold = _RANK["debug"]


_configured = _Configured()


def _wrapper(threshold: int) -> type[structlog.BoundLoggerBase]:
    """A logger class that drops what is below `threshold` before any work is done."""

    def method(level: Level) -> Callable[..., None]:
        rank = _RANK[level]

        def log(self: structlog.BoundLoggerBase, message: str, /, **values: object) -> None:
            if rank >= threshold or debug_request.get():
                _emit(self, level, message, values)

        return log

    def exception(self: structlog.BoundLoggerBase, message: str, /, **values: object) -> None:
        values.setdefault("exc_info", True)
        _emit(self, "error", message, values)

    warn, error = method("warn"), method("error")
    methods = {
        "debug": method("debug"),
        "info": method("info"),
        "warn": warn,
        "warning": warn,
        "error": error,
        "critical": error,
        "exception": exception,
    }
    return type("Logger", (structlog.BoundLoggerBase,), methods)


def _emit(
    logger: structlog.BoundLoggerBase, level: Level, message: str, values: Mapping[str, object]
) -> None:
    # Not `_proxy_to_logger`: it would refuse a value that is called `event`, as events have one.
    event: Event = {}
    for key, value in (dict(logger._context) | dict(values)).items():
        event[f"{key}_" if key in _RESERVED else key] = value
    event["event"] = message
    line: Any = event
    try:
        for processor in logger._processors:
            line = processor(logger._logger, level, line)
    except structlog.DropEvent:
        return
    if _RANK[level] >= _RANK["warn"]:
        logger._logger.write(line)
    else:
        logger._logger.later(line)


class _Pipeline:
    """The one processor: the event dictionary comes in, the finished line goes out."""

    def __init__(self, settings: LogSettings, service: str, clock: Clock, sink: Sink) -> None:
        self._service = service
        self._clock = clock
        self._source = settings.log_add_source
        self._colour = sink.colour
        self._text = settings.log_format == "text"

    def __call__(self, logger: _Named, level: str, event: Event) -> bytes:
        head = {
            "ts": rfc3339(self._clock.now()),
            "level": level,
            "msg": str(event.pop("event", "")),
        }
        trace = _trace(event.pop("exc_info", None))
        # The caller's values come first and in their order: a text line continues its message.
        tail: dict[str, Any] = dict(event)
        for key, value in structlog.contextvars.get_contextvars().items():
            tail.setdefault(key, value)
        if trace:
            tail["exception"] = trace
        if self._source:
            tail["source"] = _caller()
        about = {"service": self._service} | ({"logger": logger.name} if logger.name else {})
        return self._line(head, about, tail)

    def _line(
        self, head: Mapping[str, str], about: Mapping[str, str], tail: Mapping[str, Any]
    ) -> bytes:
        if not self._text:
            line = _as_json({**head, **about, **tail})
            if line is not None and redactor().harmless(line):
                return line + b"\n"
        tail = redactor().redact_plain(_plain(tail))
        message = redactor().redact(head["msg"])
        if not self._text:
            line = msgspec.json.encode({**head, "msg": message, **about, **tail})
            return visible(line.decode()).encode() + b"\n"
        text = as_text(head["ts"], head["level"], message, {**tail, **about}, colour=self._colour)
        return text.encode("utf-8", "backslashreplace")


class _Bridge(logging.Handler):
    """Lines of libraries that use the standard library's logging join ours."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for name, rank in _RANK.items() if record.levelno <= rank), "error")
        log = structlog.get_logger(record.name)
        getattr(log, level)(record.getMessage(), exc_info=record.exc_info)


def _as_json(value: Mapping[str, Any]) -> bytes | None:
    """None for what only the slow way can write."""
    try:
        return msgspec.json.encode(value, enc_hook=str)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return None


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value, enc_hook=str, str_keys=True, builtin_types=())


def _trace(given: object) -> str:
    if not given:
        return ""
    if isinstance(given, BaseException):
        failure: BaseException | None = given
    elif isinstance(given, tuple):
        failure = given[1]
    else:
        failure = sys.exc_info()[1]
    if failure is None:
        return ""
    return "".join(traceback.format_exception(failure)).rstrip()


def _caller() -> str:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_INTERNAL):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else ""
