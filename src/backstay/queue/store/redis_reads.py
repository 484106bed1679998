"""Questions to the redis store that change nothing: pages over several commands, depths, callbacks;
and the audit, which goes through everything a stretch at a time."""

import heapq
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from backstay.core.errors import Fault
from backstay.queue.errors import BAD_QUERY
from backstay.queue.model import (
    ANY_TENANT,
    Attempt,
    Delivery,
    Inconsistency,
    Page,
    Policy,
    QueueStats,
    Task,
    TaskQuery,
)
from backstay.queue.store.lua import PAGE, STATS, TASK
from backstay.queue.store.polls import Polls
from backstay.queue.store.redis_layout import (
    PREFIX,
    command_of,
    decode_record,
    full_id,
    keys_of,
    last_attempt,
    split_id,
    task_of,
)
from backstay.queue.store.redis_link import Link
from backstay.queue.store.redis_ops import delivery_of

_decode = msgspec.msgpack.decode
Place = tuple[int, int, str]
"""Where a task stands in a search: microseconds of its end (0 unless outcomes are asked for),
arrival number, tag. Arrival numbers are times, so that several commands have one order."""


async def read_task(link: Link, tenant: str, id: str) -> tuple[Task, bytes, bytes] | None:
    """The task, its record and its packed history; None when that tenant has none of this id."""
    local, tag = split_id(id)
    if not tag:
        return None
    raw, payload, result, history = await link.read(TASK, keys_of(tag), local)
    if raw is None:
        return None
    task = task_of(raw, payload or b"", result or b"", tag, command_of(tag))
    return (task, raw, history or b"") if tenant in (ANY_TENANT, task.tenant) else None


async def read_attempts(link: Link, tenant: str, id: str) -> list[Attempt]:
    """Deliveries, first to last."""
    found = await read_task(link, tenant, id)
    if found is None:
        return []
    _, raw, history = found
    names = Attempt.__struct_fields__
    past = [
        msgspec.convert(dict(zip(names, each, strict=True)), Attempt)
        for each in (_decode(history) if history else [])
    ]
    last = last_attempt(decode_record(raw), past[-1].number + 1 if past else 1)
    return [*past, last] if last else past


# --- pages -----------------------------------------------------------------------------------


async def read_page(link: Link, tags: Sequence[str], query: TaskQuery) -> Page[Task]:
    """Raises QUEUE018 for a cursor that no page gave."""
    after = _parse(query.after) if query.after else None
    rows: list[tuple[Place, Task]] = []
    for tag in sorted(tags):
        found = [row async for row in _of_command(link, tag, query, after)]
        rows = _first(query, rows, found)
    shown = rows[: query.limit]
    more = len(rows) > len(shown)
    return Page([task for _, task in shown], _cursor(shown[-1][0]) if more else "")


def _first(
    query: TaskQuery, rows: list[tuple[Place, Task]], found: list[tuple[Place, Task]]
) -> list[tuple[Place, Task]]:
    merged = heapq.merge(rows, found, key=lambda row: row[0], reverse=query.newest_first)
    return list(merged)[: query.limit + 1]


async def _of_command(
    link: Link, tag: str, query: TaskQuery, after: Place | None
) -> AsyncIterator[tuple[Place, Task]]:
    """Up to one more than a page holds, in order."""
    wanted, position = query.limit + 1, _start(tag, query, after)
    while wanted > 0:
        (found, position, all_seen), *blobs = await _stretch(link, tag, query, position, wanted)
        for at in range(0, 3 * found, 3):
            raw, payload, result = blobs[at : at + 3]
            record = decode_record(raw)
            ended = int(record.ended_at * 1e6) if query.reply_to else 0
            yield (
                (ended, record.seq, tag),
                task_of(raw, payload, result, tag, command_of(tag)),
            )
        wanted -= found
        if all_seen:
            return


async def _stretch(link: Link, tag: str, query: TaskQuery, position: str, wanted: int) -> list[Any]:
    asked = [
        *(query.tenant or "", query.states, query.reply_to, query.tag, query.key, query.worker),
        *(query.created_after, query.created_before, query.newest_first, position, wanted),
    ]
    summary, *blobs = await link.read(PAGE, keys_of(tag), msgspec.msgpack.encode(asked))
    return [_decode(summary), *blobs]


def _start(tag: str, query: TaskQuery, after: Place | None) -> str:
    """Behind `after`; a task of another command with the same number may still be ahead."""
    if after is None:
        return ""
    ended, seq, at = after
    if query.newest_first and tag < at:
        seq += 1
    elif not query.newest_first and tag > at:
        seq -= 1
    return f"{ended:016d}{seq:016d}" if query.reply_to else str(seq)


def _parse(cursor: str) -> Place:
    try:
        ended, seq, tag = cursor.split(":")
        place = int(ended), int(seq), tag
        if not (0 <= place[0] < 10**16 and 0 <= place[1] < 10**16):
            raise ValueError(cursor)
        return place
    except ValueError as bad:
        rule = "the next_cursor of another page"
        raise Fault(BAD_QUERY, name="cursor", value=cursor[:40], rule=rule) from bad


def _cursor(place: Place) -> str:
    ended, seq, tag = place
    return f"{ended}:{seq}:{tag}"


# --- queues, bounds, callbacks ---------------------------------------------------------------


async def read_stats(link: Link, tag: str, polls: Polls) -> list[QueueStats]:
    """Per tenant of one command. `polls` is what this server knows of claims itself."""
    rows = _decode(await link.read(STATS, keys_of(tag)))
    return [
        QueueStats(
            tenant=tenant,
            command=command_of(tag),
            ready=ready,
            delayed=delayed,
            in_progress=leased,
            dead=dead,
            oldest_ready_at=float(oldest),
            last_claim_at=float(max(at, polls.last(tenant, command_of(tag)))),
            paused=bool(paused),
        )
        for tenant, ready, delayed, leased, dead, oldest, paused, at in sorted(rows)
    ]


async def read_policies(link: Link, tag: str, tenant: str | None) -> list[Policy]:
    """Of that tenant and of `*`; None: all."""
    told = await link.ask("HGETALL", f"{PREFIX}:{{{tag}}}:policies")
    found = []
    for name, raw in pairs(told):
        owner = name.decode()
        if tenant is None or owner in (tenant, ANY_TENANT):
            paused, concurrency, rate, burst, of_key, key_rate, updated = _decode(raw)
            found.append(
                Policy(
                    tenant=owner,
                    command=command_of(tag),
                    paused=paused,
                    concurrency=concurrency,
                    rate=float(rate),
                    burst=burst,
                    key_concurrency=of_key,
                    key_rate=float(key_rate),
                    updated_at=float(updated),
                )
            )
    return found


async def read_deliveries(link: Link, tag: str, *, given_up: bool, limit: int) -> list[Delivery]:
    """The oldest of one command."""
    index = "callbacks_lost" if given_up else "callbacks_due"
    ids = await link.ask("ZRANGE", f"{PREFIX}:{{{tag}}}:{index}", 0, limit - 1)
    if not ids:
        return []
    raws = await link.ask("HMGET", f"{PREFIX}:{{{tag}}}:callbacks", *ids)
    return [delivery_of(raw, tag) for raw in raws if raw is not None]


def pairs(told: Any) -> list[tuple[bytes, bytes]]:
    """A hash as a client shows it: a mapping, or names and values in turn."""
    if isinstance(told, dict):
        return list(told.items())
    return list(zip(told[::2], told[1::2], strict=True))


AUDITS = (
    *("tasks", "payloads", "results", "history", "once", "order", "ready", "parked", "delayed"),
    *("leases", "dead", "ended", "replies", "counts"),
)
"""In this order: tasks are put in their places before counts are taken."""


def inconsistencies(rows: Sequence[Sequence[Any]], tag: str) -> list[Inconsistency]:
    """What one stretch of an audit found."""
    counts = {"wrong_count", "wrong_held", "no_turn"}
    return [
        Inconsistency(
            kind,
            f"{what}:{command_of(tag)}" if kind in counts else full_id(what, tag),
            says,
            bool(repaired),
        )
        for kind, what, says, repaired in rows
    ]
