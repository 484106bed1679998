"""A JSON log line as a person reads it on a terminal. Files keep the line as it was printed."""

from typing import Any

import msgspec

from backstay.core.log_text import as_text

_LEVELS = ("debug", "info", "warn", "error")
_SAID_ALREADY = ("ts", "level", "msg", "service")
_CLOCK = slice(11, 23)
"""Hours to milliseconds of an RFC 3339 time."""


def is_idle(line: str) -> bool:
    """A long poll that ended with nothing to do: every worker prints one each few seconds, and they
    would push everything else off the screen. The files have them."""
    return '"status":204' in line and '"msg":"http request"' in line and '"level":"info"' in line


def readable(line: str) -> str:
    """`12:00:00.000 info ready duration=41.3`; what is no log line of ours stays as it is.

    Of a stack trace only its last line is shown: the rest is in the log file.
    """
    if not line.startswith('{"'):
        return line
    try:
        event = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        return line
    ts, level, msg = event.get("ts"), event.get("level"), event.get("msg")
    if not isinstance(ts, str) or not isinstance(msg, str) or level not in _LEVELS:
        return line
    values = {key: value for key, value in event.items() if key not in _SAID_ALREADY}
    trace = values.get("exception")
    if isinstance(trace, str):
        values["exception"] = ""
        values["raised"] = trace.rstrip().rpartition("\n")[2]
    text = as_text(ts[_CLOCK], str(level), msg, values, colour=True)
    return text.rstrip()
