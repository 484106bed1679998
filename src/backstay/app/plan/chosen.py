"""`?fields=id,name`: the members of a row that a request wants to see, of those that there are."""

from collections.abc import Sequence

from backstay.app.plan.checks import Mistake, unknown_name
from backstay.app.plan.unit import Row

FIELDS = "fields"
"""The query parameter, unless the endpoint declares one of that name."""

Chosen = frozenset[str] | None
"""Names of members; None for all of them."""


def chosen(text: str | None, known: Sequence[str], mistakes: list[Mistake]) -> Chosen:
    """What `text` names. One that is unknown or named twice goes into `mistakes`."""
    if text is None:
        return None
    found: set[str] = set()
    for name in text.split(","):
        if name in found:
            mistakes.append(Mistake(FIELDS, f"{name} is given twice"))
        elif name in known:
            found.add(name)
        else:
            mistakes.append(Mistake(FIELDS, f"{name or 'a name'} {unknown_name(name, known)}"))
    return frozenset(found)


def picked(names: Sequence[str]) -> Chosen:
    """What an endpoint shows of a row unless a request wants less; no names are all of them."""
    return frozenset(names) or None


def cut(row: Row, wanted: Chosen) -> Row:
    """The row with the wanted members alone, in their own order."""
    if wanted is None:
        return row
    return {name: value for name, value in row.items() if name in wanted}
