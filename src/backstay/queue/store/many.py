"""`FinishAll` for an engine that does each operation alone."""

from collections.abc import Sequence

from backstay.core.errors import Fault
from backstay.queue.model import Task
from backstay.queue.operations import FinishAll, Finished, Op, OpResult


def spread(ops: Sequence[Op]) -> Sequence[Op]:
    """The same operations, each result one of its own."""
    if not any(isinstance(op, FinishAll) for op in ops):
        return ops
    return [one for op in ops for one in (op.items if isinstance(op, FinishAll) else (op,))]


def gathered(ops: Sequence[Op], results: list[OpResult]) -> list[OpResult]:
    """What came of `spread(ops)`, told as of `ops`."""
    if len(ops) == len(results) and not any(isinstance(op, FinishAll) for op in ops):
        return results
    given = iter(results)
    return [
        finished([next(given) for _ in op.items]) if isinstance(op, FinishAll) else next(given)
        for op in ops
    ]


def finished(results: Sequence[OpResult]) -> Finished:
    """Of the results of `Finish`, one by one."""
    return Finished(
        others={at: each for at, each in enumerate(results) if isinstance(each, Task | Fault)}
    )
