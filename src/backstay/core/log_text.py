"""The text form of a log line: `ts level msg key=value …`, the message unquoted (seed C17)."""

import json
import re
from collections.abc import Mapping

from backstay.core.errors import Plain
from backstay.core.visible import visible

_PLAIN_VALUE = re.compile(r"[^\s\"'={}\[\]\x00-\x1f\x7f]+")
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warn": "\x1b[33m", "error": "\x1b[31m"}
_RESET = "\x1b[0m"


def as_text(
    ts: str, level: str, msg: str, values: Mapping[str, Plain], *, colour: bool = False
) -> str:
    """One line, ended by a newline; a stack trace follows on lines of its own, indented."""
    shown = f"{_COLOURS[level]}{level}{_RESET}" if colour else level
    words = [ts, shown, " ".join(msg.split())]
    words += [f"{key}={_value(value)}" for key, value in values.items() if key != "exception"]
    line = " ".join(words)
    trace = values.get("exception")
    if isinstance(trace, str):
        line += "\n  " + visible(trace).replace("\n", "\n  ")
    return line + "\n"


def _value(value: Plain) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if _PLAIN_VALUE.fullmatch(text):
        return visible(text)
    return visible(json.dumps(text, ensure_ascii=False))
