"""Events, published: the event and everything it starts are rows of the emitter's transaction.

Listeners are those of the program being served, so that a mended handler is heard from then on;
an event that only an old program knows has that program's own listeners.
"""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from backstay.app.flow import rows, service
from backstay.app.flow.errors import PROGRAM_MISSING, UNKNOWN_EVENT
from backstay.app.flow.plans import Catalog, EventPlan, ProgramPlan
from backstay.app.flow.signals import heard
from backstay.app.plan.operators import truth
from backstay.app.plan.unit import Emitter, Unit
from backstay.app.store.session import Session
from backstay.core.clock import Ids, rfc3339
from backstay.core.errors import Fault


class Told(msgspec.Struct, frozen=True):
    """An event on its way to its listeners. `payload` is JSON text, `now` epoch seconds."""

    id: str
    event: str
    payload: str
    now: float
    run: int = 1


class Publisher:
    """Publishes inside any transaction of the database. `now` is the engine's steady time."""

    def __init__(self, catalog: Catalog, now: Callable[[], float]) -> None:
        self._catalog = catalog
        self._now = now
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakers: list[Callable[[], None]] = []

    def started(self, loop: asyncio.AbstractEventLoop, *wakers: Callable[[], None]) -> None:
        """From now on these are called, in their loop, after each commit of an event that has a
        listener."""
        self._loop, self._wakers = loop, list(wakers)

    def emitter(self, program: str, origin: str = "") -> Emitter:
        """How statements of this program publish; `origin` is the execution or job they are of."""

        def emit(unit: Unit, event: str, values: Mapping[str, object]) -> str:
            return self.publish(unit, program, event, values, origin)

        return emit

    def publish(
        self, unit: Unit, program: str, event: str, values: Mapping[str, object], origin: str
    ) -> str:
        """Keep the event and begin what it starts; its id. Raises APP204 or APP215."""
        own = self._catalog.get(program)
        if own is None:
            raise Fault(PROGRAM_MISSING, program=program, executions=1)
        plan = own.event(event)
        if plan is None:
            raise Fault(UNKNOWN_EVENT, name=event)
        given = dict(values)
        if plan.body is not None:
            plan.body.fill(unit, given)
        told = Told(unit.ids.new(), plan.name, plan.shape(given), self._now())
        self._keep(unit, told, origin, "")
        return told.id

    def now(self) -> float:
        """The engine's steady time, in epoch seconds."""
        return self._now()

    def replay(self, unit: Unit, program: ProgramPlan, told: Told, targets: list[str]) -> None:
        """Deliver a kept event once more to these targets."""
        plan = program.event(told.event)
        if plan is None:
            raise Fault(UNKNOWN_EVENT, name=told.event)
        for target in targets:
            self._deliver(unit, program, plan, told, target)
        unit.conn.after(self._wake)

    def listeners(self, event: str) -> tuple[ProgramPlan, EventPlan] | None:
        """The program that says what this event starts, and what it says."""
        served = self._catalog.served
        plan = served.event(event) if served else None
        return (served, plan) if served and plan else None

    def _keep(self, unit: Unit, told: Told, origin: str, cause: str) -> None:
        unit.conn.execute(
            "INSERT INTO events (id, event, payload, origin, cause, created_at)"
            " VALUES (?,?,?,?,?,?)",
            (told.id, told.event, told.payload, origin, cause, told.now),
        )
        found = self.listeners(told.event)
        if found is not None:
            program, plan = found
            for target in targets_of(unit, plan, told):
                self._deliver(unit, program, plan, told, target)
        if heard(unit.conn, self._catalog, unit.ids, told.event, told.payload, told.now) or found:
            unit.conn.after(self._wake)

    def _deliver(
        self, unit: Unit, program: ProgramPlan, plan: EventPlan, told: Told, target: str
    ) -> None:
        kind, _, name = target.partition(":")
        state, made, error = "pending", "", ""
        if kind in ("workflow", "emit", "task"):
            state = "done"
            try:
                with unit.conn.savepoint():
                    made = self._inside(unit, program, plan, told, kind, name)
            except (Fault, ValueError) as refused:
                # The listener's trouble is not the emitter's: it is kept beside the event.
                error = refused.message if isinstance(refused, Fault) else str(refused)
                state = "failed"
        add_delivery(unit.conn, unit.ids, told, target, state, made, error)

    def _inside(
        self, unit: Unit, program: ProgramPlan, plan: EventPlan, told: Told, kind: str, name: str
    ) -> str:
        values = plan.scope(told.payload)
        if kind == "task":
            return _handed_out(unit, plan, told, f"task:{name}", values)
        if kind == "workflow":
            given = {
                field.name: values[field.name]
                for field in program.workflow(name).input.fields
                if field.name in values
            }
            if program.workflow(name).input.free:
                given["event"] = values["event"]
            return service.start(unit, program, name, given, told.now)
        target = program.events[name]
        payload = msgspec.json.decode(told.payload, type=dict[str, object])
        fields = target.scope("{}").keys() - {"event"}
        text = msgspec.json.encode({key: payload[key] for key in fields if key in payload}).decode()
        follows = Told(unit.ids.new(), target.name, text, told.now)
        self._keep(unit, follows, "", told.id)
        return follows.id

    def _wake(self) -> None:
        if self._loop is not None:
            for wake in self._wakers:
                self._loop.call_soon_threadsafe(wake)


def _handed_out(
    unit: Unit, plan: EventPlan, told: Told, target: str, values: Mapping[str, object]
) -> str:
    """Put the event into the outbox as a task for its worker; the task's key. Raises ValueError
    where the program does not publish there any more."""
    if target not in plan.tasks:
        raise ValueError(f"{told.event} is not published to {target} any more")
    command, payload = plan.tasks[target]
    said = msgspec.json.decode(payload(unit, values), type=dict[str, object])
    about = {
        "id": told.id,
        "event": told.event,
        "created_at": rfc3339(told.now),
        "payload": msgspec.Raw(told.payload.encode()),
    }
    key = f"{told.id}/{target}/{told.run}/told"
    text = msgspec.json.encode({**said, **about}).decode()
    rows.add_alone(unit.conn, key, told.id, command, text, told.now)
    return key


def targets_of(unit: Unit, plan: EventPlan, told: Told) -> list[str]:
    """Where the event goes; outside only when its own condition holds."""
    found = [f"workflow:{name}" for name in plan.workflows]
    found += [f"emit:{name}" for name in plan.emits]
    if plan.when is None or truth(plan.when(unit, plan.scope(told.payload))):
        found += plan.outside
    return found


def add_delivery(
    conn: Session, ids: Ids, told: Told, target: str, state: str, made: str, error: str
) -> None:
    """Keep where an event goes: once for each of its runs."""
    conn.execute(
        "INSERT INTO backstay_deliveries (id, event, target, run, state, made, due_at, error,"
        " created_at, ended_at) VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            ids.new(),
            told.id,
            target,
            told.run,
            state,
            made,
            told.now,
            error,
            told.now,
            None if state == "pending" else told.now,
        ),
    )
