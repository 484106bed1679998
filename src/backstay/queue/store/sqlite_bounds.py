"""What the policies allow: pauses, leases at once and claims a second, of a queue and of a key.

Policies are the store's own, kept in memory by the thread that writes. Rates are token buckets on
the monotonic clock: they live in the process, and each is full after a restart.
"""

import heapq
from typing import NamedTuple

import apsw
import msgspec

from backstay.queue.model import ANY_TENANT, Policy
from backstay.queue.store.sql import SQL

UNBOUNDED = 1 << 30

# A token that is there but for the last digit of a float is there.
_NEARLY = 1e-6

# Above so many buckets the full ones are thrown away: a full one says what none says.
_MANY = 10_000

Gate = tuple[int, str]
"""The number of a queue and a key of it; with the key "" the queue itself."""


class _Bucket(NamedTuple):
    level: float
    since: float
    full: float


class Bounds:
    """Owned by the thread that writes; `next_gate` may be read by any.

    A gate is what a rate has closed: the tick at which it lets a claim through again.
    """

    def __init__(self) -> None:
        self._policies: dict[tuple[str, str], Policy] = {}
        self._leased: dict[int, int] = {}
        self._buckets: dict[Gate, _Bucket] = {}
        self._too_many = _MANY
        self._gates: dict[Gate, float] = {}
        # By time; an entry that `_gates` does not confirm is out of date.
        self._order: list[tuple[float, Gate]] = []
        self.next_gate = float("inf")

    def load(self, db: apsw.Connection) -> None:
        """As the store has them. Buckets stay: tokens that a rolled back claim took are lost, which
        keeps the bound."""
        found = [
            msgspec.json.decode(body, type=Policy) for (body,) in db.execute(SQL["all_policies"])
        ]
        self._policies = {(policy.tenant, policy.command): policy for policy in found}
        self._leased.clear()

    def policy(self, tenant: str, command: str) -> Policy | None:
        """What bounds this queue: its own policy within that of every tenant's."""
        if not self._policies:
            return None
        own = self._policies.get((tenant, command))
        shared = self._policies.get((ANY_TENANT, command))
        if own is None or shared is None:
            return own or shared
        return own.within(shared)

    def replace(self, policy: Policy) -> bool:
        """Whether it bounds anything; one that does not is forgotten."""
        name = (policy.tenant, policy.command)
        if policy.bounds:
            self._policies[name] = policy
            return True
        self._policies.pop(name, None)
        return False

    # --- leases at once ----------------------------------------------------------------------

    def leased(self, db: apsw.Connection, queue: int) -> int:
        """Counted once, then kept up to date by `count`."""
        known = self._leased.get(queue)
        if known is None:
            known = self._leased[queue] = db.execute(SQL["count_leased_of"], (queue,)).get
        return known

    def count(self, queue: int, change: int) -> None:
        """Leases of a queue were made or ended."""
        if queue in self._leased:
            self._leased[queue] += change

    # --- claims a second ---------------------------------------------------------------------

    def tokens(self, gate: Gate, rate: float, burst: int, tick: float) -> int:
        """Claims that the rate allows now; closes the gate when there are none."""
        level = self._level(gate, rate, burst, tick)
        allowed = int(level + _NEARLY * rate)
        if not allowed:
            self.close(gate, tick + (1 - level) / rate)
        return allowed

    def spend(self, gate: Gate, rate: float, burst: int, tick: float) -> None:
        """A claim takes one."""
        level = self._level(gate, rate, burst, tick) - 1
        self._buckets[gate] = _Bucket(level, tick, tick + (max(1, burst) - level) / rate)
        if len(self._buckets) > self._too_many:
            self._buckets = {gate: kept for gate, kept in self._buckets.items() if kept.full > tick}
            self._too_many = max(_MANY, 2 * len(self._buckets))

    def _level(self, gate: Gate, rate: float, burst: int, tick: float) -> float:
        full = float(max(1, burst))
        bucket = self._buckets.get(gate)
        return full if bucket is None else min(full, bucket.level + (tick - bucket.since) * rate)

    def close(self, gate: Gate, until: float) -> None:
        if abs(self._gates.get(gate, 0.0) - until) > _NEARLY:
            self._gates[gate] = until
            heapq.heappush(self._order, (until, gate))
            self._look_ahead()

    def opened(self, tick: float) -> list[Gate]:
        """Gates whose time has come; each is told once."""
        due: list[Gate] = []
        while self.next_gate <= tick + _NEARLY:
            _, gate = heapq.heappop(self._order)
            del self._gates[gate]
            due.append(gate)
            self._look_ahead()
        return due

    def _look_ahead(self) -> None:
        order = self._order
        while order and self._gates.get(order[0][1]) != order[0][0]:
            heapq.heappop(order)
        self.next_gate = order[0][0] if order else float("inf")

    def forget(self, queue: int) -> None:
        """Its policy has changed: what was closed is judged anew, and its leases are counted again,
        for without a policy nobody kept the count."""
        self._leased.pop(queue, None)
        for gate in [gate for gate in self._gates if gate[0] == queue]:
            del self._gates[gate]
        self._look_ahead()
