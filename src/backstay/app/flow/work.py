"""One piece of a workflow's work, made ready to run: what a step does, and what undoes it.

Work in the database is a block, or a query with an answer; a call and a task have a target and a
payload that leaves the process. What Backstay has no wire for (`send: email(…)`, `cancel_it(…)`) is
a task whose command is its name: the worker who has the wire takes it.
"""

from collections.abc import Callable, Mapping

import msgspec

from backstay.app.errors import DECLINED, NOT_SUPPORTED, UNFIT
from backstay.app.flow import old
from backstay.app.flow.model import Kind
from backstay.app.flow.queries import Answer, compile_query
from backstay.app.plan.acts import Deed, Offer, deed
from backstay.app.plan.expressions import compile_expr
from backstay.app.plan.statements import compile_block
from backstay.app.plan.unit import Scope, Unit
from backstay.app.values import as_text, codec, same
from backstay.core.errors import Fault
from backstay.lang.program import (
    Act,
    ActStep,
    CallStep,
    Constant,
    DoStep,
    EmitStep,
    Expr,
    NoWork,
    Program,
    QueryStep,
    Said,
    SignalStep,
    Statement,
    Step,
    TaskStep,
    Work,
)

Block = Callable[[Unit, dict[str, object]], None]
Payload = Callable[[Unit, Mapping[str, object]], str]


class WorkPlan(msgspec.Struct, frozen=True):
    """One piece of work. `target` is `Integration.operation`, the queue's command or a signal;
    `payload` gives the JSON text that goes there; `block` is the body of database work, `answer`
    the same with a result as JSON text."""

    kind: Kind
    target: str = ""
    block: Block | None = None
    payload: Payload | None = None
    answer: Answer | None = None

    @property
    def says(self) -> str:
        """As a person reads it in the history."""
        return f"{self.kind} {self.target}".strip()


class Named(msgspec.Struct, frozen=True):
    """What an action said by its name comes to. `deed` happens in the transaction, `work` is a step
    of its own; `message` is the text of a `reject`. With none of them it is a word about what
    follows: `goes_on` (skip, ignore, log_…) or the turning round (rollback)."""

    deed: Deed | None = None
    work: WorkPlan | None = None
    message: Payload | None = None
    goes_on: bool = False


def compile_work(program: Program, work: Work, offer: Offer, where: str) -> WorkPlan:
    """The work of a step or of a compensation. Raises APP004 or APP005."""
    match work:
        case DoStep(body=body):
            return WorkPlan("do", block=compile_block(program, body))
        case NoWork():
            return WorkPlan("do", block=_nothing)
        case EmitStep(emit=emit):
            return WorkPlan("do", emit.event, block=compile_block(program, (emit,)))
        case QueryStep(text=text):
            return WorkPlan("do", "query", answer=compile_query(program, text))
        case CallStep(integration=integration, operation=operation, args=args):
            target = f"{integration}.{operation}"
            return WorkPlan("call", target, payload=arguments(program, args))
        case TaskStep(command=command, payload=payload):
            return WorkPlan("task", command, payload=_json(program, payload))
        case SignalStep(signal=signal):
            return WorkPlan("signal", signal)
        case ActStep(verb="activity", act=act):
            return WorkPlan("task", act.name, payload=arguments(program, act.options))
        case ActStep(act=act):
            return as_work(program, act, offer, where)
        case _:
            # `app.unsupported` keeps programs with these from being served.
            raise Fault(NOT_SUPPORTED, where=where, what=type(work).__name__.lower())


def compile_named(program: Program, act: Act, offer: Offer, where: str) -> Named:
    """An action by its name. Raises APP005 for one that has no meaning there."""
    if act.name == "rollback":
        return Named()
    if act.name in ("skip", "ignore"):
        return Named(goes_on=True)
    if act.name == "reject":
        return Named(message=_message(program, act))
    done = deed(program, act, offer, where)
    if done is not None:
        return Named(deed=done, goes_on=act.name.startswith("log_"))
    return Named(work=_outside(program, act, where))


def compile_said(program: Program, said: Said, offer: Offer, where: str) -> Named:
    """An action by its name, or statements, which are done in the transaction."""
    if isinstance(said, Act):
        return compile_named(program, said, offer, where)
    block = compile_block(program, said.body)
    return Named(deed=lambda unit, scope: block(unit, dict(scope)))


def as_work(program: Program, act: Act, offer: Offer, where: str) -> WorkPlan:
    """The action as the whole work of a step."""
    named = compile_named(program, act, offer, where)
    if named.message is not None:
        return WorkPlan("do", act.name, block=_declined(named.message))
    return _something(named, act, where)


def compile_body(
    program: Program, body: tuple[Statement, ...], offer: Offer, where: str
) -> WorkPlan | None:
    """`on_fail { … }`, or a name as in `on_fail: rollback`; None where nothing is to be done."""
    if not body:
        return None
    if len(body) == 1 and isinstance(body[0], Act):
        named = compile_named(program, body[0], offer, where)
        if named == Named() and where.endswith("on_fail"):
            return None  # rollback: what happens anyhow
        return _something(named, body[0], where)
    return WorkPlan("do", block=compile_block(program, body))


def compile_undo(program: Program, step: Step, work: Work, offer: Offer, where: str) -> WorkPlan:
    """The work of a compensation, which has to do something. An old activity is told what the step
    was told."""
    if not isinstance(work, ActStep):
        return compile_work(program, work, offer, where)
    if work.verb == "activity":
        return with_options(program, compile_work(program, work, offer, where), step, where)
    return _something(compile_named(program, work.act, offer, where), work.act, where)


def _something(named: Named, act: Act, where: str) -> WorkPlan:
    """The action as work. Raises APP005 for a word that only says how a step goes on."""
    if named.work is not None:
        return named.work
    if named.deed is not None:
        return WorkPlan("do", act.name, block=named.deed)
    problem, instead = f"'{act.name}' does nothing there", "name what is done, or leave it out"
    raise Fault(UNFIT, where=where, problem=problem, instead=instead)


def arguments(
    program: Program, args: tuple[tuple[str, Expr], ...], *, quoted: bool = False
) -> Payload:
    """Named values as one JSON object. `quoted`: paths stand in quotes, as the oldest say them."""
    compiled = [
        (name, path, same)
        if quoted and (path := old.path(expr))
        else (name, compile_expr(program, expr), codec(program, expr.type).shape)
        for name, expr in args
    ]

    def payload(unit: Unit, scope: Mapping[str, object]) -> str:
        values = {name: shape(value(unit, scope)) for name, value, shape in compiled}
        return msgspec.json.encode(values).decode()

    return payload


_ON_ROWS = ("create", "update", "delete", "retry", "webhook")


def _outside(program: Program, act: Act, where: str) -> WorkPlan:
    integration, dot, operation = act.name.partition(".")
    if dot:
        known = {(one.name, op.name): op for one in program.integrations for op in one.operations}
        if (integration, operation) not in known:
            problem = f"there is no operation {act.name}"
            raise Fault(UNFIT, where=where, problem=problem, instead="declare the integration")
        return WorkPlan("call", act.name, payload=arguments(program, act.options))
    functions = {each.name for each in program.functions}
    if act.name in _ON_ROWS or act.name in functions or not act.name:
        problem = f"the action '{act.name}' cannot stand here"
        raise Fault(UNFIT, where=where, problem=problem, instead="write do { … } or call: …")
    args = tuple((str(at), arg) for at, arg in enumerate(act.args))
    return WorkPlan("task", act.name, payload=_spoken(program, args, act.options))


def _spoken(
    program: Program, args: tuple[tuple[str, Expr], ...], options: tuple[tuple[str, Expr], ...]
) -> Payload:
    first, rest = arguments(program, args), arguments(program, options)

    def payload(unit: Unit, scope: Mapping[str, object]) -> str:
        values = msgspec.json.decode(first(unit, scope), type=dict[str, object])
        named = msgspec.json.decode(rest(unit, scope), type=dict[str, object])
        return msgspec.json.encode({"args": list(values.values()), **named}).decode()

    return payload


def with_options(program: Program, work: WorkPlan, step: Step, where: str) -> WorkPlan:
    """A task whose step says more about it: `input`, `template`, `data`, `subject`, … Raises APP005
    for other work, which has no use for that."""
    options = tuple((n, value) for n, value in step.options if n not in ("if", "parallel"))
    if not options:
        return work
    if work.kind != "task" or work.payload is None:
        problem = f"'{options[0][0].partition('.')[0]}' says nothing to {work.says}"
        instead = "give the values in the braces of call, task or emit"
        raise Fault(UNFIT, where=where, problem=problem, instead=instead)
    oldest = isinstance(step.work, ActStep) and step.work.verb == "activity"
    own, more = work.payload, arguments(program, options, quoted=oldest)

    def payload(unit: Unit, scope: Mapping[str, object]) -> str:
        values = msgspec.json.decode(own(unit, scope), type=dict[str, object])
        return msgspec.json.encode(values | nested(more(unit, scope))).decode()

    return msgspec.structs.replace(work, payload=payload)


def nested(text: str) -> dict[str, object]:
    """`data.name` and its like as a record in the record; what `input` holds stands outside."""
    found: dict[str, object] = {}
    for name, value in msgspec.json.decode(text, type=dict[str, object]).items():
        group, dot, rest = name.partition(".")
        if not dot or group == "input":
            found[rest or name] = value
        else:
            inner = found.setdefault(group, {})
            if isinstance(inner, dict):
                inner[rest] = value
    return found


def _message(program: Program, act: Act) -> Payload:
    parts = [(compile_expr(program, arg), codec(program, arg.type).shape) for arg in act.args]
    return lambda unit, scope: " ".join(as_text(shape(v(unit, scope))) for v, shape in parts)


def message_of(program: Program, expr: Expr | None, otherwise: str) -> Payload:
    """The text of a check or a reject."""
    if expr is None or isinstance(expr, Constant):
        said = otherwise if expr is None else str(expr.value)
        return lambda _unit, _scope: said
    value, shape = compile_expr(program, expr), codec(program, expr.type).shape
    return lambda unit, scope: as_text(shape(value(unit, scope)))


def _declined(message: Payload) -> Block:
    def run(unit: Unit, scope: dict[str, object]) -> None:
        raise Fault(DECLINED, says=message(unit, scope))

    return run


def _nothing(_unit: Unit, _scope: Scope) -> None:
    """A step that only checks."""


def _json(program: Program, expr: Expr) -> Payload:
    value, shape = compile_expr(program, expr), codec(program, expr.type).shape
    return lambda unit, scope: msgspec.json.encode(shape(value(unit, scope))).decode()
