"""`?search=…`: the rows in whose searchable fields a text stands, A to Z in any case."""

from collections.abc import Sequence

from backstay.app.plan.checks import Mistake
from backstay.app.plan.tables import Table, quote
from backstay.app.values import SqlValue, clean_text
from backstay.lang.query.slots import escaped

SEARCH = "search"
_LONGEST = 100


class Search:
    """How a list is looked through; `names` is empty where nothing is searchable."""

    def __init__(self, rows: Table) -> None:
        columns = [each for each in rows.columns if each.field.searchable]
        self.names: Sequence[str] = (SEARCH,) if columns else ()
        self._tests = [rows.dialect.search(f"{rows.name}.{quote(each.name)}") for each in columns]

    def pattern(self, text: str, mistakes: list[Mistake]) -> str:
        """What LIKE looks for, "" for everything. What is wrong goes into `mistakes`."""
        if len(text) > _LONGEST:
            mistakes.append(Mistake(SEARCH, f"takes at most {_LONGEST} characters"))
        try:
            return f"%{escaped(clean_text(text))}%" if text else ""
        except ValueError as bad:
            mistakes.append(Mistake(SEARCH, str(bad)))
            return ""

    def condition(self, pattern: str) -> tuple[str, list[SqlValue]]:
        """The condition in SQL and its parameters."""
        return f"({' OR '.join(self._tests)})", [pattern] * len(self._tests)
