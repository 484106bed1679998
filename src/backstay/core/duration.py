"""Go-style durations: `300ms`, `1m30s`, `24h`. Inside they are `float` seconds."""

import re

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)")
_WHOLE = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h|d))+|0")


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `1h30m`. `d` (24 h) is accepted beside Go's units.

    Raises ValueError with the text and an example when it is not one.
    """
    cleaned = text.strip()
    if not _WHOLE.fullmatch(cleaned):
        raise ValueError(f"{text!r} is not a duration; write it like 300ms, 10s, 1m30s or 24h")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(cleaned))
    return -seconds if cleaned.startswith("-") else seconds


def format_duration(seconds: float) -> str:
    """Go's own text: `0s`, `1.5ms`, `300ms`, `1m30s`, `24h5m30s` (seed C24)."""
    if seconds == 0:
        return "0s"
    sign = "-" if seconds < 0 else ""
    # Rounded before it is split: 119.9999999 s is 2m0s, never 1m60s.
    size = round(abs(seconds), 9)
    if size >= 1:
        size = round(size, 6)
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if size < scale * 1000 and size < 1:
            return f"{sign}{_number(size / scale)}{unit}"
    whole = int(size)
    hours, rest = divmod(whole, 3600)
    minutes = rest // 60
    last = size - hours * 3600 - minutes * 60
    text = f"{_number(last)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"
