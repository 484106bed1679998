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
    sign = "-" if seconds < 0 else ""
    # Whole numbers from here on: 119.9999999 s is 2m0s, never 1m60s, and 1e-6 s is 1µs.
    nanos = round(abs(seconds) * 1e9)
    if nanos == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanos < size * 1000:
            return f"{sign}{_number(nanos / size)}{unit}"
    minutes, micros = divmod(round(nanos / 1000), 60_000_000)
    text = f"{_number(micros / 1e6)}s"
    if minutes >= 60:
        return f"{sign}{minutes // 60}h{minutes % 60}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"
