"""Small workflows that show one thing each, over the entities of the orders example."""

import msgspec
from tests.app import programs as p

from backstay.lang.program import (
    CallStep,
    Constant,
    DoStep,
    Expr,
    Field,
    Get,
    Program,
    Retry,
    Statement,
    Step,
    TaskStep,
    Workflow,
)

NAME = Field("name", p.STRING, required=True)
_NAME = p.Name("name", p.STRING)


def write_down(text: str) -> DoStep:
    """Writes a row that says where the execution was: `<name>:<text>`."""
    mark: tuple[Statement, ...] = (
        p.Create(
            "Customer",
            (("name", p.text(text)), ("email", p.join(_NAME, p.text(f":{text}")))),
        ),
    )
    return DoStep(mark)


def call(operation: str = "charge", **args: Expr) -> CallStep:
    return CallStep("Payments", operation, (("order", _NAME), *args.items()))


def task(command: str = "WORK") -> TaskStep:
    return TaskStep(command, p.Record((("order", _NAME),), p.RecordType(())))


def output(step: str, field: str) -> Expr:
    steps = p.Name("steps", p.RecordType(()))
    return Get(Get(steps, step, p.UnknownType()), field, p.UnknownType())


def false() -> Expr:
    return Constant(False, p.BOOL)


def workflow(*steps: Step, timeout: float = 3600.0, on_fail: bool = False) -> Workflow:
    body = write_down("on_fail").body if on_fail else ()
    return Workflow("small", (NAME,), steps, timeout, on_fail=body)


def with_workflow(made: Workflow, hash: str = "5" * 64) -> Program:
    """The example's program with this workflow beside its own."""
    base = p.orders()
    return msgspec.structs.replace(base, hash=hash, workflows=(*base.workflows, made))


def tries(times: int, initial: float = 1.0, cap: float = 8.0) -> Retry:
    return Retry(times, "fixed", initial, cap)
