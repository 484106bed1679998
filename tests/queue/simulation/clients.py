"""Producers and workers, honest ones, dying ones and liars: what each would ask next."""

import random
from collections.abc import Callable

import msgspec

from backstay.core.clock import Clock
from backstay.core.virtual import CountingIds
from backstay.queue.model import ANY_TENANT, Delivery, Periodic, Policy, Subscription, Task
from backstay.queue.operations import (
    Abandon,
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    Fire,
    Nack,
    Op,
    OpResult,
    Purge,
    Redrive,
    Reschedule,
    SetPeriodic,
    SetPolicy,
    SettleDelivery,
    Subscribe,
    TakeDeliveries,
    TakeNotices,
)


class Profile(msgspec.Struct, frozen=True):
    """What kind of history this is going to be."""

    tenants: tuple[str, ...]
    commands: tuple[str, ...]
    weights: dict[str, int]
    lies: float
    """Share of requests under a lease with a wrong token, worker or tenant."""
    crashes: float
    """Share of commits in which the process or the power dies, or the disk fails once."""
    jumps: bool
    """Whether the wall clock is set, and which way it pleases."""
    calls: bool
    """Whether callbacks are made by the loop of the server, or taken by hand."""


def profile(dice: random.Random) -> Profile:
    weights = {
        "create": 24,
        "claim": 22,
        "finish": 14,
        "extend": 5,
        "nack": 6,
        "abandon": 4,
        "cancel": 3,
        "redrive": 3,
        "reschedule": 3,
    }
    if dice.random() < 0.5:
        weights |= {"policy": 5}
    jumps = dice.random() < 0.3
    if dice.random() < 0.4:
        # Where the clock may be set back, a calendar may, and then only the loop fires it.
        weights |= {"periodic": 2} | ({} if jumps else {"fire": 3})
    if dice.random() < 0.4:
        weights |= {"subscribe": 2, "notices": 3}
    calls = dice.random() < 0.5
    if not calls:
        weights |= {"deliveries": 4, "settle": 4}
    if dice.random() < 0.3:
        weights |= {"purge": 1}
    return Profile(
        tenants=("a", "b", "c")[: dice.choice((1, 1, 2, 3))],
        commands=("PACK", "SEND", "BILL")[: dice.choice((1, 2, 3))],
        weights=weights,
        lies=dice.choice((0.0, 0.1, 0.3)),
        crashes=dice.choice((0.0, 0.03, 0.1)),
        jumps=jumps,
        calls=calls,
    )


class Clients:
    """They know what they were told, no more. `asks` makes the operations of one request."""

    def __init__(self, dice: random.Random, clock: Clock, profile: Profile) -> None:
        self._dice = dice
        self._clock = clock
        self._profile = profile
        self._ids = CountingIds("t")
        self._tokens = CountingIds("k")
        self._results = CountingIds("r")
        self._held: list[Task] = []
        self._known: list[Task] = []
        self._given_calls: list[Delivery] = []
        self._periodics: dict[tuple[str, str], Periodic] = {}
        self._makers: dict[str, Callable[[], Op]] = {
            "create": self._create,
            "claim": self._claim,
            "finish": self._finish,
            "extend": self._extend,
            "nack": self._nack,
            "abandon": self._abandon,
            "cancel": self._cancel,
            "redrive": self._redrive,
            "reschedule": self._reschedule,
            "purge": self._purge,
            "policy": self._policy,
            "periodic": self._periodic,
            "fire": self._fire,
            "subscribe": self._subscribe,
            "notices": self._notices,
            "deliveries": self._take_deliveries,
            "settle": self._settle,
        }

    def asks(self) -> list[Op]:
        """Mostly one operation; sometimes a batch of one kind."""
        names, weights = zip(*self._profile.weights.items(), strict=True)
        [kind] = self._dice.choices(names, weights)
        many = self._dice.random() < 0.15 and kind in ("create", "finish", "extend")
        return [self._makers[kind]() for _ in range(self._dice.randint(2, 6) if many else 1)]

    def told(self, op: Op, result: OpResult) -> None:
        """What the answer teaches its client."""
        if isinstance(op, Claim) and isinstance(result, list):
            # Some workers die with their tasks in hand, and remember nothing.
            kept = [task for task in result if isinstance(task, Task) and self._dice.random() > 0.1]
            self._held += kept
        elif isinstance(op, TakeDeliveries) and isinstance(result, list):
            self._given_calls += [each for each in result if isinstance(each, Delivery)]
        elif isinstance(op, Create) and isinstance(result, Task):
            self._known.append(result)
        elif isinstance(op, Fire) and isinstance(result, Task):
            self._known.append(result)
            held = self._periodics.get((op.tenant, op.name))
            if held is not None:
                held = msgspec.structs.replace(held, next_at=op.next_at)
                self._periodics[op.tenant, op.name] = held

    # --- producers ---------------------------------------------------------------------------

    def _tenant(self) -> str:
        return self._dice.choice(self._profile.tenants)

    def _command(self) -> str:
        return self._dice.choice(self._profile.commands)

    def _later(self) -> float:
        """Mostly at once; else some time ahead, rarely beyond retention, or in the past."""
        if self._dice.random() < 0.75:
            return 0.0
        return self._clock.now() + self._dice.choice((-5.0, 0.5, 3.0, 20.0, 1000.0))

    def _create(self) -> Create:
        once = f"once-{self._dice.randrange(6)}" if self._dice.random() < 0.2 else ""
        return Create(
            id=self._ids.new(),
            tenant=self._tenant(),
            command=self._command(),
            payload="{}",
            priority=self._dice.choice((0, 0, 0, 5, 9)),
            max_attempts=self._dice.choice((1, 2, 3, 5)),
            due_at=self._later(),
            idempotency_key=once,
            fingerprint=self._dice.choice("fffg") if once else "",
            reply_to=self._dice.choice(("", "", "", "app")),
            webhook=self._dice.choice(("", "http://there/")),
            tags=self._dice.choice(((), (), ("red",), ("red", "blue"))),
            key=self._dice.choice(("", "", "k1", "k2")),
        )

    def _some_task(self) -> tuple[str, str]:
        """Tenant and id of a task that somebody knows; sometimes the wrong tenant asks."""
        if not self._known:
            return self._tenant(), "unknown"
        task = self._dice.choice(self._known[-30:])
        return self._who_asks(task), task.id

    def _who_asks(self, task: Task) -> str:
        if self._dice.random() < self._profile.lies:
            return self._dice.choice(("a", "b", "c", "nobody"))
        return self._dice.choice((task.tenant, task.tenant, ANY_TENANT))

    def _cancel(self) -> Cancel:
        return Cancel(*self._some_task(), reason="changed my mind")

    def _redrive(self) -> Redrive:
        return Redrive(*self._some_task(), due_at=self._later())

    def _reschedule(self) -> Reschedule:
        return Reschedule(*self._some_task(), due_at=self._later())

    # --- workers -----------------------------------------------------------------------------

    def _claim(self) -> Claim:
        count = self._dice.choice((1, 1, 1, 2, 5))
        commands = list(self._profile.commands)
        self._dice.shuffle(commands)
        return Claim(
            worker=f"w{self._dice.randrange(4)}",
            tokens=tuple(self._tokens.new() for _ in range(count)),
            lease_seconds=self._dice.choice((1.0, 5.0, 30.0)),
            commands=tuple(commands[: self._dice.randint(0, len(commands))]),
            tenants=self._dice.choice(((), (self._tenant(),))),
            count=count,
        )

    def _hold(self, *, ends: bool) -> dict[str, str]:
        """A lease somebody believes to hold: mostly true, sometimes long over, sometimes a lie."""
        if not self._held:
            return {"tenant": self._tenant(), "id": "unknown", "worker": "w0", "token": "none"}
        number = self._dice.randrange(len(self._held))
        # A result is sometimes sent again: its answer was lost.
        task = self._held.pop(number) if ends and self._dice.random() < 0.8 else self._held[number]
        hold = {
            "tenant": self._who_asks(task),
            "id": task.id,
            "worker": task.worker,
            "token": task.lease_token,
        }
        if self._dice.random() < self._profile.lies:
            lie = {"token": "", "worker": "w9", "id": "unknown"}
            field = self._dice.choice(sorted(lie))
            hold[field] = lie[field]
        return hold

    def _finish(self) -> Finish:
        hold, ok = self._hold(ends=True), self._dice.random() < 0.8
        result, error = (f'"{self._results.new()}"', "") if ok else ("", "no")
        return Finish(**hold, ok=ok, result=result, error=error)

    def _extend(self) -> Extend:
        progress = self._dice.choice(("", '{"percent":50}'))
        seconds = self._dice.choice((1.0, 10.0))
        return Extend(**self._hold(ends=False), seconds=seconds, progress=progress)

    def _nack(self) -> Nack:
        delay = self._dice.choice((None, None, 0.0, 4.0))
        return Nack(**self._hold(ends=True), reason=self._dice.choice(("", "broke")), delay=delay)

    def _abandon(self) -> Abandon:
        return Abandon(**self._hold(ends=True))

    # --- those who run it --------------------------------------------------------------------

    def _purge(self) -> Purge:
        before = self._clock.now() + self._dice.choice((-20.0, 0.0, 1e9))
        command = self._dice.choice(("", self._command()))
        states = self._dice.choice(((), ("dead",), ("completed", "failed")))
        return Purge(self._dice.choice((ANY_TENANT, self._tenant())), command, before, 1000, states)

    def _policy(self) -> SetPolicy:
        bound = self._dice.choice(
            (
                {},
                {"paused": True},
                {"concurrency": 2},
                {"rate": 0.5, "burst": 2},
                {"key_concurrency": 1},
                {"key_rate": 0.25},
                {"concurrency": 3, "key_concurrency": 1, "rate": 2.0, "burst": 3},
            )
        )
        tenant = self._dice.choice((self._tenant(), ANY_TENANT))
        return SetPolicy(Policy(tenant, self._command(), updated_at=self._clock.now(), **bound))

    def _periodic(self) -> SetPeriodic:
        """Always a new one: whoever sets the calendar of an old one back may fire it twice."""
        if self._periodics and self._dice.random() < 0.2:
            name = self._dice.choice(sorted(self._periodics))
            return SetPeriodic(self._periodics.pop(name), remove=True)
        tenant, name = self._tenant(), f"nightly-{len(self._periodics)}-{self._dice.random()}"
        next_at = self._clock.now() + 10.0
        made = Periodic(tenant, name, self._command(), "{}", "* * * * *", next_at=next_at)
        self._periodics[tenant, name] = made
        return SetPeriodic(made)

    def _fire(self) -> Fire:
        """Several look at the calendar; what one of them knows may be old."""
        if not self._periodics:
            return Fire(self._tenant(), "none", 1.0, 2.0, None)
        periodic = self._dice.choice(sorted(self._periodics.values(), key=repr))
        at = periodic.next_at - self._dice.choice((0.0, 0.0, 10.0))
        task = Create(self._ids.new(), periodic.tenant, periodic.command, "{}")
        return Fire(periodic.tenant, periodic.name, at, at + 10.0, task)

    def _subscribe(self) -> Subscribe:
        tenant = self._dice.choice((self._tenant(), ANY_TENANT))
        commands = self._dice.choice(((), (self._command(),)))
        ends = self._clock.now() + self._dice.choice((5.0, 100.0))
        name = f"s{self._dice.randrange(3)}"
        made = Subscription(tenant, name, "http://there/", commands, ends)
        return Subscribe(made, remove=self._dice.random() < 0.2)

    def _notices(self) -> TakeNotices:
        return TakeNotices(self._tenant(), self._command())

    def _take_deliveries(self) -> TakeDeliveries:
        return TakeDeliveries(self._dice.choice((1.0, 30.0)), 1000)

    def _settle(self) -> SettleDelivery:
        if not self._given_calls:
            return SettleDelivery("999999", "not there")
        call = self._given_calls.pop(self._dice.randrange(len(self._given_calls)))
        later = self._clock.now() + 5.0
        error, due_at = self._dice.choice((("", None), ("refused", None), ("refused", later)))
        return SettleDelivery(call.id, error, due_at)
