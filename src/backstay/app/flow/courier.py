"""The loop that takes events to webhooks and integrations: claimed, called, settled.

A claim is committed before the call leaves. A call whose process died is made again under the same
key: a receiver meets an event at least once.
"""

import asyncio
from collections.abc import Callable, Mapping

import msgspec
import structlog

from backstay.app.flow import deliveries, model
from backstay.app.flow.dead_letters import of_delivery
from backstay.app.flow.deliveries import Delivery
from backstay.app.flow.flights import Flights
from backstay.app.flow.integrations import Integrations
from backstay.app.flow.metrics import FlowMetrics
from backstay.app.flow.model import Outcome, Tries, tries_of
from backstay.app.flow.runner import LOOK_AGAIN
from backstay.app.flow.steady import Steady
from backstay.app.flow.turn import Claim
from backstay.app.flow.webhooks import SECONDS, Webhooks
from backstay.app.store.session import Database, Session
from backstay.core.clock import Clock, Dice, rfc3339
from backstay.core.errors import Fault
from backstay.lang.program import Program, Retry

_log = structlog.get_logger("app.events")
_MARGIN = 15.0
_PAUSE = 0.5
_BREATH = 0.05
_ONCE = Tries(1, tries_of(Retry()).backoff)


class Courier:
    """A Loop. `sole` says that no other process can own a delivery of this database."""

    name = "event-courier"

    def __init__(
        self,
        database: Database,
        webhooks: Webhooks,
        integrations: Integrations,
        clock: Clock,
        steady: Steady,
        dice: Dice,
        metrics: FlowMetrics,
        owner: str,
        *,
        sole: bool,
        limit: int = 32,
    ) -> None:
        self._database = database
        self._webhooks = webhooks
        self._integrations = integrations
        self._clock = clock
        self._steady = steady
        self._dice = dice
        self._metrics = metrics
        self._owner = owner
        self._sole = sole
        self._limit = limit
        self._tries: dict[str, Tries] = {}
        self._flying = Flights(clock)
        self._stopped = False
        self.wake = asyncio.Event()
        self.on_outbox: Callable[[], None] = lambda: None

    @property
    def flying(self) -> int:
        """How many calls are under way."""
        return len(self._flying)

    def serve(self, program: Program) -> None:
        """From now on call what this program declares."""
        self._webhooks.serve(program)
        hooks = {f"webhook:{each.name}": each.retry for each in program.webhooks}
        calls = {
            f"integration:{each.name}.{operation.name}": operation.retry or each.retry
            for each in program.integrations
            for operation in each.operations
        }
        self._tries = {name: tries_of(retry) for name, retry in {**hooks, **calls}.items()}
        self.wake.set()

    async def step(self) -> float | None:
        """Send what is due. Returns the tick of the next delivery."""
        while not self._stopped:
            room = self._limit - len(self._flying)
            if room <= 0:
                return None  # woken by the end of a call
            now = self._steady.now()
            found, due = await self._take(now, room)
            if not found:
                return self._wish(due)
        return None

    def _wish(self, due: float | None) -> float | None:
        """The next tick of interest. Where others share the database, one of them may have gone and
        left its deliveries: then it is worth a look now and then."""
        tick = self._clock.tick()
        wish = max(tick + _BREATH, self._steady.tick_of(due)) if due is not None else None
        if self._sole:
            return wish
        return tick + LOOK_AGAIN if wish is None else min(wish, tick + LOOK_AGAIN)

    async def _take(self, now: float, room: int) -> tuple[bool, float | None]:
        """Claim what is due; whether there was anything, and when the next one is. It looks through
        the writer, which has every commit that somebody was woken by."""

        def work(conn: Session) -> tuple[list[Delivery], float | None]:
            deliveries.reclaim(conn, self._owner, now, sole=self._sole)
            until = now + self._longest() + _MARGIN
            found = deliveries.claim(conn, self._owner, now, until, room)
            return found, deliveries.next_due(conn)

        found, due = await self._database.write(work, alone=True)
        for each in found:
            self._flying.start(each.id, self._fly(each), each.id)
        return bool(found), due

    def _longest(self) -> float:
        return max((SECONDS, *self._integrations.timeouts.values()))

    async def landed(self) -> None:
        """Wait for the end of every call under way."""
        await self._flying.landed()

    async def drain(self, seconds: float) -> None:
        """Claim nothing more; let calls under way end for `seconds`."""
        self._stopped = True
        await self._flying.drain(seconds)

    async def _fly(self, delivery: Delivery) -> None:
        began = self._steady.now()
        try:
            outcome = await self._called(delivery)
            await self._settle(delivery, outcome, began)
        finally:
            self._flying.end(delivery.id)
            self.wake.set()

    async def _called(self, delivery: Delivery) -> Outcome:
        kind, _, name = delivery.target.partition(":")
        if kind == "webhook":
            hook = self._webhooks.get(name)
            if hook is None:
                return Outcome("failed", error=f"webhook {name} is not declared any more")
            return await hook.send(delivery.name, delivery.id, _body(delivery))
        timeout = self._integrations.timeouts.get(name, SECONDS)
        return await self._integrations.call(_claim_of(delivery, name, timeout))

    async def _settle(self, delivery: Delivery, outcome: Outcome, began: float) -> None:
        tries = self._tries.get(delivery.target, _ONCE)
        verdict = model.judge(outcome, delivery.attempt, tries, self._dice, unknown=False)
        self._metrics.delivered(delivery.target, outcome.kind)
        given_up = verdict.state in ("failed", "unknown")
        if given_up:
            about = {"id": delivery.event, "name": delivery.name, "target": delivery.target}
            _log.error("an event was not delivered", **about, error=outcome.error)
        ended = self._steady.now()

        def settle(conn: Session) -> bool:
            counts = deliveries.settle(conn, delivery, outcome, verdict, began, ended)
            if not (counts and given_up):
                return False
            letters, key = self._integrations.dead_letters, key_of(delivery)
            return of_delivery(conn, letters, delivery, key, outcome.error, ended)

        while True:
            try:
                if await self._database.write(settle):
                    self.on_outbox()
                return
            except Fault as trouble:
                _log.error("a delivery could not be stored yet", error=trouble.message)
                await self._clock.sleep(self._clock.tick() + _PAUSE)


def _body(delivery: Delivery) -> bytes:
    told: Mapping[str, object] = {
        "id": delivery.event,
        "event": delivery.name,
        "created_at": rfc3339(delivery.created_at),
        "payload": msgspec.Raw(delivery.payload.encode()),
    }
    return msgspec.json.encode(told)


def key_of(delivery: Delivery) -> str:
    """The idempotency key of all tries of a call that an event asks for."""
    return f"{delivery.event}/{delivery.target}/{delivery.id}"


def _claim_of(delivery: Delivery, target: str, timeout: float) -> Claim:
    return Claim(
        execution=delivery.event,
        workflow=delivery.name,
        phase="forward",
        position=0,
        item=-1,
        name=delivery.target,
        attempt=delivery.attempt,
        token=delivery.id,
        key=key_of(delivery),
        target=target,
        payload=delivery.payload,
        timeout=timeout,
    )
