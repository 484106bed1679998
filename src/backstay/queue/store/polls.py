"""When workers last asked for a queue's work: known to the process alone, never stored by it."""

from backstay.queue.model import ANY_TENANT
from backstay.queue.operations import Claim

_MOST = 10_000


class Polls:
    """Wall times of claims by (tenant, command). What one tenant's workers do tells another tenant
    nothing; whoever serves all counts for each. The longest silent ones are forgotten first."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, str], float] = {}

    def note(self, claim: Claim, now: float) -> None:
        """Somebody asks. A claim of any command is no interest in one: it stands under ""."""
        for command in claim.commands or ("",):
            self.note_one(claim, command, now)

    def note_one(self, claim: Claim, command: str, now: float) -> None:
        """The same for one of the commands of a claim."""
        for tenant in claim.tenants or (ANY_TENANT,):
            # Taken out first, so that the longest silent one stands in front.
            self._at.pop((tenant, command), None)
            self._at[tenant, command] = now
        while len(self._at) > _MOST:
            del self._at[next(iter(self._at))]

    def last(self, tenant: str, command: str) -> float:
        """By who serves this tenant; 0 when nobody is known to have asked."""
        return max(self._at.get((tenant, command), 0.0), self._at.get((ANY_TENANT, command), 0.0))

    def by_command(self) -> dict[str, float]:
        """By anybody; "" is a claim of any command."""
        found: dict[str, float] = {}
        for (_, command), at in self._at.items():
            found[command] = max(at, found.get(command, 0.0))
        return found
