"""Whose turn it is: which commands and tenants have ready tasks, in the order to serve them.

A cache of the store's own answer, so that a claim over everything need not look for work in every
queue there ever was. Tasks cost one unit each, so that deficit round robin over tenants becomes
plain turns: who was served goes to the end.
"""

from collections.abc import Sequence
from itertools import islice


class Turns:
    """Owned by the thread that writes."""

    def __init__(self) -> None:
        self._tenants: dict[str, dict[str, None]] = {}

    def add(self, command: str, tenant: str) -> None:
        """There is work here; a newcomer waits for its turn."""
        waiting = self._tenants.get(command)
        if waiting is None:
            self._tenants[command] = {tenant: None}
        else:
            waiting.setdefault(tenant)

    def drop(self, command: str, tenant: str) -> None:
        """There is no work here any more."""
        waiting = self._tenants.get(command, {})
        waiting.pop(tenant, None)
        if not waiting:
            self._tenants.pop(command, None)

    def clear(self) -> None:
        """Nothing is known any more."""
        self._tenants.clear()

    def commands(self) -> list[str]:
        """All commands with work, the longest unserved first."""
        return list(self._tenants)

    def tenants(self, command: str, among: Sequence[str], count: int) -> list[str]:
        """Up to `count` tenants with work of that command, in turn; `among` empty means all."""
        waiting = self._tenants.get(command)
        if waiting is None:
            return []
        if not among:
            return list(islice(waiting, count))
        if len(among) == 1:
            return [among[0]] if among[0] in waiting else []
        wanted = frozenset(among)
        return list(islice((tenant for tenant in waiting if tenant in wanted), count))

    def served(self, command: str, tenant: str) -> None:
        """To the end of the row, both the tenant and the command."""
        waiting = self._tenants.pop(command, None)
        if waiting is None:
            return
        if tenant in waiting:
            waiting[tenant] = waiting.pop(tenant)
        self._tenants[command] = waiting
