"""Whose turn it is: which commands and tenants have ready tasks, in the order to serve them.

A cache of the store's own answer, so that a claim over everything need not look for work in every
queue there ever was. Tasks cost one unit each, so that deficit round robin over tenants becomes
plain turns: who was served goes to the end.
"""

from collections.abc import Sequence


class Turns:
    """Owned by the thread that writes."""

    def __init__(self) -> None:
        self._tenants: dict[str, dict[str, None]] = {}

    def add(self, command: str, tenant: str) -> None:
        """There is work here; a newcomer waits for its turn."""
        self._tenants.setdefault(command, {}).setdefault(tenant)

    def drop(self, command: str, tenant: str) -> None:
        """There is no work here any more."""
        waiting = self._tenants.get(command, {})
        waiting.pop(tenant, None)
        if not waiting:
            self._tenants.pop(command, None)

    def commands(self) -> list[str]:
        """All commands with work, the longest unserved first."""
        return list(self._tenants)

    def tenants(self, command: str, among: Sequence[str]) -> list[str]:
        """Tenants with work of that command, in turn; `among` empty means all."""
        waiting = self._tenants.get(command, {})
        return [tenant for tenant in waiting if not among or tenant in among]

    def served(self, command: str, tenant: str) -> None:
        """To the end of the row, both the tenant and the command."""
        waiting = self._tenants.pop(command, None)
        if waiting is None:
            return
        if tenant in waiting:
            waiting[tenant] = waiting.pop(tenant)
        self._tenants[command] = waiting
