"""The SQLite engine as the HTTP face asks it: claims as they are shown, results all in one.

Its answers are turned into those that each operation alone would have had, read inside the same
commit, so that every suite for engines also judges this way of asking.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from backstay.queue.model import ANY_TENANT, Task
from backstay.queue.operations import Claim, Finish, FinishAll, Finished, Leased, Op, OpResult
from backstay.queue.store.sqlite import SqliteEngine
from backstay.queue.store.sqlite_step import Step


class TogetherEngine(SqliteEngine):
    """`together` counts what was really done by the batch, so that a test can say that it was."""

    together = 0

    def do(self, step: Step, ops: Sequence[Op]) -> list[OpResult]:
        results: list[OpResult] = []
        for kind, run in groupby(ops, key=type):
            some = list(run)
            if kind is Claim:
                results += [self._claim(step, op) for op in some if isinstance(op, Claim)]
            elif kind is Finish:
                results += self._finish(step, [op for op in some if isinstance(op, Finish)])
            else:
                results += super().do(step, some)
        return results

    def _claim(self, step: Step, op: Claim) -> OpResult:
        [taken] = super().do(step, [msgspec.structs.replace(op, shown=True)])
        if not isinstance(taken, list):
            return taken
        return [task for each in taken for task in self._tasks(step, each)]  # type: ignore[arg-type]

    def _tasks(self, step: Step, taken: Task | Leased) -> Iterator[Task]:
        if isinstance(taken, Task):
            yield taken
            return
        ids = [each["id"] for each in msgspec.json.decode(b"[%b]" % taken.tasks)]
        assert len(ids) == taken.count == len(taken.since)
        self.together += len(ids)
        for id_ in ids:
            yield step.row(ANY_TENANT, id_).task

    def _finish(self, step: Step, ops: list[Finish]) -> list[OpResult]:
        [finished] = super().do(step, [FinishAll(tuple(ops))])
        assert isinstance(finished, Finished)
        self.together += sum(map(len, finished.created.values()))
        plain = len(ops) - len(finished.others)
        assert plain == sum(map(len, finished.created.values()))
        return [
            finished.others[at] if at in finished.others else step.row(ANY_TENANT, op.id).task
            for at, op in enumerate(ops)
        ]
