"""What a memory queue holds, and what follows from it: who may be claimed now, and in which order.

Everything is looked for anew each time. This is the specification of a queue, not a fast one.
"""

from collections.abc import Iterator, Sequence

import msgspec

from backstay.queue.model import (
    ANY_TENANT,
    ENDED,
    Attempt,
    Delivery,
    Periodic,
    Policy,
    State,
    Subscription,
    Task,
)

Name = tuple[str, str]
"""(tenant, command) of a queue or policy, (tenant, name) or (tenant, id) of what else is kept."""

LEASE_EXPIRED = "LEASE_EXPIRED"
HISTORY = 100
"""So many deliveries of a task are remembered, the newest: one can be abandoned for ever."""


class Entry(msgspec.Struct):
    """A task and what only the store knows of it. `seq` is its arrival number, kept for life.

    `lease_tick` is when its lease ends on the clock of this process, `unacked` that its end waits
    for the reader of `reply_to`, `history` the newest deliveries that did not end it, `delivered`
    how often it was given to a worker in all its life.
    """

    seq: int
    task: Task
    fingerprint: str = ""
    lease_seconds: float = 0.0
    lease_tick: float = 0.0
    unacked: bool = False
    delivered: int = 0
    history: list[Attempt] = []

    @property
    def queue(self) -> Name:
        return self.task.tenant, self.task.command

    @property
    def ended(self) -> bool:
        return self.task.state in ENDED

    def remember(self, attempt: Attempt) -> None:
        self.history = [*self.history, attempt][-HISTORY:]

    def become(self, **changes: object) -> Task:
        self.task = msgspec.structs.replace(self.task, **changes)
        return self.task


class World(msgspec.Struct):
    """All that outlives a process."""

    entries: dict[str, Entry] = {}
    policies: dict[Name, Policy] = {}
    periodics: dict[Name, Periodic] = {}
    subscriptions: dict[Name, Subscription] = {}
    deliveries: dict[str, Delivery] = {}
    arrivals: int = 0
    calls: int = 0

    def within(self, *states: State) -> list[Entry]:
        """Entries in these states, in order of arrival."""
        return [entry for entry in self.entries.values() if entry.task.state in states]

    def last_attempt(self, entry: Entry) -> Attempt | None:
        """The delivery that the task's own row tells of: the present one, or the one that ended it.
        A task that waits again was let go, so it has none."""
        task = entry.task
        if not task.worker or task.state in ("ready", "delayed"):
            return None
        if task.state == "dead":
            return self.attempt(entry, "expired" if task.error == LEASE_EXPIRED else "nacked")
        return self.attempt(entry, task.state)

    def attempt(
        self, entry: Entry, outcome: str, ended_at: float = 0.0, error: str = ""
    ) -> Attempt:
        """The entry's present delivery, as history tells it."""
        task = entry.task
        values = {
            "number": entry.delivered,
            "worker": task.worker,
            "started_at": task.claimed_at,
            "ended_at": ended_at or task.ended_at,
            "outcome": outcome,
            # While it runs, the row still shows the error of the delivery before.
            "error": error or (task.error if entry.ended else ""),
        }
        return msgspec.convert(values, Attempt)


class Bounds:
    """Which ready tasks may be claimed: not of a paused queue, nor past a bound of its policy.

    Rates are token buckets on the monotonic clock. They live in the process: after a restart each
    is full again.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._buckets: dict[tuple[str, ...], tuple[float, float]] = {}

    def policy(self, queue: Name) -> Policy | None:
        """What bounds this queue: its own policy within that of every tenant's."""
        own = self._world.policies.get(queue)
        shared = self._world.policies.get((ANY_TENANT, queue[1]))
        return own.within(shared) if own and shared else own or shared

    def paused(self, queue: Name) -> bool:
        policy = self.policy(queue)
        return policy is not None and policy.paused

    def claimable(self, tick: float) -> list[Entry]:
        """In the order of service inside each tenant: priority, due time, arrival."""
        found = [entry for entry in self._world.within("ready") if self.admits(entry, tick)]
        return sorted(found, key=lambda entry: (-entry.task.priority, entry.task.due_at, entry.seq))

    def admits(self, entry: Entry, tick: float) -> bool:
        return self.wait(entry, tick) <= 0

    def wait(self, entry: Entry, tick: float) -> float:
        """Seconds until the rates of its queue and key allow a claim; inf: time alone will not."""
        if self._full(entry):
            return float("inf")
        waits = (
            (1 - self._level(name, rate, burst, tick)) / rate
            for name, rate, burst in self._rates(entry)
        )
        # A token that is there but for the last digit of a float is there.
        return max((0.0 if wait < 1e-6 else wait for wait in waits), default=0.0)

    def spend(self, entry: Entry, tick: float) -> None:
        """A claim takes a token of each rate that holds for it."""
        for name, rate, burst in self._rates(entry):
            self._buckets[name] = self._level(name, rate, burst, tick) - 1, tick

    def _full(self, entry: Entry) -> bool:
        policy = self.policy(entry.queue)
        if policy is None:
            return False
        if policy.paused:
            return True
        leased = [held for held in self._world.within("leased") if held.queue == entry.queue]
        same_key = [held for held in leased if held.task.key == entry.task.key]
        return bool(
            (policy.concurrency and len(leased) >= policy.concurrency)
            or (
                policy.key_concurrency
                and entry.task.key
                and len(same_key) >= policy.key_concurrency
            )
        )

    def _rates(self, entry: Entry) -> Iterator[tuple[tuple[str, ...], float, int]]:
        policy = self.policy(entry.queue)
        if policy is not None and policy.rate:
            yield entry.queue, policy.rate, max(1, policy.burst)
        if policy is not None and policy.key_rate and entry.task.key:
            yield (*entry.queue, entry.task.key), policy.key_rate, max(1, policy.burst)

    def _level(self, name: tuple[str, ...], rate: float, burst: int, tick: float) -> float:
        level, since = self._buckets.get(name, (float(burst), tick))
        return min(float(burst), level + (tick - since) * rate)


class Turns:
    """Who was served longest ago goes first; who is new to the row goes to its end."""

    def __init__(self) -> None:
        self._stamps: dict[str | Name, int] = {}
        self._count = 0

    def serve(self, queue: Name) -> None:
        """Both the command and, among its tenants, the tenant go to the end."""
        self._count += 1
        self._stamps[queue] = self._stamps[queue[1]] = self._count

    def update(self, claimable: Sequence[Entry]) -> None:
        """Whoever has no work any more leaves the row, whoever is new to it joins at the end."""
        present = {name for entry in claimable for name in (entry.queue, entry.task.command)}
        self._stamps = {name: at for name, at in self._stamps.items() if name in present}
        for entry in claimable:
            for name in (entry.task.command, entry.queue):
                if name not in self._stamps:
                    self._count += 1
                    self._stamps[name] = self._count

    def since(self, name: str | Name) -> int:
        return self._stamps.get(name, self._count + 1)
