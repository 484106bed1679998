"""Which statements were not brief lately, so that nobody pays twice for each of them."""

from collections import OrderedDict

IN_A_ROW = 3
"""Failures after which a statement is left to the readers."""
LEFT_ALONE = 100
"""How many of its runs are, until it is tried again."""
_MOST = 512


class Lengthy:
    """Counts by the text of a statement. For one thread at a time."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, int] = OrderedDict()

    def has(self, sql: str) -> bool:
        """Whether this run is for a reader; asking counts as the run."""
        failures = self._failures.get(sql, 0)
        if failures < IN_A_ROW:
            return False
        self._failures[sql] = failures + 1
        if failures < IN_A_ROW + LEFT_ALONE:
            return True
        self._failures[sql] = IN_A_ROW - 1
        return False

    def failed(self, sql: str) -> None:
        """It was broken off."""
        self._failures[sql] = self._failures.pop(sql, 0) + 1
        if len(self._failures) > _MOST:
            self._failures.popitem(last=False)

    def passed(self, sql: str) -> None:
        """It was brief."""
        if self._failures:
            self._failures.pop(sql, None)
