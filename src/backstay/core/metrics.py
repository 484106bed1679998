"""Metrics that cost a dictionary increment when counted and are rendered when scraped.

A system declares its series as `Metric` values; the Registry of the process holds their numbers.
One event loop (and the GIL) owns a Registry: counting from another thread may lose an increment.
`merge` joins the expositions of several processes into one, told apart by a `system` label.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from backstay.core.clock import Clock
from backstay.core.metrics_merge import merge
from backstay.core.metrics_process import process_samples
from backstay.core.system import Metric

__all__ = ["OTHER", "Counter", "Gauge", "Histogram", "Registry", "RequestMeter", "merge"]

Labels = tuple[str, ...]
Reader = Callable[[], float | Mapping[Labels, float]]

OTHER = "other"
SERIES_CAP = 1000
"""Label sets of one metric; what comes after goes to a set of `other`, so memory is bounded."""

DEFAULT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Series:
    """The numbers of one declared metric by label values, in the order of the declaration."""

    def __init__(self, metric: Metric, cap: int) -> None:
        self.metric = metric
        self._cap = cap
        self._overflow = (OTHER,) * len(metric.labels)

    def key(self, labels: Labels, known: Mapping[Labels, object]) -> Labels:
        """The label set to count under: as text, and `other` once the cap is reached.

        Raises ValueError when the number of labels is not the declared one.
        """
        if len(labels) != len(self.metric.labels):
            names = ", ".join(self.metric.labels) or "none"
            raise ValueError(f"{self.metric.name} has the labels {names}, got {labels!r}")
        texts = tuple(map(str, labels))
        if texts in known or len(known) < self._cap:
            return texts
        return self._overflow


class Counter(Series):
    """Only goes up."""

    def __init__(self, metric: Metric, cap: int) -> None:
        super().__init__(metric, cap)
        self._values: dict[Labels, float] = {} if metric.labels else {(): 0}

    def inc(self, *labels: str, by: float = 1) -> None:
        """Count `by` more under these label values."""
        try:
            self._values[labels] += by
        except KeyError:
            key = self.key(labels, self._values)
            self._values[key] = self._values.get(key, 0) + by

    def value(self, *labels: str) -> float:
        """What was counted so far under exactly these label values."""
        return self._values.get(labels, 0)

    def lines(self) -> Iterator[str]:
        """The samples."""
        for labels, value in self._values.items():
            yield sample(self.metric.name, self.metric.labels, labels, value)


class Gauge(Series):
    """Goes up and down; set when it changes, or read at the scrape."""

    def __init__(self, metric: Metric, cap: int) -> None:
        super().__init__(metric, cap)
        self._values: dict[Labels, float] = {}
        self._reader: Reader | None = None

    def set(self, *labels: str, value: float) -> None:
        """The value now."""
        self._values[self.key(labels, self._values)] = value

    def add(self, *labels: str, by: float) -> None:
        """Change the value by `by`; it begins at 0."""
        key = self.key(labels, self._values)
        self._values[key] = self._values.get(key, 0) + by

    def clear(self) -> None:
        """Forget all label sets, before they are set anew."""
        self._values.clear()

    def read(self, reader: Reader) -> None:
        """From now on ask `reader` at each scrape; it gives a number, or numbers by label values.

        It runs on the event loop and must not wait.
        """
        self._reader = reader

    def lines(self) -> Iterator[str]:
        """The samples."""
        for labels, value in self._current().items():
            yield sample(self.metric.name, self.metric.labels, labels, value)

    def _current(self) -> Mapping[Labels, float]:
        if self._reader is None:
            return self._values
        try:
            found = self._reader()
        except Exception:  # noqa: BLE001 - one broken reader must not take all metrics away
            return {}
        if not isinstance(found, Mapping):
            return {(): found}
        kept: dict[Labels, float] = {}
        for labels, value in found.items():
            kept[self.key(labels, kept)] = value
        return kept


class Histogram(Series):
    """Observations counted into buckets. Bounds are inclusive, as Prometheus has it."""

    def __init__(self, metric: Metric, cap: int) -> None:
        super().__init__(metric, cap)
        self._bounds = tuple(sorted(metric.buckets or DEFAULT_BUCKETS))
        self._counts: dict[Labels, list[float]] = {}

    def observe(self, *labels: str, value: float) -> None:
        """Count one observation."""
        counts = self._counts.get(labels) or self._new(labels)
        counts[bisect_left(self._bounds, value)] += 1
        counts[-1] += value

    def observe_all(self, *labels: str, values: Sequence[float]) -> None:
        """Count many observations under the same labels: one look at each bound for all of them."""
        counts = self._counts.get(labels) or self._new(labels)
        ordered = sorted(values)
        before = 0
        for at, bound in enumerate(self._bounds):
            upto = bisect_right(ordered, bound, before)
            counts[at] += upto - before
            before = upto
        counts[-2] += len(ordered) - before
        counts[-1] += sum(ordered)

    def _new(self, labels: Labels) -> list[float]:
        # One place for each bound, one for +Inf, one for the sum.
        key = self.key(labels, self._counts)
        return self._counts.setdefault(key, [0.0] * (len(self._bounds) + 2))

    def snapshot(self) -> dict[Labels, tuple[float, ...]]:
        """By label values: a count for each bound of `bounds`, one above them all, and the sum."""
        return {labels: tuple(counts) for labels, counts in self._counts.items()}

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds of the buckets, inclusive."""
        return self._bounds

    def lines(self) -> Iterator[str]:
        """The samples: cumulative buckets, sum and count."""
        name = self.metric.name
        names = (*self.metric.labels, "le")
        for labels, counts in self._counts.items():
            total = 0.0
            for bound, count in zip((*self._bounds, math.inf), counts, strict=False):
                total += count
                yield sample(f"{name}_bucket", names, (*labels, number(bound)), total)
            yield sample(f"{name}_sum", self.metric.labels, labels, counts[-1])
            yield sample(f"{name}_count", self.metric.labels, labels, total)


S = TypeVar("S", Counter, Gauge, Histogram)
_KINDS: Mapping[str, type[Counter | Gauge | Histogram]] = {
    "counter": Counter,
    "gauge": Gauge,
    "histogram": Histogram,
}


class Registry:
    """The metrics of one process. Asking for what is not declared is a KeyError."""

    def __init__(self, declared: Iterable[Metric], clock: Clock, cap: int = SERIES_CAP) -> None:
        self._series: dict[str, Counter | Gauge | Histogram] = {}
        self._started = clock.now()
        self._cap = cap
        self.declare(declared)

    def declare(self, metrics: Iterable[Metric]) -> None:
        """Add series. The same declaration twice is one; another of that name is a ValueError."""
        for metric in metrics:
            known = self._series.get(metric.name)
            if known is None:
                self._series[metric.name] = _KINDS[metric.kind](metric, self._cap)
            elif known.metric != metric:
                raise ValueError(f"metric {metric.name} is declared twice, and differently")

    def counter(self, name: str) -> Counter:
        return self._get(name, Counter)

    def gauge(self, name: str) -> Gauge:
        return self._get(name, Gauge)

    def histogram(self, name: str) -> Histogram:
        return self._get(name, Histogram)

    def render(self) -> bytes:
        """Prometheus text, format 0.0.4."""
        out: list[str] = []
        for name, series in sorted(self._series.items()):
            out.append(head(name, series.metric.kind, series.metric.help))
            out.extend(series.lines())
        for metric, value in process_samples(self._started):
            out.append(head(metric.name, metric.kind, metric.help))
            out.append(sample(metric.name, (), (), value))
        return "".join(out).encode()

    def _get(self, name: str, kind: type[S]) -> S:
        series = self._series[name]
        if not isinstance(series, kind):
            raise TypeError(f"{name} is a {series.metric.kind}, not a {kind.__name__.lower()}")
        return series


class RequestMeter:
    """Counts answered requests into `http_requests_total` and `http_request_duration_seconds`;
    the registry must have both declared."""

    def __init__(self, registry: Registry) -> None:
        self._requests = registry.counter("http_requests_total")
        self._seconds = registry.histogram("http_request_duration_seconds")

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request of this route (its template, so that cardinality is bounded)."""
        self._requests.inc(method, route, str(status))
        self._seconds.observe(method, route, value=seconds)


def head(name: str, kind: str, help: str) -> str:
    """The HELP and TYPE lines of a family."""
    text = help.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def sample(name: str, names: Sequence[str], values: Sequence[str], value: float) -> str:
    """One line of the exposition."""
    if not names:
        return f"{name} {number(value)}\n"
    pairs = ",".join(
        f'{label}="{_escaped(text)}"' for label, text in zip(names, values, strict=True)
    )
    return f"{name}{{{pairs}}} {number(value)}\n"


def number(value: float) -> str:
    """As Prometheus writes it: `1`, `0.5`, `+Inf`, `NaN`."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
