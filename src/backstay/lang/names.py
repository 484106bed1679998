"""Names in the words of a diagnostic."""

from collections.abc import Iterable

from backstay.core.nearest import nearest
from backstay.lang.diagnostics import Edit, Span


def suggestion(name: str, known: Iterable[str], span: Span) -> Edit | None:
    """An edit that writes the nearest name instead."""
    other = nearest(name, known)
    return Edit(f"did you mean '{other}'?", span, other) if other else None


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a sentence: at most `most`, in their order."""
    every = list(names)
    shown = ", ".join(every[:most])
    return f"{shown}, …" if len(every) > most else shown or "none"
