"""What can be done with a served program: read a list or a row, run an action, take a seed.

Reads go to the read connections, writes into one transaction of the single writer. No HTTP here.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from backstay.app.audit.rows import Deed, insert
from backstay.app.errors import BAD_QUERY, CHANGED, MISSING_ROLE, NO_ROW
from backstay.app.plan.actions import ActionPlan
from backstay.app.plan.asked import Page
from backstay.app.plan.checks import Mistake, fault_of, together
from backstay.app.plan.endpoints import EndpointPlan
from backstay.app.plan.grants import Grants
from backstay.app.plan.lists import ListPlan
from backstay.app.plan.params import Query, refuse_unknown
from backstay.app.plan.reads import OnePlan
from backstay.app.plan.unit import Emitter, Scope, Starter, Unit
from backstay.app.store.idempotency import Answer, Slot, Taken, keep, recall
from backstay.app.store.session import Database, Session
from backstay.app.tags import matches, tag_of
from backstay.app.values import micros
from backstay.core.clock import Clock, Dice, Ids, SystemDice
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.faults import AUTH_MISSING
from backstay.lang.program import Program


class Ask(msgspec.Struct, frozen=True):
    """A request as a face hands it over; header names are in lower case. `key` is the
    Idempotency-Key, `match` the If-Match, each "" for none; `request` is its id."""

    principal: Principal
    path: str
    params: Mapping[str, str]
    query: Query
    body: bytes = b""
    key: str = ""
    headers: Mapping[str, str] = {}
    match: str = ""
    request: str = ""


class Runtime(msgspec.Struct, frozen=True):
    """What all use cases of one process share. `start` begins workflows and `emit` publishes events
    inside a transaction; `audit`: who changed what is kept with the change."""

    program: Program
    database: Database
    clock: Clock
    ids: Ids
    env: Mapping[str, str | None]
    start: Starter | None = None
    emit: Emitter | None = None
    grants: Grants | None = None
    audit: bool = False
    dice: Dice = SystemDice()

    def seen(self, who: Principal) -> Principal:
        """The principal with what its roles grant in this program."""
        return self.grants.of(who) if self.grants is not None else who

    def unit(self, conn: Session, principal: Principal) -> Unit:
        """A transaction's context at this moment."""
        now = micros(self.clock.now())
        return Unit(conn, now, self.ids, self.env, principal, self.start, self.emit, self.dice)


def admit(program: Program, plan: EndpointPlan, who: Principal) -> None:
    """Whether this principal may use the endpoint at all; rows are judged by their own rules.

    `local` is a person at this machine: an endpoint that is `required` in a program with auth wants
    a customer's token from it, too. Raises AUTH005 (401) or APP015 (403).
    """
    known = who.kind != "anonymous" and not (who.kind == "local" and program.auth is not None)
    if plan.auth == "required" and not known:
        raise Fault(AUTH_MISSING)
    for group in plan.roles:
        if any(role in who.roles or who.may(role) for role in group):
            continue
        if who.kind == "anonymous":
            raise Fault(AUTH_MISSING)
        raise Fault(MISSING_ROLE, roles=", ".join(group), who=f"{who.kind} {who.sub}".strip())


async def read(runtime: Runtime, plan: EndpointPlan, does: ListPlan | OnePlan, ask: Ask) -> bytes:
    """A list or a row as JSON."""
    brought: dict[str, dict[str, object]] = {}
    asking = does.asked.parse if isinstance(does, ListPlan) else does.parse
    wanted, brought["path"], brought["headers"] = together(
        lambda: asking(ask.query), *_beside(plan, ask)
    )
    part, brought["query"] = wanted
    run: Callable[..., object]
    if isinstance(does, ListPlan):
        run, several = partial(does.run, page=part), does.several(part)
    else:
        run, several = partial(does.run, fields=part), does.several(part)

    def work(conn: Session) -> bytes:
        unit = runtime.unit(conn, ask.principal)
        scope = _scope(plan, unit, brought)
        plan.demands.judge(unit, scope)
        return msgspec.json.encode(run(unit, scope=scope))

    # Demands may compute anything; what rows cost, the database sees for itself.
    brief = not (plan.demands.any or (isinstance(part, Page) and part.long))
    return await runtime.database.read(work, snapshot=several or plan.demands.any, brief=brief)


async def act(runtime: Runtime, plan: EndpointPlan, does: ActionPlan, ask: Ask) -> Answer:
    """Run an action; durable on return. The same key and request again gives the first answer."""
    brought: dict[str, dict[str, object]] = {}
    body, brought["query"], brought["path"], brought["headers"] = together(
        lambda: does.body.decode(ask.body), lambda: _query(plan, ask), *_beside(plan, ask)
    )
    slot = _slot(plan, ask) if ask.key else None

    def work(conn: Session) -> Answer:
        unit = runtime.unit(conn, ask.principal)
        scope = _scope(plan, unit, brought)
        if ask.match:
            _require_match(plan, unit, scope, ask)
        answer = _answer(plan, does.run(unit, body, scope, plan.demands))
        if runtime.audit and unit.changes:
            deed = Deed(ask.principal, ask.request, plan.method, ask.path)
            insert(conn, runtime.ids.new(), deed, unit.now, answer.status, unit.changes)
        if slot is not None:
            keep(conn, slot, answer, unit.now)
        return answer

    if slot is None:
        return await runtime.database.write(work)
    return await _once(runtime, slot, work)


def _require_match(plan: EndpointPlan, unit: Unit, scope: Scope, ask: Ask) -> None:
    """Raises APP060 (412) unless the row is as the client saw it; nobody changes it before the
    transaction ends."""
    if plan.shows is None:
        reason = "no GET of this path shows a row that it could speak of"
        raise Fault(CHANGED, path=ask.path, reason=reason)
    try:
        shown = msgspec.json.encode(plan.shows.run(unit, scope))
    except Fault as fault:
        if fault.entry is not NO_ROW:
            raise
        raise Fault(CHANGED, path=ask.path, reason="there is no such row for you") from None
    if not matches(ask.match, shown):
        raise Fault(CHANGED, path=ask.path, reason=f"its ETag is {tag_of(shown)} now")


async def _once(runtime: Runtime, slot: Slot, work: Callable[[Session], Answer]) -> Answer:
    """Do it unless it was done, and never twice at the same time."""
    while True:
        recalled = partial(recall, slot=slot, clock=runtime.clock)
        before = await runtime.database.read(recalled, brief=True)
        if before is not None:
            return before
        try:
            return await runtime.database.write(work)
        except Taken:
            continue


def _answer(plan: EndpointPlan, value: object) -> Answer:
    if value is None:
        return Answer(204, b"") if plan.status in (200, 204) else Answer(plan.status, b"{}")
    return Answer(plan.status, msgspec.json.encode(value))


def _beside(
    plan: EndpointPlan, ask: Ask
) -> tuple[Callable[[], dict[str, object]], Callable[[], dict[str, object]]]:
    """What reads the path and what reads the headers."""
    return (
        lambda: plan.params.read(_single(ask.params)),
        lambda: plan.headers.of_headers(ask.headers),
    )


def _scope(
    plan: EndpointPlan, unit: Unit, brought: Mapping[str, dict[str, object]]
) -> dict[str, object]:
    path, asked, headers = (dict(brought[name]) for name in ("path", "query", "headers"))
    plan.params.fill(unit, path)
    plan.query.fill(unit, asked)
    plan.headers.fill(unit, headers)
    return {"path": path, "query": asked, "headers": headers, "body": {}}


def _single(params: Mapping[str, str]) -> Query:
    return {name: (text,) for name, text in params.items()}


def _query(plan: EndpointPlan, ask: Ask) -> dict[str, object]:
    mistakes: list[Mistake] = []
    found = plan.query.collect(ask.query, mistakes)
    refuse_unknown(ask.query, plan.query.names, mistakes)
    if mistakes:
        raise fault_of(BAD_QUERY, "the query", mistakes)
    return found


def _slot(plan: EndpointPlan, ask: Ask) -> Slot:
    who = ask.principal
    query = msgspec.json.encode({name: list(ask.query[name]) for name in sorted(ask.query)})
    return Slot(
        # Not joined by a sign: a subject may hold any, and one key must not be two people's.
        owner=msgspec.json.encode((who.tenant, who.kind, who.sub)).decode(),
        route=f"{plan.method} {ask.path}",
        key=ask.key,
        fingerprint=hashlib.sha256(query + b"\n" + ask.body).hexdigest(),
        kept=micros(plan.repeats.keep),
    )
