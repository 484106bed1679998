"""What probes of the queue's guides read: the words of the user, the numbers of the server, its
settings. All of it is asked of the control socket or of the text; nothing is changed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backstay.core.errors import Plain
from backstay.core.guide import Evidence, Probe, Target
from backstay.core.probing import look_inside, seen

Forms = Sequence[tuple[str, str]]
"""Readings, and the regular expression of the message that gives each away."""

NOTHING = "none"

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def message_probe(ident: str, asks: str, forms: Forms) -> Probe:
    """Which of these messages the user met; not asked when it is none of them. Named groups of an
    expression become facts."""

    async def run(target: Target) -> Evidence:
        for reading, form in forms:
            found = re.search(form, target.text, re.IGNORECASE)
            if found:
                named = {name: text or "" for name, text in found.groupdict().items()}
                facts: dict[str, Plain] = {**named, "text": target.text.strip()[:300]}
                facts |= {"data": str(target.data), "base_url": target.base_url}
                return seen(ident, reading, "fail", target.text, **facts)
        return seen(ident, NOTHING, "skip")

    return Probe(ident, asks, "outside", (NOTHING, *(reading for reading, _ in forms)), run)


class Numbers:
    """One scrape: `total("name", label="value")` adds up the series that fit."""

    def __init__(self, text: str) -> None:
        self._samples = [
            (name, dict(_LABEL.findall(labels)), float(value))
            for name, labels, value in _SAMPLE.findall(text)
        ]

    def total(self, name: str, **labels: str) -> float:
        return sum(value for _, value in self._fitting(name, labels))

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """The same, apart for each value of a label."""
        found: dict[str, float] = {}
        for has, value in self._fitting(name, labels):
            found[has.get(label, "")] = found.get(has.get(label, ""), 0.0) + value
        return found

    def answers(self, path: str, *statuses: str) -> float:
        """Requests to a route of the queue that were answered so."""
        counted = self.by("status", "http_requests_total", path=f"/v1/codeq{path}")
        return sum(count for status, count in counted.items() if status in statuses)

    def _fitting(
        self, name: str, labels: Mapping[str, str]
    ) -> list[tuple[Mapping[str, str], float]]:
        return [
            (has, value)
            for sample, has, value in self._samples
            if sample == name and labels.items() <= has.items()
        ]


async def inside(probe: str, target: Target, route: str, deadline: float = 0.8) -> Any | Evidence:
    """What the queue answers on its control socket. Its silence is evidence for the guides of its
    process and its store, and says nothing here."""
    found = await look_inside(probe, target, "queue", route, deadline)
    if isinstance(found, Evidence):
        return msgspec.structs.replace(found, outcome="skip")
    return found


async def numbers(probe: str, target: Target) -> Numbers | Evidence:
    """What the queue counts, or the evidence of its silence."""
    found = await inside(probe, target, "/metrics")
    return found if isinstance(found, Evidence) else Numbers(str(found))


async def settings(probe: str, target: Target) -> Mapping[str, Plain] | Evidence:
    """The queue's settings by name (secrets masked), or the evidence of its silence."""
    found = await inside(probe, target, "/settings")
    if isinstance(found, Evidence):
        return found
    return {str(one.get("name")): one.get("value") for one in found}
