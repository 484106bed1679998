"""`dead_letter: queue("NAME")` of an integration: a call that is given up becomes a task of that
name, in the commit that gave it up, so that a person or a program can look after it.

The task goes the way of every outside call, through the outbox and at least once; nobody waits for
what its worker answers.
"""

from collections.abc import Mapping

import msgspec

from backstay.app.errors import UNFIT
from backstay.app.flow import model, rows
from backstay.app.flow.deliveries import Delivery
from backstay.app.flow.plans import WorkflowPlan
from backstay.app.flow.rows import Execution, Step
from backstay.app.flow.turn import Turn
from backstay.app.store.session import Session
from backstay.core.errors import Fault
from backstay.lang.program import Constant, Integration


def command_of(declared: Integration) -> str:
    """The command of its dead letters, "" for none. Raises APP005."""
    settings = dict(declared.settings).get("dead_letter")
    if settings is None:
        return ""
    name = dict(settings.values).get("0")
    if settings.label == "queue" and isinstance(name, Constant) and str(name.value or "").strip():
        return str(name.value)
    where = f"dead_letter of integration {declared.name}"
    problem = "it does not name the command of a task"
    raise Fault(UNFIT, where=where, problem=problem, instead='write queue("failed-calls")')


def of_step(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step) -> None:
    """A call of a workflow was given up: write its letter, where its integration wants one."""
    target = plan.work_at(step.phase, step.position).target
    command = turn.ground.dead_letters.get(target.partition(".")[0], "")
    if not command:
        return
    about: dict[str, object] = {
        "execution": row.id,
        "workflow": row.workflow,
        "step": step.name,
        "phase": step.phase,
        **({"item": step.item} if step.item != rows.WHOLE else {}),
        "attempts": step.attempt,
    }
    key = model.call_key(step.key, step.phase, row.run, step.attempt)
    text = _text(target, step.key, step.input, step.error, about)
    rows.add_alone(turn.conn, f"{key}/dead", row.id, command, text, turn.now)
    turn.notes.outbox = True


def of_delivery(
    conn: Session, letters: Mapping[str, str], delivery: Delivery, key: str, error: str, now: float
) -> bool:
    """A call that an event asked for was given up; whether there is a letter of it."""
    kind, _, target = delivery.target.partition(":")
    command = letters.get(target.partition(".")[0], "") if kind == "integration" else ""
    if command:
        about: dict[str, object] = {
            "event": delivery.event,
            "name": delivery.name,
            "attempts": delivery.attempt,
        }
        text = _text(target, key, delivery.payload, error, about)
        rows.add_alone(conn, f"{key}/dead", delivery.event, command, text, now)
    return bool(command)


def _text(
    target: str, key: str, given: str | None, error: str | None, about: Mapping[str, object]
) -> str:
    integration, _, operation = target.partition(".")
    letter = {
        "integration": integration,
        "operation": operation,
        "key": key,
        "input": msgspec.Raw((given or "null").encode()),
        "error": error or "",
        **about,
    }
    return msgspec.json.encode(letter).decode()
