"""What is answered to a batch: tasks as they were leased, and what came of each result."""

from collections.abc import Sequence

import msgspec

from backstay.core.clock import rfc3339
from backstay.core.errors import Fault
from backstay.core.web import Response
from backstay.queue.api.wire import Item, Refusal, ResultView, refused, result_view, task_view
from backstay.queue.operations import Finish, Finished, Leased
from backstay.queue.service import Given

Unread = tuple[str, Fault]
"""The task of a result that cannot be read, and why."""


def shown(tasks: Given) -> bytes:
    """Their JSON, with commas between."""
    return b",".join(
        task.tasks
        if isinstance(task, Leased)
        else msgspec.json.encode(task_view(task, with_token=True))
        for task in tasks
    )


def exchanged(no: Sequence[Refusal], tasks: Given) -> Response:
    """As `wire.Exchanged`."""
    return Response(body=b'{"refused":%b,"tasks":[%b]}' % (msgspec.json.encode(no), shown(tasks)))


def refusals(read: Sequence[Finish | Unread], finished: Finished) -> list[Refusal]:
    """Of `answers` those that say no."""
    if not finished.others and all(isinstance(each, Finish) for each in read):
        return []
    return [
        Refusal(index, item.task_id, item.error, item.code, item.status)
        for index, item in enumerate(answers(read, finished))
        if item.error
    ]


def answers(read: Sequence[Finish | Unread], finished: Finished) -> list[Item]:
    """In the order of the request: what was refused unread, what was done, what the store says."""
    at = rfc3339(finished.at)
    items: list[Item] = []
    place = 0
    for each in read:
        if not isinstance(each, Finish):
            items.append(refused(each[1], each[0]))
            continue
        other = finished.others.get(place)
        place += 1
        if other is None:
            result = msgspec.Raw(each.result.encode())
            items.append(Item(each.id, result=ResultView(each.id, "COMPLETED", at, result)))
        elif isinstance(other, Fault):
            items.append(refused(other, each.id))
        else:
            items.append(Item(each.id, result=result_view(other)))
    return items
