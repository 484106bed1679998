"""What a person begins: a workflow with an input of their own, an event, a replay of one."""

import json

import msgspec

from backstay.app.errors import INVALID
from backstay.app.flow.errors import NO_EVENT, NO_TARGET, UNKNOWN_EVENT
from backstay.app.flow.plans import ProgramPlan, WorkflowPlan
from backstay.app.flow.publishing import Publisher, Told
from backstay.app.plan.checks import Mistake, fault_of, read_json
from backstay.app.plan.unit import Unit
from backstay.core.errors import Fault

Values = dict[str, object]
_INSIDE = ("workflow", "emit")


def input_of(plan: WorkflowPlan, body: bytes) -> Values:
    """The input of a workflow from a JSON object, an empty body being an empty one; that of a
    workflow which an undeclared event starts has the event under `event`. Raises APP010, APP011."""
    raw = body.strip() or b"{}"
    if not plan.input.free:
        return plan.input.body.decode(raw)
    found = read_json(raw)
    if not isinstance(found, dict):
        raise fault_of(INVALID, "the input", [Mistake("", "expected an object")])
    event = json.loads(raw).get("event")
    rest = {name: value for name, value in found.items() if name != "event"}
    return {**plan.input.body.decode(json.dumps(rest).encode()), "event": event}


def payload_of(served: ProgramPlan, name: str, payload: object) -> Values:
    """The payload of an event as Python values. Raises APP215, APP011."""
    plan = served.event(name)
    if plan is None:
        raise Fault(UNKNOWN_EVENT, name=name)
    if not isinstance(payload, dict):
        raise fault_of(INVALID, "the payload", [Mistake("", "expected an object")])
    if plan.body is None:
        return dict(payload)
    return plan.body.decode(msgspec.json.encode(payload))


def replay(
    publisher: Publisher, unit: Unit, served: ProgramPlan, id: str, target: str
) -> list[str]:
    """Deliver an event once more, to `target` or to all outside; the targets. What happens inside
    (a workflow starts) is only done again when it is named. Raises APP217, APP218."""
    found = unit.conn.execute(
        "SELECT event, payload, created_at FROM events WHERE id = ?", (id,)
    ).fetchone()
    if found is None:
        raise Fault(NO_EVENT, id=id)
    before = unit.conn.execute(
        "SELECT target, max(run) FROM backstay_deliveries WHERE event = ? GROUP BY target"
        " ORDER BY target",
        (id,),
    )
    runs = {str(name): int(run) for name, run in before}
    if target and target not in runs:
        raise Fault(NO_TARGET, id=id, target=target, known=", ".join(runs) or "none")
    outside = [name for name in runs if name.partition(":")[0] not in _INSIDE]
    wanted = [target] if target else outside
    run = 1 + max((runs[name] for name in wanted), default=0)
    told = Told(id, str(found[0]), str(found[1]), publisher.now(), run)
    publisher.replay(unit, served, told, wanted)
    return wanted
