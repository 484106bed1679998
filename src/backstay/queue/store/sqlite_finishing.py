"""Results in one batch: two statements for all that are plain, and the rest one by one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from backstay.core.errors import Fault
from backstay.queue.model import ANY_TENANT, Task
from backstay.queue.operations import Finish, FinishAll, Finished
from backstay.queue.store.sql import SQL
from backstay.queue.store.sqlite_rows import INLINE
from backstay.queue.store.sqlite_step import Step

Alone = Callable[[Step, Finish], Task]

_TIMES = msgspec.json.Decoder(list[float])
_NAMES = msgspec.json.Decoder(list[str])


def finish_all(step: Step, op: FinishAll, alone: Alone) -> Finished:
    """A result is plain when it is a small success with its lease's token, of a task that no
    policy and no callback has to do with. Where a task has two results, the first one counts: then
    they are taken one by one."""
    plain: dict[int, Finish] = {}
    if len({each.id for each in op.items}) == len(op.items):
        plain = {at: each for at, each in enumerate(op.items) if _is_plain(each, op.items[0])}
    created = _together(step, [*plain.values()]) if plain else None
    if created is None:
        created, plain = {}, {}
    others = {at: _alone(step, each, alone) for at, each in enumerate(op.items) if at not in plain}
    return Finished(step.now, created, others)


def _is_plain(item: Finish, first: Finish) -> bool:
    small = item.ok and len(item.result) <= INLINE and not item.error
    same = item.worker == first.worker and item.tenant == first.tenant
    return small and same and bool(item.token)


def _alone(step: Step, item: Finish, alone: Alone) -> Task | Fault:
    try:
        return alone(step, item)
    except Fault as refused:
        return refused


def _together(step: Step, items: Sequence[Finish]) -> Mapping[str, Sequence[float]] | None:
    """When the tasks were created, per command; None, and nothing is changed, when one of them is
    not to be ended like the others."""
    first = items[0]
    tokens = {each.id: each.token for each in items}
    asked = {"tokens": _json(tokens), "worker": first.worker}
    rows: list[Any] = step.db.execute(SQL["finishing"], asked).fetchall()
    if sum(row[1] for row in rows) < len(items):
        return None
    created: dict[str, list[float]] = {}
    replies: list[str] = []
    for queue, _, times, webhooks, readers in rows:
        tenant, command = step.queues.names[queue]
        foreign = first.tenant not in (ANY_TENANT, tenant)
        if foreign or webhooks or step.bounds.policy(tenant, command) is not None:
            return None
        created.setdefault(command, []).extend(_TIMES.decode(times))
        replies += _NAMES.decode(readers)
    results = {each.id: each.result for each in items}
    step.db.execute(SQL["finish_all"], {"results": _json(results), "now": step.now})
    step.ended([*tokens], replies)
    return created


def _json(texts: Mapping[str, str]) -> str:
    return msgspec.json.encode(texts).decode()
