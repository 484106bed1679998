"""A program's workflows, jobs and integrations made ready to run: every expression compiled once.

`Catalog` holds the plans of each program that a living execution is pinned to (decision 9); the
newest one is what new executions start with.
"""

from collections.abc import Callable, Mapping

import msgspec

from backstay.app.errors import NOT_SUPPORTED
from backstay.app.flow.errors import UNKNOWN_WORKFLOW
from backstay.app.flow.model import Kind, Tries
from backstay.app.plan.expressions import compile_expr
from backstay.app.plan.statements import compile_block
from backstay.app.plan.unit import Closure, Unit
from backstay.app.values import codec
from backstay.core.backoff import Backoff
from backstay.core.errors import Fault
from backstay.lang.program import (
    CallStep,
    DoStep,
    Expr,
    Job,
    Program,
    Retry,
    Statement,
    Step,
    TaskStep,
    Work,
    Workflow,
)

Block = Callable[[Unit, dict[str, object]], None]
Payload = Callable[[Unit, Mapping[str, object]], str]


class WorkPlan(msgspec.Struct, frozen=True):
    """One piece of work. `target` is `Integration.operation` or the queue's command; `payload`
    gives the JSON text that goes there; `block` is the body of database work."""

    kind: Kind
    target: str = ""
    block: Block | None = None
    payload: Payload | None = None

    @property
    def says(self) -> str:
        """As a person reads it in the history."""
        return f"{self.kind} {self.target}".strip()


class StepPlan(msgspec.Struct, frozen=True):
    """`timeout` is seconds for one attempt, 0 for the workflow's."""

    name: str
    work: WorkPlan
    tries: Tries
    timeout: float
    when: Closure | None = None
    undo: WorkPlan | None = None


class WorkflowPlan(msgspec.Struct, frozen=True):
    """`shape` and `parse` take the input to JSON and back."""

    name: str
    description: str
    timeout: float
    steps: tuple[StepPlan, ...]
    on_fail: WorkPlan | None
    shape: Callable[[Mapping[str, object]], str]
    parse: Callable[[str], dict[str, object]]


class JobPlan(msgspec.Struct, frozen=True):
    job: Job
    block: Block


class ProgramPlan(msgspec.Struct, frozen=True):
    """What one program can run in the background."""

    hash: str
    workflows: Mapping[str, WorkflowPlan]
    jobs: Mapping[str, JobPlan]

    def workflow(self, name: str) -> WorkflowPlan:
        """Raises APP201."""
        found = self.workflows.get(name)
        if found is None:
            raise Fault(UNKNOWN_WORKFLOW, workflow=name)
        return found


class Catalog:
    """Plans by the program's hash. Filled by the event loop, read by the writer's thread."""

    def __init__(self) -> None:
        self._plans: dict[str, ProgramPlan] = {}

    def add(self, program: Program) -> ProgramPlan:
        """Compile it, unless it is known."""
        found = self._plans.get(program.hash)
        if found is None:
            found = self._plans[program.hash] = compile_program(program)
        return found

    def get(self, hash: str) -> ProgramPlan | None:
        return self._plans.get(hash)

    def workflow(self, hash: str, name: str) -> WorkflowPlan | None:
        """None when the program, or the workflow in it, is not here."""
        plan = self._plans.get(hash)
        return plan.workflows.get(name) if plan else None


def compile_program(program: Program) -> ProgramPlan:
    """All plans of a checked program."""
    return ProgramPlan(
        hash=program.hash,
        workflows={flow.name: _workflow(program, flow) for flow in program.workflows},
        jobs={job.name: JobPlan(job, compile_block(program, job.body)) for job in program.jobs},
    )


def _workflow(program: Program, flow: Workflow) -> WorkflowPlan:
    codecs = {field.name: codec(program, field.type) for field in flow.input}

    def shape(values: Mapping[str, object]) -> str:
        shaped = {name: codecs[name].shape(value) for name, value in values.items()}
        return msgspec.json.encode(shaped).decode()

    def parse(text: str) -> dict[str, object]:
        values: dict[str, object] = msgspec.json.decode(text)
        return {name: kind.parse(values.get(name)) for name, kind in codecs.items()}

    return WorkflowPlan(
        name=flow.name,
        description=flow.description,
        timeout=flow.timeout,
        steps=tuple(_step(program, step) for step in flow.steps),
        on_fail=_do(program, flow.on_fail) if flow.on_fail else None,
        shape=shape,
        parse=parse,
    )


def _step(program: Program, step: Step) -> StepPlan:
    return StepPlan(
        name=step.name,
        work=_work(program, step.work),
        tries=Tries(step.retry.times, _backoff(step.retry)),
        timeout=step.timeout,
        when=compile_expr(program, step.when) if step.when is not None else None,
        undo=_work(program, step.compensate) if step.compensate is not None else None,
    )


def _work(program: Program, work: Work) -> WorkPlan:
    match work:
        case DoStep(body=body):
            return _do(program, body)
        case CallStep(integration=integration, operation=operation, args=args):
            target = f"{integration}.{operation}"
            return WorkPlan("call", target, payload=_arguments(program, args))
        case TaskStep(command=command, payload=payload):
            return WorkPlan("task", command, payload=_json(program, payload))
        case _:
            # `app.unsupported` keeps programs with these from being served.
            raise Fault(NOT_SUPPORTED, where="a step", what=type(work).__name__.lower())


def _do(program: Program, body: tuple[Statement, ...]) -> WorkPlan:
    return WorkPlan("do", block=compile_block(program, body))


def _arguments(program: Program, args: tuple[tuple[str, Expr], ...]) -> Payload:
    compiled = [
        (name, compile_expr(program, expr), codec(program, expr.type).shape) for name, expr in args
    ]

    def arguments(unit: Unit, scope: Mapping[str, object]) -> str:
        values = {name: shape(value(unit, scope)) for name, value, shape in compiled}
        return msgspec.json.encode(values).decode()

    return arguments


def _json(program: Program, expr: Expr) -> Payload:
    value, shape = compile_expr(program, expr), codec(program, expr.type).shape
    return lambda unit, scope: msgspec.json.encode(shape(value(unit, scope))).decode()


def _backoff(retry: Retry) -> Backoff:
    """Exponential delays get full jitter: a target that came back is not met by a herd."""
    policy = "exp_full_jitter" if retry.backoff == "exponential" else retry.backoff
    return Backoff(policy, base=retry.initial, cap=max(retry.cap, retry.initial))
